"""Checked locks: orders that could deadlock are told, deadlocks raise, contention is counted."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
import warnings
from pathlib import Path

import pytest

import lightwork as lw
from lightwork._kit._monitor import WAITERS
from tests.leftovers import wait_for


def take(first, second) -> int:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with first, second:
            return len(found)


@pytest.mark.parametrize("kind", [lw.Lock, lw.RLock])
def test_two_orders_are_told_with_both_places(kind) -> None:
    one, two = kind(debug=True), kind(debug=True)
    with one, two:
        pass
    places = r"(?s)test_two_orders.*then.*test_debugging.py.*then.*test_debugging"
    with pytest.warns(lw.DeadlockWarning, match=places), two, one:
        pass


def test_a_longer_circle_across_processes() -> None:
    locks = [lw.Lock(debug=True) for _ in range(3)]
    pairs = [(locks[0], locks[1]), (locks[1], locks[2]), (locks[2], locks[0])]
    told = [lw.starmap(take, [pair], backend="processes")[0] for pair in pairs]
    assert told == [0, 0, 1]


def test_one_order_is_no_news() -> None:
    one, two = lw.Lock(debug=True), lw.RLock(debug=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            with one, two, two:
                pass


def cross(first, second, barrier) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with first:
            barrier.wait(20)
            try:
                with second:
                    return "went on"
            except lw.Deadlock as problem:
                return str(problem)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_deadlock_is_told_and_ended(backend: str) -> None:
    one, two, barrier = lw.Lock(debug=True), lw.Lock(debug=True), lw.Barrier(2)
    with lw.Executor(2, backend=backend) as executor:
        both = [executor.submit(cross, one, two, barrier), executor.submit(cross, two, one, barrier)]
        said = [future.result() for future in both]
    reports = [text for text in said if text != "went on"]
    assert reports and all("waits at" in text and "holds" in text and "test_debugging.py" in text for text in reports)


def hold_until_another_waits(lock, seconds: float) -> None:
    """Once one has come to wait, or the first has been there already: at most so long."""
    wait_for(lambda: lock._words[WAITERS] or lock.contention.waited_for)
    threading.Event().wait(seconds)


def test_contention_is_counted() -> None:
    lock, held = lw.Lock(debug=True), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            hold_until_another_waits(lock, 0.1)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with lock:
        pass
    thread.join()
    seen = lock.contention
    assert (seen.acquired, seen.waited_for) == (2, 1)
    assert 0.02 < seen.waiting < 5 and 0.09 < seen.holding < 5


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_runs_report_tells_who_waited(backend: str) -> None:
    lock, other, both = lw.Lock(debug=True), lw.Lock(debug=True), lw.Barrier(2)
    with lock:
        pass

    def work(_: int) -> None:
        both.wait()
        with lock:
            hold_until_another_waits(lock, 0.1)
        with other:
            pass

    results = lw.map(work, range(2), backend=backend, max_workers=2, chunksize=1)
    (seen,) = results.report.contention
    assert (seen.acquired, seen.waited_for, len(seen.waiters)) == (2, 1, 1)
    assert seen.waiters[0][2] == pytest.approx(seen.waiting)
    assert 0.02 < seen.waiting < 5
    assert (seen.waiters[0][0] == os.getpid()) == (backend == "threads")
    text = " ".join(str(results.report).split())
    assert "test_debugging.py" in seen.made
    assert "was waited for 1 of 2 times" in text
    assert f"process {seen.waiters[0][0]} waited" in text
    assert "was waited for" not in str(lw.map(abs, range(2), backend=backend).report)


async def nap_with(lock, item: int) -> int:
    async with lock:
        await asyncio.sleep(0.05)
    return item


def nap_holding(lock, both, item: int) -> int:
    both.wait()
    with lock:
        hold_until_another_waits(lock, 0.05)
    return item


@pytest.mark.parametrize("backend", ["threads", "processes", "asyncio"])
def test_waits_and_holds_are_on_the_timeline(backend: str, tmp_path: Path) -> None:
    lock, both = lw.Lock(debug=True), lw.Barrier(2)
    work = functools.partial(nap_holding, lock, both)
    if backend == "asyncio":

        async def work(item: int) -> int:
            return await nap_with(lock, item)

    report = lw.map(work, range(2), backend=backend, max_workers=2, chunksize=1).report
    (seen,) = report.contention
    waited, held = (next(turn for turn in seen.turns if turn.what == what) for what in ("waited", "held"))
    assert {waited.item, held.item} == {0, 1}
    assert 0.02 < waited.seconds < 5 and 0.04 < held.seconds < 5
    assert 0 <= held.began <= waited.began + waited.seconds <= report.seconds
    events = json.loads(report.to_trace(tmp_path / "run.json").read_text())["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    calls = {e["name"]: e for e in events if e["ph"] == "X" and "calls" in e["args"]}
    assert set(calls) == {"item 0", "item 1"}
    [wait] = [e for e in events if e["name"] == "waits for a lock"]
    call = calls[f"item {waited.item}"]
    assert (wait["pid"], wait["tid"]) == (call["pid"], call["tid"]) and names[wait["pid"], wait["tid"]] == (
        f"worker {wait['tid']}"
    )
    assert call["ts"] <= wait["ts"] and wait["ts"] + wait["dur"] <= call["ts"] + call["dur"]
    [hold] = [e for e in events if e["name"] == f"held by item {held.item}"]
    assert "test_debugging.py" in names[hold["pid"], hold["tid"]]
    assert hold["ts"] < wait["ts"] + wait["dur"]


def test_tasks_of_one_loop_have_their_own_orders() -> None:
    """What one task holds while another takes a lock is no order, though both are in one thread."""
    one, two = lw.Lock(debug=True), lw.Lock(debug=True)

    async def take(first, second) -> None:
        async with first:
            await asyncio.sleep(0.01)
        async with second:
            await asyncio.sleep(0.01)

    async def both() -> None:
        await asyncio.gather(take(one, two), take(two, one))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(both())
    assert one.contention.acquired == two.contention.acquired == 2


def test_a_deadlock_of_tasks_is_told() -> None:
    one, two = lw.Lock(debug=True), lw.Lock(debug=True)

    async def cross(first, second) -> None:
        async with first:
            await asyncio.sleep(0.05)
            async with second:
                pass

    async def both() -> list[object]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return await asyncio.gather(cross(one, two), cross(two, one), return_exceptions=True)

    came = [each for each in asyncio.run(both()) if each is not None]
    assert came and all(isinstance(each, lw.Deadlock) and "test_debugging.py" in str(each) for each in came)


def test_all_locks_are_checked_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTWORK_DEBUG", "1")
    assert lw.Lock().contention.acquired == 0
    monkeypatch.setenv("LIGHTWORK_DEBUG", "0")
    assert type(lw.Lock()) is lw.Lock
