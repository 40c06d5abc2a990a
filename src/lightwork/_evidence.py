"""What is known of a run's calls, and how that is found out: by clocks, a canary, and looks at items and bytecode.

No call is made for it: the items that are timed are the job's own, and what takes further calls waits for them.
"""

from __future__ import annotations

from lightwork._demand import Canary, Demand, Meter, Wire, surely_held
from lightwork._fingerprint import fingerprint, immutable
from lightwork._gate import opened
from lightwork._machine import gil_enabled, voluntary_switches
from lightwork._unfilled import leave, unfilled
from lightwork._watch import loading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._calls import Batch, Outcomes
    from lightwork._clock import Clock
    from lightwork._lanes import Lane
    from lightwork._lean import local

    Fn = Callable[..., Any]


CANARY_SECONDS = 0.012
"""How much computing the canary watches before it is asked, where it is not sure before."""

CANARY_PATIENCE = 0.1
"""Seconds after which the choice is made without the canary's word."""

MIXED, LONGER = (0.35, 0.85), 3
"""Shares of the GIL between which the canary watches so many times as long: few functions have such a one, and most
that seem to were seen when others had the cores."""

_PLAIN = frozenset({"int", "float", "str", "bytes", "bool", "None", "complex"})
"""What a function may be said to return that certainly travels, by name."""


class Running:
    """A batch in the caller's thread: it has ``lasted`` so many seconds, ``cpu`` of them computing, and ``done`` of its
    calls have ended that say what those to come will take. ``outcomes``: of all that have ended by now."""

    __slots__ = ("cpu", "done", "lasted", "outcomes")

    def __init__(self, lasted: float, cpu: float, done: int, outcomes: Outcomes) -> None:
        self.lasted, self.cpu, self.done, self.outcomes = lasted, cpu, done, outcomes


class Evidence:
    """Of one run. ``meter`` times the caller's calls; ``print``: an item's index and its fingerprint from before its
    call, where that was taken already; ``unfilled``: locals of threads that held nothing before the first call, where
    that was looked at. ``rest``: the items whose calls have not ended, where all are there."""

    def __init__(
        self,
        meter: Meter,
        print: tuple[int, int | None] | None,
        unfilled: tuple[local, ...] | None = None,
        rest: Callable[[], Sequence[Any] | None] = lambda: None,
    ) -> None:
        self.meter = meter
        self._rest = rest
        self._unfilled = unfilled
        self.sample: tuple[Sequence[Any], Sequence[Any]] = ((), ())
        """A call or two: items, and their results where there are any yet."""
        self.gil_known = False
        self.wire: Wire | None = None
        self.effects: str | None = None
        """What ties the function to the calling thread, if something does; where ``effects_known``."""
        self.effects_known = False
        self.item_changed = self.item_known = False
        """Whether a call has changed its argument, and whether that was looked at in this run."""
        self.remembered = False
        """Whether the run has begun with what was remembered: no call was made here first, to be looked at."""
        self._print = print
        self._gil_share: float | None = None
        self._canary: Canary | None = None
        self._canary_since = self._canary_busy = 0.0

    # what calls take

    def demand(self, lane: Lane, running: Running | None) -> Demand:
        """What one call asks for, from those that the caller's ``lane`` has ended and those that are ``running``."""
        if running is not None:
            return self._so_far(running)
        if self.meter.first is not None:
            return self.meter.demand(self._gil_share, self.wire)
        # Of calls that were made before there was a run, or in a thread of its own, the clocks came with the outcomes.
        return self._demand(lane.busy / lane.calls, lane.cpu / lane.calls, lane.calls)

    def _so_far(self, running: Running) -> Demand:
        """The one that is running will last at least so long."""
        known = self.meter.demand(self._gil_share, self.wire) if self.meter.first is not None else None
        before = known.calls if known is not None else 0
        calls = before + running.done + 1
        wall, own = running.lasted, running.cpu
        if known is not None:
            wall, own = wall + before * known.wall, own + before * self.meter.own
        wall, own = wall / calls, own / calls
        return self._demand(wall, own, calls, self.meter.beside(wall, own))

    def _demand(self, wall: float, own: float, calls: int, others: tuple[float, float] = (0.0, 0.0)) -> Demand:
        share = self._gil_share if self._gil_share is not None else float(gil_enabled())
        wire, own = self.wire, min(own, wall)
        cpu = own + sum(others)
        return Demand(
            wait=max(0.0, wall - cpu),
            cpu=cpu,
            gil=share * own,
            wire_caller=wire.caller if wire else 0.0,
            wire_worker=wire.worker if wire else 0.0,
            bytes_out=wire.bytes_out if wire else 0,
            bytes_back=wire.bytes_back if wire else 0,
            calls=calls,
            hidden=max(0.0, cpu - wall),
            children=min(others[1], wall),
        )

    # whether they hold the GIL

    def hears(self, used: Callable[[], float]) -> bool:
        """Whether a few knocks from the thread that asks, beside a call that runs, are enough to know that it holds the
        GIL. ``used``: what the call has computed."""
        with loading:
            voluntary_switches()  # loads what that takes
        if surely_held(used):
            self.heard()
        return self.gil_known

    def heard(self) -> None:
        """The calls were heard to hold the GIL."""
        self._gil_share, self.gil_known = 1.0, True

    @property
    def listening(self) -> bool:
        """Whether a canary watches."""
        return self._canary is not None

    def listen_to(self, canary: Canary, clock: Clock) -> None:
        """Has it watch the calls from now on."""
        self._canary, self._canary_busy = canary, 0.0
        with loading:
            canary.start()
        self._canary_since = clock.now()

    def listen(self, running: Running | None, now: float) -> None:
        """Asks the canary, when it has watched calls for long enough."""
        watched = self._canary_busy
        if running is not None:
            watched += min(running.lasted, now - self._canary_since)
        if self._canary is None or (watched < CANARY_SECONDS and not self._canary.sure):
            return
        self._gil_share = share = self._canary.held_share()
        if share is not None and MIXED[0] < share < MIXED[1] and watched < LONGER * CANARY_SECONDS:
            return
        if share is not None or watched > CANARY_PATIENCE:
            self.close()
            self.gil_known = True

    def end(self) -> None:
        """There are no more calls."""
        self.close()
        leave(self._unfilled or ())
        self._unfilled = ()

    def close(self) -> None:
        """Nobody listens any more."""
        if self._canary is not None:
            self._canary.stop()
            self._canary = None

    # whether others can make them

    def travels(self, fn: Fn | None, done: int, inside: bool) -> bool:
        """Whether there is evidence that calls are good for other processes: one is ``done`` here, or, as long as none
        is, the item of the one that the caller is ``inside`` cannot be changed and the function is said to return
        something plain."""
        if done:
            return self.item_known or not self.remembered
        if not inside or not self.sample[0] or not immutable(self.sample[0][0]):
            return False
        try:
            returns = getattr(fn, "__annotations__", {}).get("return", "")
        except Exception:  # noqa: BLE001 - from Python 3.14 on annotations are code of the caller's
            return False
        return (returns if isinstance(returns, str) else getattr(returns, "__name__", str(returns))) in _PLAIN

    def readable(self, fn: Fn, inside: bool) -> bool:
        """Whether the function can be read just now: what the caller's thread, which is ``inside`` a call, has in its
        local variables can be seen there alone."""
        from lightwork._captured import has_locals

        return not (inside and has_locals(fn))

    def read(self, fn: Fn) -> str | None:
        """Finds out what others would see of the function's doings; returns what ties it to this process, if so."""
        from lightwork._captured import ties
        from lightwork._effects import effects  # reading bytecode takes modules that short jobs do without

        found = [effect for effect in effects(fn) if effect.certain]
        changes = [effect for effect in found if effect.of_argument]
        if changes and self._are_apart(fn):
            found = [effect for effect in found if not effect.of_argument]
        found_empty = self._unfilled or ()
        tied = ties(fn, found_empty)
        leave(found_empty)
        to_thread = [*found, *(tie for tie in tied if tie.to == "thread")]
        self.effects = str(to_thread[0]) if to_thread else None
        self.effects_known = True
        if tied or changes:
            return f"the function {[*tied, *changes][0]}"
        return self.changed(fn) if self.item_changed else None

    def _are_apart(self, fn: Fn) -> bool:
        """Whether calls may change what each of them is given beside the others."""
        from lightwork._apart import alone

        items = self._rest()
        return items is not None and alone(fn, items)

    def changed(self, fn: Fn | None) -> str:
        """A call has changed its argument: returns what this ties to this process, where others have a copy."""
        if self.effects is None and fn is not None and not self._are_apart(fn):
            self.effects = "changes its argument, from which a way may lead to what other calls are given"
        return "the function changes its argument"

    def weigh(self, fn: Fn | None) -> str | None:
        """Finds out what travelling costs; returns why it cannot be, if so."""
        with loading:  # nobody asks this of calls that wait, and pickling takes more modules than all else here
            from lightwork._wire_cost import measure_wire

        with opened():
            self.wire = measure_wire(*self.sample, fn)
        return self.wire.refused

    def begins_with(self, batch: Batch) -> None:
        """The first calls of all are about to be made here."""
        if self._unfilled is None:
            self._unfilled = unfilled(batch.fn)
        self._look_at(batch)

    def goes_on_with(self, batch: Batch) -> None:
        """Further calls are about to be made here."""
        if self.remembered and not self.item_known and self._print is None:
            self._look_at(batch)

    def _look_at(self, batch: Batch) -> None:
        self._print = batch.first + batch.start, fingerprint(batch.items[batch.start])

    def note(self, batch: Batch, outcomes: Outcomes) -> bool:
        """The caller's thread has made these calls; returns whether they have shown that arguments are changed."""
        if self._canary is not None:
            began = max(outcomes.began, self._canary_since)
            self._canary_busy += max(0.0, outcomes.began + outcomes.seconds - began)
        position, place = outcomes.start, outcomes.placed or 0
        self.sample = (batch.items[position : position + 2], outcomes.values[place : place + 2])
        at = -1 if self._print is None else self._print[0] - batch.first
        if self._print is None or not position <= at < min(outcomes.position, len(batch.items)):
            return False  # or it was taken out of the list meanwhile
        self.item_changed, self.item_known = fingerprint(batch.items[at]) != self._print[1], True
        self._print = None
        return self.item_changed
