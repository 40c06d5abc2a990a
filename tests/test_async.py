"""The family for asynchronous callers."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import lightwork as lw
from tests.conformance import jobs
from tests.faults import nasty
from tests.leftovers import workers


async def wait_and_double(x):
    await asyncio.sleep(0.001)
    return 2 * x


async def fail_at_three(x):
    await asyncio.sleep(0)
    return jobs.fails_at_three(x)


def test_amap_runs_coroutines_on_the_callers_loop():
    loops, begun, all_there = set(), [], asyncio.Event()

    async def note(x):
        loops.add(asyncio.get_running_loop())
        begun.append(x)
        if len(begun) == 50:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 20)  # one after another they would wait for ever
        return x

    async def main():
        results = await lw.amap(note, range(50))
        assert results == list(range(50))
        assert loops == {asyncio.get_running_loop()}
        return results.report

    assert asyncio.run(main()).backend == "asyncio"


@pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
def test_amap_keeps_the_loop_free(backend, tmp_path):
    """The calls last until a task beside them has had its turn ten times."""
    word = tmp_path / "word"

    async def main():
        async def tick():
            for _ in range(10):
                await asyncio.sleep(0.005)
            word.touch()

        ticking = asyncio.create_task(tick())
        assert await lw.amap(nasty.wait_for_word, [str(word)] * 8, range(8), backend=backend) == list(range(8))
        await ticking

    asyncio.run(main())


def test_amap_refuses_what_would_block_the_loop():
    async def main():
        with pytest.raises(lw.BackendUnavailable, match="threads"):
            await lw.amap(jobs.double, [1], backend="serial")

    asyncio.run(main())


def test_amap_raises_and_names_the_item():
    async def main():
        with pytest.raises(ValueError) as caught:
            await lw.amap(fail_at_three, range(8))
        assert any("item 3" in note for note in caught.value.__notes__)
        results = await lw.amap(fail_at_three, range(8), errors="return")
        assert results.failures[0].index == 3

    asyncio.run(main())


def test_cancelling_amap_cancels_the_calls():
    async def main():
        ended, begun = [], []

        async def long(x):
            begun.append(x)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append(x)
                raise

        task = asyncio.create_task(lw.amap(long, range(3)))
        while len(begun) < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(ended) == [0, 1, 2]

    asyncio.run(main())


def test_cancelling_amap_over_threads_returns_soon():
    release = threading.Event()

    async def main():
        task = asyncio.create_task(lw.amap(lambda _: release.wait(30), range(2), backend="threads"))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 5
        release.set()

    asyncio.run(main())


class NotesTimers(asyncio.SelectorEventLoop):
    """``left``: timers that were set and have not come."""

    def __init__(self):
        super().__init__()
        self.set = []

    def call_later(self, delay, callback, *args, context=None):
        self.set.append(super().call_later(delay, callback, *args, context=context))
        return self.set[-1]

    @property
    def left(self):
        return [timer for timer in self.set if not timer.cancelled() and timer.when() > self.time()]


async def takes_a_few_turns(x):
    for _ in range(x % 4):
        await asyncio.sleep(0)


def test_nothing_goes_on_in_the_loop_when_a_map_has_ended_before_its_last_calls_began():
    def breaks(_):
        raise ZeroDivisionError

    async def main():
        for _ in range(20):  # now and then a batch has just gone out when the progress is told
            with pytest.raises(ZeroDivisionError):
                await lw.amap(takes_a_few_turns, range(100_000), max_workers=20, chunksize=5, progress=breaks)
        for _ in range(200):
            if not loop.left:
                return
            await asyncio.sleep(0.01)
        assert not loop.left

    loop = NotesTimers()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_aimap_is_in_order_and_lazy():
    drawn = []

    def items():
        for x in range(10_000):
            drawn.append(x)
            yield x

    async def main():
        stream = lw.aimap(wait_and_double, items(), buffersize=4)
        got = []
        async for value in stream:
            got.append(value)
            if len(got) == 20:
                break
        await stream.aclose()
        assert got == [2 * x for x in range(20)]
        assert len(drawn) <= 30
        assert stream.report.calls >= 20

    asyncio.run(main())


async def draw(stream, got):
    async for value in stream:
        got.append(value)


@pytest.mark.parametrize("backend", ["processes", "threads", "asyncio"])
def test_tasks_may_share_aimap(backend):
    async def main():
        for _ in range(3):
            fn = wait_and_double if backend == "asyncio" else jobs.double
            got, stream = [], lw.aimap(fn, range(60), backend=backend)
            await asyncio.wait_for(asyncio.gather(*(draw(stream, got) for _ in range(3))), 20)
            assert sorted(got) == [2 * x for x in range(60)]

    asyncio.run(main())


@pytest.mark.parametrize("backend", ["processes", "asyncio"])
def test_any_task_may_close_aimap(backend):
    async def main():
        fn = asyncio.sleep if backend == "asyncio" else jobs.nap
        got, stream = [], lw.aimap(fn, [0.0, 0.0, 60.0], backend=backend)
        drawing = asyncio.create_task(draw(stream, got))
        while len(got) < 2:
            await asyncio.sleep(0.005)
        await asyncio.wait_for(stream.aclose(), 20)
        await asyncio.wait_for(drawing, 20)
        assert len(got) == 2 and not workers()

    asyncio.run(main())


@pytest.mark.timeout(30)
def test_aimap_is_not_drawn_from_by_its_own_calls():
    """Neither while another task draws, nor while none does: the call would wait for itself."""

    async def main():
        async def draw_more(x):
            begun[x].set()
            await (begun[1] if x == 0 else may).wait()
            try:
                said.append(await anext(stream))
            except ValueError as problem:
                said.append(str(problem))
            told.set()
            return x

        begun, may, told, said = [asyncio.Event(), asyncio.Event()], asyncio.Event(), asyncio.Event(), []
        stream = lw.aimap(draw_more, range(2), max_workers=2)
        assert await anext(stream) == 0
        told.clear()
        may.set()
        await told.wait()
        assert len(said) == 2 and all("its own input or function" in each for each in said)
        assert await anext(stream) == 1

    asyncio.run(asyncio.wait_for(main(), 20))


def test_aimap_that_is_left_leaves_no_worker():
    async def main():
        async for _ in lw.aimap(jobs.nap, [0.0, 60.0, 60.0], backend="processes", max_workers=2):
            break
        assert not workers()

    asyncio.run(main())


def test_aimap_raises_in_place():
    async def main():
        got = []
        with pytest.raises(ValueError):
            async for value in lw.aimap(fail_at_three, range(8), max_workers=1):
                got.append(value)
        assert got == [0, 1, 2]

    asyncio.run(main())


def test_without_a_loop_the_message_says_what_suits():
    with pytest.raises(RuntimeError, match=r"lw\.imap"):
        asyncio.run(_outside())


async def _outside():
    def call():
        lw.aimap(jobs.double, [1])

    await asyncio.to_thread(call)


def test_map_of_coroutines_works_inside_a_running_loop():
    """A notebook's cell runs inside a loop, in the main thread."""

    async def cell():
        return lw.map(wait_and_double, range(5))

    assert asyncio.run(cell()) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_a_cancelled_amap_keeps_what_was_finished(backend):
    def until_stopped(x):
        if x == 5:
            reached.set()
            stop.wait(20)
        return x

    reached, stop = threading.Event(), threading.Event()

    async def main():
        task = asyncio.ensure_future(lw.amap(until_stopped, range(6), backend=backend, max_workers=1))
        await asyncio.to_thread(reached.wait, 20)
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        stop.set()
        return lw.partial(caught.value)

    assert asyncio.run(main()).items() >= {0: 0, 1: 1}.items()
