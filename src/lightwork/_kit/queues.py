"""Queue: messages between threads, processes and sub-interpreters, through shared memory.

Two ends with a guard each: senders write behind TAIL, receivers read from HEAD, and neither waits for the other. (Where
a processor's stores may be seen in another order, on ARM, both have one guard, which puts them in order.) A
message counts when TAIL has passed it, and is taken when HEAD has; what a killed process had begun to write or to take
did not happen. Large messages lie in blocks of their own, which are filled and read outside of any guard; arrays are
received where they lie, without a copy, in memory that is the receiver's until it lets go of them.
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
    CHUNKS,
    CLOSED,
    DONE,
    FIRST_CHUNK,
    GETS,
    GETTERS,
    HEAD,
    HEAD_MUTEX,
    INLINE,
    NEW_BLOCK,
    NEW_CHUNK,
    NEXT_GETS,
    NEXT_HEAD,
    NEXT_PUTS,
    NEXT_TAIL,
    PUBLISHED,
    PUTS,
    PUTTERS,
    READER,
    TAIL,
    TAKEN_BLOCK,
    Blocks,
)
from lightwork._kit._identity import me
from lightwork._kit._monitor import WAITING, WOKEN, Monitor, whole, words_in

SIZES = ((1 << 14, 64 << 30), (1 << 12, 4 << 30), (1 << 10, 256 << 20))
"""Chunks and bytes of blocks, of addresses only; the next where a process may not have as many."""
PORTABLE_SIZES = SIZES[2:]
LENT = 256 << 10
"""Bytes of buffers from which on a message is received where it lies; smaller ones are copied, and their place is free
at once."""
RAW, PICKLED, BLOCK, JUMP = range(4)
"""Kinds of records: bytes; a pickle; a message in a block; the next record is in another chunk."""
MASK = CHUNK - 1
LOW = 0xFFFF_FFFF
GETTING, PUTTING, JOINING = range(3)
"""Groups of waiters."""

if hasattr(queue, "ShutDown"):  # since Python 3.13
    ShutDown: type[Exception] = queue.ShutDown
else:

    class ShutDown(Exception):  # type: ignore[no-redef]
        """The queue was shut down."""


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
        if self._head_mutex is not self._second:
            _native.make_mutex(self._head_mutex)
        words = self._words
        words[CHUNKS] = self._chunks
        words[HEAD] = words[TAIL] = words[NEXT_HEAD] = words[NEXT_TAIL] = FIRST_CHUNK
        self._blocks.new_chunk()

    def _attach(self, handle: Handle, maxsize: int | None = None, chunks: int = 0, size: int = 0) -> None:
        if maxsize is not None:
            self._maxsize, self._chunks, self._size = maxsize, chunks, size
        super()._attach(handle)
        self._head_mutex = self._memory.mutex(HEAD_MUTEX) if _native.IN_ORDER else self._second
        self._blocks = Blocks(self._map, self._words, self._chunks)

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
        if not self._append(kind, data):
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

    def _append(self, kind: int, data: Any) -> bool | None:
        """One record, if there is room."""
        words, mutex, size = self._words, self._second, len(data)
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
                fresh = self._blocks.new_chunk()
                if fresh is None:
                    return None
                words[tail >> 3] = JUMP << 32 | fresh >> 16
                tail, end = fresh, end - tail + fresh
            self._bytes[tail + 8 : tail + 8 + size] = data
            words[tail >> 3] = kind << 32 | size
            if kind == BLOCK:
                block = words[tail + 8 >> 3] & LOW
                words[NEW_BLOCK] = block + 1
                self._blocks.set(block, PUBLISHED, 1)
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

    def _put_slowly(self, kind: int, data: Any, block: bool, timeout: float | None) -> None:
        if not block:
            raise queue.Full
        if not self._wait(lambda *_: self._append(kind, data), timeout, PUTTING):
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
        number = self._new_block(total)
        if number is None:
            number = self._wait(lambda *_: self._new_block(total), timeout if block else 0.0, PUTTING)
            if number is None:
                raise queue.Full
        published = False
        try:
            start = self._blocks.at(number)
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
            if not self._append(BLOCK, record):
                self._put_slowly(BLOCK, record, block, left)
            published = True
        finally:
            if not published:
                self._blocks.free_block(number)
        if words[GETTERS]:
            self._signal(GETTING)

    def _new_block(self, size: int) -> int | None:
        number: int | None = self._with_tail(lambda: self._blocks.new_block(size))
        if number is None:
            self._reclaim()
            number = self._with_tail(lambda: self._blocks.new_block(size))
        return number

    def _with_tail(self, do: Any) -> Any:
        try:
            problem = _trylock(self._second)
            if problem:
                _native.enter(self._second, problem, self._repair_tail)
            return do()
        except BaseException:
            _native.consistent(self._second)
            raise
        finally:
            _unlock(self._second)

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
        reclaim = self._blocks.reclaim
        self._with_tail((lambda: self._with_head(reclaim)) if self._head_mutex is not self._second else reclaim)

    # getting

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Takes the first message; waits where there is none.

        Raises ``queue.Empty`` after ``timeout`` seconds or, with ``block=False``, at once; ShutDown where the queue is
        shut down and empty.
        """
        if timeout is not None and block and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        found = self._take()
        if found is None:
            if not block:
                raise queue.Empty
            found = self._wait(lambda *_: self._take(), timeout, GETTING)
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

    def _take(self) -> tuple[int, Any] | None:
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
                self._blocks.set(number, READER, me.token)
            gets = words[GETS] + 1
            end = at + 8 + (size + 7 & -8)
            words[NEXT_GETS] = gets
            words[NEXT_HEAD] = end
            words[HEAD] = end
            words[GETS] = gets
            if at ^ head > MASK:
                self._blocks.free_chunk(head)
        except BaseException:
            _native.consistent(mutex)
            raise
        finally:
            _unlock(mutex)
        return kind, data

    def _received(self, record: bytes) -> Any:
        """The message in a block that is this process's now."""
        number, kind = int.from_bytes(record[:4], "little"), record[4]
        words, lent = self._words, False
        try:
            start = self._blocks.at(number)
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
            whole = self._blocks.lent(number, start, at - start + sum(n + -n % 64 for n in lengths))
            lent, parts, at = True, [], at - start
            for length in lengths:
                parts.append(memoryview(whole).cast("B")[at : at + length])
                at += length + -length % 64
            return pickle.loads(parts[0], buffers=parts[1:])
        finally:
            if not lent:
                self._blocks.free_block(number)
            if words[PUTTERS]:
                self._signal(PUTTING)

    # what killed processes left

    def _repair_tail(self) -> None:
        self._mend_tail()
        if self._head_mutex is self._second:
            self._mend_head()

    def _repair_head(self) -> None:
        self._mend_head()
        if self._head_mutex is self._second:
            self._mend_tail()

    def _mend_tail(self) -> None:
        words = self._words
        if words[TAIL] == words[NEXT_TAIL]:
            words[PUTS] = max(words[PUTS], words[NEXT_PUTS])
        elif words[NEW_BLOCK]:
            self._blocks.set(words[NEW_BLOCK] - 1, PUBLISHED, 0)
        words[NEW_BLOCK] = 0
        fresh = words[NEW_CHUNK]
        if fresh and fresh >> 16 != words[TAIL] >> 16:
            words[NEW_CHUNK] = 0
            self._blocks.free_chunk(fresh)

    def _mend_head(self) -> None:
        words = self._words
        if words[HEAD] == words[NEXT_HEAD]:
            words[GETS] = max(words[GETS], words[NEXT_GETS])
        elif words[TAKEN_BLOCK]:
            self._blocks.set(words[TAKEN_BLOCK] - 1, READER, 0)
        words[TAKEN_BLOCK] = 0

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

        def close() -> None:
            self._words[CLOSED] = 1

        self._with_tail(close)
        while immediate:
            try:
                found = self._take()
            except ShutDown:
                break
            if found is not None:
                self._discard(found)
        self._stir()

    def _discard(self, found: tuple[int, Any]) -> None:
        if found[0] == BLOCK:
            self._blocks.free_block(int.from_bytes(found[1][:4], "little"))
        try:
            self.task_done()
        except ValueError:
            return  # it was said before that it is done

    def _what(self) -> str:
        return f"{self!r} gets or gives a message"

    def _in_a_loop(self) -> str:
        return "in a coroutine write `await queue.async_get()`, `async_put(item)` or `async_join()`"
