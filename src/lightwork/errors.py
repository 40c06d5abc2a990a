"""What can go wrong, whose fault it was, and what to do.

    LightworkError                    the root: ``except lw.LightworkError`` catches all of these
    ├── WorkerCrashed                 a worker died while it ran a call (also a BrokenExecutor)
    ├── CallTimeout                   a call ran longer than ``call_timeout``
    ├── UnpicklableError              something cannot cross to a worker (also a PicklingError)
    ├── BackendUnavailable            the backend cannot do this here; the message has the remedy
    ├── RemoteError                   an exception that could not cross; carries all its text
    ├── Deadlock                      threads wait for each other's locks in a circle (checked locks alone find out)
    ├── HolderDied                    a process died while it held a lock that is not to be taken over silently
    ├── InvalidTarget                 the command line's TARGET names nothing that can be called
    └── CalledWhileImporting          a worker imported the caller's module, which called lightwork again
    Interrupted(KeyboardInterrupt)    Ctrl-C; the finished results are in ``lw.partial(exc)``

An exception that the caller's own function raised is never wrapped: it keeps its type and arguments.
"""

from __future__ import annotations

from lightwork._lean import pickle
from lightwork._record import Record
from lightwork._root import LightworkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightwork._crashed import WorkerCrashed

__all__ = [
    "BackendUnavailable",
    "CallTimeout",
    "CalledWhileImporting",
    "Deadlock",
    "DeadlockWarning",
    "Failure",
    "HolderDied",
    "Interrupted",
    "InvalidTarget",
    "LightworkError",
    "RemoteError",
    "UnpicklableError",
    "WorkerCrashed",
]


PARTIAL = "_lightwork_partial"
"""The attribute of an exception that a map raised in which ``lw.partial`` finds the finished results."""


def __getattr__(name: str) -> object:
    if name != "WorkerCrashed":
        raise AttributeError(f"module 'lightwork.errors' has no attribute {name!r}")
    from lightwork._crashed import WorkerCrashed

    globals()[name] = WorkerCrashed
    return WorkerCrashed


class Deadlock(LightworkError):
    """Threads wait for each other's locks in a circle: checked locks (``LIGHTWORK_DEBUG=1``) raise it in one."""


class DeadlockWarning(RuntimeWarning):
    """Locks were taken in different orders: that can end in a deadlock, though it did not this time."""


class HolderDied(LightworkError):
    """A process died while it held a lock made with ``on_death="raise"``: what it protects may be half done."""


class CallTimeout(LightworkError):
    """One call ran longer than ``call_timeout`` seconds and its worker was ended (or the coroutine cancelled).

    Not a ``TimeoutError``: that one is the caller's own deadline in ``future.result(timeout=)``.
    """

    def __init__(self, index: int | None, seconds: float) -> None:
        super().__init__(f"item {index} ran longer than call_timeout={seconds:g} s")
        self.index, self.seconds = index, seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.index, self.seconds)


class UnpicklableError(LightworkError, pickle.PicklingError):
    """Something could not be sent to a worker, or its result could not be sent back.

    ``path`` is the way from what was sent to the part at fault ("item.session._lock"), ``remedy`` says what would
    work; ``begun`` is False where the call never began, so that it may still be made elsewhere; ``sent`` is True where
    it could be pickled and was sent, and its unpickling failed.
    """

    begun = True
    sent = False

    def __init__(self, message: str, path: str = "", remedy: str = "") -> None:
        super().__init__(message + (f" {remedy}" if remedy else ""))
        self.message, self.path, self.remedy = message, path, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.path, self.remedy), {"begun": self.begun, "sent": self.sent}


class BackendUnavailable(LightworkError):
    """The backend that was asked for cannot do this here. The message says why and what would work."""


class RemoteError(LightworkError):
    """An exception from a worker whose class could not be carried over; its text and traceback are in the message."""


class InvalidTarget(LightworkError):
    """TARGET (``package.module:function`` or ``path/to/file.py:function``) names nothing that can be called."""


class CalledWhileImporting(LightworkError):
    """lightwork was called while a worker was importing the caller's module."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a map. ``lw.partial(exc)`` has the results that were finished."""


class Failure(Record, frozen=True):
    """Stands in a failed item's place with ``errors="return"``.

    ``index`` of the item, the ``exception`` with its traceback, and how many ``attempts`` were made.
    """

    index: int
    exception: BaseException
    attempts: int = 1

    def __bool__(self) -> bool:
        return False
