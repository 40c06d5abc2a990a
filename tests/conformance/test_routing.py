"""``Executor(backend="auto")`` and ``gather``: computing functions go to processes, waiting ones to threads."""

from __future__ import annotations

import concurrent.futures as cf
import os
import threading
import time
from functools import partial

import pytest

import lightwork as lw
from lightwork._machine import gil_enabled
from lightwork._routing import TRIALS, routes

WITH_A_GIL = pytest.mark.skipif(not gil_enabled(), reason="without a GIL threads compute at once, and keep all calls")
HERE = os.getpid()


def place():
    """The process and the thread of this call."""
    return os.getpid(), threading.get_ident()


def count(n):
    while n:
        n -= 1
    return place()


def nap(seconds):
    time.sleep(seconds)
    return place()


def computing():
    """A function whose calls compute for some 10 ms, of which nothing is known yet."""
    return _made("while n:\n        n -= 1\n    return place()")


def _made(body):
    names = {"__name__": __name__, "place": place, "time": time}
    code = f"\n# {time.perf_counter_ns()}\ndef fn(n, *_):\n    {body}".replace("fn", f"fn_{time.perf_counter_ns()}")
    exec(code, names)
    return next(value for name, value in names.items() if name.startswith("fn_"))


@WITH_A_GIL
def test_calls_that_were_queued_before_anything_was_known_go_to_processes_too():
    fn = computing()
    with lw.Executor() as executor:
        futures = [executor.submit(fn, 200_000) for _ in range(40)]
        where = [future.result(50)[0] for future in futures]
    assert HERE in where, "the first ones were made in threads"
    elsewhere = [pid for pid in where if pid != HERE]
    assert elsewhere, "they were handed on"
    assert len(set(elsewhere)) <= lw.machine().cores, "no more of them than cores"


@WITH_A_GIL
def test_waiting_and_computing_calls_are_made_side_by_side():
    fn = computing()
    routes._states[fn.__code__] = "computes"  # on a busy machine its first calls might seem to wait
    with lw.Executor() as executor:
        waits = [executor.submit(nap, 0.1) for _ in range(20)]
        counts = [executor.submit(fn, 200_000) for _ in range(20)]
        waited = [future.result(20) for future in waits]
        counted = [future.result(20) for future in counts]
    assert {pid for pid, _ in waited} == {HERE} and len({thread for _, thread in waited}) > 5
    assert HERE not in {pid for pid, _ in counted}


@WITH_A_GIL
def test_what_one_executor_learnt_the_next_one_knows():
    fn = computing()
    with lw.Executor() as executor:
        assert executor.submit(fn, 200_000).result(20)[0] == HERE
        while executor.submit(fn, 200_000).result(20)[0] == HERE:
            pass
    with lw.Executor() as executor:
        assert executor.submit(fn, 10).result(20)[0] != HERE


@WITH_A_GIL
def test_calls_that_mostly_wait_come_back_from_processes():
    """Beside many others a call that computes a little and one that computes all the time look alike."""
    fn = _made("m = 100_000\n    while m:\n        m -= 1\n    time.sleep(n)\n    return place()")
    with lw.Executor() as executor:
        routes._states[fn.__code__] = "tried"
        where = [executor.submit(fn, 0.2).result(20)[0] for _ in range(lw.machine().cores + TRIALS + 1)]
    assert where[0] != HERE and where[-1] == HERE, "once each worker has its imports behind it"


@WITH_A_GIL
def test_a_call_that_cannot_travel_is_made_in_a_thread():
    fn = computing()
    with lw.Executor() as executor:
        while executor.submit(fn, 200_000).result(20)[0] == HERE:
            pass
        assert executor.submit(fn, 10, threading.Lock()).result(20)[0] == HERE


@WITH_A_GIL
def test_the_caller_that_leads_is_not_left_waiting_for_a_call_that_was_handed_on():
    fn = computing()
    with lw.Executor() as executor:
        for _ in range(10):  # one after another: the caller drives by itself
            assert executor.submit(nap, 0).result(20)[0] == HERE
        where = [executor.submit(fn, 200_000).result(20)[0]]
        while where[-1] == HERE:
            where.append(executor.submit(fn, 200_000).result(20)[0])
    assert where[0] == HERE


TOTAL = 0


def adds(n):
    global TOTAL
    while n:
        n -= 1
    TOTAL += 1
    return place()


def test_a_function_that_changes_what_others_see_stays():
    with lw.Executor() as executor:
        where = [executor.submit(adds, 200_000).result(20)[0] for _ in range(5)]
    assert set(where) == {HERE} and TOTAL == 5


@pytest.mark.skipif(gil_enabled(), reason="with a GIL threads take turns")
def test_without_a_gil_all_stay_in_threads():
    fn = computing()
    with lw.Executor() as executor:
        assert {executor.submit(fn, 200_000).result(20)[0] for _ in range(5)} == {HERE}


def test_a_named_backend_is_left_as_it_is():
    fn = computing()
    with lw.Executor(2, backend="threads") as executor:
        assert {executor.submit(fn, 200_000).result(20)[0] for _ in range(5)} == {HERE}


def test_shutdown_loses_no_call_on_the_way():
    fn = computing()
    for cancel in (False, True):
        executor = lw.Executor()
        futures = [executor.submit(fn, 100_000) for _ in range(30)]
        executor.shutdown(cancel_futures=cancel)
        assert all(future.done() for future in futures)
        assert all(future.cancelled() or future.result()[0] for future in futures)
        assert cancel or not any(future.cancelled() for future in futures)


@WITH_A_GIL
def test_gather_knows_what_computes_from_the_time_before():
    fn = computing()
    while not routes.compute(fn):
        first = lw.gather(partial(fn, 300_000), partial(nap, 0.05))
        assert [pid for pid, _ in first] == [HERE, HERE]
    second = lw.gather(partial(fn, 300_000), partial(nap, 0.05), partial(fn, 300_000))
    assert second[1][0] == HERE and HERE not in (second[0][0], second[2][0])
    assert second[0][0] != second[2][0], "all start at once"
    assert "made 2 of 3 calls in processes" in str(second.report)
    named = lw.gather(partial(fn, 10), partial(nap, 0), backend="threads")
    assert {pid for pid, _ in named} == {HERE}


@WITH_A_GIL
def test_what_goes_wrong_in_a_gather_goes_wrong_as_ever():
    fn = _made("m = 300_000\n    while m:\n        m -= 1\n    return n / (0 if _ else 1)")
    while not routes.compute(fn):
        lw.gather(partial(fn, 1))
    with pytest.raises(ZeroDivisionError):
        lw.gather(partial(fn, 1, 0), partial(nap, 0))
    found = lw.gather(partial(fn, 1, 0), partial(fn, 2), errors="return")
    assert isinstance(found[0], lw.Failure) and found[1] == 2
    assert lw.gather(partial(fn, 3, *()), partial(nap, 0))[0] == 3


@WITH_A_GIL
def test_gather_ends_what_runs_elsewhere_when_one_fails():
    fn = _made("m = 300_000\n    while m:\n        m -= 1\n    time.sleep(n)\n    return place()")
    routes._states[fn.__code__] = "computes"
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        lw.gather(partial(fn, 30), lambda: 1 // 0)
    assert time.monotonic() - began < 25


def test_wait_and_as_completed_work_across_a_hand_over():
    fn = computing()
    with lw.Executor() as executor:
        futures = [executor.submit(fn, 100_000) for _ in range(20)]
        assert len(list(cf.as_completed(futures, timeout=50))) == 20


def computes(x, also=None):
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    if also is not None:
        also(x)
    return lw.rng().random()


class Noting:
    def __init__(self):
        self.noted = []

    def work(self, x):
        computes(x, self.noted.append)


def test_what_calls_do_to_their_arguments_or_their_object_is_not_lost():
    seen, noting = [], Noting()
    with lw.Executor() as executor:
        first = [executor.submit(computes, x) for x in range(12)]  # seen to compute, and to change nothing
        cf.wait(first, 30)
        futures = [executor.submit(computes, x, seen.append) for x in range(12)]
        futures += [executor.submit(partial(computes, also=seen.append), x) for x in range(12)]
        futures += [executor.submit(noting.work, x) for x in range(12)]
        assert all(future.exception(30) is None for future in futures)
    assert sorted(seen) == sorted([*range(12)] * 2) and sorted(noting.noted) == list(range(12))


def test_streams_are_each_calls_own_wherever_it_runs():
    with lw.Executor() as executor:
        drawn = [future.result(30) for future in [executor.submit(computes, x) for x in range(30)]]
    assert len(set(drawn)) == 30
    wanted = lw.map(computes, range(12), seed=7, backend="serial")
    for _ in range(2):
        with lw.Executor(seed=7) as executor:
            assert [future.result(30) for future in [executor.submit(computes, x) for x in range(12)]] == wanted
