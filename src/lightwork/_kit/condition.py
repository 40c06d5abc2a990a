"""Condition: waiting, with a lock given up, until somebody says that something has changed."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from lightwork._clock import SystemClock
from lightwork._kit._monitor import SERVED, WAITERS, Monitor
from lightwork._kit._uninterrupted import uninterrupted
from lightwork._kit.checked import Lock, RLock

T = TypeVar("T")


class Condition(Monitor):
    """Methods and meanings of ``threading.Condition``, between processes too.

    ``lock``: a Lock or RLock of lightwork's; a new RLock if there is none. A notification that went to a process which
    was killed before it could act on it goes to the next.
    """

    def __init__(self, lock: Lock | None = None) -> None:
        if lock is not None and not isinstance(lock, Lock):
            raise TypeError(f"a condition between processes needs a lock of lightwork's, not a {type(lock).__name__}")
        super().__init__()
        self._take(RLock() if lock is None else lock)

    def _attach(self, handle: Any, lock: Lock | None = None) -> None:
        super()._attach(handle)
        if lock is not None:
            self._take(lock)

    def _more(self) -> tuple[Any, ...]:
        return (self._lock,)

    def _take(self, lock: Lock) -> None:
        self._lock = lock
        self.acquire, self.release = lock.acquire, lock.release

    def wait(self, timeout: float | None = None) -> bool:
        """Gives the lock up until it is notified, and takes it again; False if that was not in ``timeout`` seconds."""
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        saved: list[Any] = []

        def give_up_the_lock() -> None:
            saved.append(self._lock._release_save())

        try:
            seconds = None if timeout is None else max(0.0, timeout)
            return bool(self._wait(_served, seconds, parked=give_up_the_lock))
        finally:
            if saved:
                self._lock._acquire_restore(saved[0])

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Waits until ``predicate()`` is true; returns what it returned last."""
        end = None if timeout is None else SystemClock.now() + timeout
        result = predicate()
        while not result:
            left = None if end is None else end - SystemClock.now()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    async def async_wait(self) -> bool:
        """The same in a coroutine, inside of ``async with condition:``; True."""
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        from lightwork._kit._coroutines import Waiting, whatever_comes

        def wait(gone: Callable[[], bool], parked: Callable[[], object]) -> bool:
            return bool(self._wait(_served, None, parked=parked, give_up=gone))

        with Waiting(wait, self._pass_on) as waiting:
            await waiting.begun  # from here on it will be notified: the lock may be given up
            saved = self._lock._release_save()
            try:
                return await waiting.ended
            finally:
                await whatever_comes(lambda: self._lock._async_acquire_restore(saved))

    async def async_wait_for(self, predicate: Callable[[], T]) -> T:
        """Waits in a coroutine until ``predicate()`` is true; returns what it returned."""
        while not (result := predicate()):
            await self.async_wait()
        return result

    def _pass_on(self) -> None:
        """A notification that came to one who has gone meanwhile is the next one's."""
        self._change(lambda: self._wake(1, state=SERVED))

    def notify(self, n: int = 1) -> None:
        """Lets ``n`` of those that wait go on."""
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        if not self._words[WAITERS]:
            return
        self._change(lambda: self._wake(n, state=SERVED))

    def notify_all(self) -> None:
        """Lets all that wait go on."""
        self.notify(2**63)

    def _is_owned(self) -> bool:
        return self._lock._is_owned()

    def _what(self) -> str:
        return f"{self!r} is notified"

    def _in_a_loop(self) -> str:
        return "in a coroutine write `async with condition:` and `await condition.async_wait()`"

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    @uninterrupted
    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    async def __aenter__(self) -> bool:
        return await self._lock.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def _served(ticket: int, state: int) -> bool | None:
    return True if state == SERVED else None
