"""What every crew of remote workers does, processes and sub-interpreters alike."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings

import pytest

from lightwork import _context
from lightwork._backends.base import Backend
from lightwork._backends.interpreters import InterpreterBackend
from lightwork._backends.processes import ProcessBackend
from lightwork._calls import Finished, WorkerReady
from lightwork.errors import LightworkError, RemoteError, UnpicklableError
from tests.backends.crews import Driver
from tests.backends.jobs import (
    Locked,
    Odd,
    Thief,
    add,
    change,
    double,
    draw,
    fail,
    greet,
    greeting,
    hold,
    lambda_of,
    leave,
    make_thief,
    raise_from,
    raise_in_a_circle,
    raise_locked,
    raise_noted,
    raise_odd,
    raise_unmakeable,
    refuse,
    seeded,
    sizes,
    speak,
    stop,
    tell,
    total,
    where,
)


@pytest.fixture(params=[ProcessBackend, InterpreterBackend], ids=lambda each: each.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.param()
    reason = found.unavailable()
    if reason is not None:
        pytest.skip(reason)
    return found


def test_ready_comes_first_and_results_in_order(backend):
    with Driver(backend) as crew:
        assert crew.run(double, list(range(100))) == [2 * x for x in range(100)]
        assert isinstance(crew.events[0], WorkerReady)
        finished = [event for event in crew.events if isinstance(event, Finished)]
        assert finished[-1].last
        assert finished[-1].outcomes.sent > 0
        assert finished[-1].outcomes.seconds >= finished[-1].outcomes.cpu * 0.5
        assert crew.crew.shipped > 100


def test_styles_of_arguments(backend):
    with Driver(backend) as crew:
        worker = crew.start()
        assert crew.run(add, [(1, 2), (3,)], "star", worker) == [3, 3]
        assert crew.run(add, [((1,), {"y": 4})], "full", worker) == [5]


def test_two_batches_can_be_with_one_worker_and_two_workers_at_work(backend):
    with Driver(backend) as crew:
        one, two = crew.start(), crew.start()
        batches = [crew.send(worker, double, [worker] * 10) for worker in (one, two, one, two)]
        crew.until(lambda: len(crew.ended) == 4)
        assert [crew.values[batch][9] for batch in batches] == [2 * one, 2 * two, 2 * one, 2 * two]


def test_failures_keep_type_arguments_and_remote_traceback(backend):
    with Driver(backend) as crew:
        worker = crew.start()
        (failure,) = crew.run(fail, [1], worker=worker)
        assert type(failure) is ValueError
        assert failure.args == ("no", 1)
        assert "in fail" in str(failure.__cause__)
        (noted,) = crew.run(raise_noted, [1], worker=worker)
        assert noted.__notes__ == ["a note"]
        (exited,) = crew.run(leave, [3], worker=worker)
        assert type(exited) is SystemExit
        assert exited.code == 3
        (odd,) = crew.run(raise_odd, [7], worker=worker)
        assert type(odd) is Odd
        assert (odd.code, str(odd)) == (7, "7: odd")
        (locked,) = crew.run(raise_locked, [7], worker=worker)
        assert type(locked) is Locked
        assert (locked.args, locked.fine) == (("locked", 7), "kept")
        assert "lock" in locked.__notes__[0]
        (chained,) = crew.run(raise_from, [7], worker=worker)
        assert "KeyError: 7" in str(chained.__cause__)
        assert "outer" in str(chained.__cause__)
        (circle,) = crew.run(raise_in_a_circle, [7], worker=worker)
        assert type(circle) is ValueError
        assert "other" in str(circle.__cause__)
        (stopped,) = crew.run(stop, [7], worker=worker)
        assert type(stopped) is RuntimeError
        assert "StopIteration" in str(stopped)
        assert crew.run(double, [4], worker=worker) == [8]


def test_an_exception_that_cannot_cross_gives_all_its_text(backend):
    with Driver(backend) as crew:
        (failure,) = crew.run(raise_unmakeable, ["the text"])
        assert type(failure) is RemoteError
        assert "Unmakeable: the text" in str(failure)


def test_a_result_that_cannot_be_pickled_names_the_part_at_fault(backend):
    with Driver(backend) as crew:
        fine, failure, again = crew.run(hold, [0, 1, 0])
        assert (fine, again) == ("fine", "fine")
        assert type(failure) is UnpicklableError
        assert failure.path.startswith("result['a'][1].handler")
        assert "_lock" in failure.path
        assert "threads" in failure.remedy


def test_an_item_that_cannot_be_pickled_harms_itself_alone(backend):
    with Driver(backend) as crew:
        worker = crew.start()
        results = crew.run(double, [threading.Lock(), 1, threading.Lock(), 3, [threading.Lock()]], worker=worker)
        assert [results[1], results[3]] == [2, 6]
        assert all(type(results[i]) is UnpicklableError for i in (0, 2, 4))
        assert results[4].path == "item[0]"
        (alone,) = crew.run(double, [threading.Lock()], worker=worker)
        assert type(alone) is UnpicklableError


def test_a_function_that_cannot_be_pickled_fails_each_call(backend):
    lock = threading.Lock()
    with Driver(backend) as crew:
        worker = crew.start()
        results = crew.run(lambda x: lock, [1, 2], worker=worker)
        assert all(type(result) is UnpicklableError for result in results)
        assert results[0].path == "function's variable 'lock'"
        assert crew.run(double, [1], worker=worker) == [2]


def test_what_does_not_unpickle_harms_itself_alone(backend):
    with Driver(backend) as crew:
        worker = crew.start()
        one, problem, two = crew.run(double, [1, Thief(None), 2], worker=worker)
        assert (one, two) == (2, 4)
        assert type(problem) is UnpicklableError
        assert "not here" in str(problem)
        (problem,) = crew.run(make_thief, [1], worker=worker)
        assert type(problem) is UnpicklableError
        assert "caller's process" in str(problem)


def test_lambdas_closures_and_state_that_stays_with_the_function(backend):
    cache = {}

    def remember(x):
        cache[x] = len(cache)
        return cache[x]

    with Driver(backend) as crew:
        worker = crew.start()
        assert crew.run(remember, ["a", "b"], worker=worker) == [0, 1]
        assert crew.run(remember, ["c"], worker=worker) == [2]
        assert crew.run(lambda x: x + 1, [1], worker=worker) == [2]


def test_many_functions_are_dropped_and_shipped_again(backend):
    with Driver(backend) as crew:
        worker = crew.start()
        functions = [eval(f"lambda x: x + {n}") for n in range(260)]
        for n in (*range(260), 0, 259):
            assert crew.run(functions[n], [1], worker=worker) == [1 + n]


def test_a_constant_crosses_once_per_worker(backend):
    big = os.urandom(3_000_000)
    with Driver(backend) as crew:
        worker = crew.start()
        for _ in range(5):
            assert crew.run(lambda_of(big), [1], worker=worker) == [3_000_001]
        assert 3_000_000 < crew.crew.shipped < 4_000_000


def test_large_arguments_and_results(backend):
    big = b"x" * 100_000_000
    with Driver(backend) as crew:
        worker = crew.start()
        assert crew.run(len, [big], worker=worker) == [len(big)]
        (result,) = crew.run(bytes, [20_000_000], worker=worker)
        assert result == bytes(20_000_000)


def test_results_of_all_sizes_keep_their_order(backend):
    wanted = [0, 10, 40_000, 1, 32 * 1024, 32 * 1024 - 1, 200_000, 3, 31_000, 31_000, 31_000, 5]
    with Driver(backend) as crew:
        assert [len(result) for result in crew.run(sizes, wanted)] == wanted


def test_prints_come_out_as_whole_lines(backend, capsys):
    with Driver(backend) as crew:
        crew.run(speak, [1, 2])
    out, err = capsys.readouterr()
    assert out == "line 1\nhalf 1\nline 2\nhalf 2\n"
    assert err == "error 1\nerror 2\n"


def test_log_records_reach_the_callers_logger(backend, caplog):
    with caplog.at_level(logging.INFO, "test.crews"), Driver(backend) as crew:
        crew.run(tell, [5])
    records = [record for record in caplog.records if record.name == "test.crews"]
    assert [record.getMessage() for record in records] == ["told 5", "caught"]
    assert "ZeroDivisionError" in records[1].exc_text
    assert records[0].lightwork_index == 0
    assert records[0].funcName == "tell"


def test_surroundings_are_carried(backend, monkeypatch):
    monkeypatch.syspath_prepend("/somewhere")
    monkeypatch.setattr(logging.getLogger("some.logger"), "level", 13)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with Driver(backend) as crew:
            (warned,) = crew.run(where, [0])
            assert type(warned) is UserWarning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with Driver(backend) as crew:
            ((path, argv, level, depth, name),) = crew.run(where, [0])
    assert path == sys.path
    assert argv == sys.argv
    assert (level, depth, name) == (13, 1, backend.name)


def test_random_streams_belong_to_the_item(backend):
    with Driver(backend, seed=42) as crew:
        worker = crew.start()
        batch = crew.send(worker, draw, [0] * 3, first=10)
        crew.until(lambda: batch in crew.ended)
        seen = crew.values[batch]
    for position in range(3):
        _context.enter(10 + position, 42, "serial")
        assert seen[position] == (10 + position, _context.rng().random(), _context.rng().random())
        _context.leave()


def test_global_generators_are_seeded_where_that_is_asked_for(backend):
    with Driver(backend, seed=1, seed_globals=True) as crew:
        first = crew.run(seeded, [0, 1])
        assert crew.run(seeded, [0, 1]) == first
        assert first[0] != first[1]


def test_initializer(backend):
    with Driver(backend, initializer=greet, initargs=("hello",)) as crew:
        assert crew.run(greeting, [0]) == ["hello"]


@pytest.mark.parametrize("problem", [ValueError("no"), SystemExit(3)])
def test_an_initializer_that_fails_is_told_once(backend, problem):
    with Driver(backend, initializer=refuse, initargs=(problem,)) as crew:
        crew.start()
        assert repr(crew.failed().exception) == repr(problem)
        assert crew.crew.wait(0.1) == []


def test_an_initializer_that_cannot_be_pickled(backend):
    with Driver(backend, initializer=greet, initargs=(threading.Lock(),)) as crew:
        crew.start()
        assert type(crew.failed().exception) is UnpicklableError


def test_wake_ends_a_wait_from_another_thread(backend):
    with Driver(backend) as crew:
        threading.Timer(0.05, crew.crew.wake).start()
        assert crew.crew.wait(10) == []
        crew.crew.wake()
        assert crew.crew.wait(None) == []


def test_wait_gives_up_in_time(backend):
    with Driver(backend) as crew:
        crew.start()
        crew.ready()
        began = time.monotonic()
        assert crew.crew.wait(0.05) == []
        assert 0.04 < time.monotonic() - began < 5


def test_retire_says_nothing_and_close_is_idempotent(backend):
    with Driver(backend) as crew:
        worker = crew.start()
        crew.ready()
        crew.crew.retire(worker)
        assert crew.crew.wait(0.1) == []
        assert crew.crew.close() == 0
        assert crew.crew.close() == 0
        assert crew.crew.wait(None) == []


def test_a_module_that_is_gone_is_named(backend, tmp_path, monkeypatch):
    (tmp_path / "fleeting_module.py").write_text("SEEN = []\ndef f(x): return x, SEEN\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import fleeting_module

    (tmp_path / "fleeting_module.py").unlink()
    with Driver(backend) as crew:
        results = crew.run(fleeting_module.f, [1, 2])
        assert all(isinstance(result, LightworkError) for result in results)
        assert "fleeting_module" in str(results[0])


def test_the_module_being_imported_is_known(backend, tmp_path, monkeypatch):
    (tmp_path / "curious_module.py").write_text(
        "from lightwork import _context\nseen = _context.importing\ndef f(x): return seen, _context.importing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import curious_module

    with Driver(backend) as crew:
        assert crew.run(curious_module.f, [1]) == [("curious_module", None)]


def test_arrays_arrive_writable_and_private():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(200_000.0)
    small = numpy.arange(10.0)
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        results = crew.run(change, [array, small, array[::2], (array, small)], worker=worker)
    assert array[0] == small[0] == 0.0
    assert [result[0] for result in results[:3]] == [-1.0, -1.0, -1.0]
    results[0][1] = 5.0
    assert results[3][0][0] == -1.0


def test_an_argument_may_be_changed_once_it_was_sent():
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(2_000_000)
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        batch = crew.send(worker, total, [array])
        array[:] = 1.0
        crew.until(lambda: batch in crew.ended)
        assert crew.values[batch] == {0: 0.0}


def test_a_module_that_refuses_to_load_in_an_interpreter_is_named():
    numpy = pytest.importorskip("numpy")
    backend = InterpreterBackend()
    if backend.unavailable():
        pytest.skip(backend.unavailable())
    with Driver(backend) as crew:
        (failure,) = crew.run(numpy.sin, [1.0])
        assert "numpy" in str(failure)
        assert 'backend="processes"' in failure.__notes__[0]
