"""Memory of a queue: small messages one behind another in chunks, large ones in blocks of their own.

Both lie in one file that takes no memory where it was never touched. The lowest free place is taken first, so that
its pages are warm; what lies far behind goes back to the system when it is free.

Whoever is killed leaves what it had: a block that it was filling or reading is found by its process and freed.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import weakref
from typing import Any

from lightwork._kit._identity import is_alive, me
from lightwork._kit._monitor import SIZE, words_in

CHUNK = 1 << 16
INLINE = 1 << 14
"""Bytes from which on a message gets a block of its own."""
KEPT = 256 << 20
"""Bytes of blocks whose pages stay when they are free."""
KEPT_CHUNKS = 256
MOST_BLOCKS = 4096
PAGE = 4096

HEAD_MUTEX = SIZE
_WORDS = SIZE // 8 + 8
CHUNKS, TABLE_END = _WORDS, _WORDS + 1
"""Words: how many chunks there are; entries of the table of blocks in use, at most."""
TAIL, PUTS, NEXT_TAIL, NEXT_PUTS, NEW_CHUNK, NEW_BLOCK, CLOSED = range(_WORDS + 8, _WORDS + 15)
HEAD, GETS, NEXT_HEAD, NEXT_GETS, TAKEN_BLOCK = range(_WORDS + 16, _WORDS + 21)
"""Words: where the next message goes and how many went; the same two as they are about to be stored, with what hangs on
them, so that whoever comes after a killed process knows how far it came."""
DONE, GETTERS, PUTTERS = range(_WORDS + 24, _WORDS + 27)

_USED = SIZE + 512
MOST_CHUNKS = 1 << 14
_TABLE = (_USED + MOST_CHUNKS) // 8
START, LENGTH, WRITER, PUBLISHED, READER = range(5)
"""Of an entry of the table of blocks. LENGTH 0: it is free."""
FIRST_CHUNK = -(-(8 * _TABLE + 64 * MOST_BLOCKS) // CHUNK) * CHUNK


class Blocks:
    """The memory as one process sees it. What changes it is called with the senders' end locked, or as it says."""

    def __init__(self, memory: mmap.mmap, words: Any, chunks: int) -> None:
        self._map, self.words = memory, words
        self._chunks = chunks
        self._first = FIRST_CHUNK + chunks * CHUNK
        self._end = len(memory)

    # chunks

    def new_chunk(self) -> int | None:
        """Where a chunk begins that was free and is not now; None where there is none."""
        free = self._map.find(b"\0", _USED, _USED + self._chunks)
        if free < 0:
            return None
        self.words[NEW_CHUNK] = at = FIRST_CHUNK + (free - _USED) * CHUNK
        self._map[free] = 1
        return at

    def free_chunk(self, at: int) -> None:
        """With the receivers' end locked."""
        chunk = (at - FIRST_CHUNK) // CHUNK
        if chunk >= KEPT_CHUNKS:
            self._give_back(FIRST_CHUNK + chunk * CHUNK, CHUNK)
        self._map[_USED + chunk] = 0

    # blocks

    def new_block(self, size: int) -> int | None:
        """The number of a new block that this process fills; None where there is no room."""
        words, size = self.words, -(-size // PAGE) * PAGE
        taken, free = [], None
        end = words[TABLE_END]
        lengths = words_in(self._map[8 * (_TABLE + LENGTH) : 8 * (_TABLE + 8 * end)], 8)
        for number, length in enumerate(lengths):
            if length:
                taken.append((words[_TABLE + 8 * number + START], length))
            elif free is None:
                free = number
        number = end if free is None else free
        if number >= MOST_BLOCKS:
            return None
        at = self._first
        for start, length in sorted(taken):
            if start - at >= size:
                break
            at = start + length
        if at + size > self._end:
            return None
        entry = _TABLE + 8 * number
        words[entry + START], words[entry + WRITER] = at, me.token
        words[entry + PUBLISHED] = words[entry + READER] = 0
        words[entry + LENGTH] = size
        if number == end:
            words[TABLE_END] = end + 1
        return number

    def at(self, number: int) -> int:
        """Where a block begins."""
        return int(self.words[_TABLE + 8 * number + START])

    def set(self, number: int, field: int, value: int) -> None:
        self.words[_TABLE + 8 * number + field] = value

    def free_block(self, number: int) -> None:
        """By whoever has it; nothing needs to be locked."""
        entry = _TABLE + 8 * number
        start, length = self.words[entry + START], self.words[entry + LENGTH]
        if start + length > self._first + KEPT:
            self._give_back(start, length)
        self.words[entry + LENGTH] = 0

    def reclaim(self) -> None:
        """With both ends locked: frees the blocks of the dead."""
        words = self.words
        fate: dict[int, bool] = {}
        for number in range(words[TABLE_END]):
            entry = _TABLE + 8 * number
            owner = words[entry + READER] or (0 if words[entry + PUBLISHED] else words[entry + WRITER])
            if words[entry + LENGTH] and owner:
                if owner not in fate:
                    fate[owner] = is_alive(owner)
                if not fate[owner]:
                    self.free_block(number)

    def lent(self, number: int, start: int, length: int) -> Any:
        """A part of a block that this process reads; the block is free when the last view of it has gone.

        Every view is to be made anew of what is returned: threads may drop them at once.
        """
        part = _part(length).from_buffer(self._map, start)
        weakref.finalize(part, self._returned, number, me.token).atexit = False
        return part

    def _returned(self, number: int, token: int) -> None:
        if token == me.token:  # not in a fork of the reader
            self.free_block(number)

    def _give_back(self, start: int, length: int) -> None:
        if hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE, start, length)


@functools.lru_cache(64)
def _part(length: int) -> Any:
    """A type of so many bytes that weak references can be made to."""
    return type("Part", (ctypes.c_char * length,), {})
