"""Where the time of one call goes: clocks set by hand, and the real ones with wide margins."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import lightwork as lw
from lightwork import _machine
from lightwork._calls import Batch, Outcomes
from lightwork._clock import OwnCpu, thread_cpu_clock
from lightwork._demand import Canary, Demand, Meter, Wire, seconds, size, surely_held
from lightwork._evidence import Evidence
from lightwork._fingerprint import fingerprint
from lightwork._spinning import Spinning
from lightwork._wire_cost import measure_wire
from tests.leftovers import linux, wait_for


class Clocks:
    """Clocks that stand still until they are moved."""

    def __init__(self):
        self.wall = self.thread = self.process = self.children = self.delay = self.spinning = 0.0

    def meter(self):
        return Meter(
            lambda: self.wall,
            lambda: self.thread,
            lambda: self.process,
            lambda: self.children,
            lambda: self.delay,
            spinning=lambda: self.spinning,
        )

    def pass_(self, wall, thread=0.0, others=0.0, children=0.0, delay=0.0, spinning=0.0):
        self.delay += delay
        self.spinning += spinning
        self.wall += wall
        self.thread += thread
        self.process += thread + others
        self.children += children


def observed(calls, **passing):
    clocks = Clocks()
    meter = clocks.meter()
    for _ in range(calls):
        meter.begin()
        clocks.pass_(**passing)
        meter.end()
    return meter


def test_waiting_and_computing():
    demand = observed(5, wall=0.010, thread=0.004).demand(1.0)
    assert (demand.wait, demand.cpu, demand.gil) == pytest.approx((0.006, 0.004, 0.004))
    assert demand.wall == pytest.approx(0.010)
    assert demand.cpu_share == pytest.approx(0.4) and demand.gil_share == pytest.approx(1)
    assert demand.calls == 4


@pytest.mark.parametrize("wall", [0.010, 0.030])
def test_half_of_the_computing_under_the_gil(wall):
    assert observed(5, wall=wall, thread=0.010).demand(0.5).gil_share == pytest.approx(0.5)


def test_an_unknown_share_counts_as_held():
    expected = 1.0 if _machine.gil_enabled() else 0.0
    assert observed(3, wall=0.01, thread=0.01).demand().gil_share == expected


def test_a_slow_first_call_is_kept_apart():
    clocks = Clocks()
    meter = clocks.meter()
    for wall in (5.0, 0.01, 0.01, 0.01):
        meter.begin()
        clocks.pass_(wall)
        meter.end()
    assert meter.demand().wall == pytest.approx(0.01)
    assert meter.first == (1, 5.0, 0.0)


def test_what_others_have_timed_and_are_not_sure_of_counts_as_long_as_there_is_nothing_else():
    clocks = Clocks()
    meter = clocks.meter()
    meter.know(3, 0.3, 0.03, sure=False)
    assert meter.demand().wall == pytest.approx(0.1)
    meter.begin()
    clocks.pass_(0.01, thread=0.01)
    meter.end()
    assert meter.demand().wall == pytest.approx(0.01) and meter.demand().cpu_share == pytest.approx(1)


def test_what_seemed_to_wait_counts_where_the_next_call_waits_too():
    clocks = Clocks()
    meter = clocks.meter()
    meter.know(2, 0.016, 0.006, sure=False)
    meter.begin()
    clocks.pass_(0.01)
    meter.end()
    assert meter.demand().calls == 3
    assert meter.demand().wall == pytest.approx(0.026 / 3) and meter.demand().cpu == pytest.approx(0.002)


def test_what_the_thread_has_to_wait_for_between_two_groups_was_not_lost_to_the_calls():
    clocks = Clocks()
    meter = clocks.meter()
    for _ in range(3):
        meter.begin()
        clocks.pass_(0.01, thread=0.005)
        meter.end()
        clocks.pass_(0.02, delay=0.01)
    assert meter.demand().wait == pytest.approx(0.005)


def test_only_a_first_call_counts():
    assert observed(1, wall=3.0, thread=1.0).demand().wall == pytest.approx(3.0)


def test_groups():
    clocks = Clocks()
    meter = clocks.meter()
    for calls in (1, 10, 30):
        meter.begin()
        clocks.pass_(calls * 0.001)
        assert meter.end(calls) == pytest.approx(calls * 0.001)
    assert meter.demand().calls == 40
    assert meter.demand().wall == pytest.approx(0.001)
    assert meter.demand().spread == pytest.approx(0, abs=1e-9)


def test_calls_that_became_far_longer_are_what_is_to_come():
    clocks = Clocks()
    meter = clocks.meter()
    groups = [(1, 0.1), (1000, 0.1), (1, 0.2), (1000, 0.1), (2, 0.02), (3, 0.03)]
    seen = []
    for calls, lasts in groups:
        meter.begin()
        clocks.pass_(lasts)
        meter.end(calls)
        seen.append(meter.anew)
    assert seen == [False, False, False, False, False, True], "one alone may be a giant"
    assert meter.demand().calls == 5 and meter.demand().wall == pytest.approx(0.01)


def test_a_child_process_s_work_is_not_waiting():
    demand = observed(5, wall=0.1, children=0.09).demand()
    assert demand.wait == pytest.approx(0.01) and demand.cpu == pytest.approx(0.09)
    assert demand.gil == 0 and demand.hidden == 0


def test_hidden_threads_of_a_library():
    demand = observed(5, wall=0.1, thread=0.1, others=0.1).demand(0.0)
    assert demand.cpu == pytest.approx(0.2) and demand.hidden == pytest.approx(0.1)
    assert demand.wall == pytest.approx(0.1) and demand.wait == 0 and demand.cpu_share == pytest.approx(1)
    assert "on 2.0 cores" in str(demand)


@pytest.mark.parametrize(("spinning", "cpu"), [(0.009, 0.001), (0.004, 0.006)])
def test_what_threads_use_that_spin_is_none_of_calls_that_wait(spinning, cpu):
    demand = observed(5, wall=0.010, thread=0.001, others=0.009, spinning=spinning).demand(0.0)
    assert demand.cpu == pytest.approx(cpu)


def test_beside_a_call_that_computes_they_may_be_its_library_s():
    demand = observed(5, wall=0.010, thread=0.010, others=0.010, spinning=0.010).demand(0.0)
    assert (demand.cpu, demand.hidden) == pytest.approx((0.020, 0.010))


def test_the_measuring_s_own_cpu_is_not_the_function_s():
    assert observed(5, wall=0.1, others=0.004).demand().cpu == 0


def test_standing_in_line_for_a_core_is_neither_waiting_nor_computing():
    demand = observed(5, wall=0.01, thread=0.004, delay=0.005).demand(0.4)
    assert demand.cpu == pytest.approx(0.004) and demand.wait == pytest.approx(0.001)


def test_nothing_observed():
    with pytest.raises(ValueError, match="no call"):
        Meter().demand()


def test_text():
    demand = Demand(0.0011, 0.0112, 0.01075, bytes_out=1200, bytes_back=80)
    assert str(demand) == "12.3 ms (91 % computing, 96 % of it under the GIL; 1.2 kB out, 80 B back)"
    assert str(Demand(1.0, 0.0)) == "1.00 s (0 % computing)"
    assert [seconds(x) for x in (123.4, 0.0123, 4.56e-6, 7e-9, 0)] == ["123 s", "12.3 ms", "4.56 µs", "7 ns", "0 ns"]
    assert [size(x) for x in (0, 999, 1500, 2.5e6, 3e9)] == ["0 B", "999 B", "1.5 kB", "2.5 MB", "3.0 GB"]


def test_pairs_are_cheap():
    meter, least = Meter(), 1.0
    for _ in range(100):
        began = time.perf_counter()
        for _ in range(20):
            meter.begin()
            meter.end()
        least = min(least, (time.perf_counter() - began) / 20)
    assert least < 50e-6, "somewhere in a hundred times the machine was not busy with others"


def test_the_real_clocks_see_a_subprocess():
    """As computing of the call's own: most of what it says itself that it computed, by a coarse clock."""
    meter, program = Meter(), "import time; sum(range(3_000_000)); print(time.process_time())"
    for _ in range(2):
        meter.begin()
        computed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        meter.end()
    assert meter.demand().cpu > 0.5 * float(computed)


# the canary

BLOB = os.urandom(1 << 20)
WORDS = [{"word": str(i), "list": [1, 2, 3]} for i in range(3000)]


def loop():
    return sum(i * i for i in range(20_000))


@pytest.mark.parametrize(
    "fn, held",
    [
        (lambda: hashlib.sha256(BLOB).digest(), False),
        (loop, True),
        (lambda: json.dumps(WORDS), True),
    ],
    ids=["sha256", "loop", "json"],
)
def test_the_gil_is_heard(fn, held):
    fn()
    share = heard(fn)
    for _ in range(50):
        if held or share < 0.5:
            break
        share = heard(fn)  # a busy machine keeps the canary waiting too: then it seems to be held
    if _machine.gil_enabled():
        assert share > 0.6 if held else share < 0.5
    else:
        assert share == 0.0


@pytest.mark.skipif(not _machine.gil_enabled(), reason="without the GIL nothing is to be heard")
def test_the_gil_is_heard_where_others_have_the_cores():
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        assert min(heard(loop) for _ in range(5)) > 0.6
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@pytest.mark.skipif(not _machine.gil_enabled(), reason="without the GIL nothing is to be heard")
@pytest.mark.parametrize(
    "fn, held",
    [
        (lambda: hashlib.sha256(BLOB).digest(), False),
        (lambda: time.sleep(0.002), False),
        (loop, True),
        (lambda: json.dumps(WORDS), True),
    ],
    ids=["sha256", "sleep", "loop", "json"],
)
def test_a_few_knocks_beside_a_call_that_holds_the_gil_are_enough(fn, held):
    over, clocks = threading.Event(), []

    def calls():
        clocks.append(thread_cpu_clock(threading.get_ident()))
        while not over.is_set():
            fn()

    thread = threading.Thread(target=calls)
    thread.start()
    turns = sys.getswitchinterval()
    try:
        while not clocks:
            time.sleep(0.001)
        found = [surely_held(clocks[0]) for _ in range(100 if held else 10)]  # a busy machine may hear it seldom
    finally:
        over.set()
        thread.join()
    assert any(found) == held
    assert sys.getswitchinterval() == turns


@pytest.mark.skipif(not _machine.gil_enabled(), reason="without the GIL nothing is to be heard")
def test_who_computes_nothing_tells_nothing():
    with Canary() as canary:
        time.sleep(0.1)
        assert canary.held_share() is None
    clock = time.process_time
    with Canary(lambda: clock() + time.perf_counter()) as canary:  # as of one that computes beside the GIL
        time.sleep(0.1)
        assert canary.held_share() == pytest.approx(0.0, abs=0.3)


def heard(fn):
    with Canary() as canary:
        began = time.perf_counter()
        share = None
        while share is None or time.perf_counter() - began < 0.1:
            fn()
            share = canary.held_share()
    return share


@pytest.mark.skipif(not _machine.gil_enabled(), reason="without the GIL nothing is to be heard")
def test_one_long_call_under_the_gil_is_evidence():
    values = [str(i) for i in range(200_000)]
    values.reverse()
    share = None
    with Canary() as canary:
        time.sleep(0.002)
        for _ in range(10):  # two will do, where the canary's thread has a core from the start
            sorted(values, key=str.upper)
            if (share := canary.held_share()) is not None:
                break
    assert share is not None and share > 0.5


def test_a_thread_whose_calls_go_on_in_another_tells_nothing_more():
    clock = iter([0.0])

    def used():
        for reading in clock:
            return reading
        raise OSError(22, "Invalid argument")  # as of a thread that has ended

    with Canary(used) as canary:
        time.sleep(0.01)
        assert canary.held_share() == (None if _machine.gil_enabled() else 0.0)
    assert "lightwork-canary" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(not _machine.gil_enabled(), reason="there is nothing to hold")
def test_a_knock_that_waits_for_the_gil_counts_however_many_found_it_free():
    """A long call under the GIL is seen by that one alone."""
    canary = Canary()
    canary._used = lambda: 0.11  # 10 ms in knocks that found it free, and 100 since
    canary._knocks, canary._total, canary._before = 4 * _machine.usable_cores(), 0.01, 0.01
    assert canary.sure and canary.held_share() == 0.0
    canary._due = time.perf_counter() - 0.1
    assert not canary.sure
    assert canary.held_share() == pytest.approx(0.1 / 0.11)


def test_too_little_evidence():
    canary = Canary()
    assert canary.held_share() == (None if _machine.gil_enabled() else 0.0)


def test_the_canary_leaves_nothing_behind_and_starts_again():
    before = threading.active_count()
    canary = Canary()
    for _ in range(3):
        canary.start()
        canary.stop()
        canary.stop()
    assert threading.active_count() == before
    with canary:
        if _machine.gil_enabled():
            with pytest.raises(RuntimeError):
                canary.start()
    assert threading.active_count() == before


# the wire


def test_what_travels():
    wire = measure_wire([list(range(1000))] * 2, ["x" * 500])
    assert wire.refused is None and not wire.partial
    assert 1000 < wire.bytes_out < 10_000 and 500 <= wire.bytes_back < 600
    assert 0 < wire.caller < 1 and 0 < wire.worker < 1


@pytest.mark.timeout(60)
def test_small_things_travel_in_company():
    """To begin a pickle takes longer than to put a number into one, and it is begun once for many."""
    least, numbers = min(measure_wire([n, n + 1], [True, False]).caller for n in range(100)), list(range(1000))
    began = time.perf_counter()
    for _ in range(100):
        pickle.loads(pickle.dumps(numbers, 5))
    together = (time.perf_counter() - began) / 100 / len(numbers)
    assert 0 < least < 8 * together


class Bare:
    """Its copies lack what it takes out of its state."""

    def __init__(self):
        self.lock = threading.Lock()

    def __getstate__(self):
        state = self.__dict__.copy()
        del state["lock"]
        return state


class Stand:
    """Another object comes out of its pickle, which cannot be pickled."""

    def __reduce__(self):
        return threading.Lock, ()


@pytest.mark.parametrize("thing", [Bare, Stand])
def test_a_copy_need_not_be_picklable(thing):
    wire = measure_wire([thing(), thing()], [thing()])
    assert wire.refused is None and 0 < wire.caller < 1 and 0 < wire.worker < 1


LOADED = []


def _loaded(number):
    LOADED.append(number)
    time.sleep(0.005)  # what loading takes
    return number


class Large:
    """A name of something that takes long to load."""

    def __reduce__(self):
        return _loaded, (1,)


def test_what_takes_long_to_load_is_loaded_a_few_times_only():
    LOADED.clear()
    assert measure_wire([Large(), Large()], []).worker > 0.004
    assert len(LOADED) <= 8


def test_arrays_count_with_their_buffers():
    numpy = pytest.importorskip("numpy")
    wire = measure_wire([numpy.zeros(1_000_000)], [1.0])
    assert wire.bytes_out > 8_000_000 and wire.caller > 1e-4


def test_closures_and_lambdas_can_be_sent():
    captured = 3
    assert measure_wire([1], [2], lambda x: x + captured).refused is None
    assert measure_wire([lambda: 1], [2]).refused is None


def test_what_cannot_be_sent_is_said():
    lock = threading.Lock()
    assert "the function" in measure_wire([1], [2], lambda: lock).refused
    refused = measure_wire([lock], [])
    assert "an argument" in refused.refused and "lock" in refused.refused
    assert "a result" in measure_wire([1], [lock]).refused


class Spoilt:
    def __reduce__(self):
        return _fail, ()


def _fail():
    raise OSError("spoilt")


def test_what_cannot_be_unpickled_is_said():
    assert "cannot be unpickled: OSError: spoilt" in measure_wire([Spoilt()], []).refused
    with pytest.raises(OSError):
        pickle.loads(pickle.dumps(Spoilt()))


class Told(Exception):
    """Raised by a signal's handler."""


class Struck:
    """In whose pickling, or unpickling, a signal comes."""

    def __init__(self, at):
        self.at = at

    def __getstate__(self):
        if self.at == "down":
            signal.raise_signal(signal.SIGUSR1)
        return {"at": self.at}

    def __setstate__(self, state):
        if state["at"] == "up":
            signal.raise_signal(signal.SIGUSR1)


@pytest.mark.parametrize("look", [lambda thing: measure_wire([thing], []), fingerprint], ids=["cost", "changes"])
@pytest.mark.parametrize("at", ["down", "up"])
def test_what_a_signal_s_handler_raises_comes_out(at, look):
    """As it does wherever else a program is, which has set one in order to be interrupted."""

    def strike(*_):
        raise Told

    before = signal.signal(signal.SIGUSR1, strike)
    try:
        if look is fingerprint and at == "up":
            assert look(Struck(at)) is not None  # which unpickles nothing
        else:
            with pytest.raises(Told):
                look(Struck(at))
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_large_things_are_cut_short():
    wire = measure_wire([b"x" * (64 << 20)], [list(range(2_000_000))])
    assert wire.partial and wire.bytes_out >= 64 << 20 and wire.refused is None


def test_nothing_to_send():
    assert measure_wire([], []) == Wire()


PROGRAM = """
import dataclasses

from lightwork._wire_cost import measure_wire


@dataclasses.dataclass
class Point:
    x: int
    text = "x" * 100_000


first = measure_wire([Point(1)], [Point(2)])
print(first.refused, 50 < first.bytes_out < 1000, 50 < first.bytes_back < 1000, first.caller > 0)
lambdas = measure_wire([lambda: "x" * 1000], [1])
print(lambdas.refused, lambdas.bytes_out > 200)
"""


def test_what_goes_by_value_is_measured_as_it_goes_when_its_class_is_known():
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50)
    assert found.stdout == "None True True True\nNone True\n", found.stderr


@pytest.fixture
def spinner():
    """A thread that computes for a third of a second without ever waiting for the GIL, and the clock of that."""
    thread = threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 1_000_000))
    thread.start()
    used = thread_cpu_clock(thread.ident)
    wait_for(lambda: used() >= 0.05)
    yield thread, used
    thread.join()


@linux
def test_what_computes_before_the_first_call_and_goes_on_spins(spinner):
    thread, used = spinner
    own, before = threading.get_native_id(), used()
    clock, younger = Spinning(0.01, own), Spinning(60.0, own)
    wait_for(lambda: used() >= before + 0.05)
    spun = clock()
    assert 0.03 < spun <= used() - before + 0.001 and younger() == 0.0
    wait_for(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
    spun = clock()
    assert clock() == spun, "it has ended"


@linux
def test_calls_that_wait_are_seen_to_wait_beside_a_thread_that_spins(spinner):
    report = lw.map(time.sleep, [0.004] * 100).report
    assert report.demand.cpu_share < 0.5 and report.workers > 8


def test_a_threads_processor_time_can_be_read_beside_it_and_after_its_end():
    own, burnt, go = OwnCpu(), threading.Event(), threading.Event()
    took = []

    def work():
        own.begins()
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            pass
        burnt.set()
        assert go.wait(20)
        own.ends()
        took.append(time.thread_time())

    assert own() == 0.0
    thread = threading.Thread(target=work)
    thread.start()
    assert burnt.wait(20)
    assert own() >= 0.02
    go.set()
    thread.join()
    if hasattr(time, "pthread_getcpuclockid"):
        assert 0.02 <= own() <= took[0]


def test_an_item_that_was_taken_out_of_the_list_before_it_could_be_looked_at_again_is_not_known():
    items = [[n] for n in range(6)]
    evidence = Evidence(Meter(), (5, fingerprint(items[5])))
    batch, outcomes = Batch(0, len, "one", 0, items), Outcomes(0, 4, [1, 1])
    del items[3:]
    assert not evidence.note(batch, outcomes)
    assert not evidence.item_known
