"""Handles: descriptors of memory without a name, and how they cross to another process or interpreter.

A ``Handle`` is one descriptor (of a ``memfd``, an unlinked file, a socket) with a random key. While lightwork pickles
something for a worker or for the caller, the handles met on the way are collected; their descriptors travel in the same
stream (SCM_RIGHTS) just before the frame that needs them. At the other end the key tells whether this process holds the
same file already: so one file is mapped once, however often it arrives.

Outside of lightwork's own wires a pickle can carry no descriptor. ``multiprocessing`` can hand one to a child that it
is about to start; elsewhere pickling a handle is an error that says what to do.
"""

from __future__ import annotations

import os

from lightwork._lean import RLock, WeakValues, get_ident, local
from lightwork._loaded import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

KEY = 16
"""Bytes of a key: random, because inode numbers of anonymous files come again."""


class _Passage(local):
    """What this thread pickles or unpickles for a wire just now."""

    leaving: dict[Handle, int] | None = None
    """Handles that were met while pickling, and each one's position; None: nothing is pickled for a wire."""
    arriving: Arrived | None = None


_passage = _Passage()
_here: WeakValues[bytes, Handle] = WeakValues()
"""The handles that this interpreter holds, by key."""
registering = RLock()
"""Held while a handle is looked up and while a duplicate is closed (which drops record locks: see ``_kit._native``)."""
thread = get_ident


class Handle:
    """Owns a descriptor. ``face``: the object for which it is held, so that a second arrival is the same object."""

    __slots__ = ("__weakref__", "_closing", "descriptor", "face", "key")

    def __init__(self, descriptor: int, key: bytes | None = None) -> None:
        self.descriptor = descriptor
        self.key = os.urandom(KEY) if key is None else key
        self.face: Callable[[], Any] = _nothing
        self._closing = os.close
        if key is None:
            with registering:
                _here[self.key] = self

    def __del__(self) -> None:
        if hasattr(self, "_closing"):
            self._closing(self.descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        leaving = _passage.leaving
        if leaving is not None:
            return _take, (leaving.setdefault(self, len(leaving)), self.key)
        return _take_duplicate, (_for_multiprocessing(self.descriptor), self.key)

    def __repr__(self) -> str:
        return f"<Handle {self.key.hex()[:8]}, descriptor {self.descriptor}>"


def _nothing() -> None:
    return None


def _for_multiprocessing(descriptor: int) -> Any:
    """The descriptor in a form that the child which ``multiprocessing`` is starting can unpickle; TypeError elsewhere.

    Nobody can be starting one where its module is not loaded.
    """
    starting = loaded("multiprocessing.context", "get_spawning_popen")
    if starting is None or starting() is None:
        raise TypeError(
            "locks, queues, pipes and shared memory of lightwork cross to lightwork's own workers (as an argument, in "
            "a container, captured by a function) and to a process that multiprocessing starts (in Process(args=…)); "
            "they cannot be pickled to bytes, nor be in a message of a queue or a pipe, because a descriptor of this "
            "process means nothing in another. Give those who receive the message the object beforehand, and send "
            "which it is: an index into a list that all have, for example"
        )
    from multiprocessing.reduction import DupFd

    return DupFd(descriptor)


def _take(position: int, key: bytes) -> Handle:
    held = _here.get(key)
    if held is not None:
        return held
    if _passage.arriving is None:
        raise TypeError("a lightwork handle was unpickled outside of the message that it came with")
    return _passage.arriving.take(position, key)


def _take_duplicate(duplicate: Any, key: bytes) -> Handle:
    return _kept(duplicate.detach(), key)


def _kept(descriptor: int, key: bytes) -> Handle:
    """The handle of this key: the one that is here, or a new one that owns the descriptor."""
    with registering:
        held = _here.get(key)
        if held is None:
            held = _here[key] = Handle(descriptor, key)
            return held
        os.close(descriptor)
        return held


class Collecting:
    """Within it, this thread's pickles may hold handles, which are added to ``found`` with their positions."""

    __slots__ = ("_before", "found")

    def __init__(self, found: dict[Handle, int]) -> None:
        self.found = found

    def __enter__(self) -> dict[Handle, int]:
        self._before, _passage.leaving = _passage.leaving, self.found
        return self.found

    def __exit__(self, *_: object) -> None:
        _passage.leaving = self._before


class Unpacking:
    """Within it, what this thread unpickles may take handles from ``arrived``."""

    __slots__ = ("_arrived", "_before")

    def __init__(self, arrived: Arrived | None) -> None:
        self._arrived = arrived

    def __enter__(self) -> None:
        self._before, _passage.arriving = _passage.arriving, self._arrived

    def __exit__(self, *_: object) -> None:
        _passage.arriving = self._before


class Arrived:
    """The descriptors that came with a frame, by position. Those that nobody takes are closed with it."""

    __slots__ = ("_closing", "_slots")

    def __init__(self, descriptors: Iterable[int | None]) -> None:
        """None stands for one that found no room in this process."""
        self._closing = os.close
        self._slots: list[int | Handle | None] = list(descriptors)

    def take(self, position: int, key: bytes) -> Handle:
        found = self._slots[position]
        if found is None:
            raise OSError(
                "a descriptor of a lock, queue or shared memory did not arrive: this process has as many open as it "
                "may (RLIMIT_NOFILE, `ulimit -n`)"
            )
        if isinstance(found, int):
            self._slots[position] = None
            found = self._slots[position] = _kept(found, key)
        return found

    def __del__(self) -> None:
        for each in getattr(self, "_slots", ()):
            if isinstance(each, int):
                self._closing(each)
