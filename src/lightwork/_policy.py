"""When ``auto`` leaves the plain loop, and for what. Pure: it is shown what was seen, and answers.

The caller's thread runs the first items itself, as part of the job. The longer that has gone on, the more may be
spent on finding out: first nothing but the clock, then a canary for the GIL, then the pickling of an item. What is
known is put into the model of ``_model``, and the backend that is predicted to end first takes over, provided that
it wins clearly.
"""

from __future__ import annotations

import math
from enum import Enum

from lightwork._backends.base import Capabilities
from lightwork._demand import Demand
from lightwork._growth import MOST_THREADS
from lightwork._model import Prediction, left_to_start, predict, suggest_workers
from lightwork._record import Record, replace
from lightwork._worth import MOSTLY_WAITING, WORTH_SHARING, computes, too_little

WORTHWHILE = 0.005
"""Seconds of remaining work under which no other backend is considered: starting threads costs up to a fifth of it."""

CLEARLY = 0.85
"""Another backend must be predicted to take less than this part of the plain loop's time."""

SAVING = 0.003
"""Seconds that a change-over must be predicted to save at least."""

SHORT_CALL = 0.25
"""Seconds: for calls longer than this no further one is spent on telling GIL-held from GIL-free computing."""

MOSTLY_COMPUTING = 0.7
"""CPU share of a call above which there are no more processes for it than cores."""

NEARLY_ALL = 0.9
"""CPU share of a call above which there are no more threads for it than cores: what is missing was mostly lost to
others that wanted a core meanwhile, and threads too many are in each other's way."""

CROWD = 4
"""Processes for each core at most, for calls that do both: threads suit what mostly waits."""

SPARE = 2.0
"""Standard deviations of how many calls wait at a time for which there are threads to spare: that number varies like a
Poisson one, so that just enough threads for its mean leave cores idle a tenth of the time or more."""

CROWDED = 0.02
"""CPU share of a call above which a nested run stays in its thread: what looks like waiting there may be waiting for
the GIL, or for a core, that the sibling calls have."""


LATER = 1.1
"""Times as long as until now that it lasts at least until the choice is made again."""

AS_MUCH_AGAIN = 2
"""Times as many calls as were made are taken to follow where the input does not say how many there are: the start of
other workers, beside the calls that go on here, costs less than half of what they would save if so."""


class Ask(Enum):
    """What the policy wants to know before it answers."""

    NOTHING = "nothing"
    GIL = "gil"
    WIRE = "wire"
    EFFECTS = "effects"


class Candidate(Record, frozen=True):
    """A backend that may take over. ``refused``: why it cannot, found on the way."""

    name: str
    capabilities: Capabilities
    refused: str | None = None


class Seen(Record, frozen=True):
    """What is known at this moment. ``total`` is None for input of unknown length; ``demand.gil`` counts only
    where ``gil_known``, its wire parts only where ``wire_known``."""

    elapsed: float
    done: int
    total: int | None
    demand: Demand
    gil_known: bool
    wire_known: bool
    effects: str | None = None
    effects_known: bool = False
    travels: bool = True
    """Whether there is evidence that arguments and results are good for other processes."""
    input: float = 0.0
    """Seconds that the input takes to give an item: a plain loop waits for it, workers do calls meanwhile."""
    drawn: int = 0
    """Items that have come by now."""
    begun: tuple[tuple[str, float], ...] = ()
    """For how many seconds backends have been starting: so much of that is over."""


class Verdict(Record, frozen=True):
    """``ask``: what to find out first; else ``switch`` to a backend with ``workers``, or stay and look again when
    ``again`` seconds have passed since the start (None: never)."""

    ask: Ask = Ask.NOTHING
    switch: str | None = None
    workers: int = 0
    again: float | None = None
    why: str = ""
    predictions: tuple[Prediction, ...] = ()


class Policy(Record, frozen=True):
    """The chooser of one run."""

    candidates: tuple[Candidate, ...]
    cores: int
    gil: bool
    max_workers: int | None = None
    crowded: bool = False
    """This run is inside a call that has others beside it."""

    def refuse(self, name: str, why: str) -> Policy:
        """The same chooser without one backend."""
        return replace(
            self, candidates=tuple(replace(c, refused=why) if c.name == name else c for c in self.candidates)
        )

    def advise(self, seen: Seen) -> Verdict:
        """The answer for now."""
        demand = seen.demand
        if seen.total is not None:
            left = seen.total - seen.done
        else:  # nothing is known but how far it has come, and what of it is there already
            left = max(AS_MUCH_AGAIN * max(seen.done, 1), seen.drawn - seen.done)
        again = max(2 * seen.elapsed, WORTHWHILE)
        if left <= 0:
            return Verdict(why="everything was done")
        if left * demand.wall < WORTHWHILE:
            return Verdict(
                again=again, why=f"what is left takes about {left * demand.wall * 1e3:.2g} ms: too little to share out"
            )
        usable = [c for c in self.candidates if c.refused is None]
        if not usable:
            return Verdict(why="no other backend can take over: " + self._refusals())
        if demand.wall < min(c.capabilities.per_item for c in usable):
            return Verdict(again=again, why="a call is over sooner than it could be handed to anybody")
        if not seen.travels:
            usable = [c for c in usable if not c.capabilities.needs_pickling]
            if not usable:
                return Verdict(again=again, why="no call has ended yet, to show that its result can travel")
        # The loop would wait for the input, too, and others need not.
        ahead = left * (demand.wall + seen.input)
        # What has been started need not be waited for any more.
        started = max(c.capabilities.startup - self._start(c, seen) for c in usable)
        binds = computes(demand.wall, demand.here)  # not where it is child processes that compute
        if binds and too_little(ahead + started):
            if seen.total is None:  # as it goes on there is the more left to come
                again = min(again, seen.elapsed * (WORTH_SHARING - started) / ahead)
            return Verdict(again=again, why=f"what is left computes for about {_ms(left * demand.wall)}: too little")
        if not seen.effects_known:
            return Verdict(ask=Ask.EFFECTS)
        if seen.effects is not None:
            return Verdict(why=f"the function {seen.effects}, so it stays in the calling thread")
        if self.crowded and demand.cpu > CROWDED * demand.wall:
            return Verdict(why="it is called inside a parallel call, whose siblings use the other cores")
        threads = any(c.capabilities.shares_memory for c in usable)
        asks = binds and self.gil and threads and not seen.gil_known and demand.wall < SHORT_CALL
        if not seen.gil_known:
            demand = replace(demand, gil=demand.here if self.gil else 0.0)
        sent = {c.name for c in usable if c.capabilities.needs_pickling}
        at_best = demand if seen.wire_known else replace(demand, wire_caller=0.0, wire_worker=0.0)
        chosen = self._choose(seen, at_best, left, usable, again)
        # What makes no difference nobody need ask for: how long it takes to send calls, where those who are sent them
        # are no help even if it takes no time; and the GIL, where calls mostly wait, and threads are best though all
        # that they compute is under it.
        if asks and (2 * demand.cpu > demand.wall or chosen.switch is None or chosen.switch in sent):
            return Verdict(ask=Ask.GIL)
        return chosen if seen.wire_known or chosen.switch not in sent else Verdict(ask=Ask.WIRE)

    def _choose(self, seen: Seen, demand: Demand, left: int, usable: list[Candidate], again: float) -> Verdict:
        serial = self._predict("serial", 1, 0.0, 0.0, demand, left)
        options = [self._option(c, demand, left, self._start(c, seen)) for c in usable]
        if seen.input:
            drawn = left * seen.input
            serial = replace(serial, seconds=serial.seconds + drawn)
            options = [replace(option, seconds=max(option.seconds, drawn + demand.wall)) for option in options]
        best = min(options, key=lambda option: option.seconds)
        predictions = (serial, *options)
        refusals = f" ({self._refusals()})" if any(c.refused for c in self.candidates) else ""
        saving = serial.seconds - best.seconds
        if seen.total is None:
            again = min(again, self._pays(seen, serial.seconds, options, usable))
        if best.seconds > CLEARLY * serial.seconds or saving < SAVING:
            return Verdict(
                again=again,
                predictions=predictions,
                why=f"no backend would be clearly faster than the plain loop; the best, {best.backend}, would take "
                f"{_ms(best.seconds)} where the loop takes {_ms(serial.seconds)}: {best.reason}" + refusals,
            )
        rest, workers = f"{left:,} calls", best.workers
        if seen.total is None:
            # More may follow, for which all are there that the caller allows, and where calls wait all that are of
            # use: none is started without a call.
            rest, workers = f"the next {rest}", self.max_workers or self._for_all(best, demand)
        return Verdict(
            switch=best.backend,
            workers=workers,
            predictions=predictions,
            why=f"one call takes {demand}: it {self._kind(demand)}; {rest} would take {_ms(serial.seconds)} one after "
            f"another and {_ms(best.seconds)} on {best.workers} {best.backend}" + refusals,
        )

    def _for_all(self, chosen: Prediction, demand: Demand) -> int:
        """Workers for calls that may be any number."""
        can = next(c.capabilities for c in self.candidates if c.name == chosen.backend)
        if not can.shares_memory or computes(demand.wall, demand.cpu):
            return chosen.workers
        return self.workers(chosen.backend, demand, None)

    def _pays(self, seen: Seen, loop: float, options: list[Prediction], usable: list[Candidate]) -> float:
        """When one of the backends would be clearly faster than the plain loop, if so: of input without a length there
        is the more left to come the longer it has lasted, and what a start costs stays as it is."""
        soonest = math.inf
        for option, candidate in zip(options, usable, strict=True):
            start = self._start(candidate, seen)
            calls = max(0.0, option.seconds - start)
            if calls < CLEARLY * loop:
                soonest = min(soonest, max(LATER, start / (CLEARLY * loop - calls), (start + SAVING) / (loop - calls)))
        return soonest * seen.elapsed

    def _kind(self, demand: Demand) -> str:
        """What a call mostly does, in words."""
        if computes(demand.wall, demand.children):
            return "has child processes compute, for which it waits"
        if demand.cpu <= 0.5 * demand.wall:
            return "mostly waits, and waits can overlap"
        if not self.gil and any(c.refused and c.capabilities.shares_memory for c in self.candidates):
            return "computes, and where nothing is shared nothing keeps others from that"
        if not self.gil:
            return "computes, and on this free-threaded build threads compute side by side"
        if demand.gil > 0.9 * demand.cpu and demand.wait > 0.2 * demand.wall:
            return "computes under the GIL, and waits in between, when another can have it"
        if demand.gil > 0.9 * demand.cpu:
            return "computes under the GIL, where threads take turns"
        if demand.gil > 0.5 * demand.cpu:
            return "computes, mostly under the GIL"
        return "computes outside the GIL, so that threads compute side by side"

    def _start(self, candidate: Candidate, seen: Seen) -> float:
        """Seconds of a backend's start that are still to come."""
        return left_to_start(candidate.capabilities, dict(seen.begun).get(candidate.name, 0.0))

    def _option(self, candidate: Candidate, demand: Demand, left: int, startup: float) -> Prediction:
        """What a backend would take, its own work for each call included."""
        can = candidate.capabilities
        workers = self.workers(candidate.name, demand, left)
        held = can.per_item if self.gil and can.shares_memory else 0.0
        with_work = replace(demand, cpu=demand.cpu + can.per_item, gil=demand.gil + held)
        return self._predict(candidate.name, workers, startup, can.per_call, with_work, left)

    def _predict(
        self, name: str, workers: int, startup: float, per_call: float, demand: Demand, calls: int
    ) -> Prediction:
        return predict(
            demand,
            backend=name,
            workers=workers,
            calls=calls,
            cores=self.cores,
            gil=self.gil,
            startup=startup,
            per_call=per_call,
        )

    def affordable(self, name: str, demand: Demand, calls: int | None, elapsed: float) -> int:
        """The same where the demand is that of one call that still runs, and has ``elapsed`` so many seconds.

        Starting workers is not to cost more than what has been seen: so a giant among small calls does no harm, and
        as it goes on there are more and more.
        """
        can = next(c.capabilities for c in self.candidates if c.name == name)
        wanted = self.workers(name, demand, calls)
        if can.shares_memory or not can.startup_each:
            return wanted
        most = self.cores if can.local else wanted  # what one call has shown is no evidence for more
        return max(1, min(wanted, most, max(2, int(elapsed / can.startup_each))))

    def workers(self, name: str, demand: Demand, calls: int | None) -> int:
        """How many workers a backend should have for this demand."""
        if self.max_workers is not None:
            return self.max_workers if calls is None else max(1, min(self.max_workers, calls))
        suggested = suggest_workers(demand, name, cores=self.cores, gil=self.gil, calls=calls)
        can = next(c.capabilities for c in self.candidates if c.name == name)
        if can.startup_each and calls is not None:
            # Workers that come one after another, each by f later, have done work W together after W/K + f(K-1)/2.
            most = math.sqrt(2 * calls * demand.wall / can.startup_each)
            suggested = max(1, min(suggested, math.ceil(most)))
        if can.shares_memory:
            if demand.cpu_share > NEARLY_ALL:
                return min(suggested, self.cores)
            waiting = suggested * (1.0 - demand.cpu_share)
            spare = int(SPARE * math.sqrt(waiting)) if demand.cpu_share < MOSTLY_COMPUTING else 0
            most = MOST_THREADS if calls is None else min(MOST_THREADS, calls)
            return max(suggested, min(suggested + spare, most))
        if not can.local:
            return suggested
        # Each costs memory and a start, and on a busy machine what only computes looks as if it waited a little.
        waits_too = MOSTLY_WAITING < demand.cpu_share < MOSTLY_COMPUTING
        return min(suggested, CROWD * self.cores if waits_too else self.cores)

    def _refusals(self) -> str:
        return "; ".join(f"{c.name}: {c.refused}" for c in self.candidates if c.refused) or "none is allowed"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
