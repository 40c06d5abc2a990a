"""``call_timeout`` strikes the right call in time, and no other."""

from __future__ import annotations

import ctypes
import os
import random
import select
import struct
import time

import pytest

import lightwork as lw
from tests.conformance.jobs import marks
from tests.faults import alarms, nasty
from tests.leftovers import linux, pid_in, wait_for


@pytest.mark.timeout(40)
@pytest.mark.parametrize("chunksize", [1, 20])
def test_calls_as_long_as_their_timeout_take_no_innocent_with_them(chunksize):
    """Every third call lasts as long as the timeout, ± 5 %; those between are over at once, and none is ended early.

    A worker may be kept from running for so long that even they are late. But whatever the machine does, a call that
    was ended in its own time was so by a whole timeout after the call before it had returned, and is heard of later.

    They note that they began in shared memory: a file may take longer than the timeout where others use the disk.
    """
    limit, count = 0.1, 60
    begun, ended = lw.share(bytes(count), writable=True), lw.share(bytes(8 * count), writable=True).cast("d")
    seconds = [random.uniform(0.95, 1.05) * limit if x % 3 == 0 else 0.0 for x in range(count)]
    heard, results = [], []
    for value in lw.imap(
        nasty.count_and_nap,
        [begun] * count,
        [ended] * count,
        range(count),
        seconds,
        backend="processes",
        max_workers=1,
        chunksize=chunksize,
        call_timeout=limit,
        errors="return",
    ):
        heard.append(time.perf_counter())
        results.append(value)
    for x, value in enumerate(results):
        if isinstance(value, lw.Failure):
            assert type(value.exception) is lw.CallTimeout
            if x % 3 and not isinstance(results[x - 1], lw.Failure):  # else it is a fresh worker's first call
                took = heard[x] - ended[x - 1]
                assert took >= limit, f"call {x} was ended within {took} s"
        else:
            assert value == x
    assert len(results) == count and max(begun) == 1
    assert all(begun[x] for x, value in enumerate(results) if not isinstance(value, lw.Failure))


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="C code cannot wait for another's child here")
def test_timeouts_strike_while_the_caller_is_busy_in_c(tmp_path):
    """The caller holds the GIL until the hanging call's worker is dead, and would for a while."""
    note = tmp_path / "pid"
    with lw.Executor(1, backend="processes", call_timeout=1.5) as executor:  # a disk may be slow with its module
        future = executor.submit(nasty.hang, str(note))
        watched = os.pidfd_open(pid_in(note))
        ended = struct.pack("ihh", watched, select.POLLIN, 0)
        assert ctypes.PyDLL(None).poll(ended, 1, 10_000) == 1
        os.close(watched)
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
    """One of 1,000 lasts until all others have ended."""
    path, word, count = tmp_path / "calls", tmp_path / "word", 1000
    ended = []
    with lw.imap_unordered(
        nasty.mark_and_wait,
        [str(path)] * count,
        [str(word) if x == 300 else None for x in range(count)],
        range(count),
        backend="processes",
        max_workers=2,
    ) as results:
        for x in results:
            ended.append(x)
            if len(ended) == count - 1:
                word.touch()
    assert ended[-1] == 300 and sorted(ended) == list(range(count))
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
        call_timeout=1.0,  # for the others, which a busy machine may keep from running
        errors="return",
    )
    assert [x for x, value in enumerate(results) if value != x] == [3]
    assert type(results[3].exception) is lw.CallTimeout


@linux
def test_a_function_may_have_timeouts_of_its_own():
    """Its alarm strikes in its time, and the timeout of the next call is as it was."""
    results = lw.map(alarms.own_timeout, range(4), backend="processes", max_workers=1, call_timeout=20, errors="return")
    assert results == ["timed out"] * 4


@linux
@pytest.mark.timeout(50)
def test_what_a_worker_prints_between_its_calls_is_no_call_that_took_too_long(tmp_path):
    """What it holds is closed when it ends, which says so and is not over when the next worker is started."""
    closing, word, closed = (tmp_path / name for name in ("closing", "word", "closed"))
    held = lw.per_worker(alarms.Slow(str(closing), str(word), str(closed)), alarms.Slow.close)
    with lw.Executor(1, backend="processes", call_timeout=20, max_tasks_per_child=1) as executor:
        assert executor.submit(alarms.holds, held).result(20)
        wait_for(closing.exists)
        assert executor.submit(alarms.holds, None).result(20)
        word.touch()
        wait_for(closed.exists, 10)


@linux
def test_a_caller_that_stands_still_costs_no_call():
    """It is stopped for longer than a call may take, while calls are made that are over at once."""
    limit, count, at = 2.0, 4000, 500
    began = time.perf_counter()
    results = lw.map(
        alarms.stop_the_caller,
        [os.getpid()] * count,
        [1.5 * limit if x == at else 0.0 for x in range(count)],
        range(count),
        backend="processes",
        max_workers=2,
        chunksize=10,
        call_timeout=limit,
        errors="return",
    )
    assert time.perf_counter() - began >= 1.5 * limit
    assert results == list(range(count))
