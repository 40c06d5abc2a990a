"""Locks that are checked: with ``LIGHTWORK_DEBUG=1`` in the environment, or ``lw.Lock(debug=True)``.

Each notes which locks its thread held when it was asked for. Where two were ever taken in both orders, in whatever
processes, there is a ``lw.DeadlockWarning`` with both places, also when nothing happened. A deadlock that does happen
raises ``lw.Deadlock`` in one of its threads, with who holds what and who waits where. How often a lock was waited for,
and how long it was held, is counted in ``lock.contention``.
"""

from __future__ import annotations

import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from lightwork import _context, _trace
from lightwork._clock import SystemClock
from lightwork._kit._book import HELD, WAITED, Book, Edge, Thread, Turn
from lightwork._kit._identity import me, pid_of
from lightwork._kit._monitor import WAITERS as QUEUED
from lightwork._kit.locks import OWNER, THREAD, Lock, RLock, _holder, checked_kinds
from lightwork._record import Record
from lightwork._trace import Contended
from lightwork.errors import Deadlock, DeadlockWarning

__all__ = ["CheckedLock", "CheckedRLock", "Contention", "Lock", "RLock"]

ACQUIRED, CONTENDED, WAITED_FOR, HELD_FOR, SINCE = range(THREAD + 2, THREAD + 7)
"""Words: how often it was taken, and after waiting; nanoseconds of waiting and of holding; since when it is held."""
WAITERS, MOST_WAITERS = SINCE + 1, 10
"""The first words of a table of those who waited, three words each: process, thread, nanoseconds. It is written by the
lock's holder alone. Whoever finds it full is counted in the sums only."""
SUSPICIOUS = 0.5
"""Seconds of waiting after which a thread looks whether it waits for itself."""

_now = SystemClock.now
_books: list[Book] = []
_creating = threading.Lock()
_known: weakref.WeakSet[_Checked] = weakref.WeakSet()
"""The checked locks that this process has."""


class Contention(Record, frozen=True):
    """How much a lock was in the way. Seconds; all processes together."""

    acquired: int
    waited_for: int
    """How many of these had to wait."""
    waiting: float
    holding: float


def _book() -> Book:
    with _creating:
        if not _books:
            _books.append(Book())
        return _books[0]


class _Here(threading.local):
    """Of this thread: the locks that it, or each task of its event loop, holds, and where they were taken; where it
    asks for another one just now."""

    def __init__(self) -> None:
        self.held: dict[int, list[tuple[Lock, str]]] = {}
        self.place: str | None = None


_here = _Here()


class _Checked(Lock):
    """What checked locks add."""

    _book: Book
    _made = "elsewhere"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made = _place()

    def _attach(self, handle: Any, raises: bool = False, book: Book | None = None) -> None:
        super()._attach(handle, raises)
        if book is None:
            book = _book()
        else:
            with _creating:
                _books[:] = _books or [book]
        self._book = book
        self._seen: set[bytes] = set()
        self._asked: dict[int, str] = {}
        """Where tasks ask for it just now, for whom a thread waits."""
        with _creating:
            _known.add(self)

    def _more(self) -> tuple[Any, ...]:
        return (*super()._more(), self._book)

    @property
    def contention(self) -> Contention:
        """How often it was taken and waited for, and for how long, since it was made."""
        acquired, contended, waited, held = (
            int(self._words[word]) for word in (ACQUIRED, CONTENDED, WAITED_FOR, HELD_FOR)
        )
        return Contention(acquired, contended, waited / 1e9, held / 1e9)

    def _waiters(self) -> dict[Thread, float]:
        """Who has waited, and for how many seconds."""
        table = self._list(WAITERS, WAITERS + 3 * MOST_WAITERS)
        return {(p, t): ns / 1e9 for p, t, ns in zip(table[::3], table[1::3], table[2::3], strict=True) if p}

    def _note_wait(self, began: float) -> None:
        """While the lock is held."""
        words, myself, now = self._words, (me.token, _holder()), _now()
        nanoseconds = int((now - began) * 1e9)
        self._note(WAITED, began, now)
        words[CONTENDED] += 1
        words[WAITED_FOR] += nanoseconds
        for at in range(WAITERS, WAITERS + 3 * MOST_WAITERS, 3):
            if (words[at], words[at + 1]) in (myself, (0, 0)):
                words[at], words[at + 1] = myself
                words[at + 2] += nanoseconds
                return

    def _note(self, kind: int, began: float, ended: float) -> None:
        item = _context.index()
        thread = (me.token, _holder())
        self._book.note(Turn(self._handle.key, thread, kind, -1 if item is None else item, began, ended))

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        place = _place()
        depth = self._depth()
        if blocking and not depth:
            self._check_order(place)
        wanted = _now()
        _here.place = place
        if super().acquire(False):
            self._note_taken(depth, place)
            return True
        if not blocking or not super().acquire(True, timeout):
            return False
        self._note_wait(wanted)
        self._note_taken(depth, place)
        return True

    __enter__ = acquire

    async def _acquire_in_a_coroutine(self) -> None:
        place, wanted = _place(), _now()
        self._check_order(place)
        self._asked[_holder()] = place
        try:
            await super()._acquire_in_a_coroutine()
        finally:
            del self._asked[_holder()]
        self._note_wait(wanted)
        self._note_taken(0, place)

    def _depth(self) -> int:
        """How often this thread, or task, has taken it."""
        return sum(lock is self for lock, _ in _here.held.get(_holder(), ()))

    def _note_taken(self, depth: int, place: str) -> None:
        self._words[THREAD] = _holder()
        if not depth:
            self._words[ACQUIRED] += 1
            self._words[SINCE] = int(_now() * 1e9)
        _here.held.setdefault(_holder(), []).append((self, place))

    def release(self) -> None:
        holder, words = _holder(), self._words
        held, now, since = _here.held.get(holder, []), 0, words[SINCE]
        if words[OWNER] and self._depth() <= 1:
            now = max(since, int(_now() * 1e9))
            words[HELD_FOR] += now - since
            waited_for = words[QUEUED]
        super().release()
        if now and waited_for:
            self._note(HELD, since / 1e9, now / 1e9)
        index = next((i for i in reversed(range(len(held))) if held[i][0] is self), None)
        if index is not None:
            del held[index]
            if not held:
                del _here.held[holder]

    def _check_order(self, place: str) -> None:
        key, thread = self._handle.key, (me.token, _holder())
        for lock, where in _here.held.get(thread[1], ()):
            before = lock._handle.key
            if before in self._seen or not isinstance(lock, _Checked):
                continue
            self._seen.add(before)
            back = self._book.way(key, before)
            self._book.add(Edge(before, key, thread, where, place))
            if back is not None:
                lines = [
                    f"  {each.where_first}, then {each.where_second} (process {pid_of(each.thread[0])})"
                    for each in back
                ]
                warnings.warn(
                    "these locks are taken in different orders, which can end in a deadlock:\n"
                    f"  {where}, then {place} (process {pid_of(me.token)})\n" + "\n".join(lines),
                    DeadlockWarning,
                    stacklevel=4,
                )

    def _acquire_slowly(
        self, blocking: bool, timeout: float | None, holder: int = 0, give_up: Callable[[], bool] | None = None
    ) -> bool:
        myself: Thread = (me.token, holder or _holder())
        began, key, place = _now(), self._handle.key, self._asked.get(holder) or _here.place or "?"
        waiting = False

        def look() -> bool:
            nonlocal waiting
            if _now() - began >= SUSPICIOUS:
                waiting = True
                self._book.wait(myself, (self._words[OWNER], self._words[THREAD]), key, place)
                self._raise_if_stuck(myself)
            return give_up is not None and give_up()

        try:
            return super()._acquire_slowly(blocking, timeout, holder, look)
        finally:
            if waiting:
                self._book.wait(myself, (0, 0), key, "")

    def _raise_if_stuck(self, myself: Thread) -> None:
        waits = self._book.waits()
        ring: list[tuple[Thread, Thread, bytes, str]] = []
        at = myself
        while at in waits and len(ring) <= len(waits):
            holder, lock, where = waits[at]
            ring.append((at, holder, lock, where))
            at = holder
            if at == myself:
                raise Deadlock(
                    "a deadlock: "
                    + "; ".join(
                        f"thread {waiter[1]} of process {pid_of(waiter[0])} waits at {where} for lock "
                        f"{lock.hex()[:8]}, which thread {holder[1]} of process {pid_of(holder[0])} holds"
                        for waiter, holder, lock, where in ring
                    )
                )


class CheckedLock(_Checked):
    __doc__ = Lock.__doc__


class CheckedRLock(_Checked, RLock):
    __doc__ = RLock.__doc__

    __enter__ = _Checked.acquire


class Watch:
    """What is waited for from ``began`` on, of the checked locks that this process has."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._before = {lock._handle.key: (lock.contention, lock._waiters()) for lock in _locks()}

    def contended(self) -> tuple[Contended, ...]:
        """The locks that were waited for since, the worst first."""
        found = {}
        nothing: tuple[Contention, dict[Thread, float]] = (Contention(0, 0, 0.0, 0.0), {})
        for lock in _locks():
            now, (before, waits) = lock.contention, self._before.get(lock._handle.key, nothing)
            if now.waited_for > before.waited_for:
                since = {who: seconds - waits.get(who, 0.0) for who, seconds in lock._waiters().items()}
                waiters = sorted(((pid_of(p), t, s) for (p, t), s in since.items() if s > 0), key=lambda each: -each[2])
                found[lock._handle.key] = Contended(
                    lock._made,
                    now.acquired - before.acquired,
                    now.waited_for - before.waited_for,
                    now.waiting - before.waiting,
                    now.holding - before.holding,
                    tuple(waiters),
                    self._turns(lock),
                )
        return tuple(sorted(found.values(), key=lambda each: -each.waiting))

    def _turns(self, lock: _Checked) -> tuple[_trace.Turn, ...]:
        return tuple(
            _trace.Turn(
                "held" if turn.kind == HELD else "waited",
                pid_of(turn.thread[0]),
                turn.thread[1],
                None if turn.item < 0 else turn.item,
                turn.began - self._began,
                turn.ended - turn.began,
            )
            for turn in sorted(lock._book.turns(self._began), key=lambda turn: turn.began)
            if turn.lock == lock._handle.key
        )


def _locks() -> list[_Checked]:
    with _creating:
        return list(_known)


checked_kinds.update({Lock: CheckedLock, RLock: CheckedRLock})


def _place() -> str:
    """Where the caller's own code is."""
    frame: Any = sys._getframe(1)
    while frame is not None and "/lightwork/_kit/" in frame.f_code.co_filename.replace("\\", "/"):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
