"""Shared memory for large buffers on their way: copied in by one side, used there or copied out by the other.

Even two copies through pages that are in use anyway take a fraction of what a socket takes, whose every piece wakes
somebody. Each side allots places in its own half only; a place is free again when the other side has said that it
needs it no more. The lowest places go first, because their pages are there already.
"""

from __future__ import annotations

import mmap

from lightwork._backends._copying import alone
from lightwork._lean import bisect
from lightwork._pieces import Buffer, parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightwork._backends._copying import Copy


ALIGNED = mmap.PAGESIZE
KEPT = 64 << 20
"""Bytes from the beginning whose pages stay; those behind go back to the system when nothing lies there."""


class Arena:
    """One side's half: ``length`` bytes of ``memory`` from ``start`` on."""

    def __init__(self, memory: mmap.mmap, start: int, length: int, copy: Copy = alone) -> None:
        self._map, self._view, self._copy = memory, memoryview(memory), copy
        self._start, self._end = start, start + length
        self._places: list[tuple[int, int]] = []
        """What is taken: beginnings and ends, in order."""

    def put(self, buffers: Sequence[Buffer]) -> list[tuple[int, int]] | None:
        """Copies the buffers to a place; returns where each begins, from the beginning of the memory, and its length.

        None where there is no room. The first one's beginning frees them all.
        """
        lengths = list(map(len, buffers))
        size = sum(-length % 64 + length for length in lengths)
        at = self._start
        for begin, end in self._places:
            if begin - at >= size:
                break
            at = end + -end % ALIGNED
        if self._end - at < size:
            return None
        bisect.insort_right(self._places, (at, at + size))
        found, pairs = [], []
        for buffer, length in zip(buffers, lengths, strict=True):
            found.append((at, length))
            end = at + -length % 64 + length
            for part in parts_of(buffer):
                pairs.append((self._view[at : at + len(part)], part))
                at += len(part)
            at = end
        self._copy(pairs)
        return found

    def free(self, begin: int) -> None:
        """Nobody needs any longer what was put at ``begin``."""
        index = bisect.bisect_left(self._places, (begin, 0))
        _, end = self._places.pop(index)
        first = max(begin, self._start + KEPT)
        if end > first and hasattr(mmap, "MADV_REMOVE"):
            first += -first % ALIGNED
            length = (end - first) // ALIGNED * ALIGNED
            if length > 0:
                self._map.madvise(mmap.MADV_REMOVE, first, length)

    def close(self) -> None:
        """Lets go of the memory."""
        self._view.release()
