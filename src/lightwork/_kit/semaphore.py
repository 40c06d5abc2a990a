"""Semaphore: permits that threads and processes take and give back."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from lightwork._clock import SystemClock
from lightwork._kit import _native
from lightwork._kit._identity import me
from lightwork._kit._monitor import OWN, SIZE, WAITERS, WAITING, WOKEN, Monitor, check_timeout, whole
from lightwork._kit._uninterrupted import uninterrupted
from lightwork._kit.locks import PATIENCE

VALUE, RESERVED, TOTAL, SIGNALS, MEMBERS = range(OWN, OWN + 5)
"""Words: free permits; the ticket of the waiter whose turn it is or 0; permits there are, free or held; whether
somebody released what it did not hold; rows in use of the table of processes, which tells how many
permits each holds."""
_TABLE = SIZE // 8
MOST_PROCESSES = 512

_now = SystemClock.now


class Semaphore(Monitor):
    """``value`` permits; methods and meanings of ``threading.Semaphore``, between processes too.

    The permits of a process that is killed come back. Not so once somebody has released more than it had acquired: then
    permits are signals, and those that a dead process has consumed stay consumed.

    ``bounded``: releasing more than there were at first is a ValueError.
    """

    _size = SIZE + 16 * MOST_PROCESSES

    def __init__(self, value: int = 1, *, bounded: bool = False) -> None:
        if whole("value", value) < 0:
            raise ValueError("semaphore initial value must be >= 0")
        super().__init__()
        self._limit = value if bounded else None
        self._words[TOTAL] = self._words[VALUE] = value

    def _attach(self, handle: Any, limit: int | None = None) -> None:
        super()._attach(handle)
        self._limit = limit
        self._row = (0, 0)

    def _more(self) -> tuple[Any, ...]:
        return (self._limit,)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Takes a permit; False where there was none at once (``blocking=False``) or in ``timeout`` seconds."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        mutex, taken = self._mutex, None
        try:
            try:
                problem = _native.trylock(mutex)
                if problem:
                    self._enter(problem)
                taken = self._attempt(0, WAITING, 0.0)
            except BaseException:
                _native.consistent(mutex)
                raise
            finally:
                _native.unlock(mutex)
            if taken:
                return True
        except BaseException:
            if taken:
                self.release()
            raise
        return self._acquire_slowly(check_timeout(blocking, None if timeout is None else max(0.0, timeout)))

    def _acquire_slowly(self, seconds: float | None, give_up: Any = None) -> bool:
        if seconds is not None and seconds < _native.GUARD_SLICE:
            self._tend()
        began = _now()
        attempt = lambda ticket, state: self._attempt(ticket, state, began)  # noqa: E731
        # Not bool(…): an interrupt at the end of such a call would leave the permit taken.
        return self._wait(attempt, seconds, undo=lambda _: self.release(), give_up=give_up) is True

    def _attempt(self, ticket: int, state: int, began: float) -> bool | None:
        words = self._words
        if words[VALUE] and words[RESERVED] in (0, ticket):
            row = self._own_row()
            words[RESERVED] = 0
            words[row + 1] += 1
            words[VALUE] -= 1
            return True
        if state == WOKEN and not words[RESERVED] and _now() - began > PATIENCE:
            words[RESERVED] = ticket
        return None

    @uninterrupted
    def release(self, n: int = 1) -> None:
        """Gives ``n`` permits back, from any thread or process."""
        if n < 1:
            raise ValueError("n must be one or more")
        mutex = self._mutex
        told: list[Any] = []
        given: list[bool] = []
        try:
            try:
                problem = _native.trylock(mutex)
                if problem:
                    self._enter(problem)
                told = self._give(n, given)
            except BaseException:
                _native.consistent(mutex)
                raise
            finally:
                _native.unlock(mutex)
        except BaseException:
            if not given:  # interrupted, or refused, as it will be again
                with suppress(Exception):
                    self._change(partial(self._give, n, given))
            raise
        for each in told:
            _native.post(each)

    def _give(self, n: int, given: list[bool]) -> list[Any]:
        """Inside the guard: adds to ``given`` as soon as it is done; the semaphores of who should look now."""
        words = self._words
        if self._limit is not None and words[VALUE] + n > self._limit:
            raise ValueError("Semaphore released too many times")
        row = self._own_row()
        held = min(words[row + 1], n)
        if held < n:
            words[SIGNALS] = 1
            words[TOTAL] += n - held
        words[row + 1] -= held
        words[VALUE] += n
        given += [True]  # no call, at whose end an interrupt could come between
        return self._next(n) if words[WAITERS] else []

    def _next(self, count: int) -> list[Any]:
        """Inside the guard: the semaphores of who should look now."""
        reserved = self._words[RESERVED]
        for ticket, record in self._waiting(0) if reserved else ():
            if ticket == reserved:
                first = [] if self._state(record) == WOKEN else [self._tell(record)]
                return first + self._wake(count - 1)
        self._words[RESERVED] = 0
        return self._wake(count)

    def _leave(self, record: int, ticket: int, group: int) -> list[Any]:
        state = self._unpark(record)
        if self._words[RESERVED] == ticket:
            self._words[RESERVED] = 0
        elif state == WAITING:
            return []
        return self._next(self._words[VALUE]) if self._words[VALUE] else []

    def _own_row(self) -> int:
        """The first word of this process's row, which is made if there is none."""
        row, token = self._row
        words = self._words
        if token == me.token and words[row] == token:
            return row
        count = words[MEMBERS]
        tokens = words[_TABLE : _TABLE + 2 * count : 2].tolist()
        if me.token in tokens:
            row = _TABLE + 2 * tokens.index(me.token)
        else:
            spare = [i for i in range(count) if not tokens[i] or not words[_TABLE + 2 * i + 1]]
            if not spare and count == MOST_PROCESSES:
                raise RuntimeError(f"more than {MOST_PROCESSES} processes hold permits of {self!r}")
            index = spare[0] if spare else count
            row = _TABLE + 2 * index
            words[row + 1], words[row] = 0, me.token
            if not spare:
                words[MEMBERS] = count + 1
        self._row = (row, me.token)
        return row

    def _rows(self) -> dict[int, int]:
        end = _TABLE + 2 * self._words[MEMBERS]
        return dict(zip(self._list(_TABLE, end, 2), range(_TABLE, end, 2), strict=True))

    def _repair(self) -> None:
        super()._repair()
        words = self._words
        words[VALUE] = max(0, words[TOTAL] - sum(words[row + 1] for row in self._rows().values()))

    def _involved(self) -> set[int]:
        return set() if self._words[SIGNALS] else {t for t, row in self._rows().items() if self._words[row + 1]}

    def _bury(self, dead: set[int]) -> list[Any]:
        words = self._words
        for token, row in self._rows().items():
            if token in dead:
                if words[SIGNALS]:
                    words[TOTAL] -= words[row + 1]
                words[row + 1] = 0
        self._repair()
        return self._next(words[VALUE]) if words[VALUE] and words[WAITERS] else []

    def _what(self) -> str:
        return f"a permit of {self!r} is released"

    def _in_a_loop(self) -> str:
        return "in a coroutine write `async with semaphore:`"

    __enter__ = acquire

    @uninterrupted
    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> bool:
        if not self.acquire(False):
            from lightwork._kit._coroutines import in_a_thread

            await in_a_thread(lambda give_up: self._acquire_slowly(None, give_up), self.release)
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
