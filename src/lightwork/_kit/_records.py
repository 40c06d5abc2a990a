"""A queue's records in shared memory: first in, first out. Nobody waits here.

Two ends with a guard each: senders write behind TAIL, receivers read from HEAD, and neither waits for the other. (Where
a processor's stores may be seen in another order, on ARM, both have one guard, which puts them in order.) A record
counts when TAIL has passed it, and is taken when HEAD has; what a killed process had begun to write or to take did not
happen.
"""

from __future__ import annotations

import mmap
import queue
from typing import Any

from lightwork._kit import _native
from lightwork._kit._blocks import (
    CHUNK,
    CHUNKS,
    CLOSED,
    FIRST_CHUNK,
    GETS,
    HEAD,
    HEAD_MUTEX,
    NEW_BLOCK,
    NEW_CHUNK,
    NEXT_GETS,
    NEXT_HEAD,
    NEXT_PUTS,
    NEXT_TAIL,
    PUBLISHED,
    PUTS,
    READER,
    TAIL,
    TAKEN_BLOCK,
    Blocks,
)
from lightwork._kit._identity import me

RAW, PICKLED, BLOCK, JUMP = range(4)
"""Kinds of records: bytes; a pickle; a message in a block; the next record is in another chunk."""
MASK = CHUNK - 1
LOW = 0xFFFF_FFFF

if hasattr(queue, "ShutDown"):  # since Python 3.13
    ShutDown: type[Exception] = queue.ShutDown
else:

    class ShutDown(Exception):  # type: ignore[no-redef]
        """The queue was shut down."""


_trylock, _unlock = _native.trylock, _native.unlock


class Records:
    """The records as one process sees them. ``size``: how many there may be; 0 or less: any number."""

    def __init__(self, memory: _native.Memory, octets: memoryview, tail_mutex: Any, chunks: int, size: int) -> None:
        self._bytes, self._words, self._maxsize = octets, octets.cast("Q"), size
        self._map: mmap.mmap = octets.obj  # type: ignore[assignment]
        self._tail_mutex = tail_mutex
        self._head_mutex = memory.mutex(HEAD_MUTEX) if _native.IN_ORDER else tail_mutex
        self.blocks = Blocks(self._map, self._words, chunks)

    def begin(self, chunks: int) -> None:
        """Makes the memory, of so many chunks, that of records of which there are none yet."""
        if self._head_mutex is not self._tail_mutex:
            _native.make_mutex(self._head_mutex)
        words = self._words
        words[CHUNKS] = chunks
        words[HEAD] = words[TAIL] = words[NEXT_HEAD] = words[NEXT_TAIL] = FIRST_CHUNK
        self.blocks.new_chunk()

    def close(self) -> None:
        """From now on ``append`` raises ShutDown, and ``take`` where there is none."""

        def close() -> None:
            self._words[CLOSED] = 1

        self.with_tail(close)

    def append(self, kind: int, data: Any) -> bool | None:
        """One record, if there is room."""
        words, mutex, size = self._words, self._tail_mutex, len(data)
        try:
            problem = _trylock(mutex)
            if problem:
                _native.enter(mutex, problem, self._repair_tail)
            if words[CLOSED]:
                raise ShutDown
            puts = words[PUTS]
            if puts - words[GETS] >= self._maxsize > 0:
                return None
            tail = words[TAIL]
            end = tail + 8 + (size + 7 & -8)
            if (tail & MASK) + end - tail > MASK - 7:
                fresh = self.blocks.new_chunk()
                if fresh is None:
                    return None
                words[tail >> 3] = JUMP << 32 | fresh >> 16
                tail, end = fresh, end - tail + fresh
            self._bytes[tail + 8 : tail + 8 + size] = data
            words[tail >> 3] = kind << 32 | size
            if kind == BLOCK:
                block = words[tail + 8 >> 3] & LOW
                words[NEW_BLOCK] = block + 1
                self.blocks.set(block, PUBLISHED, 1)
            words[NEXT_PUTS] = puts + 1
            words[NEXT_TAIL] = end
            words[TAIL] = end
            words[PUTS] = puts + 1
        except BaseException:
            _native.consistent(mutex)
            raise
        finally:
            _unlock(mutex)
        return True

    def new_block(self, size: int) -> int | None:
        number: int | None = self.with_tail(lambda: self.blocks.new_block(size))
        if number is None:
            self._reclaim()
            number = self.with_tail(lambda: self.blocks.new_block(size))
        return number

    def with_tail(self, do: Any) -> Any:
        try:
            problem = _trylock(self._tail_mutex)
            if problem:
                _native.enter(self._tail_mutex, problem, self._repair_tail)
            return do()
        except BaseException:
            _native.consistent(self._tail_mutex)
            raise
        finally:
            _unlock(self._tail_mutex)

    def _with_head(self, do: Any) -> Any:
        try:
            problem = _trylock(self._head_mutex)
            if problem:
                _native.enter(self._head_mutex, problem, self._repair_head)
            return do()
        except BaseException:
            _native.consistent(self._head_mutex)
            raise
        finally:
            _unlock(self._head_mutex)

    def _reclaim(self) -> None:
        reclaim = self.blocks.reclaim
        self.with_tail((lambda: self._with_head(reclaim)) if self._head_mutex is not self._tail_mutex else reclaim)

    def take(self) -> tuple[int, Any] | None:
        """The first record, if there is one."""
        words, mutex = self._words, self._head_mutex
        try:
            problem = _trylock(mutex)
            if problem:
                _native.enter(mutex, problem, self._repair_head)
            head = words[HEAD]
            if head == words[TAIL]:
                if words[CLOSED]:
                    raise ShutDown
                return None
            at = head
            header = words[at >> 3]
            if header >> 32 == JUMP:
                at = (header & LOW) << 16
                header = words[at >> 3]
            kind, size = header >> 32, header & LOW
            data = self._map[at + 8 : at + 8 + size]
            if kind == BLOCK:
                number = int.from_bytes(data[:4], "little")
                words[TAKEN_BLOCK] = number + 1
                self.blocks.set(number, READER, me.token)
            gets = words[GETS] + 1
            end = at + 8 + (size + 7 & -8)
            words[NEXT_GETS] = gets
            words[NEXT_HEAD] = end
            words[HEAD] = end
            words[GETS] = gets
            if at ^ head > MASK:
                self.blocks.free_chunk(head)
        except BaseException:
            _native.consistent(mutex)
            raise
        finally:
            _unlock(mutex)
        return kind, data

    # what killed processes left

    def _repair_tail(self) -> None:
        self._mend_tail()
        if self._head_mutex is self._tail_mutex:
            self._mend_head()

    def _repair_head(self) -> None:
        self._mend_head()
        if self._head_mutex is self._tail_mutex:
            self._mend_tail()

    def _mend_tail(self) -> None:
        words = self._words
        if words[TAIL] == words[NEXT_TAIL]:
            words[PUTS] = max(words[PUTS], words[NEXT_PUTS])
        elif words[NEW_BLOCK]:
            self.blocks.set(words[NEW_BLOCK] - 1, PUBLISHED, 0)
        words[NEW_BLOCK] = 0
        fresh = words[NEW_CHUNK]
        if fresh and fresh >> 16 != words[TAIL] >> 16:
            words[NEW_CHUNK] = 0
            self.blocks.free_chunk(fresh)

    def _mend_head(self) -> None:
        words = self._words
        if words[HEAD] == words[NEXT_HEAD]:
            words[GETS] = max(words[GETS], words[NEXT_GETS])
        elif words[TAKEN_BLOCK]:
            self.blocks.set(words[TAKEN_BLOCK] - 1, READER, 0)
        words[TAKEN_BLOCK] = 0
