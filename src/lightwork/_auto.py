"""``backend="auto"``: a run that begins as a plain loop and changes over when that pays.

The policy decides, on ``_evidence``; this file asks it and carries out the change-over. Where the work turns out to be
another, or more of it, the choice is made again (``_second_choice``).
"""

from __future__ import annotations

import _thread
import math

from lightwork import _context
from lightwork._backends._local import run_batch
from lightwork._backends.base import CLOSING, Backend
from lightwork._calls import Batch, Event, Finished, Outcomes, Revoked, Turn
from lightwork._change import Change
from lightwork._clock import Clock, process_cpu
from lightwork._demand import Canary, Demand, Meter
from lightwork._dispatch import Send
from lightwork._engine import TRIAL_BATCH, Run
from lightwork._evidence import CANARY_SECONDS, Evidence, Running
from lightwork._growth import MANY, Growth
from lightwork._handing_over import HandOver
from lightwork._live import Live
from lightwork._opening import Opening
from lightwork._plan import Plan
from lightwork._policy import MOSTLY_COMPUTING, Ask, Policy, Seen, Verdict
from lightwork._prelude import DONE_EARLY, UNDISTURBED
from lightwork._record import replace
from lightwork._report import Report
from lightwork._scout import Scout
from lightwork._source import Source
from lightwork._speculation import Speculation
from lightwork._spinning import Spinning
from lightwork._turns import LOADING, QuickTurns
from lightwork._watch import loading
from lightwork._way_back import WayBack
from lightwork._worth import computes
from lightwork.errors import UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    class MakePolicy(Protocol):
        """For calls that wait, or compute; ``apart``: those that share no memory are to be among the candidates."""

        def __call__(self, waits: bool, apart: bool = False) -> Policy: ...


FIRST_LOOK = 0.002
"""Seconds before which nothing is considered: jobs that end sooner pay for nothing but the loop."""

SOME, MOST = 0.1, 0.7
"""CPU shares between which a running call is not yet taken to wait or to compute: many begin with the one and go on
with the other."""

UNCLEAR = 0.1
"""Seconds after which its share is believed whatever it is."""

FEW = 3
"""Calls: after so many it is no longer only one that may have been a giant, or have paid for the others."""

AT_HOME = 0.01
"""Seconds between two looks at the pace of calls that came back to the caller's thread."""

WATCH = 0.05
"""Seconds that the scout waits for workers at a time. The caller ends its wait when it is back."""


class AutoRun(Run):
    """A run whose first lane is the trial: the caller's thread, or one thread where that may not be blocked."""

    def __init__(
        self,
        plan: Plan,
        policy: MakePolicy,
        usable: Callable[[str], Backend],
        grow: Callable[[Backend, int], Growth | None],
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
        self._speculation = Speculation(usable)
        self._for_waiting = False
        self.parted = False
        """Whether it was asked already who shares nothing."""
        self._apart: str | None = None
        """Why calls that compute are not for workers that share this process's memory, as was seen."""
        self._stays: str | None = None
        self.change: Change | None = None
        """Whether the work has changed since the choice; None as long as there is none to be opened again."""
        self.back: WayBack | None = None
        """Whether the workers are worth it; None where nobody asks, or the caller's thread cannot make calls again."""
        self.chosen = self.trial = self.first
        """The lane of the choice, and one beside it that is being tried: the same where none is."""
        self.tried = 0.0, 0
        """When that began, and how many calls the other lane had ended by then."""
        self._usable = usable
        self._grow = grow
        self._settled = False
        self.handover = HandOver()
        """Who makes the calls until the workers of the choice do."""
        self.further: int | None = None
        """Calls that are done when the choice for an input of unknown length is made again."""
        self._input: float | None = None
        self._look = FIRST_LOOK
        self._last = ""
        self._homebound = False
        crew = self.crews()[0]
        self._running: Running | None = None
        self._aside: list[tuple[int, Event]] = []
        self._scout = opening.scout if opening else None
        self._importing = _context.inside_an_import()
        watchable = plan.backend.capabilities.in_caller and _context.watchable()
        self._returns = watchable and plan.terms.initializer is None  # which would be called here once more
        self._compares = False
        """Whether workers took over whose pace is to be held against that of the calls here."""
        self._watched = watched and watchable
        self._looked = self.began
        """When the run was last seen to: what comes until the next input is there is time of others."""
        if self._watched and self._scout is None:
            self._scout = crew.around = Scout()
        self._spinning: Callable[[], float] = float
        if opening is not None or watched:
            self._spinning = opening.spinning if opening else Spinning(0.0, _thread.get_native_id())
        if self._scout is not None:
            self._scout.run = self
            meter = meter or self._scout.meter(self._spinning)
        crew.meter = opening.meter if opening else meter or Meter()
        if self._scout is not None and crew.meter.offspring is None and not (opening and opening.computes):
            crew.meter.offspring = self._scout.offspring()
        print, unfilled = (opening.print, opening.unfilled) if opening else (None, None)
        self.evidence = Evidence(crew.meter, print, unfilled, self._rest)
        if opening is not None and opening.held_gil:
            self.evidence.heard()

    def process_cpu(self) -> float:
        """CPU seconds of this process, but of threads that nobody has computing."""
        return process_cpu() - self._spinning()

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
        self._looked = self.clock.now()

    def _draw(self) -> bool:
        hungry = super()._draw()
        if self.back is not None:  # neither who takes the results nor the input says how fast calls end
            self.back.pause(self.clock.now() - self._looked)
        return hungry

    def _go_on(self) -> None:
        while self._aside:
            number, event = self._aside.pop(0)
            super()._take_event(number, event)
        if self._settled and self._scout and self.handover.left is None and not self.dispatch.lanes[self.first].target:
            self._scout.dismiss()
            self._scout = None
        if self.dispatch.broken is not None:
            self._come_back()
        self._see_to()

    def _see_to(self) -> None:
        """What is due after each round of events."""
        if self._compares:
            self._compare()
        if len(self._live) > 1:
            self.handover.make_room(self, self.newest)
        if self.handover.left is not None:
            self.handover.help_out(self)
        if self.handover.lane is not None:
            self._widen(self.handover.lane)
            self.handover.end(self)
        elif not self._settled and not self.dispatch.finished:
            self._consider()
        elif self.trial != self.chosen:
            from lightwork._second_choice import judge

            judge(self)
        elif self.back is not None and self._look_back(self.back):
            return
        elif self.further is not None and self.dispatch.done >= self.further and self.dispatch.more:
            self._look_further()
        elif self.change is not None and self.dispatch.pending:
            self._look_again(self.change)

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
        self._running = Running(lasted, cpu, turn.outcomes.count - turn.apart, turn.outcomes)
        if not self.evidence.sample[0]:
            self.evidence.sample = (turn.batch.items[turn.batch.start : turn.batch.start + 1], ())
        try:
            if not self._settled:
                if lasted > UNCLEAR or not SOME * lasted < cpu < MOST * lasted:
                    self._consider()
                if not self._settled:
                    return CANARY_SECONDS / 2 if self.evidence.listening else None
            if self.back is not None and self.back.trying:
                if lasted < self.back.allowed:
                    return None
                from lightwork._second_choice import give_up

                give_up(self, self.back)
            if len(self._live) < 2:
                return None
            self._take_rest(turn)
            # Those that were tried and given up are newer than the choice.
            newest = self.chosen if self.chosen != self.first else self.newest
            self._widen(newest)
            self.handover.make_room(self, newest)
            with QuickTurns(LOADING):  # else each message to those who wait for it would wait for the GIL itself
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
        demand, elapsed = self.measure(), self.clock.now() - self.began
        if not computes(demand.wall, demand.cpu):
            return  # ``Growth`` sees to those
        left, name = self.total - self.dispatch.done, live.backend.name
        if demand.calls < FEW:
            workers = self.policy.affordable(name, demand, left, elapsed)
        else:
            workers = self.policy.workers(name, demand, left)
        if workers > lane.wanted:
            self.dispatch.set_lane(newest, workers)
            if live.growth is not None:
                live.growth.workers = max(live.growth.workers, workers)

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
        if self.evidence.meter.anew:  # what was to be waited for was another job's
            self.evidence.meter.anew, self._look = False, FIRST_LOOK
        if not (lane.calls or self._running) or elapsed < self._look:
            return
        if self.evidence.listening:
            self.evidence.listen(self._running, self.clock.now())
        while not self._settled:
            self.demand = self.measure()
            verdict = self.policy.advise(self.seen(elapsed))
            if verdict.ask is Ask.NOTHING:
                self._follow(verdict, elapsed)
                return
            if not self.find_out(verdict.ask):
                self.crews()[0].patience = TRIAL_BATCH  # what is waited for comes sooner than the next look was due
                return

    def backend_of(self, number: int) -> Backend:
        """The one that a lane's workers are of."""
        return self._live[number].backend

    @property
    def newest(self) -> int:
        """The lane that was opened last."""
        return max(self._live)

    @property
    def inside(self) -> bool:
        """Whether the caller's thread is inside a call, and somebody else drives."""
        return self._running is not None

    @property
    def policy(self) -> Policy:
        """Who decides. Made at the first look: short jobs do without loading the other backends."""
        waits = self.demand is not None and not computes(self.demand.wall, self.demand.cpu)
        others = self._for_waiting or self._apart is not None
        if self._made_policy is None or (others and waits != self._for_waiting):
            apart = None if waits else self._apart
            with loading:  # a call that the scout looks into may fork
                self._made_policy, self._for_waiting = self._make_policy(waits, apart is not None), waits
            if apart is not None:
                for candidate in self._made_policy.candidates:
                    if candidate.capabilities.shares_memory:
                        self._made_policy = self._made_policy.refuse(candidate.name, apart)
            if self._stays is not None:
                self._keep_out_of_processes(self._stays)
        return self._made_policy

    def measure(self) -> Demand:
        """What one call asks for, as far as the caller's thread has made some, or is inside one."""
        if self.demand is not None and self._running is None and not self.dispatch.lanes[self.first].calls:
            return self.demand  # a Ctrl-C has ended the first one: no more is known than was seen while that ran
        return self.evidence.demand(self.dispatch.lanes[self.first], self._running)

    def seen(self, elapsed: float) -> Seen:
        """What there is to decide on."""
        evidence, done = self.evidence, self.dispatch.done
        assert self.demand is not None
        return Seen(
            elapsed,
            done,
            self.total,
            self.demand,
            evidence.gil_known,
            evidence.wire is not None,
            evidence.effects,
            evidence.effects_known,
            evidence.travels(self._fn, done, self.inside),
            self._drawing(),
            self.dispatch.fed,
            tuple((c.name, self._usable(c.name).begun()) for c in self.policy.candidates if c.refused is None),
        )

    def _drawing(self) -> float:
        """Seconds that the input takes to give an item, as long as nobody's calls held it up."""
        if self._input is not None:
            return self._input
        return self._source.drawing / self._source.drawn if self._source is not None and self._source.drawn else 0.0

    def find_out(self, ask: Ask) -> bool:
        """Fetches an answer for the policy; False where it takes further calls of the job."""
        evidence, inside = self.evidence, self.inside
        if not self._speculation.begun and self.demand is not None and computes(self.demand.wall, self.demand.here):
            self._speculation.begin(self.policy.candidates, self._fn, list(evidence.sample[0]))
        stays = None
        if ask is Ask.EFFECTS:
            assert self._fn is not None
            if not evidence.readable(self._fn, inside):
                return False
            stays = evidence.read(self._fn)
            if stays is None and self._importing:
                stays = "a module is being imported, which other processes would import anew"
        elif ask is Ask.WIRE:
            stays = evidence.weigh(self._fn)
        else:
            if not evidence.listening:
                makers = self._makers()
                if inside and makers is not None and evidence.hears(makers):
                    return True
                evidence.listen_to(Canary(makers), self.clock)
            return False
        if stays:
            self._keep_out_of_processes(stays)
        return True

    def _rest(self) -> Sequence[Any] | None:
        """Those whose calls have not ended, where all items are there: what others hold now came from their calls."""
        items = self._source.whole if self._source is not None else None
        ended = self._running.outcomes.count if self._running is not None else 0
        return None if items is None else items[self.dispatch.done + ended :]

    def _makers(self) -> Callable[[], float] | None:
        """The CPU clock of those who make the calls; None: of this thread."""
        if self._scout is not None:
            return self._scout.caller_cpu
        return None if self.plan.backend.capabilities.in_caller else process_cpu

    def _keep_out_of_processes(self, why: str) -> None:
        self._stays = why
        for candidate in self.policy.candidates:
            if candidate.capabilities.needs_pickling:
                if candidate.refused is None:
                    self._speculation.end(candidate.name, self._fn)
                self._refused[candidate.name] = why
                self._made_policy = self.policy.refuse(candidate.name, why)

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
                self._speculation.end_but("", self.policy.candidates, self._fn)
                self.decide("stayed in the calling thread", verdict.why)
            self._look = verdict.again or 0.0
            self._last = verdict.why
            # Nothing is to be seen to before the next look.
            first.patience = UNDISTURBED if self._settled else min(max(TRIAL_BATCH, self._look - elapsed), UNDISTURBED)
            return
        self._settled = True
        first.patience = TRIAL_BATCH
        self.take_over(*self.switch(verdict, f"changed over to {verdict.workers} {verdict.switch}"))
        if self._running is None and self.handover.lane is None:
            first.meter = None

    def keep_apart(self, why: str | None) -> None:
        """From now on none of those that share this process's memory is chosen for calls that compute, but others are;
        None: no longer."""
        self._apart, self._made_policy = why, None

    def take_over(self, number: int, backend: Backend) -> None:
        """Has the calls go to the lane ``number`` from now on, or from when a worker is there."""
        self.change = Change(backend.capabilities.shares_memory)
        self.chosen = self.trial = number
        self._compares = self._returns
        self.handover.begin(self, number)

    def leave(self) -> None:
        """No calls are made in the caller's thread any more that would tell of those to come."""
        self.crews()[0].meter = None

    def timeout(self, timeout: float | None) -> float | None:
        timeout = super().timeout(timeout)
        due = None if self.inside else self.handover.due(self)
        if due is None:
            return timeout
        left = max(0.0, due - self.clock.now())
        return left if timeout is None else min(left, timeout)

    def switch(self, verdict: Verdict, what: str) -> tuple[int, Backend]:
        """Opens what the verdict is for, beside what there is; returns its lane."""
        assert verdict.switch is not None
        backend, workers = self._usable(verdict.switch), verdict.workers
        self._speculation.end_but(backend.name, self.policy.candidates, self._fn)
        backend.hasten(self._fn, list(self.evidence.sample[0]))
        few = self.demand is not None and self.demand.calls < FEW
        if few and self.demand and self.policy.max_workers is None:
            left, elapsed = math.inf, self.clock.now() - self.began
            if self.total is not None:
                left = self.total - self.dispatch.done
                workers = min(workers, self.policy.affordable(verdict.switch, self.demand, left, elapsed))
            if backend.capabilities.shares_memory and self.demand.cpu_share < SOME:
                # A first call computes more than others do: it opens files, and imports.
                workers = int(max(workers, min(left, MANY)))
        if self.total is None:
            self._input, self.further = self._drawing(), 2 * max(1, self.dispatch.done)
        growth = self._grow(backend, workers)
        if growth is not None and self.demand is not None:
            growth.both = self.demand.cpu_share < MOSTLY_COMPUTING
            if few or not growth.both:
                growth.many = MANY  # later calls may wait
        self.mind_children(growth)
        with loading:  # some load what drives their workers only now
            number = self.open(backend, workers, growth)
        self.decide(what, verdict.why)
        return number, backend

    @property
    def _in_children(self) -> bool:
        """Whether it is child processes that compute: what the GIL binds is little then, and known."""
        return self.demand is not None and computes(self.demand.wall, self.demand.children)

    def mind_children(self, growth: Growth | None) -> None:
        """Where calls have child processes compute, what these use counts as the calls' own."""
        offspring = self.evidence.meter.offspring
        if offspring is None or not self._in_children:
            vars(self).pop("process_cpu", None)  # the run's own again
            return
        vars(self)["process_cpu"] = offspring.family_cpu
        if growth is not None:
            growth.family, growth.ceiling = True, float(self.policy.cores)

    def _come_back(self) -> None:
        """The crew that took over cannot start: its calls, which never began, go on where they began."""
        newest = max(self.dispatch.lanes)
        if newest == self.first or self.dispatch.lanes[newest].calls or self.dispatch.short:
            return
        back = "the calling thread" if self.trial == self.chosen else self._live[self.chosen].backend.name
        self.decide(f"came back to {back}", f"no worker could be started: {self.dispatch.broken}")
        self.dispatch.broken = None
        self._retreat(newest)

    def _retreat(self, newest: int) -> None:
        self.dispatch.lanes[newest].open = False
        self.close_lane(newest)
        if newest == self.trial != self.chosen:
            self.trial = self.chosen  # those beside which it was tried go on
            return
        self.dispatch.set_lane(self.first, 1)
        self.handover.call_off()
        self.back, self._compares = None, False

    # the choice, opened again: few runs come to what that takes, which is loaded then

    def _look_further(self) -> None:
        """Opens the choice again where more of an input without a length has come than it was made for."""
        with QuickTurns(LOADING):
            from lightwork._second_choice import look_further

        look_further(self)

    def _compare(self) -> None:
        # Of a call that was still running when the workers took over more is known now.
        self._compares = False
        demand = self.measure() if self.dispatch.lanes[self.first].calls else self.demand
        if demand is not None and demand.wall > 0:
            waits, meter = not computes(demand.wall, demand.cpu), self.evidence.meter
            # Not alone: what others have of the cores they take from the workers, too.
            each = demand.wall if meter.first is None else max(demand.wall, meter.lasted)
            self.back = WayBack(demand.calls, each + self._drawing(), not waits)

    def _look_back(self, back: WayBack) -> bool:
        """Sees to it that the workers are worth it; returns whether the caller's thread has the calls just now."""
        lanes, now = self.dispatch.lanes, self.clock.now() - self.began
        own, theirs = lanes[self.first], lanes[self.chosen]
        if back.trying:
            from lightwork._second_choice import try_caller

            try_caller(self, back)
        elif back.home:
            if back.regrets(now, own.calls):
                from lightwork._second_choice import regret

                regret(self, back)
        elif (
            not own.target
            and self.dispatch.pending
            and back.doubtful(now, theirs.calls, len(theirs.workers), self._left_to_do())
        ):
            with QuickTurns(LOADING):
                from lightwork._second_choice import look_back

                look_back(self, back)
        return back.trying or back.home

    def _left_to_do(self) -> int:
        # As much again as was done, where nobody knows.
        return self.dispatch.left if self.total is not None else max(self.dispatch.done, self.dispatch.left)

    def rest(self, number: int, resting: bool) -> None:
        """Lets the workers of a lane rest, or go on."""
        self.dispatch.rest(number, resting)
        if not resting:
            live, lane = self._live[number], self.dispatch.lanes[number]
            if live.growth is not None:
                live.growth.look_anew(self.clock.now() - self.began, lane.calls, lane.busy, lane.cpu)
            if self.change is not None:
                self.change = Change(self.change.shared, self.change.settles)

    def try_here(self) -> None:
        """The caller's thread makes some calls again, of which each may last."""
        if self._watched and self._scout is None:
            self._scout = self.crews()[0].around = Scout()
            self._scout.run = self
        self.dispatch.set_lane(self.first, 1)

    def stay_here(self) -> None:
        """It makes all of them from now on."""
        if self._scout is not None:
            self._scout.dismiss()
            self._scout = None
        self.crews()[0].patience = AT_HOME

    def _look_again(self, change: Change) -> None:
        """Opens the choice again where the work is no longer what it was chosen for."""
        lane = self.dispatch.lanes[self.chosen]
        now, cpu, delay = self.clock.now() - self.began, lane.cpu, 0.0
        if change.shared and change.due(now, lane.calls):
            cpu, delay = self.process_cpu(), self._live[self.chosen].crew.delay() or 0.0
        in_line = len(lane.workers) - len(lane.idle)
        recent = change.observe(now, lane.calls, lane.busy, cpu, len(lane.workers), delay, in_line)
        if recent is None or self.demand is None:
            return
        with QuickTurns(LOADING):  # the threads keep the GIL from who loads what that takes, and starts it
            from lightwork._second_choice import follow

            follow(self, change, *recent)

    def report(self) -> Report:
        return replace(
            super().report(),
            demand=self.demand,
            gil_known=self.evidence.gil_known or self._in_children,
            wire_known=self.evidence.wire is not None,
            stays=self.evidence.effects,
            refused=tuple(self._refused.items()),
        )

    def _send(self, instruction: Send) -> bool:
        if instruction.worker[0] == self.first:
            if not self.dispatch.done:
                self.evidence.begins_with(instruction.batch)
            else:
                self.evidence.goes_on_with(instruction.batch)
        return super()._send(instruction)

    def _note(self, number: int, live: Live, event: Finished) -> None:
        super()._note(number, live, event)
        outcomes = event.outcomes
        if not outcomes.count:
            return
        sent = self.dispatch.lanes[number].workers[event.worker].sent[outcomes.batch]
        if self.back is not None and number == (self.first if self.back.home else self.chosen):
            self.back.note(outcomes.count + sent.untimed, outcomes.seconds, outcomes.cpu)
        elif self.back is not None and self.back.trying and number == self.first:
            self.back.note_own(outcomes.count, outcomes.seconds, outcomes.cpu)
        if number == self.first:
            if self.evidence.note(sent.batch, outcomes) and self.evidence.effects_known:
                self._keep_out_of_processes(self.evidence.changed(self._fn))
            return
        self.handover.note(number, min(self.clock.now(), outcomes.began + outcomes.seconds))
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
        self.evidence.sample = (), ()
        self._aside, self._opening = [], None

    def close(self, patience: float = CLOSING) -> None:
        if self._scout is not None:
            self._scout.dismiss()
            self._scout = None
        self.evidence.end()
        if not self.closed:
            self._speculation.tidy()
        if not self.closed and not self._settled:
            self.decide("stayed in the calling thread", self._last or DONE_EARLY)
        elif not self.closed:
            self.handover.conclude(self)
        super().close(patience)
