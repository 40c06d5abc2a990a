"""``backend="auto"``: a run that begins as a plain loop and changes over when that pays.

The policy decides; this file fetches what the policy asks for (clocks, the canary, the pickling of an item, the
function's bytecode) and carries out the change-over. No call is made for the sake of measuring: the items that are
timed are the job's own.
"""

from __future__ import annotations

from lightwork._backends._local import run_batch
from lightwork._backends.base import Backend
from lightwork._calls import Batch, Finished, Outcomes
from lightwork._clock import Clock
from lightwork._demand import Canary, Demand, Meter, Wire, measure_wire
from lightwork._dispatch import Send
from lightwork._engine import TRIAL_BATCH, UNDISTURBED, Live, Plan, Run, Source
from lightwork._fingerprint import fingerprint
from lightwork._opening import DONE_EARLY, Opening
from lightwork._policy import Ask, Policy, Seen, Verdict
from lightwork._record import replace
from lightwork._trace import Report
from lightwork.errors import UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


CANARY_SECONDS = 0.012
"""How much computing the canary watches before it is asked."""

FIRST_LOOK = 0.002
"""Seconds before which nothing is considered: jobs that end sooner pay for nothing but the loop."""

CANARY_PATIENCE = 0.1
"""Seconds after which the choice is made without the canary's word."""


class AutoRun(Run):
    """A run whose first lane is the trial: the caller's thread, or one thread where that may not be blocked."""

    def __init__(
        self,
        plan: Plan,
        policy: Callable[[], Policy],
        usable: Callable[[str], Backend],
        grow: Callable[[Backend, int], Any],
        opening: Opening | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(replace(plan, crew=opening.crew) if opening else plan, clock)
        self._opening = opening
        self.demand: Demand | None = None
        self._make_policy = policy
        self._made_policy: Policy | None = None
        self._refused: dict[str, str] = {}
        self._usable = usable
        self._grow = grow
        self._settled = False
        self._handover: int | None = None
        self._look = FIRST_LOOK
        self._last = ""
        self._homebound = False
        self._canary: Canary | None = None
        self._canary_since = 0.0
        self._gil_share: float | None = None
        self._gil_known = False
        self._wire: Wire | None = None
        self._effects: str | None = None
        self._effects_known = False
        self._print = opening.print if opening else None
        self._item_changed = False
        self._sample: tuple[Sequence[Any], Sequence[Any]] = ((), ())
        self._meter = opening.meter if opening else Meter()
        self.crews()[0].meter = self._meter

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
        if not self.dispatch.finished:
            self._consider()

    def absorb(self, timeout: float | None) -> None:
        super().absorb(timeout)
        if self.dispatch.broken is not None:
            self._come_back()
        self._see_to()

    def _see_to(self) -> None:
        """What is due after each round of events."""
        if self._handover is not None:
            self._hand_over()
        elif not self._settled and not self.dispatch.finished:
            self._consider()

    @property
    def _policy(self) -> Policy:
        # Made at the first look: short jobs do without loading the other backends.
        if self._made_policy is None:
            self._made_policy = self._make_policy()
        return self._made_policy

    # what was seen

    def _consider(self) -> None:
        lane = self.dispatch.lanes[self.first]
        elapsed = self.clock.now() - self.began
        if not lane.calls or elapsed < self._look:
            return
        if self._canary is not None:
            self._listen(lane.busy)
        while not self._settled:
            self.demand = self._measure()
            verdict = self._policy.advise(self._seen(elapsed))
            if verdict.ask is Ask.NOTHING:
                self._follow(verdict, elapsed)
                return
            if not self._find_out(verdict.ask, lane.busy):
                return

    def _measure(self) -> Demand:
        if self._meter.first is not None:
            return self._meter.demand(self._gil_share, self._wire)
        # The trial runs in a thread of its own: its clocks came with the outcomes.
        lane, wire = self.dispatch.lanes[self.first], self._wire
        wall, cpu = lane.busy / lane.calls, lane.cpu / lane.calls
        share = self._gil_share if self._gil_share is not None else float(self._policy.gil)
        return Demand(
            wait=max(0.0, wall - cpu),
            cpu=cpu,
            gil=min(cpu, share * wall),
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
        )

    def _find_out(self, ask: Ask, busy: float) -> bool:
        """Fetches an answer; False where it takes further calls of the job."""
        if ask is Ask.EFFECTS:
            from lightwork._captured import ties
            from lightwork._effects import effects  # reading bytecode takes modules that short jobs do without

            assert self._fn is not None
            found = [effect for effect in effects(self._fn) if effect.certain]
            tied = ties(self._fn)
            to_thread = [*found, *(tie for tie in tied if tie.to == "thread")]
            self._effects = str(to_thread[0]) if to_thread else None
            self._effects_known = True
            if tied:
                self._keep_out_of_processes(f"the function {tied[0]}")
            elif self._item_changed:
                self._keep_out_of_processes("the function changes its argument")
        elif ask is Ask.WIRE:
            self._wire = measure_wire(*self._sample, self._fn)
            if self._wire.refused:
                self._keep_out_of_processes(self._wire.refused)
        elif self._canary is None:
            self._canary, self._canary_since = Canary(), busy
            self._canary.start()
            return False
        else:
            return False
        return True

    def _keep_out_of_processes(self, why: str) -> None:
        for candidate in self._policy.candidates:
            if candidate.capabilities.needs_pickling:
                self._refused[candidate.name] = why
                self._made_policy = self._policy.refuse(candidate.name, why)

    def _listen(self, busy: float) -> None:
        watched = busy - self._canary_since
        if self._canary is None or watched < CANARY_SECONDS:
            return
        self._gil_share = self._canary.held_share()
        if self._gil_share is not None or watched > CANARY_PATIENCE:
            self._canary.stop()
            self._canary = None
            self._gil_known = True

    # what was decided

    def _follow(self, verdict: Verdict, elapsed: float) -> None:
        first = self.crews()[0]
        if verdict.switch is None:
            if verdict.again is None:
                self._settled, first.meter = True, None
                self.decide("stayed in the calling thread", verdict.why)
            self._look = verdict.again or 0.0
            self._last = verdict.why
            # Nothing is to be seen to before the next look.
            first.patience = UNDISTURBED if self._settled else min(max(TRIAL_BATCH, self._look - elapsed), UNDISTURBED)
            return
        first.meter, first.patience = None, TRIAL_BATCH
        self._change_over(verdict.switch, verdict.workers)
        self.decide(f"changed over to {verdict.workers} {verdict.switch}", verdict.why)

    def _change_over(self, name: str, workers: int) -> None:
        self._settled = True
        backend = self._usable(name)
        number = self.open(backend, workers, self._grow(backend, workers))
        assert self.demand is not None
        if backend.capabilities.startup > self.demand.wall:
            # Short calls go on here while the workers start; a long one would be waited for by all.
            self._handover = number
        else:
            self.close_lane(self.first)

    def _hand_over(self) -> None:
        lane = self.dispatch.lanes[self._handover or 0]
        if any(worker.ready for worker in lane.workers.values()):
            self.close_lane(self.first)
            self._handover = None

    def _come_back(self) -> None:
        """The crew that took over cannot start: its calls, which never began, go on where they began."""
        newest = max(self.dispatch.lanes)
        if newest == self.first or self.dispatch.lanes[newest].calls:
            return
        self.decide("came back to the calling thread", f"no worker could be started: {self.dispatch.broken}")
        self.dispatch.broken = None
        self._retreat(newest)

    def _retreat(self, newest: int) -> None:
        self.dispatch.lanes[newest].open = False
        self.close_lane(newest)
        self.dispatch.set_lane(self.first, 1)
        self._handover = None

    def report(self) -> Report:
        return replace(super().report(), demand=self.demand)

    def _send(self, instruction: Send) -> bool:
        if not self.dispatch.done and instruction.worker[0] == self.first:
            self._print = fingerprint(instruction.batch.items[instruction.batch.start])
        return super()._send(instruction)

    def _note(self, number: int, live: Live, event: Finished) -> None:
        super()._note(number, live, event)
        outcomes = event.outcomes
        if not outcomes.count:
            return
        sent = self.dispatch.lanes[number].workers[event.worker].sent[outcomes.batch]
        if number == self.first:
            position, place = outcomes.start, outcomes.placed or 0
            if self._print is not None:
                self._item_changed = fingerprint(sent.batch.items[position]) != self._print
                self._print = None
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

    def close(self) -> None:
        if self._canary is not None:
            self._canary.stop()
            self._canary = None
        if not self.closed and not self._settled:
            self.decide("stayed in the calling thread", self._last or DONE_EARLY)
        super().close()
