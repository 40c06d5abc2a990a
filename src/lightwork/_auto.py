"""``backend="auto"``: a run that begins as a plain loop and changes over when that pays.

The policy decides; this file fetches what the policy asks for (clocks, the canary, the pickling of an item, the
function's bytecode) and carries out the change-over. No call is made for the sake of measuring: the items that are
timed are the job's own.
"""

from __future__ import annotations

import math

from lightwork import _context
from lightwork._backends._local import run_batch
from lightwork._backends.base import Backend
from lightwork._calls import Batch, Event, Finished, Outcomes, Revoked, Turn
from lightwork._change import ENOUGH, Change
from lightwork._clock import Clock, process_cpu
from lightwork._demand import Canary, Demand, Meter, Wire
from lightwork._dispatch import Send
from lightwork._engine import TRIAL_BATCH, UNDISTURBED, Run
from lightwork._fingerprint import fingerprint, immutable
from lightwork._gate import opened
from lightwork._live import Live
from lightwork._machine import gil_enabled
from lightwork._opening import Opening
from lightwork._plan import Plan
from lightwork._policy import CLEARLY, CROWD, MOSTLY_COMPUTING, Ask, Policy, Seen, Verdict
from lightwork._prelude import DONE_EARLY
from lightwork._record import replace
from lightwork._report import Report
from lightwork._scout import Scout
from lightwork._source import Source
from lightwork._turns import LOADING, QuickTurns
from lightwork._watch import loading
from lightwork._wire_cost import measure_wire
from lightwork._worth import computes
from lightwork.errors import UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


CANARY_SECONDS = 0.012
"""How much computing the canary watches before it is asked."""

MIXED, LONGER = (0.35, 0.85), 3
"""Shares of the GIL between which the canary watches so many times as long: few functions have such a one, and most
that seem to were seen when others had the cores."""

FIRST_LOOK = 0.002
"""Seconds before which nothing is considered: jobs that end sooner pay for nothing but the loop."""

SOME, MOST = 0.1, 0.7
"""CPU shares between which a running call is not yet taken to wait or to compute: many begin with the one and go on
with the other."""

UNCLEAR = 0.1
"""Seconds after which its share is believed whatever it is."""

MANY = 64
"""Threads to begin with where all that is known is that one call waits: twice as many as the standard library's pool
has. They take 6 ms to start, where growing from half of them takes two rounds of calls (``regret.py --jobs http*``)."""

FEW = 3
"""Calls: after so many it is no longer only one that may have been a giant, or have paid for the others."""

CHANGED = "the function changes its argument"

FORGETS = 4
"""Times as long as before until another backend is tried again, where the last trial was in vain."""

SURELY_WAITS = 0.15
"""CPU share of calls in a process below which they are for threads: with more of it, as many processes as ``CROWD``
allows do at least as much as one GIL, and on a busy machine what only computes has no larger one."""

ROUNDED = 0.98
"""What computes for nearly all of its time is worth no further worker."""

OVERDUE = 2.0
"""Times as long as workers should take to start and to end their first call, after which the caller's thread makes
calls again: they may be importing what it has."""

WATCH = 0.05
"""Seconds that the scout waits for workers at a time. The caller ends its wait when it is back."""

_PLAIN = frozenset({"int", "float", "str", "bytes", "bool", "None", "complex"})
"""What a function may be said to return that certainly travels, by name."""

CANARY_PATIENCE = 0.1
"""Seconds after which the choice is made without the canary's word."""


class AutoRun(Run):
    """A run whose first lane is the trial: the caller's thread, or one thread where that may not be blocked."""

    def __init__(
        self,
        plan: Plan,
        policy: Callable[[bool], Policy],
        usable: Callable[[str], Backend],
        grow: Callable[[Backend, int], Any],
        opening: Opening | None = None,
        clock: Clock | None = None,
        meter: Meter | None = None,
        watched: bool = True,
    ) -> None:
        super().__init__(replace(plan, crew=opening.crew) if opening else plan, clock)
        self._opening = opening
        self.demand: Demand | None = None
        self._make_policy = policy
        self._made_policy: Policy | None = None
        self._refused: dict[str, str] = {}
        self._relaxed: set[str] = set()
        """Backends for which something was begun that others should not wait for."""
        self._for_waiting = False
        self._stays: str | None = None
        self._change: Change | None = None
        self._chosen = self._trial = self.first
        """The lane of the choice, and one beside it that is being tried: the same where none is."""
        self._tried = 0.0, 0
        """When that began, and how many calls the other lane had ended by then."""
        self._usable = usable
        self._grow = grow
        self._settled = self._hastened = False
        self._handover: int | None = None
        self._further: int | None = None
        """Calls that are done when the choice for an input of unknown length is made again."""
        self._input: float | None = None
        self._left: float | None = None
        """When calls were left to workers of which none has ended one yet."""
        self._look = FIRST_LOOK
        self._last = ""
        self._homebound = False
        self._canary: Canary | None = None
        self._canary_since = self._canary_busy = 0.0
        self._gil_share: float | None = None
        self._gil_known = False
        self._wire: Wire | None = None
        self._effects: str | None = None
        self._effects_known = False
        self._print = opening.print if opening else None
        self._item_changed = False
        self._sample: tuple[Sequence[Any], Sequence[Any]] = ((), ())
        crew = self.crews()[0]
        self._running: tuple[float, float, int] | None = None
        self._aside: list[tuple[int, Event]] = []
        self._scout = opening.scout if opening else None
        self._importing = _context.inside_an_import()
        if watched and self._scout is None and plan.backend.capabilities.in_caller and _context.watchable():
            self._scout = crew.around = Scout()
        if self._scout is not None:
            self._scout.run = self
            meter = meter or self._scout.meter()
        self._meter = crew.meter = opening.meter if opening else meter or Meter()

    def attach(self, fn: Callable[..., Any], source: Source) -> None:
        super().attach(fn, source)
        if self._opening is not None:
            self._adopt(self._opening)

    def _adopt(self, opening: Opening) -> None:
        """Goes on from the opening, whose batches were the first that this run would have sent."""
        self.began = opening.began
        self._draw()
        now = self.clock.now()
        self.dispatch.plan(now)
        self.dispatch.started((self.first, opening.worker))
        for event in opening.events:
            if isinstance(event, Finished):
                self.dispatch.plan(now)
            self._take_event(self.first, event)
        if opening.running:
            self.dispatch.plan(now)  # that batch is the next
        elif not self.dispatch.finished:
            self._consider()

    def overtake(self, events: Sequence[Event]) -> None:
        """Takes in what the first crew told meanwhile."""
        for event in events:
            self._take_event(self.first, event)
        self._go_on()

    def absorb(self, timeout: float | None) -> None:
        super().absorb(timeout)
        self._go_on()

    def _go_on(self) -> None:
        while self._aside:
            number, event = self._aside.pop(0)
            super()._take_event(number, event)
        if self._settled and self._left is None and self._scout and not self.dispatch.lanes[self.first].target:
            self._scout.dismiss()
            self._scout = None
        if self.dispatch.broken is not None:
            self._come_back()
        self._see_to()

    def _see_to(self) -> None:
        """What is due after each round of events."""
        if len(self._live) > 1:
            self._make_room(max(self._live))
        if self._left is not None:
            self._help_out(self._overdue(self._left))
        if self._handover is not None:
            self._widen(self._handover)
            self._hand_over()
        elif not self._settled and not self.dispatch.finished:
            self._consider()
        elif self._trial != self._chosen:
            self._judge(self._trial)
        elif self._further is not None and self.dispatch.done >= self._further and self.dispatch.more:
            self._look_further()
        elif self._change is not None and self.dispatch.pending:
            self._look_again(self._change)

    def _look_further(self) -> None:
        """Opens the choice again where so many calls of an input without a length have come that more are to follow
        than it was made for: what takes longer to start may pay by now."""
        self._further = 2 * self.dispatch.done
        self.demand = self._measure()  # a call that was still running then has ended
        current, now = self._live[self._chosen].backend.name, self.clock.now() - self.began
        verdict = self._policy.advise(self._seen(now))
        if verdict.ask is Ask.WIRE and self._find_out(Ask.WIRE):
            verdict = self._policy.advise(self._seen(now))
        if verdict.switch is None or verdict.switch == current:
            return
        took = {option.backend: option.seconds for option in verdict.predictions}
        if took[verdict.switch] < CLEARLY * took.get(current, 0.0):
            number, _ = self._switch(verdict, f"changed over again, to {verdict.workers} {verdict.switch}")
            self._change = Change(self._live[number].backend.capabilities.shares_memory)
            self._handover = self._chosen = self._trial = number

    def _look_again(self, change: Change) -> None:
        """Opens the choice again where the work is no longer what it was chosen for."""
        lane = self.dispatch.lanes[self._chosen]
        now, cpu, delay = self.clock.now() - self.began, lane.cpu, 0.0
        if change.shared and change.due(now, lane.calls):
            cpu, delay = self.process_cpu(), self._live[self._chosen].crew.delay() or 0.0
        recent = change.observe(now, lane.calls, lane.busy, cpu, len(lane.workers), delay)
        if recent is None or self.demand is None:
            return
        with QuickTurns(LOADING):  # the threads keep the GIL from who loads what that takes, and starts it
            self._follow_change(change, *recent)

    def _follow_change(self, change: Change, wall: float, cpu: float) -> None:
        """Calls seem to take so long by now, of which they compute for ``cpu`` seconds."""
        lane, current, now = self.dispatch.lanes[self._chosen], self._live[self._chosen].backend, self.clock.now()
        assert self.demand is not None
        before = self.demand, self._gil_known
        verdict = self._advised_of(wall, cpu, threads=change.shared)
        if verdict.switch is None or verdict.switch == current.name:
            self.demand, self._gil_known = before  # what was measured alone tells more
            return
        if change.shared:
            # The threads stand in line for the GIL, behind which it is not seen whether their calls wait, too. In a
            # process it is, and a core is idle.
            self._trial, _ = self._switch(verdict, f"tried {verdict.workers} {verdict.switch} beside the threads")
            self._tried = now - self.began, lane.calls
            return
        old = self._chosen
        self._chosen, _ = self._switch(verdict, f"changed over again, to {verdict.workers} {verdict.switch}")
        self._trial = self._chosen
        self._change = Change(not change.shared, 2 * change.settles)
        self.close_lane(old)
        # Batches of calls that were taken for short ones may last for seconds now.
        self.dispatch.recall(old)

    def _judge(self, trial: int) -> None:
        """Goes on with what was tried, or without it, once its calls have shown what they take there."""
        lane, backend = self.dispatch.lanes[trial], self._live[trial].backend
        if lane.calls < ENOUGH or not lane.busy or self._change is None or not self.dispatch.pending:
            return
        assert self.demand is not None
        settles, old = self._change.settles, self._chosen
        wall, cpu = lane.busy / lane.calls, lane.cpu / lane.calls
        # Where others have the cores that looks like waiting, too. As long as a thread's call keeps the GIL, which it
        # does while it is ready and has no core, it is none.
        since, before = self._tried
        ended = self.dispatch.lanes[old].calls - before
        turn = (self.clock.now() - self.began - since) / ended if ended else wall
        verdict = self._advised_of(wall, min(wall, max(cpu, turn)), threads=True)
        if verdict.switch != backend.name and self.demand.cpu_share < SURELY_WAITS:
            self._change = Change(True, FORGETS * settles)
            self._trial = old
            self.close_lane(trial)
            self.decide(f"went on without {backend.name}", verdict.why)
            return
        self._chosen, self._change = trial, Change(False, 2 * settles)
        if self._policy.max_workers is None:
            wanted = math.ceil(self._policy.cores / self.demand.cpu_share * ROUNDED)
            self.dispatch.set_lane(trial, max(lane.wanted, min(wanted, CROWD * self._policy.cores, self.dispatch.left)))
        self.close_lane(old)
        self.decide(f"changed over again, to {lane.wanted} {backend.name}", f"there a call takes {self.demand}")

    def _advised_of(self, wall: float, cpu: float, threads: bool) -> Verdict:
        """The choice for what is left if its calls take so long, of which they compute for ``cpu`` seconds; in
        ``threads`` they have filled the GIL."""
        assert self.demand is not None
        held = cpu if threads and self._policy.gil else min(cpu, self.demand.gil_share * cpu)
        self.demand = replace(self.demand, wait=max(0.0, wall - cpu), cpu=cpu, gil=held, hidden=0.0)
        self._gil_known = self._effects_known = True
        now = self.clock.now() - self.began
        verdict = self._policy.advise(self._seen_again(now))
        if verdict.ask is Ask.WIRE:
            self._find_out(Ask.WIRE)
            verdict = self._policy.advise(self._seen_again(now))
        return verdict

    @property
    def _policy(self) -> Policy:
        # Made at the first look: short jobs do without loading the other backends.
        waits = self.demand is not None and not computes(self.demand.wall, self.demand.cpu)
        if self._made_policy is None or (self._for_waiting and not waits):
            with loading:  # a call that the scout looks into may fork
                self._made_policy, self._for_waiting = self._make_policy(waits), waits
            if self._stays is not None:
                self._keep_out_of_processes(self._stays)
        return self._made_policy

    # while the caller's thread is inside a call; see ``_scout``

    def look_in(self, turn: Turn, lasted: float, cpu: float) -> float | None:
        """A batch has ``lasted`` so many seconds in the caller's thread, which used ``cpu`` seconds meanwhile.

        Returns in how many seconds it is to be called again: 0 where there is something to be driven, None where
        nothing is awaited.
        """
        dispatch = self.dispatch
        if dispatch.broken is not None or dispatch.failure is not None or self._aside:
            return None
        if turn.begun <= turn.batch.start:
            return None  # that thread has had no core yet to begin with its first call
        self._running = lasted, cpu, turn.outcomes.count - turn.apart
        if not self._sample[0]:
            self._sample = (turn.batch.items[turn.batch.start : turn.batch.start + 1], ())
        try:
            if not self._settled:
                if lasted > UNCLEAR or not SOME * lasted < cpu < MOST * lasted:
                    self._consider()
                if not self._settled:
                    return None if self._canary is None else CANARY_SECONDS
            if len(self._live) < 2:
                return None
            self._take_rest(turn)
            newest = max(self._live)
            self._widen(newest)
            self._make_room(newest)
            self.hand_out()
            if not dispatch.in_flight(newest):
                return None
            self._take_in(newest, self._live[newest], self.timeout(WATCH))
            return 0.0
        finally:
            self._running = None

    def _widen(self, newest: int) -> None:
        """Wants more workers than at first, where the calls that are made here turn out to be longer, or others."""
        live, lane = self._live[newest], self.dispatch.lanes[newest]
        if not lane.target or not self.dispatch.pending or self.total is None:
            return
        demand, elapsed = self._measure(), self.clock.now() - self.began
        if not computes(demand.wall, demand.cpu):
            return  # ``Growth`` sees to those
        left, name = self.total - self.dispatch.done, live.backend.name
        if demand.calls < FEW:
            workers = self._policy.affordable(name, demand, left, elapsed)
        else:
            workers = self._policy.workers(name, demand, left)
        if workers > lane.wanted:
            self.dispatch.set_lane(newest, workers)
            if live.growth is not None:
                live.growth.workers = max(live.growth.workers, workers)

    def _make_room(self, newest: int) -> None:
        """Has one worker less as long as the caller's thread computes itself: three on two cores would share them, and
        a call that nobody has begun by then would wait for all three."""
        lane, demand = self.dispatch.lanes[newest], self.demand
        busy = self._running is not None and demand is not None and demand.cpu_share > MOSTLY_COMPUTING
        busy = busy and self._handover is None
        self.dispatch.hold_back(newest, max(0, lane.wanted + 1 - self._policy.cores) if busy else 0)

    def _so_far(self, lasted: float, cpu: float, done: int) -> Demand:
        """What one call asks for, with one that is still running and ``done`` others in ``lasted`` seconds.

        The one that is running will last at least so long.
        """
        known = self._meter.demand(self._gil_share, self._wire) if self._meter.first is not None else None
        before = known.calls if known is not None else 0
        calls = before + done + 1
        wall, used = lasted, min(cpu, lasted)
        hidden = 0.0
        if known is not None:
            wall, used = wall + before * known.wall, used + before * (known.cpu - known.hidden)
            hidden = known.hidden
        wall, used = wall / calls, used / calls
        share = self._gil_share if self._gil_share is not None else float(gil_enabled())
        wire = self._wire
        return Demand(
            wait=max(0.0, wall - used),
            cpu=used + hidden,
            gil=share * used,
            wire_caller=wire.caller if wire else 0.0,
            wire_worker=wire.worker if wire else 0.0,
            bytes_out=wire.bytes_out if wire else 0,
            bytes_back=wire.bytes_back if wire else 0,
            calls=calls,
            hidden=hidden,
        )

    def _can_travel(self) -> bool:
        """Whether there is evidence that calls are good for other processes: one has ended, or, as long as none has,
        the item cannot be changed and the function is said to return something plain."""
        if self.dispatch.done:
            return True
        if self._running is None or not self._sample[0] or not immutable(self._sample[0][0]):
            return False
        try:
            returns = getattr(self._fn, "__annotations__", {}).get("return", "")
        except Exception:  # noqa: BLE001 - from Python 3.14 on annotations are code of the caller's
            return False
        return (returns if isinstance(returns, str) else getattr(returns, "__name__", str(returns))) in _PLAIN

    def _take_rest(self, turn: Turn) -> None:
        """What the caller's thread has not begun is for others."""
        position = turn.cut()
        for sent in self.dispatch.lanes[self.first].workers[turn.worker].sent.values():
            if sent.batch.id == turn.batch.id and position < sent.batch.stop:
                self.dispatch.handle(self.first, Revoked(turn.worker, {sent.batch.id: position}), self.clock.now())
                return

    def _take_event(self, number: int, event: Event) -> None:
        failed = isinstance(event, Finished) and event.outcomes.failures
        if self._aside or (self._running is not None and failed):
            # It may have to be made in the calling thread, or end the run, which is for that thread to see to. What
            # comes after it waits with it: a worker's events are to be taken in in their order.
            self._aside.append((number, event))
        else:
            super()._take_event(number, event)

    # what was seen

    def _consider(self) -> None:
        lane = self.dispatch.lanes[self.first]
        elapsed = self.clock.now() - self.began
        if self._meter.anew:  # what was to be waited for was another job's
            self._meter.anew, self._look = False, FIRST_LOOK
        if not (lane.calls or self._running) or elapsed < self._look:
            return
        if self._canary is not None:
            self._listen()
        while not self._settled:
            self.demand = self._measure()
            verdict = self._policy.advise(self._seen(elapsed))
            if verdict.ask is Ask.NOTHING:
                self._follow(verdict, elapsed)
                return
            if not self._find_out(verdict.ask):
                return

    def _measure(self) -> Demand:
        if self._running is not None:
            return self._so_far(*self._running)
        if self._meter.first is not None:
            return self._meter.demand(self._gil_share, self._wire)
        # Of calls that were made before there was a run, or in a thread of its own, the clocks came with the outcomes.
        lane, wire = self.dispatch.lanes[self.first], self._wire
        wall, cpu = lane.busy / lane.calls, lane.cpu / lane.calls
        share = self._gil_share if self._gil_share is not None else float(gil_enabled())
        return Demand(
            wait=max(0.0, wall - cpu),
            cpu=cpu,
            gil=share * cpu,
            wire_caller=wire.caller if wire else 0.0,
            wire_worker=wire.worker if wire else 0.0,
            bytes_out=wire.bytes_out if wire else 0,
            bytes_back=wire.bytes_back if wire else 0,
            calls=lane.calls,
        )

    def _seen(self, elapsed: float) -> Seen:
        assert self.demand is not None
        return Seen(
            elapsed,
            self.dispatch.done,
            self.total,
            self.demand,
            self._gil_known,
            self._wire is not None,
            self._effects,
            self._effects_known,
            self._can_travel(),
            self._drawing(),
        )

    def _drawing(self) -> float:
        """Seconds that the input takes to give an item, as long as nobody's calls held it up."""
        if self._input is not None:
            return self._input
        return self._source.drawing / self._source.drawn if self._source is not None and self._source.drawn else 0.0

    def _seen_again(self, elapsed: float) -> Seen:
        """The same where what is with workers cannot be given to others."""
        seen = self._seen(elapsed)
        return seen if self.total is None else replace(seen, done=self.total - self.dispatch.left)

    def _find_out(self, ask: Ask) -> bool:
        """Fetches an answer; False where it takes further calls of the job."""
        if not self._hastened and self.demand is not None and computes(self.demand.wall, self.demand.cpu):
            self._hastened = True  # most answers lead to processes, and finding them takes as long as these to start
            for candidate in self._policy.candidates:
                if candidate.refused is None:
                    self._usable(candidate.name).hasten(self._fn, list(self._sample[0]), likely=True)
        if ask is Ask.EFFECTS:
            from lightwork._captured import has_locals, ties
            from lightwork._effects import effects  # reading bytecode takes modules that short jobs do without

            assert self._fn is not None
            if self._running is not None and has_locals(self._fn):
                return False  # what the caller's thread has in them can be seen there alone
            found = [effect for effect in effects(self._fn) if effect.certain]
            tied = ties(self._fn)
            to_thread = [*found, *(tie for tie in tied if tie.to == "thread")]
            self._effects = str(to_thread[0]) if to_thread else None
            self._effects_known = True
            if tied:
                self._keep_out_of_processes(f"the function {tied[0]}")
            elif self._item_changed:
                self._keep_out_of_processes(CHANGED)
            elif self._importing:
                self._keep_out_of_processes("a module is being imported, which other processes would import anew")
        elif ask is Ask.WIRE:
            with opened():
                self._wire = measure_wire(*self._sample, self._fn)
            if self._wire.refused:
                self._keep_out_of_processes(self._wire.refused)
        elif self._canary is None:
            self._canary, self._canary_busy = Canary(self._makers()), 0.0
            with loading:
                self._canary.start()
            self._canary_since = self.clock.now()
            return False
        else:
            return False
        return True

    def _makers(self) -> Callable[[], float] | None:
        """The CPU clock of those who make the calls; None: of this thread."""
        if self._scout is not None:
            return self._scout.caller_cpu
        return None if self.plan.backend.capabilities.in_caller else process_cpu

    def _keep_out_of_processes(self, why: str) -> None:
        self._stays = why
        for candidate in self._policy.candidates:
            if candidate.capabilities.needs_pickling:
                if candidate.refused is None:
                    self._relax(candidate.name)
                self._refused[candidate.name] = why
                self._made_policy = self._policy.refuse(candidate.name, why)

    def _listen(self) -> None:
        """Asks the canary, when it has watched calls for long enough."""
        watched = self._canary_busy
        if self._running is not None:
            watched += min(self._running[0], self.clock.now() - self._canary_since)
        if self._canary is None or watched < CANARY_SECONDS:
            return
        self._gil_share = share = self._canary.held_share()
        if share is not None and MIXED[0] < share < MIXED[1] and watched < LONGER * CANARY_SECONDS:
            return
        if share is not None or watched > CANARY_PATIENCE:
            self._canary.stop()
            self._canary = None
            self._gil_known = True

    # what was decided

    def _follow(self, verdict: Verdict, elapsed: float) -> None:
        first = self.crews()[0]
        if verdict.switch is None:
            if verdict.again is None:
                self._settled = True
                if self._running is None:
                    first.meter = None
                if self._scout is not None:
                    self._scout.dismiss()
                self._relax_but("")
                self.decide("stayed in the calling thread", verdict.why)
            self._look = verdict.again or 0.0
            self._last = verdict.why
            # Nothing is to be seen to before the next look.
            first.patience = UNDISTURBED if self._settled else min(max(TRIAL_BATCH, self._look - elapsed), UNDISTURBED)
            return
        self._settled = True
        first.patience = TRIAL_BATCH
        self._take_over(*self._switch(verdict, f"changed over to {verdict.workers} {verdict.switch}"))
        if self._running is None and self._handover is None:
            first.meter = None

    def _take_over(self, number: int, backend: Backend) -> None:
        """Has the calls go to the lane ``number`` from now on, or from when a worker is there."""
        self._change = Change(backend.capabilities.shares_memory)
        self._chosen = self._trial = number
        assert self.demand is not None
        if backend.capabilities.startup > self.demand.wall:
            # Short calls go on here while the workers start; a long one would be waited for by all.
            self._handover = number
        else:
            self.close_lane(self.first)
            if backend.capabilities.can_revoke and not backend.capabilities.shares_memory:
                self._left = self.clock.now()

    def timeout(self, timeout: float | None) -> float | None:
        timeout = super().timeout(timeout)
        if self._left is None or self._running is not None:
            return timeout
        left = max(0.0, self._overdue(self._left) - self.clock.now())
        return left if timeout is None else min(left, timeout)

    def _overdue(self, since: float) -> float:
        """When workers that calls were left to ``since`` then will have ended one, if all goes well, twice over."""
        # Not as long as was known then: what a call that ran then would take has been seen since.
        return since + OVERDUE * (self._live[max(self._live)].backend.capabilities.startup + self._measure().wall)

    def _help_out(self, overdue: float) -> None:
        """Has the caller's thread make calls again, where no worker has ended one in time."""
        newest = max(self._live)
        if self.dispatch.lanes[newest].calls:
            self._left = None
        elif self.clock.now() >= overdue and self._running is None:
            self._left, self._handover = None, newest
            self.dispatch.set_lane(self.first, 1)

    def _switch(self, verdict: Verdict, what: str) -> tuple[int, Backend]:
        assert verdict.switch is not None
        backend, workers = self._usable(verdict.switch), verdict.workers
        self._relax_but(backend.name)
        backend.hasten(self._fn, list(self._sample[0]))
        few = self.demand is not None and self.demand.calls < FEW
        if few and self.demand and self.total is not None and self._policy.max_workers is None:
            left, elapsed = self.total - self.dispatch.done, self.clock.now() - self.began
            workers = min(workers, self._policy.affordable(verdict.switch, self.demand, left, elapsed))
            if backend.capabilities.shares_memory and not computes(self.demand.wall, self.demand.cpu):
                # A first call computes more than others do: it opens files, and imports.
                workers = max(workers, min(left, MANY))
        if self.total is None:
            self._input, self._further = self._drawing(), 2 * max(1, self.dispatch.done)
        growth = self._grow(backend, workers)
        if growth is not None and self.demand is not None:
            growth.both = self.demand.cpu_share < MOSTLY_COMPUTING
            if few or not growth.both:
                growth.many = MANY  # later calls may wait
        with loading:  # some load what drives their workers only now
            number = self.open(backend, workers, growth)
        self.decide(what, verdict.why)
        return number, backend

    def _relax_but(self, name: str) -> None:
        """Ends what was begun for other backends than this one, and would take a core from it."""
        for candidate in self._policy.candidates:
            if candidate.name != name and candidate.refused is None:
                self._relax(candidate.name)

    def _relax(self, name: str) -> None:
        self._relaxed.add(name)
        self._usable(name).relax(self._fn)

    def _hand_over(self) -> None:
        # Not when a worker is ready: its first call may have to import what all others find there.
        newest = self._handover
        if newest is not None and self.dispatch.lanes[newest].calls:
            for number in range(self.first, newest):
                self.close_lane(number)
            self._handover = self.crews()[0].meter = None

    def _come_back(self) -> None:
        """The crew that took over cannot start: its calls, which never began, go on where they began."""
        newest = max(self.dispatch.lanes)
        if newest == self.first or self.dispatch.lanes[newest].calls:
            return
        back = "the calling thread" if self._trial == self._chosen else self._live[self._chosen].backend.name
        self.decide(f"came back to {back}", f"no worker could be started: {self.dispatch.broken}")
        self.dispatch.broken = None
        self._retreat(newest)

    def _retreat(self, newest: int) -> None:
        self.dispatch.lanes[newest].open = False
        self.close_lane(newest)
        if newest == self._trial != self._chosen:
            self._trial = self._chosen  # those beside which it was tried go on
            return
        self.dispatch.set_lane(self.first, 1)
        self._handover = None

    def report(self) -> Report:
        return replace(
            super().report(),
            demand=self.demand,
            gil_known=self._gil_known,
            wire_known=self._wire is not None,
            stays=self._effects,
            refused=tuple(self._refused.items()),
        )

    def _send(self, instruction: Send) -> bool:
        if not self.dispatch.done and instruction.worker[0] == self.first:
            batch = instruction.batch
            self._print = batch.first + batch.start, fingerprint(batch.items[batch.start])
        return super()._send(instruction)

    def _note(self, number: int, live: Live, event: Finished) -> None:
        super()._note(number, live, event)
        outcomes = event.outcomes
        if not outcomes.count:
            return
        sent = self.dispatch.lanes[number].workers[event.worker].sent[outcomes.batch]
        if number == self.first:
            if self._canary is not None:
                began = max(outcomes.began, self._canary_since)
                self._canary_busy += max(0.0, outcomes.began + outcomes.seconds - began)
            position, place = outcomes.start, outcomes.placed or 0
            at = -1 if self._print is None else self._print[0] - sent.batch.first
            if self._print is not None and position <= at < outcomes.position:
                self._item_changed = fingerprint(sent.batch.items[at]) != self._print[1]
                self._print = None
                if self._item_changed and self._effects_known:
                    self._keep_out_of_processes(CHANGED)
            self._sample = (sent.batch.items[position : position + 2], outcomes.values[place : place + 2])
            return
        if self.plan.backend.capabilities.in_caller:
            for position, failure in list(outcomes.failures.items()):
                if isinstance(failure, UnpicklableError) and not failure.begun:
                    self._run_here(sent.batch, position, failure, outcomes)

    def _run_here(self, batch: Batch, position: int, failure: UnpicklableError, outcomes: Outcomes) -> None:
        """Makes a call that never began, because its item cannot travel, in the calling thread."""
        if not self._homebound:
            self._homebound = True
            self.decide("ran some items in the calling thread", str(failure))
        if failure.path.startswith(("the function", "function")):
            # It is the function itself that cannot travel: no other item will do better.
            self._retreat(max(self.dispatch.lanes))
        own = Outcomes(batch.id, 0, [])
        item = [batch.items[position]]
        run_batch(own, Batch(batch.id, batch.fn, batch.style, batch.first + position, item), self.plan.terms, "serial")
        outcomes.values[position - outcomes.start] = own.values[0]
        if own.failures:
            outcomes.failures[position] = own.failures[0]
        else:
            del outcomes.failures[position]

    def let_go(self) -> None:
        super().let_go()
        self._sample = (), ()
        self._aside, self._opening = [], None

    def close(self) -> None:
        if self._scout is not None:
            self._scout.dismiss()
            self._scout = None
        if self._canary is not None:
            self._canary.stop()
            self._canary = None
        if not self.closed:
            for name in self._relaxed:
                self._usable(name).tidy()
        if not self.closed and not self._settled:
            self.decide("stayed in the calling thread", self._last or DONE_EARLY)
        super().close()
