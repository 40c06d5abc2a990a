"""The one loop: input → dispatch → crews → output, driven by whoever wants the results.

A ``Run`` has no thread of its own. A ``step`` draws input, carries out what ``Dispatch`` decides, waits for a crew and
hands the events back to ``Dispatch``. ``lw.map`` steps in the caller's thread, an ``Executor`` in its service thread,
``lw.amap`` on the caller's event loop.
"""

from __future__ import annotations

import math

from lightwork._backends.base import CLOSING, Backend, Crew
from lightwork._calls import Event, Finished, WorkerFailed, WorkerLost
from lightwork._clock import Clock, SystemClock, process_cpu
from lightwork._dispatch import Dispatch, Retire, Send, Start
from lightwork._growth import Growth
from lightwork._lanes import NO_CAP
from lightwork._live import Live
from lightwork._loaded import loaded
from lightwork._machine import available_memory
from lightwork._plan import Plan
from lightwork._report import Report
from lightwork._sizes import shown
from lightwork._sizes import workers as counted
from lightwork._trace import Decision, Progress, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightwork._source import Source
    from lightwork._watchdog import Watchdog


TRIAL_BATCH = 0.002
"""Seconds: how long the caller's thread runs items before it looks at the clock and at the other crews again."""

TURN = 0.01
"""Seconds that one crew is waited for while another has calls too."""

LONGEST_WAIT = 3600.0
"""Seconds after which it is looked again, however late something is due: systems know no wait of centuries."""

MEMORY_LOOK = 0.5
"""Seconds between two looks at the memory that workers of their own take, and at what is left."""

TELL = 0.05
"""Seconds between two words to whoever follows the progress, and does not ask for fewer (``lightwork_every``)."""

MOST_SPANS = 20_000
"""Spans that a report keeps; later ones are counted in the lanes only."""


class Run:
    """One map's or executor's work from its first call to its end."""

    def __init__(self, plan: Plan, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.plan = plan
        self.began = self.clock.now()
        self.dispatch = self.dispatch_of(plan.rules)
        self.consumed = 0
        self.decisions = plan.decisions
        self.unstoppable = 0
        self._replaced = False
        self._memory_look = math.inf
        self._watchdog: Watchdog | None = None
        if plan.stall_timeout is not None:
            from lightwork._watchdog import Watchdog

            self._watchdog = Watchdog(plan.stall_timeout)
        self.sent = 0
        self.closed = False
        self._ended: float | None = None
        self._live: dict[int, Live] = {}
        self._spans: list[Span] = []
        self._fn: Callable[..., Any] | None = None
        self._source: Source | None = None
        self._told, self._told_of = self.began, 0
        every = getattr(plan.progress, "lightwork_every", None)
        self._tells_every = every if type(every) is float else TELL  # a mock has all attributes
        # Nothing of the kit is imported where nobody has made a lock.
        watch = loaded("lightwork._kit.checked", "Watch")
        self._locks = None if watch is None else watch(self.began)
        self.first = self.open(plan.backend, plan.workers, plan.growth)

    dispatch_of: type[Dispatch] = Dispatch
    process_cpu = staticmethod(process_cpu)

    # crews

    def open(self, backend: Backend, workers: int, growth: Growth | None = None) -> int:
        """Opens a crew and wants ``workers`` of it; returns its lane."""
        number = len(self._live)
        plan, capabilities = self.plan, backend.capabilities
        batching = plan.batching(capabilities, workers)
        if capabilities.in_caller:
            batching.longest, batching.alone = TRIAL_BATCH, True
        whole, revocable = capabilities.in_caller and not plan.lazy, capabilities.can_revoke
        self.dispatch.add_lane(number, batching, plan.queued(capabilities), backend.crash_error, whole, revocable)
        self.dispatch.set_lane(number, workers)
        crew = (None if number else plan.crew) or backend.open(plan.terms_for(capabilities, workers))
        crew.patience = TRIAL_BATCH
        self._live[number] = Live(backend, crew, self.dispatch.lanes[number], growth)
        return number

    def crews(self) -> list[Crew]:
        """The crews that are open, oldest first."""
        return [live.crew for live in list(self._live.values())]  # other threads ask, too, while one more is opened

    def close_lane(self, number: int) -> None:
        """Wants no further call to go to a lane; its workers end what they have."""
        self.dispatch.set_lane(number, 0)

    # input

    def attach(self, fn: Callable[..., Any], source: Source) -> None:
        """Takes all further calls from ``source``."""
        self._fn, self._source = fn, source
        self.dispatch.total = source.total

    @property
    def total(self) -> int | None:
        """How many calls there are in all, where that is known."""
        return self._source.total if self._source is not None else None

    @property
    def input_error(self) -> BaseException | None:
        """What the input raised, if it did."""
        return self._source.error if self._source is not None else None

    def _draw(self) -> bool:
        """Draws one helping of input; returns whether more could be drawn at once."""
        source, dispatch = self._source, self.dispatch
        if source is None or not dispatch.more:
            return False
        if source.whole is not None and self._fn is not None and not self.plan.lazy:
            dispatch.feed(self._fn, source.style, source.whole, source.total)
            dispatch.end_of_input()
            return False
        if self._fn is not None and (room := self.plan.room(dispatch, self.consumed)) > 0:
            dispatch.feed(self._fn, source.style, source.pull(room, self.clock))
            dispatch.away = source.took
            if source.ended:
                dispatch.end_of_input()
        return dispatch.more and self.plan.room(dispatch, self.consumed) > 0

    # the loop

    def step(self, timeout: float | None = None) -> None:
        """Moves the work on; blocks for an event if there is nothing else to do, at most ``timeout`` seconds."""
        hungry = self.prepare()
        self.absorb(0.0 if hungry else timeout)

    def prepare(self) -> bool:
        """Draws input and hands out work; returns whether there is something to do at once: more input could be drawn,
        or the run is broken."""
        hungry = self._draw()
        self.hand_out()
        return hungry or self.dispatch.broken is not None

    def hand_out(self) -> None:
        """Hands out work that was drawn."""
        for live in self._live.values():
            live.mind_fork()
        now = self.clock.now()
        if now >= self._memory_look:
            for number, live in self._live.items():
                if live.backend.capabilities.memory and live.lane.workers:
                    self._mind_memory(number, live, live.lane.wanted)
        for live in self._live.values():
            if live.pace is not None:
                live.make_way(live.pace)
        while self._carry_out(now) or self._look_around():
            pass

    def _look_around(self) -> bool:
        """Returns whether more calls may go out to threads than was known before."""
        again = False
        for live in self._live.values():
            if live.pace is not None and self.dispatch.pending:
                again |= live.look_around(live.pace)
        return again

    def _carry_out(self, now: float) -> bool:
        """Carries out the dispatch's instructions; returns whether they call for another look."""
        again = False
        for instruction in self.dispatch.plan(now):
            if isinstance(instruction, Send):
                again |= self._send(instruction)
            elif isinstance(instruction, Start):
                live = self._live[instruction.lane]
                for _ in range(self._affordable(instruction)):
                    self.dispatch.started((instruction.lane, live.start_worker(self.clock)))
                again = True
            elif isinstance(instruction, Retire):
                self._live[instruction.worker[0]].retire(instruction.worker[1], now)
            else:
                self._live[instruction.worker[0]].crew.revoke(instruction.worker[1])
        return again

    def _affordable(self, start: Start) -> int:
        """How many of the workers that are to be started memory has room for."""
        live = self._live[start.lane]
        if not live.backend.capabilities.memory:
            return start.count
        there = len(live.lane.workers) + live.lane.starting
        missing = max(0, min(start.count, there - self._mind_memory(start.lane, live, there)))
        self.dispatch.not_started(start.lane, missing)
        return start.count - missing

    def _mind_memory(self, number: int, live: Live, wanted: int) -> int:
        """Caps a lane's workers by the memory that there is; returns how many it may have."""
        self._memory_look = self.clock.now() + MEMORY_LOOK
        available = available_memory()
        most = live.affordable(wanted, available)
        self.dispatch.cap_lane(number, most if most < wanted else NO_CAP)
        if most < min(wanted, live.fewest):
            live.fewest = most
            what = f"went on with {most} instead of {wanted} {live.backend.name}"
            why = f"a worker takes {shown(live.each)}, and {shown(available or 0)} of memory are available"
            self.decide(what, why, fewer=True)
        return most

    def _send(self, instruction: Send) -> bool:
        if self.dispatch.short:
            return False  # nobody is called with what never was an item: the run is broken
        batch = instruction.batch
        again = False
        if (wanted := self.plan.on_send) is not None:
            for position in range(batch.start, batch.stop):
                if not wanted(batch.first + position):
                    again = True
                    if not self.dispatch.drop(instruction.worker, batch, position):
                        return True
                    break
        lane, worker = instruction.worker
        self._live[lane].send(worker, batch)
        return again

    def timeout(self, timeout: float | None) -> float | None:
        """How long to wait for an event, when the caller would wait ``timeout``."""
        due = self.dispatch.next_deadline()
        deadline = math.inf if due is None else due
        if self._watchdog is not None and self._watchdog.due is not None:
            deadline = min(self._watchdog.due, deadline)
        for live in self._live.values():
            if live.pace is not None or live.growth is not None:
                now = self.clock.now() - self.began
                deadline = min(self.began + live.due(now, self.dispatch.pending, self.process_cpu), deadline)
        if self.plan.progress is not None and self.dispatch.done > self._told_of:
            deadline = min(self._told + self._tells_every, deadline)  # no further call may end for long
        if deadline == math.inf and due is None:
            return timeout
        until = min(max(0.0, deadline - self.clock.now()), LONGEST_WAIT)
        return until if timeout is None else min(until, timeout)

    def absorb(self, timeout: float | None) -> None:
        """Waits for events and takes them in."""
        if self.dispatch.finished:
            return
        if self._watchdog is not None:
            self._watch(self._watchdog)
        timeout = self.timeout(timeout)
        if len(self._live) == 1 and not (only := self._live[0]).backend.capabilities.in_caller:
            self._take_in(0, only, timeout)
        else:
            self._absorb_all(timeout)
        if self.plan.progress is not None:
            self._tell()

    def _absorb_all(self, timeout: float | None) -> None:
        others = {}
        for number, live in list(self._live.items()):
            if not live.backend.capabilities.in_caller:
                others[number] = live
            else:
                if self.dispatch.in_flight(number):
                    timeout = 0.0
                    for other in self._live.values():
                        other.crew.deliver()
                # Alone it waits for what is due, a call that is to be made again, say.
                self._take_in(number, live, timeout if len(self._live) == 1 else 0.0)
        awaited = [number for number in others if self.dispatch.in_flight(number)] or list(others)[-1:]
        if len(awaited) > 1:
            # One crew is ending while the next begins: each is waited for in turn, for a moment.
            timeout = TURN if timeout is None else min(timeout, TURN)
        for number, live in others.items():
            self._take_in(number, live, timeout if number in awaited else 0.0)

    def _watch(self, watchdog: Watchdog) -> None:
        now = self.clock.now()
        if watchdog.look(now, self.dispatch.done + self.dispatch.retried, self.dispatch.running()):
            self.decide("showed what the workers do, on stderr", f"no call had ended for {watchdog.seconds:g} s")
            watchdog.speak(now, {number: live.stacks for number, live in self._live.items()})

    def _take_in(self, number: int, live: Live, timeout: float | None) -> None:
        scarce = None
        for event in live.wait(timeout):
            self._take_event(number, event)
            if isinstance(event, WorkerFailed) and event.scarce:
                scarce = event.exception
        if scarce is not None and self.dispatch.broken is None:
            live.growth = None  # there would be a next time, and a next refusal, all the way
            what = f"went on with {counted(live.lane.wanted, live.backend.name)}"
            self.decide(what, f"no more could be started: {scarce}", fewer=True)
        if (growth := live.growth) is not None:
            if live.lane.target and live.lane.open:
                now = self.clock.now() - self.began
                wanted = live.grown(growth, now, self.dispatch.pending, self.process_cpu)
                if wanted > live.lane.wanted:
                    self.dispatch.recall(number)  # those that come are to have of what was handed out for fewer
                self.dispatch.set_lane(number, wanted)
            else:
                growth.mind_no_more()

    def _take_event(self, number: int, event: Event) -> None:
        live = self._live[number]
        if isinstance(event, Finished):
            self._note(number, live, event)
            if event.worn and not self._replaced:
                self._replaced = True
                self.decide("replaced a worker", "its calls left more memory in use than others can do without")
        else:
            live.attended(event, self.clock.now())
        self.dispatch.handle(number, event, self.clock.now())
        if isinstance(event, WorkerLost) and event.death.starved:
            live.growth = None  # there would be a next time, and a next refusal, all the way
            what = f"went on with at most {counted(live.lane.wanted, live.backend.name)}"
            why = "the kernel killed a worker for lack of memory: max_memory would end the call that takes too much"
            self.decide(what, why, fewer=True)

    def _note(self, number: int, live: Live, event: Finished) -> None:  # noqa: ARG002 - some runs note more
        outcomes = event.outcomes
        self.sent += outcomes.sent
        if outcomes.seconds and outcomes.count and len(self._spans) < MOST_SPANS:
            self._spans.append(live.span(event.worker, outcomes, self.began))

    # output

    def place(self, results: list[Any]) -> None:
        """Lets crews that run in the caller's thread put results where they belong at once, if they come in order."""
        for live in self._live.values():
            live.crew.results = results

    def let_go(self) -> None:
        """The map is over: keeps no item."""
        self.dispatch.let_go()

    def forget_failure(self) -> None:
        """Lets go of the exception that has ended the run, and of what was not taken."""
        self.dispatch.failure = self.dispatch.broken = None
        if self._source is not None:
            self._source.error = None
        self.dispatch.take()

    def wake(self) -> None:
        """Ends a ``step`` that blocks, from any thread."""
        for live in list(self._live.values()):
            live.crew.wake()

    def close(self, patience: float = CLOSING) -> None:
        """Ends all crews, at once where that can be, as theirs does. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._ended = self.clock.now()
        try:
            self._end_crews(patience)
        except BaseException:
            self._end_crews(0.0)  # Ctrl-C has ended the wait
            raise
        finally:
            if self.plan.progress is not None:
                self._tell(finished=True)

    def _end_crews(self, patience: float) -> None:
        for live in self._live.values():
            self.unstoppable += live.crew.close(patience)
            self.sent += live.crew.shipped
            live.crew.shipped = 0
            live.crew.results = None  # a crew and its parts refer to each other: they would keep the list

    def interrupted(self) -> None:
        """After a Ctrl-C: ends all crews, and takes in what had ended, of which some is known only then."""
        for number, live in self._live.items():
            if not self.closed:  # else it was in the wait for closing workers that this one struck
                self.unstoppable += live.crew.close(0.0)
            self._take_in(number, live, 0.0)
        self.close()

    def _tell(self, finished: bool = False) -> None:
        now = self.clock.now()
        if self.plan.progress is None or (now - self._told < self._tells_every and not finished):
            return
        self._told, self._told_of, dispatch = now, self.dispatch.done, self.dispatch
        done, backend = dispatch.done - dispatch.failed, self._live[len(self._live) - 1].backend.name
        self.plan.progress(Progress(done, self.total, dispatch.failed, now - self.began, backend, finished))

    def report(self) -> Report:
        """What this run did so far."""
        dispatch, now = self.dispatch, self.clock.now() if self._ended is None else self._ended
        lanes = tuple(live.record(now) for live in self._live.values() if live.lane.calls or live.lane.peak)
        main = max(lanes, key=lambda lane: lane.busy, default=None)
        return Report(
            backend=main.backend if main else self.plan.backend.name,
            workers=main.workers if main else 0,
            calls=dispatch.done,
            seconds=now - self.began,
            lanes=lanes,
            decisions=tuple(self.decisions),
            spans=tuple(self._spans),
            startup=max((live.startup for live in self._live.values()), default=0.0),
            sent=self.sent,
            retries=dispatch.retried,
            failures=dispatch.failed,
            lost_workers=dispatch.lost,
            unstoppable=self.unstoppable,
            counted=self.total is not None,
            contention=() if self._locks is None else self._locks.contended(),
        )

    def decide(self, what: str, why: str, fewer: bool = False) -> None:
        """Notes a decision for the report."""
        self.decisions.append(Decision(self.clock.now() - self.began, what, why, fewer))
