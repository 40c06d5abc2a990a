"""``call_timeout`` strikes the right call in time, and no other."""

from __future__ import annotations

import os
import random
import time

import pytest

import lightwork as lw
from tests.conformance.jobs import marks
from tests.faults import alarms, nasty
from tests.leftovers import alive, linux, pid_in


@pytest.mark.timeout(40)
@pytest.mark.parametrize("chunksize", [1, 20])
def test_calls_as_long_as_their_timeout_take_no_innocent_with_them(chunksize):
    """Every third call lasts as long as the timeout, ± 5 %; those between are over at once and all succeed.

    They note that they began in shared memory: a file may take longer than the timeout where others use the disk.
    """
    limit, count = 0.1, 60  # a busy machine pauses a worker for 30 ms now and then
    begun = lw.share(bytes(count), writable=True)
    seconds = [random.uniform(0.95, 1.05) * limit if x % 3 == 0 else 0.0 for x in range(count)]
    results = lw.map(
        nasty.count_and_nap,
        [begun] * count,
        range(count),
        seconds,
        backend="processes",
        max_workers=2,
        chunksize=chunksize,
        call_timeout=limit,
        errors="return",
    )
    for x, value in enumerate(results):
        if isinstance(value, lw.Failure):
            assert type(value.exception) is lw.CallTimeout
            # Where the machine pauses a worker for so long, its call is late whatever it does.
            assert x % 3 == 0 or max_pause() > limit / 4, f"call {x} of {seconds[x]} s was ended"
        else:
            assert value == x
    assert max(begun) == 1
    assert all(begun[x] for x, value in enumerate(results) if not isinstance(value, lw.Failure))


def max_pause() -> float:
    """The longest that this process was kept from running just now."""
    longest, last, end = 0.0, time.perf_counter(), time.perf_counter() + 0.5
    while last < end:
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


@pytest.mark.timeout(30)
def test_timeouts_strike_while_the_caller_is_busy_in_c(tmp_path):
    """The caller sorts for about a second and holds the GIL: the hanging call's worker is dead before that ends."""
    note = tmp_path / "pid"
    numbers = [random.random() for _ in range(1_500_000)]
    with lw.Executor(1, backend="processes", call_timeout=0.2) as executor:
        future = executor.submit(nasty.hang, str(note))
        pid = pid_in(note)
        began = time.perf_counter()
        while time.perf_counter() - began < 0.5:
            sorted(numbers)
        assert not alive(pid)
        assert type(future.exception(10)) is lw.CallTimeout


@pytest.mark.timeout(30)
def test_a_timeout_is_told_from_a_kill(tmp_path):
    """Killed by hand before its time: a crash, no timeout."""
    note = tmp_path / "pid"
    with lw.Executor(1, backend="processes", call_timeout=20) as executor:
        future = executor.submit(nasty.hang, str(note))
        os.kill(pid_in(note), 9)
        assert isinstance(future.exception(10), lw.WorkerCrashed)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e-6])
def test_odd_limits(seconds):
    results = lw.map(nasty.square, range(4), backend="processes", call_timeout=seconds, errors="return")
    expected = [x * x for x in range(4)]
    if seconds > 1:
        assert results == expected
    else:
        assert all(value == right or isinstance(value.exception, lw.CallTimeout)
                   for value, right in zip(results, expected, strict=True) if value != right)  # fmt: skip


def test_one_long_call_does_not_hold_up_the_rest_of_its_batch(tmp_path):
    """A 2 s call among 1,000 that are over at once: the others have ended within a second."""
    ended: list[float] = []
    began = time.perf_counter()
    path, count = tmp_path / "calls", 1000
    with lw.imap_unordered(
        nasty.nap,
        [str(path)] * count,
        range(count),
        [2.0 if x == 300 else 0.0 for x in range(count)],
        backend="processes",
        max_workers=2,
    ) as results:
        for x in results:
            ended.append(time.perf_counter() - began)
    assert x == 300 and len(ended) == count
    assert sum(seconds < 1.5 for seconds in ended) == count - 1
    assert sorted(marks(path)) == list(range(count))


@linux
@pytest.mark.parametrize("chunksize", [1, 8])
@pytest.mark.parametrize("how", [alarms.ignores, alarms.blocks, alarms.handles, alarms.takes_the_timer])
def test_a_function_that_has_the_alarm_for_itself(how, chunksize):
    results = lw.map(
        alarms.hang_with_the_alarm,
        [how] * 8,
        range(8),
        backend="processes",
        max_workers=2,
        chunksize=chunksize,
        call_timeout=0.3,
        errors="return",
    )
    assert [x for x, value in enumerate(results) if value != x] == [3]
    assert type(results[3].exception) is lw.CallTimeout


@linux
def test_a_function_may_have_timeouts_of_its_own():
    """Its alarm strikes in its time, and the timeout of the next call is as it was."""
    results = lw.map(alarms.own_timeout, range(4), backend="processes", max_workers=1, call_timeout=20, errors="return")
    assert results == ["timed out"] * 4
