"""Copies of large buffers, made by two threads at once.

What takes long about memory that is in no cache is to wait for it, and two cores wait for twice as much: 8 MB take one
thread 1.4 ms, and two 0.85 (``benchmarks/copying.py``). So from PAYS bytes on a second thread helps. It lives no longer
than the copy: there is nothing to be ended, and nothing that a fork or the interpreter's end could meet. Both take the
next piece when they are ready for one, so that nobody waits for a helper that got no core. NumPy makes the copies,
without the GIL; where it is not loaded, hardly anybody has such buffers.
"""

from __future__ import annotations

import sys

from lightwork._clock import SystemClock
from lightwork._lean import Lock, deque, start_new_thread, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._pieces import Bytes

    Copy = Callable[[Sequence[tuple[memoryview, Bytes]]], None]

PAYS = 3 << 20
"""Bytes from which two threads are faster than one: to start one takes as long as to copy half a megabyte."""
PIECE = 512 << 10
"""Bytes that are copied in one go: what is larger than a core's own cache the C library copies in another way, which
takes a seventh longer (``benchmarks/copying.py``)."""
RECENT = 4
"""Copies of either way of which the fastest tells its pace: what else the machine does makes copies slower only."""
GAIN = 0.8
"""Part of one thread's time that two may take at most. The second one's core is taken from workers, who wait longer for
it than a copy that is a little shorter saves: maps of 8 MB arrays took a fifth longer by two threads that were as fast
as one."""
ANEW = 16
"""Each time after so many, the way that is not the faster one is tried again."""


def alone(pairs: Sequence[tuple[memoryview, Bytes]]) -> None:
    """Copies to each target what lies in its source, which is as long."""
    for target, source in pairs:
        if len(target) <= PIECE:
            target[:] = source
            continue
        whole = memoryview(source).cast("B")
        for at in range(0, len(whole), PIECE):
            target[at : at + PIECE] = whole[at : at + PIECE]


class Copying:
    """The same by two threads, where that is faster: it is not where others have the cores, nor where one core has
    all that the memory gives."""

    __slots__ = ("_allowed", "_copies", "_paces")

    def __init__(self, allowed: bool = True) -> None:
        """``allowed``: there is more than one core."""
        self._allowed = allowed
        self._copies = 0
        self._paces: dict[bool, deque[float]] = {True: deque(maxlen=RECENT), False: deque(maxlen=RECENT)}
        """Seconds for a byte, by two threads or by one."""

    def __call__(self, pairs: Sequence[tuple[memoryview, Bytes]]) -> None:
        size = sum(len(target) for target, _ in pairs)
        numpy = sys.modules.get("numpy") if self._allowed and size >= PAYS else None
        if not hasattr(numpy, "frombuffer"):  # it is not there, or not yet
            alone(pairs)
            return
        by_two = self._next()
        began = SystemClock.now()
        if by_two:
            _together(pairs, numpy)
        else:
            alone(pairs)
        self._paces[by_two].append((SystemClock.now() - began) / size)

    def _next(self) -> bool:
        """Whether the next copy is made by two threads: a way that was not tried yet, or mostly the faster one."""
        by_two, by_one = (min(self._paces[way], default=0.0) for way in (True, False))
        self._copies += 1
        return (by_two <= GAIN * by_one) is bool(self._copies % ANEW)


def _together(pairs: Sequence[tuple[memoryview, Bytes]], numpy: Any) -> None:
    pieces: deque[tuple[Any, Any]] = deque()
    for target, source in pairs:
        if len(target) < PIECE:
            target[:] = source
            continue
        # They keep both memories alive and in their places, whatever interrupts the caller.
        ours, theirs = numpy.frombuffer(target, numpy.uint8), numpy.frombuffer(source, numpy.uint8)
        pieces.extend((ours[at : at + PIECE], theirs[at : at + PIECE]) for at in range(0, len(ours), PIECE))
    ended = Lock()
    ended.acquire()

    def helping() -> None:
        try:
            _copy(pieces, numpy.copyto)
        finally:
            ended.release()

    try:
        start_new_thread(helping, ())
    except RuntimeError:  # there may be no more threads, or the interpreter ends
        _copy(pieces, numpy.copyto)
        return
    try:
        _copy(pieces, numpy.copyto)
    finally:
        pieces.clear()
        ended.acquire()


def _copy(pieces: deque[tuple[Any, Any]], copy: Callable[[Any, Any], object]) -> None:
    with suppress(IndexError):
        while True:
            copy(*pieces.popleft())
