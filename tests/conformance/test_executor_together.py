"""Short calls that were submitted one by one share a message; each of them is still a call by itself."""

from __future__ import annotations

import concurrent.futures as cf
import threading
import time

import pytest

import lightwork as lw

BACKENDS = ["threads", "processes", "interpreters"]


@pytest.fixture(params=BACKENDS)
def executor(request):
    try:
        with lw.Executor(2, backend=request.param) as made:
            # From here on it is known that calls take next to nothing.
            assert [future.result() for future in [made.submit(maybe, x) for x in range(300)]] == list(range(300))
            yield made
    except lw.BackendUnavailable as problem:
        pytest.skip(str(problem))


def maybe(x, event=None):
    if event is not None:
        event.set() if x == "set" else event.wait()
    if isinstance(x, Exception):
        raise x
    return x


def test_a_long_call_keeps_no_short_one_waiting(executor):
    """It is held until all those are done that were submitted with it."""
    release = lw.Event()
    futures = [executor.submit(maybe, x, release if x == 7 else None) for x in range(40)]
    try:
        _, rest = cf.wait([*futures[:7], *futures[8:]], timeout=20)
        assert not rest
        assert not futures[7].done() and not futures[7].cancel()
    finally:
        release.set()
    assert [future.result() for future in futures] == list(range(40))


def test_a_call_may_wait_for_one_that_was_submitted_after_it(executor):
    go = lw.Event()
    futures = [executor.submit(maybe, x, go if x in (7, "set") else None) for x in [*range(8), "set", *range(9, 20)]]
    assert [future.result(20) for future in futures] == [*range(8), "set", *range(9, 20)]


def meet(mine, other):
    mine.set()
    return other.wait(30)


def test_calls_that_wait_for_each_other_meet(executor):
    """Two by two, as they were submitted, in as many workers: in that order, they all come to an end."""
    futures = []
    for _ in range(100):
        pair = lw.Event(), lw.Event()
        futures += [executor.submit(meet, *pair), executor.submit(meet, *reversed(pair))]
    assert all(future.result(50) for future in futures)


def test_failures_stay_with_their_calls(executor):
    futures = [executor.submit(maybe, ValueError(x) if x % 3 == 0 else x) for x in range(500)]
    for x, future in enumerate(futures):
        if x % 3 == 0:
            assert isinstance(problem := future.exception(), ValueError) and problem.args == (x,)
        else:
            assert future.result() == x


def test_what_was_cancelled_is_not_made_and_the_others_are(executor):
    made = lw.share(bytes(2000), writable=True)
    begun, release = [lw.Event(), lw.Event()], lw.Event()
    first = []
    for one in begun:
        first.append(executor.submit(hold, one, release))
        one.wait(10)
    futures = [executor.submit(mark, made, x) for x in range(2000)]
    try:
        cancelled = {x for x in range(0, 2000, 3) if futures[x].cancel()}
        assert len(cancelled) > 500  # the others were with a worker already
    finally:
        release.set()
    _, rest = cf.wait([*first, *futures], timeout=40)
    assert not rest
    for x, future in enumerate(futures):
        assert future.cancelled() == (x in cancelled) and (future.cancelled() or future.exception() is None)
        assert made[x] == (x not in cancelled)


def hold(begun, release):
    begun.set()
    release.wait()


def mark(made, x):
    made[x] += 1


def test_shutdown_that_cancels_leaves_none_undone(executor):
    futures = [executor.submit(maybe, x) for x in range(3000)]
    executor.shutdown(cancel_futures=True)
    for x, future in enumerate(futures):
        assert future.cancelled() or future.result() == x


def test_many_threads_submit_at_once(executor):
    results: dict[int, list[int]] = {}

    def submit(number):
        futures = [executor.submit(maybe, 1000 * number + x) for x in range(300)]
        results[number] = [future.result() for future in futures]

    threads = [threading.Thread(target=submit, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == {number: [1000 * number + x for x in range(300)] for number in range(8)}


def die(x):
    import os
    import signal

    if x == 77:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def test_a_death_costs_its_own_call_alone():
    with lw.Executor(2, backend="processes") as executor:
        assert [future.result() for future in [executor.submit(die, x) for x in range(70)]] == list(range(70))
        futures = [executor.submit(die, x) for x in range(400)]
        for x, future in enumerate(futures):
            if x == 77:
                assert isinstance(future.exception(20), lw.WorkerCrashed)
            else:
                assert future.result(20) == x


def test_one_of_many_is_killed():
    with lw.Executor(2, backend="processes") as executor:
        assert [future.result() for future in [executor.submit(maybe, x) for x in range(300)]] == list(range(300))
        never = lw.Event()
        futures = [executor.submit(maybe, x, never if x == 5 else None) for x in range(30)]
        try:
            cf.wait(futures[:5] + futures[6:], timeout=20)
            assert executor.kill(futures[5])
            assert isinstance(futures[5].exception(20), lw.WorkerCrashed)
        finally:
            never.set()
        assert [future.result() for future in futures[:5] + futures[6:]] == [x for x in range(30) if x != 5]


def test_calls_that_are_killed_as_they_end_cost_no_others():
    """By the time that its worker dies it would be at another one."""
    with lw.Executor(2, backend="processes") as executor:
        futures = [executor.submit(time.sleep, 0.0005) for _ in range(3000)]
        killed = set()
        while len(killed) < 300 and not futures[-1].done():
            running = next((future for future in futures if future.running()), None)
            if running is not None and executor.kill(running):
                killed.add(running)
            cf.wait(futures[-1:], 0.002)
        lost = [future for future in futures if future not in killed and future.exception(50) is not None]
    assert killed and not lost
