"""A worker's arguments, used where the crew has put them: in its half of the arena.

A place is the function's own as long as anybody refers to any of it: nobody else reads it, so it may be written to.
When nobody does any more, which the owner of all views of it tells, the crew may have the place for others: as a rule
with the end of the batch. What is kept for longer holds its place, up to LEND bytes; beyond them arguments are copied.

A process that the function forks would share the places, where it should have its own copy of them as of all memory.
So before a fork they become private mappings of the same pages at the same addresses, and are never given back: nobody
writes to those pages again, and what either process writes stays its own.
"""

from __future__ import annotations

import mmap

from lightwork import _platform
from lightwork._backends._copies import Copies
from lightwork._lean import cache, pickle, ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightwork._pieces import Bytes

LEND = 32 << 20
"""Bytes of earlier arguments that may be kept, and still the next are lent: half of what the arena holds on to."""
MOST = 64
"""Batches of which something is kept, and still the next are lent: each is looked at before every batch."""


class Lent:
    """The buffers that were put into this process's memory, and which of them are still in use."""

    def __init__(self, memory: mmap.mmap, descriptor: int) -> None:
        self._map, self._descriptor = memory, descriptor
        self._latest: list[ref[Any]] = []
        """Owners of the latest batch's buffers."""
        self._kept: dict[int, list[ref[Any]]] = {}
        """Those that outlived their batches, by their numbers."""
        self._private: list[Any] = []
        """Those that a fork may see: they live for good."""
        self._lends = True
        self.copied: Callable[[memoryview], Bytes] | None = None
        """What makes copies, where all buffers are to be copied."""
        self._copies = Copies()

    def view(self, at: int, size: int) -> memoryview:
        """The ``size`` bytes at ``at``: a buffer of the batch that comes next."""
        kind = _owner((size - 1).bit_length())
        if kind is None:
            self.copied = self.copied or self._copies
            return memoryview(self._map)[at : at + size]
        owner = kind.from_buffer(self._map, at)
        owner.at, owner.size = at, size
        self._latest.append(ref(owner))
        # Each has an export of its own: without the GIL, threads that drop slices of one view at the same time race
        # (python/cpython#155606).
        return pickle.PickleBuffer(owner).raw()[:size]

    def own(self, view: memoryview) -> Bytes:
        """What the function gets: the view itself, or a copy where too much is kept."""
        if self.copied is not None:
            return self.copied(view)
        return view if self._lends else self._copies(view)

    def end(self, number: int) -> bool:
        """Whether anything is still in use of the latest batch, the ``number``-th, which has ended."""
        if not self._latest:
            return False
        latest, self._latest = self._latest, []
        if not any(owner() is not None for owner in latest):
            return False
        self._kept[number] = latest
        self._weigh()
        return True

    def free(self) -> list[int]:
        """The batches that have ended and of which nothing is in use any more; each is told once."""
        if not self._kept:
            return []
        found = [number for number, kept in self._kept.items() if all(owner() is None for owner in kept)]
        for number in found:
            del self._kept[number]
        self._weigh()
        return found

    def _weigh(self) -> None:
        alive = (owner() for kept in self._kept.values() for owner in kept)
        size = sum(owner.size for owner in alive if owner is not None)
        self._lends = size <= LEND and len(self._kept) <= MOST

    def make_private(self) -> None:
        """Before this process is forked."""
        kept = [owner for owners in (self._latest, *self._kept.values()) for owner in owners]
        owners = [owner for each in kept if (owner := each()) is not None]
        if owners:
            self._private += owners
            self.copied = self.copied or self._copies
        for owner in owners:
            _platform.make_private(owner, self._descriptor, owner.at, owner.size)


@cache
def _owner(power: int) -> Any:
    """A type of ``2 ** power`` bytes of anybody's memory; views of it keep its object alive, which nothing else does.
    None where there are no such types."""
    try:
        import _ctypes
    except ImportError:
        return None

    byte = type("Byte", (_ctypes._SimpleCData,), {"_type_": "B"})
    # A subclass, since weak references to an array itself cannot be made.
    return type("Owner", (_ctypes.Array,), {"_type_": byte, "_length_": 1 << power})
