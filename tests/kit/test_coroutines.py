"""Coroutines wait without holding up their loop, with others in threads and processes; blocking there is an error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import lightwork as lw
from lightwork._kit import _coroutines
from lightwork._kit.queues import ShutDown
from tests.kit import jobs

Coroutine = Callable[[], Awaitable[None]]


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.002)


async def settled() -> None:
    """Every coroutine that could wait does so: its thread has begun."""
    await asyncio.sleep(0.05)


async def cancelled(waiting: asyncio.Future[Any]) -> None:
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def cancel_with_the_news(task: asyncio.Future[Any]) -> None:
    """The next thing that any coroutine has waited for comes, and ``task`` is cancelled before it learns of it."""
    end = _coroutines.Waiting._end

    def end_and_cancel(waiting: Any, *what: Any) -> None:
        mine = not waiting.ended.cancelled()  # else one who was cancelled long ago
        end(waiting, *what)
        if mine:
            _coroutines.Waiting._end = end  # type: ignore[method-assign]
            task.cancel()

    _coroutines.Waiting._end = end_and_cancel  # type: ignore[method-assign, assignment]


def waiters(thing: Any) -> int:
    from lightwork._kit._monitor import WAITERS

    return int(thing._words[WAITERS])


async def locks_exclude() -> None:
    for lock in (lw.Lock(), lw.RLock(), lw.Semaphore(), lw.Condition()):
        inside, most = 0, 0

        async def use(lock: Any = lock) -> None:
            nonlocal inside, most
            async with lock:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1

        await asyncio.gather(*(use() for _ in range(10)))
        assert (most, inside) == (1, 0)


async def a_cancelled_one_gets_no_lock() -> None:
    lock = lw.Lock()
    lock.acquire()
    await cancelled(asyncio.ensure_future(lock.__aenter__()))
    lock.release()
    async with asyncio.timeout(5), lock:
        assert lock.locked()


async def one_that_is_cancelled_when_the_lock_has_just_come_gives_it_back() -> None:
    lock = lw.Lock()
    lock.acquire()
    waiting = asyncio.ensure_future(lock.__aenter__())
    await settled()
    cancel_with_the_news(waiting)
    lock.release()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert lock.acquire(False)


async def an_event_is_waited_for() -> None:
    event = lw.Event()
    waiting = [asyncio.ensure_future(event.async_wait()) for _ in range(3)]
    await until(lambda: waiters(event) == 3)
    with lw.Executor(1, backend="processes") as executor:
        executor.submit(event.set)
        assert await asyncio.gather(*waiting) == [True] * 3
    assert await event.async_wait()


async def messages_come_and_go() -> None:
    """To a process and back; the queues are short, so that both sides wait."""
    there, back = lw.Queue(2), lw.Queue(2)
    with lw.Executor(1, backend="processes") as executor:
        echo = executor.submit(jobs.echo, there, back, 50)

        async def send() -> None:
            for i in range(50):
                await there.async_put((i, bytes(i * 1000)))

        sending = asyncio.ensure_future(send())
        got = [await back.async_get() for _ in range(50)]
        await sending
        echo.result()
    assert got == [(i, bytes(i * 1000)) for i in range(50)]


async def a_cancelled_one_takes_no_message() -> None:
    queue = lw.Queue(1)
    await cancelled(asyncio.ensure_future(queue.async_get()))
    queue.put("first")
    await cancelled(asyncio.ensure_future(queue.async_put("never")))
    assert await queue.async_get() == "first"
    await until(lambda: not waiters(queue))
    waiting = asyncio.ensure_future(queue.async_get())
    await until(lambda: waiters(queue))
    cancel_with_the_news(waiting)
    queue.put("second")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        assert await queue.async_get() == "second"


async def a_queue_is_joined_and_shut_down() -> None:
    queue = lw.Queue()
    queue.put(1)
    joining = asyncio.ensure_future(queue.async_join())
    await until(lambda: waiters(queue))
    queue.get()
    queue.task_done()
    await joining
    getting = asyncio.ensure_future(queue.async_get())
    await until(lambda: waiters(queue))
    queue.shutdown()
    with pytest.raises(ShutDown):
        await getting


async def a_pipe_both_ways() -> None:
    here, there = lw.Pipe()
    with lw.Executor(1, backend="processes") as executor:
        answer = executor.submit(jobs.answer, there)
        for i in range(20):
            await here.async_send(i)
            assert await here.async_recv() == 2 * i
        await here.async_send(None)
        answer.result()
        there.close()
    # The worker has gone, and with it the last who had the other end.
    with pytest.raises(EOFError):
        async with asyncio.timeout(20):
            await here.async_recv()


async def a_condition_is_waited_for() -> None:
    for lock in (None, lw.Lock()):
        condition, order = lw.Condition(lock), []

        async def use(name: str, condition: Any = condition, order: list[str] = order) -> None:
            async with condition:
                assert await condition.async_wait_for(lambda: len(order) and order[-1] == "go")
                order.append(name)
                condition.notify_all()
                order.append("go")

        waiting = [asyncio.ensure_future(use(name)) for name in "abc"]
        await until(lambda condition=condition: waiters(condition) == 3)

        def notify(condition: Any = condition, order: list[str] = order) -> None:
            with condition:
                order.append("go")
                condition.notify()

        await asyncio.to_thread(notify)
        await asyncio.gather(*waiting)
        assert sorted(order[1::2]) == ["a", "b", "c"]


async def a_cancelled_one_has_the_conditions_lock_and_passes_the_notification_on() -> None:
    condition, woken = lw.Condition(), []

    async def use(name: str) -> None:
        async with condition:
            try:
                await condition.async_wait()
                woken.append(name)
            except asyncio.CancelledError:
                assert condition._is_owned()
                raise

    first = asyncio.ensure_future(use("first"))
    await until(lambda: waiters(condition) == 1)
    second = asyncio.ensure_future(use("second"))
    await until(lambda: waiters(condition) == 2)
    cancel_with_the_news(first)
    async with condition:
        condition.notify()
    await asyncio.wait([first])
    assert first.cancelled()
    async with asyncio.timeout(5):
        await second
    assert woken == ["second"]


async def parties_meet() -> None:
    barrier = lw.Barrier(3)
    with lw.Executor(2, backend="processes") as executor:
        others = [executor.submit(jobs.meet, barrier) for _ in range(2)]
        place = await barrier.async_wait()
        assert sorted([place, *(other.result() for other in others)]) == [0, 1, 2]


async def a_cancelled_party_breaks_the_barrier() -> None:
    barrier = lw.Barrier(2)
    await cancelled(asyncio.ensure_future(barrier.async_wait()))
    await until(lambda: barrier.broken)


async def blocking_is_an_error_that_says_what_to_do() -> None:
    lock, condition, full = lw.Lock(), lw.Condition(), lw.Queue(1)
    here, _there = lw.Pipe()
    lock.acquire()
    full.put(1)
    async with condition:
        for block, remedy in (
            (lock.acquire, "async with lock"),
            (lw.Semaphore(0).acquire, "async with semaphore"),
            (lw.Event().wait, "event.async_wait"),
            (lw.Event().wait, "event.async_wait"),
            (lambda: lw.Event().wait(5), "event.async_wait"),
            (condition.wait, "condition.async_wait"),
            (lw.Barrier(2).wait, "barrier.async_wait"),
            (lw.Queue().get, "queue.async_get"),
            (lambda: full.put(2), "async_put"),
            (full.join, "async_join"),
            (here.recv, "connection.async_recv"),
        ):
            with pytest.raises(RuntimeError, match=f"block the event loop.*{remedy}"):
                block()
        assert condition._is_owned()
    assert lock.acquire(False) is False
    assert here.poll() is False


@pytest.mark.parametrize(
    "coroutine",
    [
        locks_exclude,
        a_cancelled_one_gets_no_lock,
        one_that_is_cancelled_when_the_lock_has_just_come_gives_it_back,
        an_event_is_waited_for,
        messages_come_and_go,
        a_cancelled_one_takes_no_message,
        a_queue_is_joined_and_shut_down,
        a_pipe_both_ways,
        a_condition_is_waited_for,
        a_cancelled_one_has_the_conditions_lock_and_passes_the_notification_on,
        parties_meet,
        a_cancelled_party_breaks_the_barrier,
        blocking_is_an_error_that_says_what_to_do,
    ],
    ids=lambda coroutine: coroutine.__name__,
)
def test_on_an_event_loop(coroutine: Coroutine) -> None:
    asyncio.run(coroutine())  # type: ignore[arg-type]


def test_calls_of_a_map_on_asyncio_wait_for_each_other() -> None:
    queue, event, barrier = lw.Queue(), lw.Event(), lw.Barrier(4)

    async def work(item: int) -> int:
        await barrier.async_wait()
        if item == 3:
            await event.async_wait()
            return sum([await queue.async_get() for _ in range(3)])
        await queue.async_put(item)
        event.set()
        return item

    assert lw.map(work, range(4), backend="asyncio", max_workers=4) == [0, 1, 2, 3]


def test_a_loop_that_ends_meanwhile_keeps_nothing() -> None:
    lock = lw.Lock()
    lock.acquire()

    async def leave_a_waiter() -> None:
        waiting = asyncio.ensure_future(lock.__aenter__())
        await settled()
        assert not waiting.done()

    asyncio.run(leave_a_waiter())
    lock.release()
    assert lock.acquire(timeout=5)


def test_a_pipe_is_used_by_two_threads_at_both_ends() -> None:
    one, other = lw.Pipe()
    problems: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as problem:
            problems.append(problem)

    def receive(end: Any) -> Callable[[], None]:
        return lambda: [end.recv() for _ in range(3000)] != list(range(3000)) and problems.append(ValueError())

    def send(end: Any) -> Callable[[], None]:
        return lambda: [end.send(i) for i in range(3000)] and None

    works = [receive(one), send(one), receive(other), send(other)]
    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert not problems and not any(thread.is_alive() for thread in threads)
