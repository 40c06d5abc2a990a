"""Waiting in a coroutine: a thread of its own waits, so that the loop runs on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from lightwork import _machine

T = TypeVar("T")


async def in_a_thread(wait: Callable[[Callable[[], bool]], T], undo: Callable[[], object]) -> T:
    """What ``wait`` returns, called in a thread with a function that tells whether to give up.

    ``undo`` takes it back where the coroutine was cancelled meanwhile. Not the loop's own pool of threads: when all of
    those wait for a lock, nothing else gets one, perhaps not even who is to release it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    given_up = threading.Event()

    def deliver(value: T | None, problem: BaseException | None) -> None:
        if future.cancelled():
            if problem is None and value:
                undo()
        elif problem is not None:
            future.set_exception(problem)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, problem = None, None
        try:
            value = wait(given_up.is_set)
        except BaseException as raised:  # noqa: BLE001 - it is the coroutine's
            problem = raised
        try:
            loop.call_soon_threadsafe(deliver, value, problem)
        except RuntimeError:  # the loop was closed
            if problem is None and value:
                undo()

    threading.Thread(target=run, name="lightwork-waits-for-a-coroutine", daemon=_machine.daemon_threads()).start()
    try:
        return await future
    finally:
        given_up.set()
