"""A call may wait for what one behind it does: what shares a batch with a long call goes to others."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

import lightwork as lw
from lightwork._backends.threads import ThreadCrew
from lightwork._calls import WorkerReady
from lightwork._engine import Run


def meets(x, first, event):
    if x == first:
        return event.wait(30)
    if x == first + 1:
        event.set()
    return True


@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("family", [lw.map, lw.imap, lw.imap_unordered])
@pytest.mark.parametrize("count, first", [(20, 7), (3000, 2900)])
def test_a_call_waits_for_the_one_behind_it(family, backend, count, first):
    event = lw.Event()
    found = family(meets, range(count), [first] * count, [event] * count, backend=backend, max_workers=2)
    assert list(found) == [True] * count


def meets_its_reader(x, last, read):
    if x == last:
        return "read" if read.wait(10) else "not read"
    if x != last - 1:
        time.sleep(0.005)
    return x


@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("workers", [2, 3])
def test_a_call_waits_for_who_reads_the_result_before_it_while_others_end_calls_all_the_time(backend, workers):
    read = lw.Event()
    items = (itertools.count(), itertools.repeat(42), itertools.repeat(read))
    options = {"chunksize": 4, "backend": backend, "max_workers": workers}
    for result in lw.imap_unordered(meets_its_reader, *items, **options):
        if result == 41:
            read.set()
        if isinstance(result, str):
            break
    assert result == "read"


async def awaits(x, last, read):
    if x == last:
        try:
            await asyncio.wait_for(read.wait(), 10)
        except TimeoutError:
            return "not read"
        return "read"
    return x


@pytest.mark.parametrize("chunksize", [None, 4])
def test_the_result_before_a_coroutine_that_waits_for_its_reader_is_there(chunksize):
    async def read_all():
        read = asyncio.Event()
        async for result in lw.aimap(awaits, range(400), [202] * 400, [read] * 400, max_workers=2, chunksize=chunksize):
            if result == 201:
                read.set()
            if isinstance(result, str):
                return result

    assert asyncio.run(read_all()) == "read"


async def meet(x, first, event):
    if x == first:
        try:
            await asyncio.wait_for(event.wait(), 10)
        except TimeoutError:
            return False
    if x == first + 1:
        event.set()
    return True


@pytest.mark.parametrize("chunksize", [None, 4])
def test_a_coroutine_waits_for_the_one_behind_it(chunksize):
    async def meet_all():
        event = asyncio.Event()
        return await lw.amap(meet, range(400), [201] * 400, [event] * 400, max_workers=2, chunksize=chunksize)

    assert list(asyncio.run(meet_all())) == [True] * 400


@pytest.mark.parametrize("backend", ["threads", "auto"])
def test_calls_that_wait_all_begin(backend):
    """Nobody said how many at once: where nothing is computed it is not for the first few to end."""
    everybody = threading.Barrier(50)
    found = lw.map(lambda _: everybody.wait(30) >= 0, range(50), backend=backend)
    assert found == [True] * 50


@pytest.mark.parametrize("late", ["until its last thread is there", "for a while after that"])
def test_calls_that_wait_all_begin_on_a_busy_machine(late, monkeypatch):
    """There the GIL is not to be had at once, though none computes: it is looked again, whether one ends or not."""
    ready, started, looked = [], [], []

    def wait(crew, timeout):
        time.sleep(0.02)  # a slow caller, who gets several words at once
        events = inherited["wait"](crew, timeout)
        ready.extend(event for event in events if isinstance(event, WorkerReady))
        return events

    def start_worker(crew):
        started.append(inherited["start_worker"](crew))
        return started[-1]

    def glance(crew):
        looked.append(len(ready) == len(started) > 8)
        return 0.0 if all(looked[-1 if "last" in late else -4 :]) else 1.0

    inherited = {each.__name__: getattr(ThreadCrew, each.__name__) for each in (wait, start_worker, glance)}
    for each in (wait, start_worker, glance):
        monkeypatch.setattr(ThreadCrew, each.__name__, each)
    # Others are seen to use what three threads of ten would: so there are not 64 at once.
    monkeypatch.setattr(Run, "process_cpu", staticmethod(lambda: 0.3 * time.perf_counter()))
    everybody = threading.Barrier(50)
    assert lw.map(lambda _: everybody.wait(10) >= 0, range(50), backend="threads") == [True] * 50
