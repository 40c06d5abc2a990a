"""Memory that a worker shares with its crew, so that the crew knows what a killed worker was doing and had done.

    word 0      the slot: number of the batch << 32 | position of the call that runs, stored before it begins
    word 1      bytes of the outbox that are valid, stored after the bytes themselves
    word 2      how often the outbox was emptied, stored after word 1 was set to 0
    word 3      0: the outbox holds entries; else a row (see ``_rows``): its first position plus 1 << 8 | its kind,
                | TELLS while the row's cells say which call runs, in the slot's place
    word 4      how many frames whose buffers the worker put into the arena the crew has copied out
    word 5      0 until the worker is there: then 1, or 2 where it can read the arena
    word 6      1: some calls are revoked; their slots are those from word 7 on and below word 8
    word 9      1: the function of the call that the slot names is being fetched, and may be taking long to import; 0
                before the call begins, if it does
    word 10     when the alarm of ``call_timeout`` is to strike, in microseconds; 0: none is set
    word 11     64 random bits, which stand in cells of a row that have no result yet
    word 12 …   the outbox: results of finished calls that were not sent yet

Behind these SIZE bytes lies the arena (see ``_arena``), where the system has memory that takes no room until it is
used: the crew's half, then the worker's.

A result stands in the outbox until it was sent whole. So after SIGKILL every finished call's result is either in
the socket or here, or in both (its position tells), and the slot names the one call that was lost. While calls are
made whose results all go into the cells of a row, one store a call does for both: the call that runs is the one whose
cell is the first with the bits of word 11. (That a result has just these happens in one of 10^19 calls.)

Words are aligned and stored by one instruction each (within a row of Nones: the half of word 0 with the position). A
reader of a *living* worker's outbox takes what it copied only if word 2 was the same before and after: entries are
appended and never changed in between.
"""

from __future__ import annotations

import mmap
import os

from lightwork._backends._arena import Arena
from lightwork._backends._copying import alone
from lightwork._backends._lent import Lent
from lightwork._lean import struct, suppress
from lightwork._platform import mapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._backends._copying import Copy

SIZE = 80 * 1024
HALF = 1 << 30
"""Bytes of each half of the arena."""
ARENA = -(-SIZE // mmap.PAGESIZE) * mmap.PAGESIZE
"""Where the arena begins."""
WITH_ARENA = ARENA + 2 * HALF
REVOKED = 6 * 8
"""The byte that says whether calls are revoked. The worker stores the slot and then looks here; the crew stores here
and looks at the slot a while later: so a call that the slot does not name by then will never begin."""
DUE = 10 * 8
"""The bytes that say when the alarm is to strike."""
BLANK = 11 * 8
"""The bytes that stand in cells without a result."""
OUTBOX = 12 * 8
"""Where the outbox begins."""
THERE, READS = 1, 2
"""In word 5."""
TELLS = 0x80
"""In word 3: the row's cells say which call runs."""
POSITION = 0xFFFF_FFFF
"""The slot's bits that say it otherwise."""
LARGEST = 32 * 1024
"""Results above this size are sent for themselves: copying them twice would cost more than a message."""

ENTRY = struct.Struct("<IBxxxQ")
"""Position of the call in its batch, kind, length; the pickle follows."""
VALUE, FAILURE = 0, 1


class Ledger:
    """One end of the shared memory; without a descriptor, memory of this process alone."""

    def __init__(self, descriptor: int | None = None, ours: int = 0, copy: Copy = alone) -> None:
        """``ours``: the number of the half of the arena in which this side allots; ``copy``: how it copies to it."""
        self._map = None if descriptor is None else _mapped(descriptor)
        self._descriptor: int | None = None
        self._whole = memoryview(bytearray(SIZE) if self._map is None else self._map)
        self.memory = self._whole[:SIZE]
        self.words = self.memory.cast("Q")
        if not ours:
            self.memory[BLANK:OUTBOX] = os.urandom(8)
        self.arena: Arena | None = None
        if self._map is not None and len(self._whole) == WITH_ARENA:
            self.arena = Arena(self._map, ARENA + ours * HALF, HALF, copy)

    @property
    def slot(self) -> int:
        """The call that began last, by its batch << 32 | its position; where the cells of a row say so it may be about
        to begin."""
        words = self.words
        while True:
            seen = slot, row, _ = words[0], words[3], words[2]
            if row & TELLS:
                slot = (slot & ~POSITION) | ((row >> 8) - 1 + self._stored())
            if seen == (words[0], words[3], words[2]):
                return slot  # else the worker has moved on meanwhile

    def _stored(self) -> int:
        """The number of the first cell that has no result."""
        cells = bytes(self.memory[BLANK:])
        at = cells.find(cells[:8], 8)
        while at > 0 and at % 8:
            at = cells.find(cells[:8], at + 1)
        return (at if at > 0 else len(cells)) // 8 - 1

    @property
    def running(self) -> tuple[int, int]:
        """(batch, position) of the call that began last; batch 0 where none ever did."""
        slot = self.slot
        return slot >> 32, slot & POSITION

    def view(self, at: int, size: int) -> memoryview:
        """A place in the arena."""
        return self._whole[at : at + size]

    def lent(self) -> Lent | None:
        """The arena as the memory of this process's arguments, where there is an arena."""
        if self._map is None or self.arena is None or self._descriptor is None:
            return None
        return Lent(self._map, self._descriptor)

    def copy(self) -> Ledger | None:
        """What a living worker's holds; None if the outbox is empty or was emptied meanwhile."""
        emptied, used = self.words[2], self.words[1]
        if not used and not self.words[3]:
            return None
        copy = Ledger()
        # The slot first: what came before the call that it names is stored already.
        copy.words[0] = self.words[0]
        copy.memory[8:] = self.memory[8:]
        return copy if self.words[2] == emptied else None

    def entries(self) -> memoryview:
        """The outbox's entries."""
        return self.memory[OUTBOX : OUTBOX + min(self.words[1], SIZE - OUTBOX)]

    def let_go(self) -> None:
        """In a process that the worker's has forked: what stands here is the worker's."""
        self.words.release()
        self.memory.release()

    def close(self) -> None:
        if self.arena is not None:
            self.arena.close()
        for view in (self.words, self.memory, self._whole):
            view.release()
        if self._map is not None:
            # The frames of an exception that unpickling raised may look into it: then it goes when they do.
            with suppress(BufferError):
                self._map.close()
        if self._descriptor is not None:
            os.close(self._descriptor)


def due(descriptor: int) -> float:
    """When the alarm is to strike that is set in the worker with this ledger; 0 where none is."""
    return int(struct.unpack("=Q", os.pread(descriptor, 8, DUE))[0]) / 1e6


def shared(descriptor: int) -> Ledger:
    """The worker's end, to which the descriptor belongs then."""
    ledger = Ledger(descriptor, ours=1)
    ledger._descriptor = descriptor
    ledger.words[5] = THERE if ledger.arena is None else READS
    return ledger


def _mapped(descriptor: int) -> mmap.mmap:
    """The memory, with its arena if it has one and this process may have so many addresses."""
    if os.fstat(descriptor).st_size == WITH_ARENA:
        try:
            return mapped(descriptor, WITH_ARENA)
        except OSError:
            return mapped(descriptor, SIZE)
    return mapped(descriptor, SIZE)
