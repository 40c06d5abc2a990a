"""The executor: what ``concurrent.futures`` promises, from every backend."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import sys
import threading
import time

import pytest

import lightwork as lw
from lightwork._engine import Run
from lightwork._machine import gil_enabled
from lightwork._outstanding import Outstanding
from lightwork._service import Service
from tests.conformance import jobs
from tests.faults import nasty
from tests.leftovers import wait_for


def test_submit(way):
    with lw.Executor(2, backend=way.name) as executor:
        futures = [executor.submit(way.fn(jobs.add), n, b=n) for n in range(20)]
        assert [f.result(10) for f in futures] == [2 * n for n in range(20)]
        assert isinstance(executor, cf.Executor)


def test_failures_stay_with_their_futures(way):
    with lw.Executor(2, backend=way.name) as executor:
        bad = executor.submit(way.fn(jobs.fails_at_three), 3)
        good = executor.submit(way.fn(jobs.fails_at_three), 4)
        assert isinstance(bad.exception(10), ValueError)
        assert good.result(10) == 4


def test_wait_and_as_completed(way):
    with lw.Executor(2, backend=way.name) as executor:
        futures = [executor.submit(way.fn(jobs.uneven), n) for n in range(8)]
        assert sorted(f.result() for f in cf.as_completed(futures, timeout=10)) == list(range(8))
        done, rest = cf.wait(futures, timeout=10)
        assert len(done) == 8 and not rest


def test_map(way):
    with lw.Executor(2, backend=way.name) as executor:
        assert list(executor.map(way.fn(jobs.add), [1, 2, 3], [4, 5])) == [5, 7]
        assert list(executor.map(way.fn(jobs.double), range(10), buffersize=2)) == [2 * x for x in range(10)]
        with pytest.raises(ValueError):
            list(executor.map(way.fn(jobs.fails_at_three), range(5)))


def test_run_in_executor(way):
    if way.can.coroutines:
        pytest.skip("a coroutine function needs no executor")

    async def main():
        with lw.Executor(2, backend=way.name) as executor:
            return await asyncio.get_running_loop().run_in_executor(executor, jobs.double, 21)

    assert asyncio.run(main()) == 42


def test_callbacks(way):
    seen = []
    arrived = threading.Event()
    with lw.Executor(1, backend=way.name) as executor:
        future = executor.submit(way.fn(jobs.double), 2)
        future.add_done_callback(lambda f: (seen.append(f.result()), arrived.set()))
        assert arrived.wait(10)
    assert seen == [4]


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), ValueError("of a callback")], ids=repr)
def test_what_a_callback_raises_is_told_and_costs_no_other_call(way, raised, caplog):
    """SystemExit and its like too, which would end the thread that sees to all calls."""
    if way.can.in_caller:
        pytest.skip("callbacks run in the caller's thread, which may end")
    called = threading.Event()

    def raises(_):
        called.set()
        raise raised

    with lw.Executor(2, backend=way.name) as executor:
        first = executor.submit(way.fn(jobs.nap), 0.3)
        first.add_done_callback(raises)
        others = [executor.submit(way.fn(jobs.nap), 0.4) for _ in range(3)]
        assert called.wait(20)
        assert [future.result(20) for future in (first, *others)] == [0.3, 0.4, 0.4, 0.4]
        assert executor.submit(way.fn(jobs.double), 2).result(20) == 4
    assert any("exception calling callback" in record.message for record in caplog.records)


def test_nor_does_it_come_out_where_somebody_waits_or_cost_another_callback(way):
    """Who waits may be making the calls meanwhile."""
    if way.can.in_caller:
        pytest.skip("as above")
    called = []
    with lw.Executor(1, backend=way.name) as executor:
        for _ in range(20):  # each waited for at once: whoever waits leads by then
            assert executor.submit(way.fn(jobs.double), 2).result(20) == 4
        future = executor.submit(way.fn(jobs.nap), 0.2)
        future.add_done_callback(sys.exit)
        future.add_done_callback(called.append)
        assert future.result(20) == 0.2
        wait_for(lambda: called == [future])
        assert executor.submit(way.fn(jobs.double), 3).result(20) == 6


class Exits:
    def __reduce__(self):
        raise SystemExit(3)


def computes(_):
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    return 1


def test_auto_finds_out_what_travels_at_no_call_s_cost():
    """Also where that ends, as SystemExit does, the thread that tries."""
    with lw.Executor(2) as executor:
        assert [executor.submit(computes, Exits()).result(20) for _ in range(4)] == [1] * 4
        assert executor.submit(jobs.double, 2).result(20) == 4
    assert lw.map(computes, [Exits() for _ in range(12)]) == [1] * 12


def test_an_executor_whose_own_thread_has_ended_refuses_calls(monkeypatch):
    """Whatever ended it: nobody is left who would make them."""
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda ended: told.append(type(ended.exc_value)))
    executor = lw.Executor(1, backend="threads")
    # Behind the place where a call is taken in: the thread may be anywhere before it by now.
    monkeypatch.setattr(Run, "hand_out", lambda run: jobs.fails_at_three(3) if run.dispatch.fed else None)
    assert isinstance(executor.submit(jobs.double, 1).exception(20), cf.BrokenExecutor)
    with pytest.raises(cf.BrokenExecutor, match="three"):
        executor.submit(jobs.double, 1)
    executor.shutdown()
    assert told == [ValueError]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["submit", "map"])
def test_a_call_that_comes_just_as_the_executors_own_thread_ends_is_refused(monkeypatch, how):
    """Between the look whether the executor is broken and the inbox, in which nobody looks any more."""
    check, serving = Service.check, []

    def check_and_break(service, fn):
        check(service, fn)
        monkeypatch.undo()
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        monkeypatch.setattr(Run, "hand_out", lambda _: jobs.fails_at_three(3))
        service._leave_to_thread()
        serving[0].join(20)

    before = set(threading.enumerate())
    executor = lw.Executor(1, backend="threads")
    serving += set(threading.enumerate()) - before
    monkeypatch.setattr(Service, "check", check_and_break)
    if how == "submit":
        assert isinstance(executor.submit(jobs.double, 1).exception(20), cf.BrokenExecutor)
    else:
        with pytest.raises(cf.BrokenExecutor, match="three"):
            list(executor.map(jobs.double, [1, 2], timeout=20))
    assert not serving[0].is_alive()
    executor.shutdown()


@pytest.mark.parametrize(
    "choices", [("threads", "processes"), ("threads", "interpreters"), ("interpreters", "processes")]
)
def test_of_several_choices_the_first_that_can_replaces_workers(choices):
    able = [name for name in choices if lw.backends()[name] and name != "threads"]
    if not able:
        with pytest.raises(lw.BackendUnavailable, match="max_tasks_per_child"):
            lw.Executor(1, backend=choices, max_tasks_per_child=2)
        return
    with lw.Executor(1, backend=choices, max_tasks_per_child=2) as executor:
        assert [executor.submit(jobs.calls_here).result(30) for _ in range(4)] == [1, 2, 1, 2]
        assert executor._fixed == able[0]


def test_shutdown_waits_and_then_refuses(way):
    executor = lw.Executor(1, backend=way.name)
    futures = [executor.submit(way.fn(jobs.nap), 0.01) for _ in range(5)]
    executor.shutdown()
    executor.shutdown()
    assert all(f.done() for f in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(way.fn(jobs.double), 1)


def test_shutdown_can_cancel(way, tmp_path):
    if way.can.in_caller:
        pytest.skip("calls run as they are submitted")
    executor, word = lw.Executor(1, backend=way.name), tmp_path / "word"
    futures = [executor.submit(way.fn(nasty.wait_for_word), str(word), x) for x in range(10)]
    wait_for(futures[0].running)
    executor.shutdown(wait=False, cancel_futures=True)
    word.touch()
    executor.shutdown()
    assert all(f.done() for f in futures)
    assert sum(f.cancelled() for f in futures) >= 5
    assert all(f.cancelled() or f.result() == x for x, f in enumerate(futures))


def test_a_failing_initializer_breaks_it(way):
    executor = lw.Executor(1, backend=way.name, initializer=jobs.raises, initargs=("plain",))
    with pytest.raises(cf.BrokenExecutor):
        executor.submit(way.fn(jobs.double), 1).result(20)
    with pytest.raises(cf.BrokenExecutor):
        executor.submit(way.fn(jobs.double), 1).result(20)
    executor.shutdown()


def test_the_initializer_runs_in_each_worker(way, tmp_path):
    path = tmp_path / "calls"
    with lw.Executor(1, backend=way.name, initializer=jobs.mark, initargs=(str(path), 1)) as executor:
        assert executor.submit(way.fn(jobs.double), 1).result(20) == 2
    assert jobs.marks(path) == [1]


def test_what_cannot_be_called_is_refused(way):
    with lw.Executor(1, backend=way.name) as executor, pytest.raises(TypeError, match="function first"):
        executor.submit(5)


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_is_an_error(way, workers):
    with pytest.raises(ValueError, match="greater than 0"):
        lw.Executor(workers, backend=way.name)


def test_kill(way):
    with lw.Executor(1, backend=way.name) as executor:
        if not way.can.can_kill:
            return
        future = executor.submit(jobs.nap, 60)
        while not future.running():
            time.sleep(0.001)
        assert executor.kill(future)
        assert isinstance(future.exception(10), lw.WorkerCrashed)
        assert executor.submit(jobs.double, 4).result(10) == 8
        assert not executor.kill(future)


def test_a_call_that_just_ends_is_its_executors_own_for_kill(way, monkeypatch):
    """It is forgotten a moment before its future has the result."""
    with lw.Executor(1, backend=way.name) as executor:
        if not way.can.can_kill:
            return
        told = []

        def forgotten(self, index):
            future = forget(self, index)
            told.append(executor.kill(future))
            return future

        forget = Outstanding._forget
        monkeypatch.setattr(Outstanding, "_forget", forgotten)
        assert executor.submit(jobs.double, 4).result(10) == 8
        assert told == [False]


def test_kill_touches_no_future_of_others(way, tmp_path):
    pending: cf.Future[None] = cf.Future()
    running: cf.Future[None] = cf.Future()
    running.set_running_or_notify_cancel()
    word = tmp_path / "word"
    with lw.Executor(1, backend="threads") as other, lw.Executor(1, backend=way.name) as executor:
        first = other.submit(nasty.wait_for_word, str(word), 1)
        second = other.submit(nasty.wait_for_word, str(word), 2)
        wait_for(first.running)
        assert executor.submit(way.fn(jobs.double), 4).result(10) == 8
        try:
            for foreign in (pending, running, first, second):
                with pytest.raises(ValueError, match="not of this executor"):
                    executor.kill(foreign)
        finally:
            word.touch()
        assert (first.result(10), second.result(10)) == (1, 2)
    assert not pending.cancelled()


def test_a_call_that_is_killed_as_it_runs_makes_no_other_attempt(way, tmp_path):
    with lw.Executor(1, backend=way.name, retries=1, retry_on=Exception) as executor:
        if not way.can.can_kill:
            return
        marks = tmp_path / "marks"
        future = executor.submit(nasty.mark_and_wait, str(marks), str(tmp_path / "never"), 3)
        wait_for(lambda: jobs.marks(marks))
        assert executor.kill(future)
        assert isinstance(future.exception(10), lw.WorkerCrashed)
        assert executor.submit(jobs.double, 4).result(10) == 8
        assert jobs.marks(marks) == [3]


def test_a_call_that_is_killed_before_its_next_attempt_makes_none(way, tmp_path):
    """And its future need not wait for when that would have been."""
    with lw.Executor(1, backend=way.name, retries=1, retry_delay=600) as executor:
        if not way.can.can_kill:
            return
        marks = tmp_path / "marks"
        future = executor.submit(jobs.mark_and_fail_odd, str(marks), 3)
        # The only worker makes the next call when it has told how the first one ended.
        assert executor.submit(jobs.double, 3).result(10) == 6
        assert jobs.marks(marks) == [3] and future.running()
        assert executor.kill(future)
        assert isinstance(future.exception(10), lw.WorkerCrashed)
        assert executor.submit(jobs.double, 4).result(10) == 8
        assert jobs.marks(marks) == [3]


@pytest.mark.timeout(30)
def test_nobody_computes_while_a_call_waits_for_its_next_attempt(way, tmp_path):
    with lw.Executor(1, backend=way.name, retries=1, retry_delay=1) as executor:
        assert executor.submit(way.fn(jobs.double), 1).result(20) == 2  # what takes its time to load is there
        used = time.process_time()
        future = executor.submit(way.fn(jobs.mark_and_fail_odd), str(tmp_path / "marks"), 1)
        assert isinstance(future.exception(20), KeyError)
        assert jobs.marks(tmp_path / "marks") == [1, 1]
        assert time.process_time() - used < 0.2


def test_a_crash_is_confined_to_its_future(way):
    if not way.can.can_kill:
        pytest.skip("calls live in the caller's process: what kills them kills the caller")
    with lw.Executor(2, backend=way.name) as executor:
        futures = [executor.submit(jobs.die, "kill" if n == 4 else "live") for n in range(10)]
        cf.wait(futures, timeout=20)
        assert [f.exception() is None for f in futures] == [n != 4 for n in range(10)]
        assert isinstance(futures[4].exception(), lw.WorkerCrashed)
        if way.name == "processes":
            from concurrent.futures.process import BrokenProcessPool

            assert isinstance(futures[4].exception(), BrokenProcessPool)


def test_max_tasks_per_child_changes_the_worker(way):
    if way.can.shares_memory:
        with pytest.raises(lw.BackendUnavailable, match="max_tasks_per_child"):
            lw.Executor(1, backend=way.name, max_tasks_per_child=2)
        return
    with lw.Executor(1, backend=way.name, max_tasks_per_child=2) as executor:
        made = [executor.submit(jobs.calls_here).result(20) for _ in range(6)]
    assert made == [1, 2, 1, 2, 1, 2]


def test_auto_routes_by_what_it_learns():
    with lw.Executor() as executor:
        waits = [executor.submit(time.sleep, 0.01) for _ in range(20)]
        counts = [executor.submit(_count, 300_000).result(30) for _ in range(6)]
        cf.wait(waits, timeout=20)
    import os

    assert counts[0] == os.getpid()
    assert (counts[-1] != os.getpid()) == gil_enabled(), "without a GIL threads compute at once"


def _count(n):
    import os

    while n:
        n -= 1
    return os.getpid()


def test_a_call_that_waits_for_the_end_of_its_own_executor_is_told(way):
    if not way.can.shares_memory or way.can.in_caller:
        pytest.skip("its calls cannot have the executor, or are over before it could be waited for")
    executor = lw.Executor(2, backend=way.name)

    def waits():
        executor.shutdown()

    async def awaits():
        executor.shutdown()

    with pytest.raises(RuntimeError, match="executor that runs it"):
        executor.submit(awaits if way.can.coroutines else waits).result(10)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(awaits if way.can.coroutines else waits)
    executor.shutdown()
