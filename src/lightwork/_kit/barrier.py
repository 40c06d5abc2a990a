"""Barrier: a number of parties that wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any

from lightwork._clock import SystemClock
from lightwork._kit._identity import me
from lightwork._kit._monitor import OWN, REFUSED, SERVED, WAITING, WOKEN, Monitor, whole

COUNT, PHASE, ACTOR = range(OWN, OWN + 3)
"""Words: parties that have come; what goes on; the process that runs the action."""
FILLING, ACTING, BROKEN = range(3)
COUNTED, EARLY = range(2)
"""Groups of waiters: parties of this round; those that came while the round before was ending."""
MANY = 2**63


class Barrier(Monitor):
    """Methods and meanings of ``threading.Barrier``, between processes too; raises its ``BrokenBarrierError``.

    A party that is killed while it waits breaks the barrier for the others. ``action`` is called by the party that
    comes last, in its process.
    """

    def __init__(self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None) -> None:
        if whole("parties", parties) < 1:
            raise ValueError("parties must be >= 1")
        super().__init__()
        self._parties, self._action, self._timeout = parties, action, timeout

    def _attach(
        self, handle: Any, parties: int = 0, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> None:
        super()._attach(handle)
        self._one_short = False
        """Whether a party has gone that was counted; looked at inside the same guard."""
        self._parties, self._action, self._timeout = parties, action, timeout

    def _more(self) -> tuple[Any, ...]:
        return self._parties, self._action, self._timeout

    def wait(self, timeout: float | None = None) -> int:
        """Until all parties have come; returns a number from 0 to parties - 1, another one for each.

        Raises BrokenBarrierError where the barrier is broken or reset meanwhile, or after ``timeout`` seconds, which
        breaks it.
        """
        return self._meet(self._timeout if timeout is None else timeout)

    async def async_wait(self) -> int:
        """The same in a coroutine. Where it is cancelled, the barrier breaks; the action is called in a thread."""
        from lightwork._kit._coroutines import in_a_thread

        return await in_a_thread(lambda give_up: self._meet(self._timeout, give_up))

    def _meet(self, timeout: float | None, give_up: Callable[[], bool] | None = None) -> int:
        end = None if timeout is None else SystemClock.now() + max(0.0, timeout)
        place: list[int] = []

        def attempt(ticket: int, state: int) -> str | None:
            return self._attempt(place, ticket, state)

        if self._words[COUNT] == self._parties - 1:
            self._tend()  # this one may be the last: the others must be alive
        try:
            outcome: str | None = "again"
            while outcome == "again":
                left = None if end is None else end - SystemClock.now()
                outcome = self._wait(attempt, left, lambda: COUNTED if place else EARLY, give_up=give_up)
        except BaseException:
            if place:
                self.abort()
            raise
        if outcome == "act":
            self._act()
        elif outcome != "passed":
            if outcome is None:
                self.abort()
            raise BrokenBarrierError
        return place[0]

    def _attempt(self, place: list[int], ticket: int, state: int) -> str | None:
        words = self._words
        if place:
            return {SERVED: "passed", REFUSED: "broken"}.get(state)
        if words[PHASE] == BROKEN:
            return "broken"
        if words[PHASE] == ACTING:
            return None  # of the round before: this party has not come yet
        if ticket:
            return "again"  # as one that comes now, behind those that have come since
        place.append(words[COUNT])
        words[COUNT] += 1
        if words[COUNT] < self._parties:
            return None
        words[ACTOR] = me.token
        words[PHASE] = ACTING
        return "act"

    def _act(self) -> None:
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self.abort()
            raise
        self._change(self._let_pass)

    def _let_pass(self) -> list[Any]:
        """Inside the guard: ends the round."""
        words = self._words
        if words[PHASE] != ACTING or words[ACTOR] != me.token:
            raise BrokenBarrierError
        words[COUNT] = words[ACTOR] = 0
        words[PHASE] = FILLING
        return self._wake(MANY, COUNTED, SERVED) + self._wake(MANY, EARLY)

    def reset(self) -> None:
        """Makes it empty; those that wait get BrokenBarrierError."""
        self._change(lambda: self._refuse_all(FILLING))

    def abort(self) -> None:
        """Breaks it until it is reset."""
        self._change(lambda: self._refuse_all(BROKEN))

    def _refuse_all(self, phase: int) -> list[Any]:
        self._words[COUNT] = self._words[ACTOR] = 0
        self._words[PHASE] = phase
        self._one_short = False
        return self._wake(MANY, COUNTED, REFUSED) + self._wake(MANY, EARLY)

    @property
    def parties(self) -> int:
        """How many must come."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many wait now."""
        return int(self._words[COUNT]) if self._words[PHASE] == FILLING else 0

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return bool(self._words[PHASE] == BROKEN)

    def _leave(self, record: int, ticket: int, group: int) -> list[Any]:
        if self._unpark(record) in (WAITING, WOKEN) and group == COUNTED:
            self._one_short = True
        return []

    def _repair(self) -> None:
        super()._repair()
        if self._words[PHASE] == FILLING:
            self._words[COUNT] = sum(self._state(record) in (WAITING, WOKEN) for _, record in self._waiting(COUNTED))

    def _involved(self) -> set[int]:
        return {int(self._words[ACTOR])}

    def _bury(self, dead: set[int]) -> list[Any]:
        if not (self._one_short or self._words[ACTOR] in dead):
            return []
        self._one_short = False
        return self._refuse_all(BROKEN)

    def _what(self) -> str:
        return f"all parties of {self!r} have come"

    def _in_a_loop(self) -> str:
        return "in a coroutine write `await barrier.async_wait()`"
