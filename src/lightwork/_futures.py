"""The future of a submitted call: its caller may work for the outcome instead of waiting for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future, _base
from typing import Any

from lightwork._clock import SystemClock
from lightwork._lean import RLock, attrgetter, deque
from lightwork._lock import Guarding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol
else:
    Protocol = object

CANCELLED = frozenset({_base.CANCELLED, _base.CANCELLED_AND_NOTIFIED})
DONE = CANCELLED | {_base.FINISHED}
"""States of a future."""


class Leads(Protocol):
    """Who has the call made. ``lead`` works on it until the future is done, or the clock shows ``end``; or returns at
    once, where others do. ``drives_here``: whether this thread is making calls just now that may be anybody's."""

    def lead(self, future: LedFuture, end: float | None) -> None: ...
    def drives_here(self) -> bool: ...


class _Condition(threading.Condition):
    """A condition whose lock no Ctrl-C leaves taken: ``Condition``'s own methods for that are written in Python.

    What it has of its lock is looked up when it is asked for, not copied into each: that took 1.5 µs a future.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._waiters: deque[Any] = deque()

    __enter__, __exit__ = Guarding.__enter__, Guarding.__exit__
    acquire: Any = property(attrgetter("_lock.acquire"))
    release: Any = property(attrgetter("_lock.release"))
    locked: Any = property(attrgetter("_lock.locked"))
    _release_save: Any = property(attrgetter("_lock._release_save"))
    _acquire_restore: Any = property(attrgetter("_lock._acquire_restore"))
    _is_owned: Any = property(attrgetter("_lock._is_owned"))

    def notify_all(self) -> None:
        """As ``threading.Condition.notify_all``."""
        if self._waiters:
            super().notify_all()


class LedFuture(Future[Any]):
    """A future for whose outcome its caller may work instead of waiting."""

    def __init__(self, service: Leads) -> None:
        # What ``Future`` has, with a condition of its own kind.
        self._condition = _Condition()
        self._state = _base.PENDING
        self._result = self._exception = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Callable[[Future[Any]], object]] = []
        self.service = service
        """Who makes the call; another one, once it was handed on."""

    # Each is one word, for a look at which nobody has to be kept from changing it.

    def done(self) -> bool:
        """As ``concurrent.futures.Future.done``."""
        return self._state in DONE

    def running(self) -> bool:
        """As ``concurrent.futures.Future.running``."""
        return self._state == _base.RUNNING

    def cancelled(self) -> bool:
        """As ``concurrent.futures.Future.cancelled``."""
        return self._state in CANCELLED

    def result(self, timeout: float | None = None) -> Any:
        """As ``concurrent.futures.Future.result``."""
        timeout = self._led(timeout)
        if self._state == _base.FINISHED and self._exception is None:
            return self._result
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As ``concurrent.futures.Future.exception``."""
        return super().exception(self._led(timeout))

    def _invoke_callbacks(self) -> None:
        for callback in self._done_callbacks:
            try:
                callback(self)
            except BaseException as raised:
                # ``Future`` tells of an Exception and lets SystemExit and its like end the thread, and the callbacks
                # behind: but this thread may have all calls, of which it only waits for one. Ctrl-C is for it.
                struck = type(raised) is KeyboardInterrupt and threading.current_thread() is threading.main_thread()
                if not isinstance(raised, Exception) and (struck or not self.service.drives_here()):
                    raise
                _base.LOGGER.exception("exception calling callback for %r", self)

    def _led(self, timeout: float | None) -> float | None:
        if self._state in DONE:
            return timeout
        if timeout is None:
            self.service.lead(self, None)
            return None
        end = SystemClock.now() + timeout
        self.service.lead(self, end)
        return max(0.0, end - SystemClock.now())
