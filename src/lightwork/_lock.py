"""Locks whose ``with`` block lets go of them wherever Ctrl-C strikes.

The standard library's do, but for CPython 3.14, where the signal may be handled between the taking of a lock and the
beginning of the block that would give it back (python/cpython#148874): it is taken for ever then. There, the taking is
done by a method that undoes it.
"""

from __future__ import annotations

from lightwork._lean import Lock, attrgetter
from lightwork._platform import with_may_leak

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _take(block: Guarding) -> bool:
    taken: list[bool] = []
    try:
        # C code alone between taking it and knowing that: no signal is handled there.
        taken.extend(map(block._lock.acquire, (True,)))
    except BaseException:
        if taken:
            block._lock.release()
        raise
    return True


class Guarding:
    """The beginning and the end of a block with ``_lock``."""

    __slots__ = ()
    _lock: Any

    # Where it is safe the methods of the lock itself, in C: in those written in Python the signal could strike too.
    __enter__: Any = _take if with_may_leak() else property(attrgetter("_lock.__enter__"))
    __exit__: Any = property(attrgetter("_lock.__exit__"))


class _Lock(Guarding):
    __slots__ = ("_lock", "acquire", "locked", "release")

    def __init__(self) -> None:
        self._lock = Lock()
        self.acquire, self.release, self.locked = self._lock.acquire, self._lock.release, self._lock.locked


def new_lock() -> Lock:
    """A lock to be used in ``with`` blocks."""
    return _Lock() if with_may_leak() else Lock()  # type: ignore[return-value]
