"""Waiting in a coroutine: a thread of its own waits, so that the loop runs on.

That thread receives only what cannot be lost: a lock, which is released again where the coroutine was cancelled
meanwhile; the news that there is a message. The message itself is taken by the coroutine, on the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from lightwork import _machine

T = TypeVar("T")


class Waiting(Generic[T]):
    """A thread that waits for a coroutine, which is the only one to use this: on its loop, and inside of ``with``.

    ``wait`` is called in the thread, with a function that tells whether the coroutine has gone, and one to be called
    when a wake-up would be noticed: then ``begun`` is done. ``ended`` gets what ``wait`` returns; ``undo`` takes it
    back where the coroutine has gone.

    Not the loop's own pool of threads: when all of those wait for a lock, nothing else gets one, perhaps not even who
    is to release it.
    """

    def __init__(
        self,
        wait: Callable[[Callable[[], bool], Callable[[], object]], T],
        undo: Callable[[], object] | None = None,
    ) -> None:
        self._wait, self._undo = wait, undo
        self._loop = asyncio.get_running_loop()
        self._gone = threading.Event()
        self.begun: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[T] = self._loop.create_future()

    def __enter__(self) -> Waiting[T]:
        name = "lightwork-waits-for-a-coroutine"
        threading.Thread(target=self._run, name=name, daemon=_machine.daemon_threads()).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._gone.set()
        self.begun.cancel()
        if not self.ended.cancel() and kind is not None and not self.ended.cancelled():
            # It came, and the coroutine was cancelled before it could run on.
            problem = self.ended.exception()
            self._take_back(None if problem else self.ended.result(), problem)

    def _run(self) -> None:
        value, problem = None, None
        try:
            value = self._wait(self._gone.is_set, lambda: self._tell(self._begin, None))
        except BaseException as raised:  # noqa: BLE001 - it is the coroutine's
            problem = raised
        self._tell(self._end, value, problem)

    def _tell(self, deliver: Callable[..., object], value: T | None, problem: BaseException | None = None) -> None:
        try:
            self._loop.call_soon_threadsafe(deliver, value, problem)
        except RuntimeError:  # the loop was closed
            self._take_back(value, problem)

    def _begin(self, *_: object) -> None:
        if not self.begun.done():
            self.begun.set_result(None)

    def _end(self, value: T, problem: BaseException | None) -> None:
        if self.ended.cancelled():
            self._take_back(value, problem)
        elif problem is not None:
            self.ended.set_exception(problem)
        else:
            self.ended.set_result(value)
        self._begin()

    def _take_back(self, value: T | None, problem: BaseException | None) -> None:
        if problem is None and value and self._undo is not None:
            self._undo()


async def in_a_thread(wait: Callable[[Callable[[], bool]], T], undo: Callable[[], object] | None = None) -> T:
    """What ``wait`` returns, called in a thread with a function that tells whether to give up."""
    with Waiting(lambda gone, _: wait(gone), undo) as waiting:
        return await waiting.ended


async def whatever_comes(again: Callable[[], Awaitable[Any]]) -> None:
    """Has ``again()`` done, also where the coroutine is cancelled meanwhile, which is raised after that."""
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            await again()
        except asyncio.CancelledError as came:
            cancelled = came
            continue
        if cancelled is not None:
            raise cancelled
        return
