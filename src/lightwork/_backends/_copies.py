"""Memory of the receiver's own for large buffers that arrive in shared memory.

The first touch of a page costs several times what is copied into it: 8 MB take 0.7 ms into pages that are there, 6 into
fresh ones of 4 kB, 2.4 into fresh ones of 2 MB. So memory that nobody uses any more is used again, and fresh memory
is asked for in huge pages where the system has them.
"""

from __future__ import annotations

import mmap
import sys

from lightwork._backends._copying import alone
from lightwork._lean import suppress
from lightwork._machine import available_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._backends._copying import Copy


HELD = 32 << 20
"""Bytes that are held for the next buffers: as much as glibc's ``malloc`` keeps of what was freed."""
HELD_BY_CALLER = 256 << 20
"""The same for who takes the results of all workers, where this is little of the memory that there is: maps whose
results of 8 MB are done with before the next map take a quarter less (``benchmarks/transport.py``)."""
LITTLE = 64
"""This part of the memory that is available is little."""
MOST = 32
"""Pieces that are held at most, for each is looked at before another is made."""

HUGE = 2 << 20
"""Bytes of a huge page."""
LARGE = 2 * HUGE
"""From this size on huge pages are asked for (as by NumPy): below it, too much of them would lie idle."""
IDLE = HUGE // 4
"""Bytes at the end of a buffer's last huge page that may lie idle."""


class Copies:
    """Copies buffers to memory that is nobody else's: writable, as long as anybody refers to it."""

    def __init__(self, copy: Copy = alone, by_caller: bool = False) -> None:
        self._copy, self._by_caller = copy, by_caller
        self._most = HELD
        self._held: list[bytearray | mmap.mmap] = []
        """What was handed out last, the oldest first."""
        self._size = 0

    def __call__(self, buffer: memoryview) -> memoryview:
        """A copy of ``buffer``."""
        size = len(buffer)
        memory = self._unused(size)
        if memory is None:
            memory = _in_huge_pages(size) if size >= LARGE else None
            if memory is None:
                memory = bytearray(buffer)
                self._hold(memory)
                return memoryview(memory)
            self._hold(memory)
        own = memoryview(memory)[:size]
        self._copy([(own, buffer)])
        return own

    def _unused(self, size: int) -> bytearray | mmap.mmap | None:
        """Held memory of about that size to which nobody refers: whoever uses some of it, however small, does."""
        most = size + max(size // 4, HUGE if size >= LARGE else 0)
        for at, each in enumerate(map(len, self._held)):
            if size <= each <= most and _references(self._held, at) == _NONE_BUT_OURS:
                self._held.append(self._held.pop(at))
                return self._held[-1]
        return None

    def _hold(self, memory: bytearray | mmap.mmap) -> None:
        self._held.append(memory)
        self._size += len(memory)
        if self._size > self._most and self._by_caller:
            self._by_caller = False  # it does not ask again
            self._most = max(HELD, min(HELD_BY_CALLER, (available_memory() or 0) // LITTLE))
        while self._size > self._most or len(self._held) > MOST:
            self._size -= len(self._held.pop(0))


def _references(held: list[bytearray | mmap.mmap], at: int) -> int:
    return sys.getrefcount(held[at])


_NONE_BUT_OURS = _references([bytearray()], 0)


def _in_huge_pages(size: int) -> mmap.mmap | None:
    """Memory that begins at a huge page and consists of them, as far as they are full; None where that cannot be."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    try:
        # The system puts mappings of whole huge pages where they begin, and only those.
        fresh = mmap.mmap(-1, -size % HUGE + size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:  # a limit of this process: bytearray says so as everybody does, by a MemoryError
        return None
    with suppress(OSError):  # a kernel without huge pages
        fresh.madvise(mmap.MADV_HUGEPAGE, 0, (size + IDLE) // HUGE * HUGE)
    return fresh
