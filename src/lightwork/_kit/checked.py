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

from lightwork._clock import SystemClock
from lightwork._kit._book import Book, Edge, Thread
from lightwork._kit._identity import me, pid_of
from lightwork._kit.locks import OWNER, THREAD, Lock, RLock, _holder, checked_kinds
from lightwork._record import Record
from lightwork._trace import Contended
from lightwork.errors import Deadlock, DeadlockWarning

__all__ = ["CheckedLock", "CheckedRLock", "Contention", "Lock", "RLock"]

ACQUIRED, CONTENDED, WAITED, HELD, SINCE = range(THREAD + 2, THREAD + 7)
"""Words: how often it was taken, and after waiting; nanoseconds of waiting and of holding; since when it is held."""
WAITERS, MOST_WAITERS = SINCE + 1, 10
"""The first words of a table of those who waited, three words each: process, thread, nanoseconds. It is written by the
lock's holder alone. Whoever finds it full is counted in the sums only."""
SUSPICIOUS = 0.5
"""Seconds of waiting after which a thread looks whether it waits for itself."""

_now = SystemClock.now
_here = threading.local()
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


def _held() -> list[tuple[Lock, str]]:
    """The locks that this thread holds, and where it took them."""
    try:
        found: list[tuple[Lock, str]] = _here.held
    except AttributeError:
        found = _here.held = []
    return found


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
        with _creating:
            _known.add(self)

    def _more(self) -> tuple[Any, ...]:
        return (*super()._more(), self._book)

    @property
    def contention(self) -> Contention:
        """How often it was taken and waited for, and for how long, since it was made."""
        acquired, contended, waited, held = (int(self._words[word]) for word in (ACQUIRED, CONTENDED, WAITED, HELD))
        return Contention(acquired, contended, waited / 1e9, held / 1e9)

    def _waiters(self) -> dict[Thread, float]:
        """Who has waited, and for how many seconds."""
        table = [int(word) for word in self._words[WAITERS : WAITERS + 3 * MOST_WAITERS]]
        return {(p, t): ns / 1e9 for p, t, ns in zip(table[::3], table[1::3], table[2::3], strict=True) if p}

    def _note_wait(self, nanoseconds: int) -> None:
        """While the lock is held."""
        words, myself = self._words, (me.token, _holder())
        words[CONTENDED] += 1
        words[WAITED] += nanoseconds
        for at in range(WAITERS, WAITERS + 3 * MOST_WAITERS, 3):
            if (words[at], words[at + 1]) in (myself, (0, 0)):
                words[at], words[at + 1] = myself
                words[at + 2] += nanoseconds
                return

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        held, place = _held(), _place()
        depth = sum(lock is self for lock, _ in held)
        if blocking and not depth:
            self._check_order(held, place)
        wanted = _now()
        _here.place = place
        if not super().acquire(False):
            if not blocking:
                return False
            if not super().acquire(True, timeout):
                return False
            self._note_wait(int((_now() - wanted) * 1e9))
        self._words[THREAD] = _holder()
        if not depth:
            self._words[ACQUIRED] += 1
            self._words[SINCE] = int(_now() * 1e9)
        held.append((self, place))
        return True

    __enter__ = acquire

    def release(self) -> None:
        held = _held()
        index = next((i for i in reversed(range(len(held))) if held[i][0] is self), None)
        if self._words[OWNER] and sum(lock is self for lock, _ in held) <= 1:
            self._words[HELD] += max(0, int(_now() * 1e9) - self._words[SINCE])
        super().release()
        if index is not None:
            del held[index]

    def _check_order(self, held: list[tuple[Lock, str]], place: str) -> None:
        key, thread = self._handle.key, (me.token, _holder())
        for lock, where in held:
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
        began, key, place = _now(), self._handle.key, getattr(_here, "place", _place())
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
    """What is waited for from now on, of the checked locks that this process has."""

    def __init__(self) -> None:
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
                )
        return tuple(sorted(found.values(), key=lambda each: -each.waiting))


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
