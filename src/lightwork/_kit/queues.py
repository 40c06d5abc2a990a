"""Queue: messages between threads, processes and sub-interpreters, through shared memory.

A message is a record (see ``_records``), or, where it is large, lies in a block of its own, which is filled and read
outside of any guard; arrays are received where they lie, without a copy, in memory that is the receiver's until it lets
go of them.
"""

from __future__ import annotations

import errno
import pickle
import queue
from collections.abc import Callable, Sequence
from typing import Any

from lightwork import _pickling
from lightwork._clock import SystemClock
from lightwork._handles import Handle
from lightwork._kit import _native
from lightwork._kit._blocks import (
    CHUNK,
    CLOSED,
    DONE,
    FIRST_CHUNK,
    GETS,
    GETTERS,
    HEAD,
    INLINE,
    PUTS,
    PUTTERS,
    TAIL,
)
from lightwork._kit._monitor import WAITING, WOKEN, Monitor, whole, words_in
from lightwork._kit._records import BLOCK, PICKLED, RAW, Records
from lightwork._kit._records import ShutDown as ShutDown

SIZES = ((1 << 14, 64 << 30), (1 << 12, 4 << 30), (1 << 10, 256 << 20))
"""Chunks and bytes of blocks, of addresses only; the next where a process may not have as many."""
PORTABLE_SIZES = SIZES[2:]
LENT = 256 << 10
"""Bytes of buffers from which on a message is received where it lies; smaller ones are copied, and their place is free
at once."""
GETTING, PUTTING, JOINING = range(3)
"""Groups of waiters."""

_trylock, _unlock, _now = _native.trylock, _native.unlock, SystemClock.now


class Queue(Monitor):
    """First in, first out; methods and meanings of ``queue.Queue`` (with ``shutdown``, on every Python), between
    processes too.

    ``maxsize``: messages that it holds at most; 0: as many as there is memory for. Messages are always pickled, between
    threads too, so that each receiver has its own. A message that was put is there: no thread has to send it first.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = whole("maxsize", maxsize)
        problem: OSError | None = None
        for self._chunks, blocks in SIZES if _native.native else PORTABLE_SIZES:
            self._size = FIRST_CHUNK + self._chunks * CHUNK + blocks
            try:
                super().__init__()
                break
            except OSError as refused:
                if refused.errno not in (errno.ENOMEM, errno.EFBIG, errno.EINVAL, errno.ENOSPC):
                    raise
                problem = refused
        else:
            assert problem is not None
            raise problem
        self._records.begin(self._chunks)

    def _attach(self, handle: Handle, maxsize: int | None = None, chunks: int = 0, size: int = 0) -> None:
        if maxsize is not None:
            self._maxsize, self._chunks, self._size = maxsize, chunks, size
        super()._attach(handle)
        self._records = Records(self._memory, self._bytes, self._second, self._chunks, self._maxsize)

    def _more(self) -> tuple[Any, ...]:
        return self._maxsize, self._chunks, self._size

    # putting

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Appends a message; waits where the queue is full.

        Raises ``queue.Full`` after ``timeout`` seconds or, with ``block=False``, at once; ShutDown; whatever pickling
        raises.
        """
        if timeout is not None and block and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        buffers: Sequence[memoryview] = ()
        if type(item) is bytes:
            kind, data = RAW, item
        else:
            data, buffers = _pickling.dump(item, INLINE)
            kind = PICKLED
        if buffers or len(data) > INLINE:
            self._put_block(kind, data, buffers, block, timeout)
            return
        if not self._records.append(kind, data):
            self._put_slowly(kind, data, block, timeout)
        if self._words[GETTERS]:
            self._signal(GETTING)  # if that one finds more, it wakes the next

    async def async_put(self, item: Any) -> None:
        """Appends a message in a coroutine; waits where the queue is full."""
        from lightwork._kit._coroutines import in_a_thread

        while True:
            try:
                return self.put(item, False)
            except queue.Full:
                await in_a_thread(self._await_room)

    def _put_slowly(self, kind: int, data: Any, block: bool, timeout: float | None) -> None:
        if not block:
            raise queue.Full
        if not self._wait(lambda *_: self._records.append(kind, data), timeout, PUTTING):
            raise queue.Full

    def _put_block(
        self, kind: int, data: Any, buffers: Sequence[memoryview], block: bool, timeout: float | None
    ) -> None:
        if not block and self.full():
            raise queue.Full
        lengths = [len(data), *map(len, buffers)]
        head = 8 * (len(lengths) + 1)
        head += -head % 64
        total = head + sum(length + -length % 64 for length in lengths)
        end = None if timeout is None else _now() + timeout
        number = self._records.new_block(total)
        if number is None:
            number = self._wait(lambda *_: self._records.new_block(total), timeout if block else 0.0, PUTTING)
            if number is None:
                raise queue.Full
        published = False
        try:
            start = self._records.blocks.at(number)
            words, view = self._words, self._bytes
            words[start >> 3] = len(lengths)
            for i, length in enumerate(lengths):
                words[(start >> 3) + 1 + i] = length
            at = start + head
            for part, length in zip((data, *buffers), lengths, strict=True):
                view[at : at + length] = part
                at += length + -length % 64
            record = (kind << 32 | number).to_bytes(8, "little")
            left = None if end is None else max(0.0, end - _now())
            if not self._records.append(BLOCK, record):
                self._put_slowly(BLOCK, record, block, left)
            published = True
        finally:
            if not published:
                self._records.blocks.free_block(number)
        if words[GETTERS]:
            self._signal(GETTING)

    # getting

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Takes the first message; waits where there is none.

        Raises ``queue.Empty`` after ``timeout`` seconds or, with ``block=False``, at once; ShutDown where the queue is
        shut down and empty.
        """
        if timeout is not None and block and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        found = self._records.take()
        if found is None:
            if not block:
                raise queue.Empty
            found = self._wait(lambda *_: self._records.take(), timeout, GETTING)
            if found is None:
                raise queue.Empty
        words = self._words
        if words[PUTTERS] and words[PUTS] - words[GETS] <= self._maxsize - self._maxsize // 8 - 1:
            self._signal(PUTTING)  # not for each place: one that is woken fills many
        if words[GETTERS] and words[HEAD] != words[TAIL]:
            self._signal(GETTING)
        kind, data = found
        if kind == RAW:
            return data
        if kind == PICKLED:
            return pickle.loads(data)
        return self._received(data)

    async def async_get(self) -> Any:
        """Takes the first message in a coroutine; waits where there is none. Cancelled, it has taken none."""
        from lightwork._kit._coroutines import in_a_thread

        while True:
            try:
                return self.get(False)
            except queue.Empty:
                await in_a_thread(lambda gone: self._await_message(None, gone))

    def _received(self, record: bytes) -> Any:
        """The message in a block that is this process's now."""
        number, kind = int.from_bytes(record[:4], "little"), record[4]
        words, lent = self._words, False
        try:
            start = self._records.blocks.at(number)
            count = words[start >> 3]
            at = start + 8 * (count + 1)
            lengths = words_in(self._map[start + 8 : at])
            at += -at % 64
            if kind == RAW:
                return self._map[at : at + lengths[0]]
            if count == 1 or sum(lengths[1:]) < LENT:
                parts = []
                for length in lengths:
                    parts.append(memoryview(self._map)[at : at + length])
                    at += length + -length % 64
                return pickle.loads(parts[0], buffers=[bytearray(part) for part in parts[1:]])
            whole = self._records.blocks.lent(number, start, at - start + sum(n + -n % 64 for n in lengths))
            lent, parts, at = True, [], at - start
            for length in lengths:
                parts.append(memoryview(whole).cast("B")[at : at + length])
                at += length + -length % 64
            return pickle.loads(parts[0], buffers=parts[1:])
        finally:
            if not lent:
                self._records.blocks.free_block(number)
            if words[PUTTERS]:
                self._signal(PUTTING)

    # waiting

    def _await_message(self, timeout: float | None, over: Any) -> bool:
        """Until there is a message, or ``over()``; False if neither is in ``timeout`` seconds."""

        def attempt(*_: Any) -> bool | None:
            words = self._words
            return True if words[HEAD] != words[TAIL] or words[CLOSED] or over() else None

        if attempt():
            return True
        if timeout is not None and timeout <= 0:
            return False
        found = self._wait(attempt, timeout, GETTING)
        if found and self._words[HEAD] != self._words[TAIL]:
            self._signal(GETTING)  # this one was woken, and takes nothing
        return bool(found)

    def _await_room(self, over: Callable[[], bool]) -> bool:
        """Until there may be room for another message, or ``over()``."""

        def attempt(ticket: int, state: int) -> bool | None:
            # Where it is not full but has no memory left: one look in a slice.
            return True if over() or (ticket and (state == WOKEN or self._words[CLOSED] or not self.full())) else None

        return bool(self._wait(attempt, None, PUTTING))

    def _stir(self) -> None:
        """Has all that wait look again."""
        for group in (GETTING, PUTTING, JOINING):
            self._signal(group, 2**63)

    def _armed(self, group: int) -> None:
        words = self._words
        if group == GETTING and (words[HEAD] != words[TAIL] or words[CLOSED]):
            self._signal(GETTING)
        elif group == PUTTING and (words[PUTS] - words[GETS] < self._maxsize or words[CLOSED]):
            self._signal(PUTTING)

    def _rearmed(self) -> None:
        self._count()

    def _signal(self, group: int, count: int = 1) -> None:
        told = []
        try:
            problem = _trylock(self._mutex)
            if problem:
                self._enter(problem)
            told = self._wake(count, group)
        except BaseException:
            _native.consistent(self._mutex)
            raise
        finally:
            _unlock(self._mutex)
        for each in told:
            _native.post(each)

    def _park(self, group: int) -> int:
        record = super()._park(group)
        self._count()
        return record

    def _unpark(self, record: int) -> int:
        state = super()._unpark(record)
        self._count()
        return state

    def _wake(self, count: int, group: int = 0, state: int = 1) -> list[Any]:
        told = super()._wake(count, group, state)
        self._count()
        return told

    def _count(self) -> None:
        """Inside the guard: notes how many should be woken, for those who look without it: none while one that was
        woken has not looked yet."""
        asleep, woken = [0, 0, 0], [0, 0, 0]
        for record, ticket in enumerate(self._tickets()):
            if ticket:
                (asleep if self._state(record) == WAITING else woken)[ticket & 0xFF] += 1
        self._words[GETTERS] = 0 if woken[GETTING] else asleep[GETTING]
        self._words[PUTTERS] = 0 if woken[PUTTING] else asleep[PUTTING]

    def _repair(self) -> None:
        super()._repair()
        self._count()

    def _bury(self, dead: set[int]) -> list[Any]:
        self._count()
        return []

    # the rest of queue.Queue

    @property
    def maxsize(self) -> int:
        """How many messages it holds at most; 0 or less: any number."""
        return self._maxsize

    @property
    def unfinished_tasks(self) -> int:
        """How many messages were put and not yet dealt with (``task_done``)."""
        return int(self._words[PUTS]) - int(self._words[DONE])

    @property
    def is_shutdown(self) -> bool:
        """Whether it was shut down."""
        return bool(self._words[CLOSED])

    def qsize(self) -> int:
        """How many messages it holds."""
        return max(0, int(self._words[PUTS]) - int(self._words[GETS]))

    def empty(self) -> bool:
        """Whether it holds none."""
        return bool(self._words[HEAD] == self._words[TAIL])

    def full(self) -> bool:
        """Whether it holds ``maxsize`` messages."""
        return 0 < self._maxsize <= self.qsize()

    def put_nowait(self, item: Any) -> None:
        """``put(item, block=False)``."""
        self.put(item, False)

    def get_nowait(self) -> Any:
        """``get(block=False)``."""
        return self.get(False)

    def task_done(self) -> None:
        """Says that a message that was taken has been dealt with; ValueError if called too often."""
        told = []
        try:
            problem = _trylock(self._mutex)
            if problem:
                self._enter(problem)
            words = self._words
            if words[DONE] >= words[PUTS]:
                raise ValueError("task_done() called too many times")
            words[DONE] += 1
            if words[DONE] == words[PUTS]:
                told = self._wake(2**63, JOINING)
        finally:
            _unlock(self._mutex)
        for each in told:
            _native.post(each)

    def join(self) -> None:
        """Waits until each message that was put has been dealt with (``task_done``)."""
        self._join()

    async def async_join(self) -> None:
        """The same in a coroutine."""
        from lightwork._kit._coroutines import in_a_thread

        await in_a_thread(self._join)

    def _join(self, give_up: Callable[[], bool] | None = None) -> None:
        self._wait(lambda *_: self._words[DONE] >= self._words[PUTS] or None, None, JOINING, give_up=give_up)

    def shutdown(self, immediate: bool = False) -> None:
        """From now on ``put`` raises ShutDown, and ``get`` once the queue is empty; with ``immediate`` that is now."""
        self._records.close()
        while immediate:
            try:
                found = self._records.take()
            except ShutDown:
                break
            if found is not None:
                self._discard(found)
        self._stir()

    def _discard(self, found: tuple[int, Any]) -> None:
        if found[0] == BLOCK:
            self._records.blocks.free_block(int.from_bytes(found[1][:4], "little"))
        try:
            self.task_done()
        except ValueError:
            return  # it was said before that it is done

    def _what(self) -> str:
        return f"{self!r} gets or gives a message"

    def _in_a_loop(self) -> str:
        return "in a coroutine write `await queue.async_get()`, `async_put(item)` or `async_join()`"
