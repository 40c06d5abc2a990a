"""Lock and RLock: as in ``threading``, but good between processes too, and free again when a holder is killed."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from lightwork import _platform
from lightwork._clock import SystemClock
from lightwork._kit import _native
from lightwork._kit._identity import is_alive, me, pid_of
from lightwork._kit._monitor import OWN, WAITERS, WAITING, WOKEN, Monitor, check_timeout
from lightwork._kit._uninterrupted import insist, uninterrupted
from lightwork._loaded import running_loop
from lightwork.errors import HolderDied

CLAIM = _native.MUTEX // 4
"""Half a word: the thread that has taken the lock; 0: it is free. It alone decides who does."""
OWNER, RESERVED, RECOVERED, THREAD, DEPTH = range(OWN, OWN + 5)
"""Words: the holder's process, written just after the claim and 0 again just before its end; the ticket of the waiter
whose turn it is or 0; whether the last holder died; of an RLock, the holder's thread and how often it has taken it,
which mean something as long as it has a holder."""
CLOSED = 2**64 - 1
"""In RESERVED: nobody may take the lock, because its holder died and ``on_death="raise"``."""
PATIENCE = 0.002
"""Seconds that a waiter lets others pass; then the lock is kept for it. Handing it over each time would cost a change
of threads for each use."""

_now = SystemClock.now
_trylock, _unlock = _native.trylock, _native.unlock
_claim, _drop, _here = _native.claim, _native.drop, _native.here
_claim_at_once = _claim if _native.ALONE else _native.refuse
_get_ident, _modules = threading.get_ident, sys.modules


checked_kinds: dict[type[Lock], type[Lock]] = {}
"""What is made instead where locks are to be checked; filled by the module ``checked``, through which users come."""


class Lock(Monitor):
    """A lock for threads, processes, sub-interpreters and coroutines; methods and meanings of ``threading.Lock``.

    When a process is killed while it holds the lock, the next one gets it within a fraction of a second, and
    ``lock.recovered`` is true as long as it holds it: what the lock protects may be half done. With
    ``on_death="raise"`` whoever wants the lock gets ``lw.HolderDied`` instead, until somebody has called ``reset()``.

    ``debug``: the lock is checked (see ``lw.Deadlock``, ``lw.DeadlockWarning``, and its ``contention``); by default
    where the environment has ``LIGHTWORK_DEBUG=1``. In a coroutine: ``async with lock:``.
    """

    def __new__(cls, *_: Any, debug: bool | None = None, **__: Any) -> Lock:
        if cls in checked_kinds and (os.environ.get("LIGHTWORK_DEBUG") == "1" if debug is None else debug):
            return object.__new__(checked_kinds[cls])
        return object.__new__(cls)

    def __init__(self, *, on_death: str = "recover", debug: bool | None = None) -> None:
        if on_death not in ("recover", "raise"):
            raise ValueError(f'on_death is "recover" or "raise", not {on_death!r}')
        super().__init__()
        _native.make_claim(self._claim)
        self._raises = on_death == "raise"

    def _attach(self, handle: Any, raises: bool = False) -> None:
        super()._attach(handle)
        self._claim = self._memory.claim(_native.MUTEX)
        self._halves = self._bytes.cast("I")
        self._raises = raises

    def _more(self) -> tuple[Any, ...]:
        return (self._raises,)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Takes the lock; False where that was not possible at once (``blocking=False``) or in ``timeout`` seconds.

        Raises HolderDied with ``on_death="raise"``, RuntimeError where waiting would stop an event loop.
        """
        if timeout != -1:
            check_timeout(blocking, timeout)
        try:
            if not _claim_at_once(self._claim):
                words = self._words
                if not words[RESERVED]:
                    words[OWNER] = me.token
                    return True
                self._change(self._disclaim)
        except BaseException:
            self._change(self._disclaim)
            raise
        return self._acquire_slowly(blocking, timeout)

    def _disclaim(self) -> list[Any]:
        """Inside the guard: this thread does not have the lock, also where it has just claimed it."""
        words = self._words
        if self._is_claimed_only(_here.name):
            _drop(self._claim)
        return self._next() if words[WAITERS] else []

    def _acquire_slowly(
        self, blocking: bool, timeout: float | None, holder: int = 0, give_up: Callable[[], bool] | None = None
    ) -> bool:
        seconds = check_timeout(blocking, timeout)
        if self._raises or (seconds is not None and seconds < _native.GUARD_SLICE):
            self._tend()  # who will not wait for a slice would never learn that the holder is dead
        began = _now()

        def attempt(ticket: int, state: int) -> bool | None:
            return self._attempt(ticket, state, began, holder)

        try:
            # Not bool(…): an interrupt at the end of such a call would leave the lock taken.
            return self._wait(attempt, seconds, undo=lambda _: self._free(), give_up=give_up) is True
        except BaseException:
            self._change(self._disclaim)
            raise

    def _attempt(self, ticket: int, state: int, began: float, holder: int) -> bool | None:
        words = self._words
        reserved = words[RESERVED]
        if reserved == CLOSED:
            raise HolderDied(
                f"a process died while it held {self!r}: what it protects may be half done. Repair that, then call "
                "reset()"
            )
        if reserved in (0, ticket) and not _claim(self._claim):
            words[RESERVED] = 0
            words[THREAD], words[DEPTH] = holder, 1
            words[OWNER] = me.token
            return True
        if state == WOKEN and not reserved and _now() - began > PATIENCE:
            words[RESERVED] = ticket
        return None

    @uninterrupted
    def release(self) -> None:
        """Frees the lock, from any thread or process; RuntimeError if nobody holds it."""
        words, holder = self._words, self._halves[CLAIM]
        if holder == _here.alone:
            if words[RECOVERED]:
                words[RECOVERED] = 0
            words[OWNER] = 0
            try:
                _drop(self._claim)  # the first call: wherever an interrupt strikes, it is free
            finally:
                if words[WAITERS]:
                    self._change(self._next)
        else:
            self._release_inside()

    @uninterrupted
    def _release_inside(self) -> None:
        insist(lambda freed: self._change(lambda: self._free_for_another(freed)))

    def _free_for_another(self, freed: list[bool]) -> list[Any]:
        """Inside the guard: ends a claim that may be another thread's."""
        words = self._words
        if not self._halves[CLAIM]:
            raise RuntimeError("release unlocked lock")
        words[RECOVERED] = 0
        # From here on it is this process's: if that is killed, the lock's holder has died.
        words[OWNER] = me.token
        self._halves[CLAIM] = _here.name
        words[OWNER] = 0
        freed += [True]  # no call, at whose end an interrupt could come between
        _drop(self._claim)
        return self._next() if words[WAITERS] else []

    def _next(self) -> list[Any]:
        """Inside the guard: the semaphores of who should look now."""
        waiting = self._waiting(0)
        reserved = self._words[RESERVED]
        for ticket, record in waiting:
            if ticket == reserved or not reserved:
                return [] if self._state(record) == WOKEN else [self._tell(record)]
        if reserved != CLOSED:
            self._words[RESERVED] = 0  # its waiter has gone
            return self._wake(1)
        return []

    def _leave(self, record: int, ticket: int, group: int) -> list[Any]:
        state = self._unpark(record)
        if self._words[RESERVED] == ticket:
            self._words[RESERVED] = 0
        elif state == WAITING:
            return []
        return [] if self._halves[CLAIM] else self._next()

    def _armed(self, group: int) -> None:
        if not self._halves[CLAIM]:
            self._change(self._next)

    def _free(self) -> None:
        """Takes back an acquisition of which the caller will not learn."""
        Lock.release(self)

    def locked(self) -> bool:
        """Whether somebody holds it."""
        owner = self._words[OWNER]
        if owner != me.token and self._halves[CLAIM] and not (owner and is_alive(owner)):
            self._tend()
        return bool(self._halves[CLAIM])

    @property
    def recovered(self) -> bool:
        """Whether the lock was taken from a process that died holding it. True as long as the next one holds it."""
        return bool(self._words[RECOVERED])

    def reset(self) -> None:
        """Says that what the lock protects is sound again, after a holder has died (``on_death="raise"``)."""
        try:
            problem = _trylock(self._mutex)
            if problem:
                self._enter(problem)
            if self._words[RESERVED] == CLOSED:
                self._words[RESERVED] = self._words[RECOVERED] = 0
        finally:
            _unlock(self._mutex)

    def _involved(self) -> set[int]:
        return {int(self._words[OWNER])}

    def _bury(self, dead: set[int]) -> list[Any]:
        if self._words[OWNER] in dead:
            return self._orphaned()
        return [] if self._halves[CLAIM] else self._next()

    def _orphaned(self) -> list[Any]:
        """Inside the guard: frees it after its holder's death."""
        words = self._words
        words[RECOVERED] = 1
        if self._raises:
            words[RESERVED] = CLOSED
        words[OWNER] = 0
        self._halves[CLAIM] = 0
        return self._wake(len(self._waiting(0))) if self._raises else self._next()

    def _tend(self) -> None:
        super()._tend()
        thread = self._halves[CLAIM]
        if thread and not self._words[OWNER]:
            # Killed between its claim and OWNER, unless it is there just now. Its number may have come again.
            inode = os.fstat(self._handle.descriptor).st_ino
            if not _platform.has_mapped(thread, inode):
                self._change(lambda: self._orphaned() if self._is_claimed_only(thread) else [])

    def _is_claimed_only(self, thread: int) -> bool:
        return bool(self._halves[CLAIM] == thread and not self._words[OWNER])

    def _what(self) -> str:
        owner = pid_of(self._words[OWNER])
        return f"{self!r} is released" + (f" (process {owner} holds it)" if owner else "")

    def _in_a_loop(self) -> str:
        return "in a coroutine write `async with lock:`"

    __enter__ = acquire

    @uninterrupted
    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> bool:
        if not self.acquire(False):
            await self._acquire_in_a_coroutine()
        return True

    async def _acquire_in_a_coroutine(self) -> None:
        from lightwork._kit._coroutines import in_a_thread

        holder = _holder()
        await in_a_thread(lambda give_up: self._acquire_slowly(True, -1, holder, give_up), self._free)

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    # what a condition asks for

    def _is_owned(self) -> bool:
        return self.locked()

    def _release_save(self) -> int:
        """Frees it, however often it was taken, and says how often."""
        self.release()
        return 1

    def _acquire_restore(self, depth: int) -> None:
        self.acquire()

    async def _async_acquire_restore(self, depth: int) -> None:
        await self.__aenter__()

    def __repr__(self) -> str:
        return f"<{'locked' if self._halves[CLAIM] else 'unlocked'} {super().__repr__()[1:]}"


class RLock(Lock):
    """A lock that its holder may take again; methods and meanings of ``threading.RLock``.

    The holder is a thread; with ``async with`` it is a task.
    """

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As Lock's; True at once for the thread that holds it."""
        words = self._words
        thread = _holder() if "asyncio" in _modules else _get_ident()
        if timeout != -1:
            check_timeout(blocking, timeout)
        # Nobody but this thread can make these two its own, or stop them from being.
        if words[OWNER] == me.token and words[THREAD] == thread:
            words[DEPTH] += 1
            return True
        try:
            if not _claim_at_once(self._claim):
                if not words[RESERVED]:
                    words[THREAD], words[DEPTH] = thread, 1
                    words[OWNER] = me.token
                    return True
                self._change(self._disclaim)
        except BaseException:
            self._change(self._disclaim)
            raise
        return self._acquire_slowly(blocking, timeout, thread)

    @uninterrupted
    def release(self) -> None:
        """Undoes one acquire; RuntimeError for a thread that does not hold it."""
        words = self._words
        try:
            thread = _holder() if "asyncio" in _modules else _get_ident()
        except BaseException:  # an interrupt
            RLock.release(self)
            raise
        if words[OWNER] != me.token or words[THREAD] != thread:
            raise RuntimeError("cannot release un-acquired lock")
        if words[DEPTH] > 1:
            words[DEPTH] -= 1
        else:
            Lock.release(self)

    __enter__ = acquire

    def _is_owned(self) -> bool:
        return bool(self._words[OWNER] == me.token and self._words[THREAD] == _holder())

    def _release_save(self) -> int:
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        depth = int(self._words[DEPTH])
        self._words[DEPTH] = 1
        self.release()
        return depth

    def _acquire_restore(self, depth: int) -> None:
        self.acquire()
        self._words[DEPTH] = depth

    async def _async_acquire_restore(self, depth: int) -> None:
        await self.__aenter__()
        self._words[DEPTH] = depth

    def _recursion_count(self) -> int:
        return int(self._words[DEPTH]) if self._is_owned() else 0


def _holder() -> int:
    """The thread, or the task of an event loop, that runs this."""
    if running_loop() is not None:
        task = _modules["asyncio"].current_task()
        if task is not None:
            return id(task)
    return threading.get_ident()
