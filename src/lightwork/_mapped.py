"""What ``Executor.map`` keeps of a call: as much of a future as there is use for when nobody else sees it.

A future has a condition of its own, for whoever may wait for it. Of a map's calls one is waited for at a time, by
whoever draws the results: so one condition does for all, and a call costs a tenth.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import CancelledError
from concurrent.futures._base import CANCELLED, FINISHED, PENDING, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


ELSEWHERE = (
    "this call is made in the process that this one was forked from, and its outcome does not come here; wait for it "
    "before the fork, or make the call with an executor of the child's own"
)


class Drawing:
    """Whoever draws a map's results."""

    __slots__ = ("changed", "lock", "process", "waits_for")

    def __init__(self) -> None:
        # Taken as it is: a condition's own way is written in Python, where Ctrl-C strikes. Reentrant: where an iterator
        # that nobody has any more is collected as garbage, whoever sets a result just then cancels what is left.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.waits_for: Mapped | None = None
        self.process = os.getpid()


class Mapped:
    """A call of a map. Methods and states are those of ``concurrent.futures.Future``."""

    __slots__ = ("_drawing", "_error", "_state", "_value")

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._state = PENDING
        self._value: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        return self._state in (FINISHED, CANCELLED)

    def running(self) -> bool:
        return self._state == RUNNING

    def cancelled(self) -> bool:
        return self._state == CANCELLED

    def cancel(self) -> bool:
        with self._drawing.lock:
            if self._state == PENDING:
                self._become(CANCELLED)
            return self._state == CANCELLED

    def set_running_or_notify_cancel(self) -> bool:
        with self._drawing.lock:
            if self._state == PENDING:
                self._state = RUNNING
            return self._state == RUNNING

    def set_result(self, value: Any) -> None:
        with self._drawing.lock:
            self._value = value
            self._become(FINISHED)

    def set_exception(self, error: BaseException) -> None:
        with self._drawing.lock:
            self._error = error
            self._become(FINISHED)

    def _become(self, state: str) -> None:
        """While the condition is held."""
        self._state = state
        if self._drawing.waits_for is self:
            self._drawing.changed.notify()

    def result(self, timeout: float | None = None) -> Any:
        """For one thread at a time."""
        if not self.done():
            self._wait(timeout)
        if self._state == CANCELLED:
            raise CancelledError
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            del self  # the traceback keeps this frame, which would keep the exception

    def _wait(self, timeout: float | None) -> None:
        drawing = self._drawing
        if drawing.process != os.getpid():
            raise RuntimeError(ELSEWHERE)
        with drawing.lock:
            drawing.waits_for = self
            try:
                if not drawing.changed.wait_for(self.done, timeout):
                    raise TimeoutError
            finally:
                drawing.waits_for = None
