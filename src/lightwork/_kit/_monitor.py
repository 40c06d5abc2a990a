"""What every primitive of the kit stands on: some words of shared memory, a guard around them, and a queue of waiters.

    bytes 0 …     two mutexes: the guard, and one for whoever needs a second
          128 …   words of the queue of waiters
          192 …   words of the primitive
          512 …   a record of 64 bytes for each waiter: ticket, process, state, and the semaphore it sleeps on

The state is in the words alone. A wake-up is a hint: who is woken looks again, and who is not woken looks again after
``SLICE`` seconds, so that neither a killed waker nor a killed sleeper holds up anybody for longer. Each change is one
aligned store, or a few in an order in which a process may be killed between any two.

Nobody waits inside the guard, and nothing of the user's runs there.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from lightwork import _context, _platform
from lightwork._clock import SystemClock
from lightwork._handles import Handle
from lightwork._kit import _native
from lightwork._kit._identity import is_alive, is_alone, me
from lightwork._kit._uninterrupted import uninterrupted
from lightwork._loaded import running_loop

T = TypeVar("T")

SLICE = 0.1
"""Seconds after which a waiter looks for itself, and whether those that it waits for are alive."""
SURE = 3
"""Slices after which a thread that had been started before has begun, and can be seen."""
MOST_WAITERS = 1000

ORDER, HIGH, WAITERS = 16, 17, 18
"""Words: tickets given so far; records in use, at most; waiters."""
OWN = 24
"""The first word of the primitive's own."""
_RECORDS = 64
SIZE = 8 * _RECORDS + 64 * MOST_WAITERS
_TICKET, _PROCESS, _STATE, _, _SEMAPHORE = range(5)
WAITING, WOKEN, SERVED, REFUSED = range(4)
"""States of a waiter: asleep; told to look; given what it waits for; told that it will never come."""

_now = SystemClock.now


def words_in(data: bytes, step: int = 1) -> list[int]:
    """Every ``step``-th word of a copy that a slice of the mapped memory made.

    Slices are taken of the mapping itself, never of a view of it that threads share: each such slice is counted in the
    view, and without the GIL a count can be lost, which releases the memory under everybody
    (https://github.com/python/cpython/issues/155606).
    """
    found: list[int] = memoryview(data).cast("Q")[::step].tolist()
    return found


class Monitor:
    """Base of the kit's objects. ``_size``: bytes of shared memory."""

    _size = SIZE

    def __init__(self) -> None:
        self._attach(Handle(_platform.anonymous_memory(self._size, self._size)))
        _native.make_mutex(self._mutex)
        _native.make_mutex(self._second)
        self._words[ORDER] = 1

    def _attach(self, handle: Handle) -> None:
        self._handle = handle
        self._map = _platform.mapped(handle.descriptor, self._size)
        self._memory = _native.Memory(self._map, handle.descriptor)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        self._mutex, self._second = self._memory.mutex(0), self._memory.mutex(_native.MUTEX)
        self._shared, self._forks = False, me.forks
        handle.face = weakref.ref(self)

    def __reduce__(self) -> tuple[Any, ...]:
        self._shared = True
        return _open, (type(self), self._handle, self._more())

    def _list(self, first: int, end: int, step: int = 1) -> list[int]:
        """Words of the memory."""
        return words_in(self._map[8 * first : 8 * end], step)

    def _more(self) -> tuple[Any, ...]:
        """What ``_attach`` takes beside the handle."""
        return ()

    def _enter(self, problem: int) -> None:
        """The slow way into the guard, after ``trylock`` returned ``problem``."""
        _native.enter(self._mutex, problem, self._repair)

    def _repair(self) -> None:
        """Called inside the guard where a process was killed there."""
        self._words[WAITERS] = sum(1 for ticket in self._tickets() if ticket)

    # waiters

    def _tickets(self) -> list[int]:
        return self._list(_RECORDS, _RECORDS + 8 * self._words[HIGH], 8)

    def _semaphore(self, record: int) -> Any:
        return self._memory.semaphore(8 * (_RECORDS + 8 * record + _SEMAPHORE))

    def _park(self, group: int) -> int:
        """Inside the guard: a record for this thread, with the next ticket."""
        words, tickets = self._words, self._tickets()
        record = tickets.index(0) if 0 in tickets else len(tickets)
        if record >= MOST_WAITERS:
            raise RuntimeError(f"more than {MOST_WAITERS} threads wait for {self!r}")
        if record == len(tickets):
            words[HIGH] = record + 1
        at = _RECORDS + 8 * record
        _native.make_semaphore(self._semaphore(record))
        words[at + _PROCESS], words[at + _STATE] = me.token, WAITING
        words[ORDER] += 1
        words[at + _TICKET] = words[ORDER] << 8 | group
        words[WAITERS] += 1
        return record

    def _state(self, record: int) -> int:
        return int(self._words[_RECORDS + 8 * record + _STATE])

    def _tell(self, record: int, state: int = WOKEN) -> Any:
        self._words[_RECORDS + 8 * record + _STATE] = state
        return self._semaphore(record)

    def _unpark(self, record: int) -> int:
        """Inside the guard: gives a record back; returns its last state."""
        words, at = self._words, _RECORDS + 8 * record
        if not words[at + _TICKET]:
            return WAITING
        words[at + _TICKET] = 0
        words[WAITERS] = max(0, words[WAITERS] - 1)
        if not words[WAITERS]:
            words[HIGH] = 0 if not any(self._tickets()) else words[HIGH]
        return int(words[at + _STATE])

    def _waiting(self, group: int) -> list[tuple[int, int]]:
        """Inside the guard: (ticket, record) of those of a group, the one that came first at the front."""
        return sorted((ticket, i) for i, ticket in enumerate(self._tickets()) if ticket and ticket & 0xFF == group)

    def _wake(self, count: int, group: int = 0, state: int = WOKEN) -> list[Any]:
        """Inside the guard: chooses up to ``count`` sleepers; returns the semaphores to post, outside of it."""
        chosen: list[Any] = []
        for _, record in self._waiting(group):
            if len(chosen) >= count:
                break
            now = self._state(record)
            if now == WAITING or (now == WOKEN and state > WOKEN):
                chosen.append(self._tell(record, state))
        return chosen

    def _wait(
        self,
        attempt: Callable[[int, int], T | None],
        timeout: float | None,
        group: int | Callable[[], int] = 0,
        undo: Callable[[T], object] | None = None,
        give_up: Callable[[], bool] | None = None,
        parked: Callable[[], object] | None = None,
    ) -> T | None:
        """Sleeps until ``attempt``, called inside the guard, returns something; None when the time is over.

        ``attempt`` gets this waiter's ticket (0: it has none yet) and its state. ``undo`` takes back what it returned,
        where Ctrl-C comes before the caller has it. ``parked`` is called once, outside of the guard, when this waiter
        can be woken; ``give_up`` once in a slice; ``group``, where it is a function, inside the guard before it parks.
        """
        deadline = None if timeout is None else _now() + timeout
        words, record, ticket, at, slices, found = self._words, -1, 0, 0, 0, None
        semaphore: Any = None
        try:
            while True:
                passed, armed = [], False
                try:
                    problem = _native.trylock(self._mutex)
                    if problem:
                        self._enter(problem)
                    found = attempt(ticket, words[at + _STATE] if ticket else WAITING)
                    if found is not None:
                        if record >= 0:
                            self._unpark(record)
                            record = -1
                        return found
                    if deadline is not None and deadline <= _now():
                        if record >= 0:
                            passed, record = self._leave(record, ticket, ticket & 0xFF), -1
                        return None
                    if record < 0:
                        self._refuse_to_block()
                        record = self._park(group() if callable(group) else group)
                        at = _RECORDS + 8 * record
                        ticket, semaphore = words[at + _TICKET], self._semaphore(record)
                        armed = True
                    elif words[at + _STATE] == WOKEN:
                        words[at + _STATE] = WAITING
                        self._rearmed()
                        armed = True
                    if slices == SURE and timeout is None:
                        self._refuse_to_wait_for_ever()
                except BaseException:
                    _native.consistent(self._mutex)
                    raise
                finally:
                    _native.unlock(self._mutex)
                    for each in passed:
                        _native.post(each)
                if armed:
                    self._armed(ticket & 0xFF)
                if parked is not None:
                    parked()
                    parked = None
                left = SLICE if deadline is None else min(SLICE, deadline - _now())
                if left > 0 and not _native.sleep(semaphore, left):
                    slices += 1
                    if give_up is not None and give_up():
                        return None
                    self._tend()
        except BaseException:
            if found is not None and undo is not None:
                undo(found)
            raise
        finally:
            if record >= 0:
                self._withdraw(record, ticket)

    def _leave(self, record: int, ticket: int, group: int) -> list[Any]:
        """Inside the guard: a waiter goes without what it waited for; returns the semaphores of those to tell."""
        state = self._unpark(record)
        return [] if state == WAITING else self._wake(1, group, state)

    def _withdraw(self, record: int, ticket: int) -> None:
        """A waiter was interrupted."""
        words, at = self._words, _RECORDS + 8 * record
        self._change(lambda: self._leave(record, ticket, ticket & 0xFF) if words[at] == ticket else [])

    @uninterrupted
    def _change(self, change: Callable[[], list[Any]]) -> None:
        """Does ``change`` inside the guard, and wakes whom it returns."""
        told: list[Any] = []
        try:
            problem = _native.trylock(self._mutex)
            if problem:
                self._enter(problem)
            told = change()
        except BaseException:
            _native.consistent(self._mutex)
            raise
        finally:
            _native.unlock(self._mutex)
        for each in told:
            _native.post(each)

    def _rearmed(self) -> None:
        """Inside the guard: one that was woken found nothing, and will sleep again."""

    def _armed(self, group: int) -> None:
        """Outside of it: a waiter can be woken from now on. What came just before woke nobody."""

    def _tend(self) -> None:
        """After a slice in which nothing came: clears away what the dead have left."""
        words = self._words
        tickets = self._tickets()
        processes = {words[_RECORDS + 8 * i + _PROCESS] for i, ticket in enumerate(tickets) if ticket}
        dead = {token for token in processes | self._involved() if token and not is_alive(token)}
        if not dead and words[WAITERS] == sum(1 for ticket in tickets if ticket):
            return

        def buried() -> list[Any]:
            told: list[Any] = []
            for i, ticket in enumerate(self._tickets()):
                if ticket and words[_RECORDS + 8 * i + _PROCESS] in dead:
                    told += self._leave(i, ticket, ticket & 0xFF)
            told += self._bury(dead)
            words[WAITERS] = sum(1 for ticket in self._tickets() if ticket)
            return told

        self._change(buried)

    def _involved(self) -> set[int]:
        """The processes, beside the waiters', whose death matters."""
        return set()

    def _bury(self, dead: set[int]) -> list[Any]:
        """Inside the guard: takes back what dead processes held; returns the semaphores to post."""
        return []

    def _refuse_to_block(self) -> None:
        """Raises RuntimeError where waiting would stop an event loop."""
        if running_loop() is not None:
            raise RuntimeError(
                f"this would block the event loop of this thread until {self._what()}; {self._in_a_loop()}"
            )

    def _refuse_to_wait_for_ever(self) -> None:
        """Inside the guard, so that nobody comes and is gone between the attempt and this: raises RuntimeError where
        there is nobody who could."""
        known_here_alone = not self._shared and self._forks == me.forks
        if known_here_alone and _context.backend() == "serial" and is_alone():
            raise RuntimeError(
                f"this call of a serial map would wait for ever until {self._what()}: its items run one after another "
                'in this thread, and nobody else has this object; use backend="threads" or "processes", or lw.gather, '
                "which runs all at once"
            )

    def _what(self) -> str:
        return "somebody else acts"

    def _in_a_loop(self) -> str:
        return "run it in a thread: await asyncio.to_thread(...)"

    def __repr__(self) -> str:
        return f"<lightwork.{type(self).__name__} {self._handle.key.hex()[:8]}>"


def _open(cls: type[Monitor], handle: Handle, more: tuple[Any, ...]) -> Monitor:
    """The object of a handle that has arrived: the one that is here, or a new one."""
    found = handle.face()
    if found is None:
        found = cls.__new__(cls)
        found._attach(handle, *more)
    found._shared = True
    return found  # type: ignore[no-any-return]


def check_timeout(blocking: bool, timeout: float | None) -> float | None:
    """``threading``'s arguments as seconds, None for ever, 0 for not at all."""
    if timeout is None or timeout == -1:
        return None if blocking else 0.0
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if not timeout >= 0:  # nor is NaN
        raise ValueError("timeout value must be a non-negative number")
    if timeout > threading.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout


def whole(name: str, value: int) -> int:
    """``value``; TypeError says which argument is no whole number."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return value
