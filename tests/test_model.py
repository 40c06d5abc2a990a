"""The predictions: bounds that must hold for any demand, and cases worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightwork._backends._registry import backends
from lightwork._demand import Demand
from lightwork._model import predict, rank, suggest_workers

OVERHEADS = {name: (info.capabilities.startup, info.capabilities.per_call) for name, info in backends().items()}
BACKENDS = st.sampled_from(list(OVERHEADS))
times = st.floats(0, 10) | st.floats(0, 1e-3)


@st.composite
def demands(draw):
    wait, cpu = draw(times), draw(times)
    return Demand(
        wait,
        cpu,
        gil=cpu * draw(st.floats(0, 1)),
        wire_caller=draw(st.floats(0, 0.01)),
        wire_worker=draw(st.floats(0, 0.01)),
    )


def ask(demand, backend, workers=2, calls=100, cores=2, gil=True, startup=0.0, per_call=0.0):
    return predict(demand, backend=backend, workers=workers, calls=calls, cores=cores, gil=gil,
                   startup=startup, per_call=per_call)  # fmt: skip


@given(demands(), BACKENDS, st.integers(1, 200), st.integers(0, 10_000), st.integers(1, 64), st.booleans())
def test_more_cores_are_never_slower(demand, backend, workers, calls, cores, gil):
    few = ask(demand, backend, workers, calls, cores, gil)
    many = ask(demand, backend, workers, calls, cores + 1, gil)
    assert many.seconds <= few.seconds


@given(demands(), BACKENDS, st.integers(1, 200), st.integers(1, 10_000), st.integers(1, 64), st.booleans())
def test_no_bound_is_broken(demand, backend, workers, calls, cores, gil):
    startup, per_call = OVERHEADS[backend]
    found = ask(demand, backend, workers, calls, cores, gil, startup, per_call)
    assert math.isfinite(found.seconds) and found.seconds >= 0
    assert found.seconds >= (demand.wall + startup) * (1 - 1e-9)
    assert found.seconds >= calls * demand.wall / found.workers * (1 - 1e-9)
    assert found.seconds >= calls * demand.cpu / cores * (1 - 1e-9) or backend == "serial"
    if gil and backend == "threads":
        assert found.seconds >= calls * demand.gil * (1 - 1e-9)
    assert found.seconds * found.throughput >= calls * (1 - 1e-6)
    assert found.lifted >= 1
    assert found.reason and str(found).startswith(backend)


@given(demands(), st.integers(0, 10_000))
def test_serial_is_calls_times_wall(demand, calls):
    assert ask(demand, "serial", calls=calls, cores=1).seconds == pytest.approx(calls * demand.wall)


@given(demands(), BACKENDS, st.integers(1, 200), st.integers(1, 1000))
def test_more_calls_take_longer(demand, backend, workers, calls):
    assert ask(demand, backend, workers, calls + 1).seconds >= ask(demand, backend, workers, calls).seconds


@given(demands(), BACKENDS, st.integers(1, 64), st.none() | st.integers(1, 1000), st.booleans())
def test_suggested_workers_are_sound(demand, backend, cores, calls, gil):
    workers = suggest_workers(demand, backend, cores, gil, calls)
    assert 1 <= workers <= 1000
    assert calls is None or workers <= calls
    assert backend != "serial" or workers == 1


@given(demands(), st.integers(1, 16))
def test_suggested_workers_lose_little(demand, cores):
    workers = suggest_workers(demand, "threads", cores, True, None)
    here = ask(demand, "threads", workers, None, cores).throughput
    beyond = ask(demand, "threads", 128, None, cores).throughput
    assert here >= 0.97 * beyond or workers == 128


def test_four_calls_on_three_workers_take_two_rounds():
    assert ask(Demand(1.0, 0.0), "threads", workers=3, calls=4, cores=8).seconds == pytest.approx(2.0)


COMPUTING = Demand(0.0, 0.01, 0.0098, 1e-4, 1e-4)


def test_computing_under_the_gil():
    threads = ask(COMPUTING, "threads")
    assert threads.binding == "the GIL" and threads.seconds == pytest.approx(0.98, rel=0.01)
    assert threads.lifted > 1.8
    processes = ask(COMPUTING, "processes", startup=0.05)
    assert processes.binding == "cores" and processes.seconds == pytest.approx(0.56, rel=0.01)


def test_without_the_gil_threads_compute_in_parallel():
    free = ask(COMPUTING, "threads", gil=False)
    assert free.binding == "cores" and free.seconds == pytest.approx(0.5)


def test_waiting():
    demand = Demand(0.1, 0.0001)
    threads = ask(demand, "threads", workers=10)
    assert threads.binding == "waiting" and threads.seconds == pytest.approx(1.0, rel=0.02)
    assert threads.lifted > 5
    assert ask(demand, "serial").binding == "one at a time"
    assert suggest_workers(demand, "threads", 2, True) == 128
    assert suggest_workers(demand, "threads", 2, True, calls=7) == 7


def test_waiting_is_not_blamed_on_the_gil():
    demand = Demand(0.05, 0.0)
    one = ask(demand, "threads", workers=20, calls=20, per_call=20e-6)
    assert one.binding == "waiting" and one.reason == "20 calls wait at once; 1 round of 50.0 ms"
    four = ask(demand, "threads", workers=5, calls=20, per_call=20e-6)
    assert four.binding == "waiting" and four.reason == "5 calls wait at once; 4 rounds of 50.0 ms each"
    assert ask(demand, "asyncio", workers=20, calls=20, per_call=40e-6).binding == "waiting"
    alone = ask(demand, "threads", workers=1, calls=2)
    assert alone.reason == "one call waits at a time; 2 rounds of 50.0 ms each"


def test_handing_over_is_not_called_python_code():
    found = ask(Demand(0.001, 0.0), "threads", workers=100, calls=1000, per_call=50e-6)
    assert found.binding == "the GIL" and "handing a call to a thread takes 50.0 µs" in found.reason


def test_coroutines_share_one_thread():
    demand = Demand(0.009, 0.001, 0.001)
    found = ask(demand, "asyncio", workers=100)
    assert found.binding == "one at a time" and found.seconds == pytest.approx(0.109)


def test_the_wire_binds():
    found = ask(Demand(0.0, 0.001, 0.001, wire_caller=0.01), "processes", cores=64, workers=64)
    assert found.binding == "the wire" and found.lifted > 5


def test_the_start_binds():
    found = ask(Demand(0.0, 1e-5, 1e-5), "processes", startup=0.05)
    assert found.binding == "start-up" and found.lifted > 10 and "50.0 ms" in found.reason


def test_a_single_call_cannot_be_split():
    found = ask(Demand(0.0, 1.0), "processes", calls=1, workers=1)
    assert found.binding == "one at a time" and found.seconds == pytest.approx(1.0)


def test_hidden_threads_use_the_cores_already():
    found = ask(Demand(0.0, 0.02, hidden=0.01), "threads", cores=2)
    assert found.seconds == pytest.approx(1.0) and found.binding == "cores"
    assert suggest_workers(Demand(0.0, 0.02, hidden=0.01), "threads", 2, True) == 1


def test_a_quota_of_one_and_a_half_cores():
    assert ask(Demand(0.0, 0.01), "threads", cores=1.5).seconds == pytest.approx(100 * 0.01 / 1.5)


def test_an_unknown_number_of_calls():
    found = ask(Demand(0.01, 0.0), "threads", workers=10, calls=None, startup=5.0)
    assert found.seconds == pytest.approx(0.001) and found.throughput == pytest.approx(1000)


def test_nothing_to_do():
    assert ask(COMPUTING, "processes", calls=0, startup=1.0).seconds == 0
    assert ask(Demand(0.0, 0.0), "threads").seconds == 0


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"cores": 0}, {"calls": -1}])
def test_impossible_cases(wrong):
    with pytest.raises(ValueError):
        ask(COMPUTING, "threads", **wrong)


def test_short_calls_are_predicted_in_batches():
    tiny = Demand(0.0, 1e-6, 1e-6)
    assert ask(tiny, "processes", calls=100_000, per_call=50e-6).seconds < 0.5
    assert (
        rank(
            ask(tiny, name, calls=1000, startup=OVERHEADS[name][0], per_call=OVERHEADS[name][1]) for name in OVERHEADS
        )[0].backend
        == "serial"
    )


def test_rank():
    one, two = ask(COMPUTING, "threads"), ask(COMPUTING, "processes")
    assert rank([one, two]) == [two, one]
