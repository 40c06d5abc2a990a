"""The one loop: input → dispatch → crews → output, driven by whoever wants the results.

A ``Run`` has no thread of its own. A ``step`` draws input, carries out what ``Dispatch`` decides, waits for a crew and
hands the events back to ``Dispatch``. ``lw.map`` steps in the caller's thread, an ``Executor`` in its service thread,
``lw.amap`` on the caller's event loop.
"""

from __future__ import annotations

import itertools
import math
import sys

from lightwork._attendance import Attendance, Gauge
from lightwork._backends.base import Backend, Crew
from lightwork._batching import SHARED, Batching
from lightwork._calls import Event, Finished, Terms, WorkerFailed, WorkerLost, WorkerReady
from lightwork._clock import Clock, SystemClock, process_cpu, thread_cpu
from lightwork._dispatch import Chunk, Dispatch, Retire, Rules, Send, Start
from lightwork._gate import opened, outside
from lightwork._growth import Growth, Pace
from lightwork._headroom import affordable
from lightwork._lanes import NO_CAP
from lightwork._library_threads import share
from lightwork._machine import available_memory
from lightwork._record import Record, fresh, replace
from lightwork._report import Report
from lightwork._sizes import shown
from lightwork._sizes import workers as counted
from lightwork._trace import Decision, Lane, Progress, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from lightwork._calls import Style
    from lightwork._watchdog import Watchdog


TRIAL_BATCH = 0.002
"""Seconds: how long the caller's thread runs items before it looks at the clock and at the other crews again."""

UNDISTURBED = 0.05
"""Seconds that the caller's thread runs items at most where nothing else is to be seen to."""

TURN = 0.01
"""Seconds that one crew is waited for while another has calls too."""

MEMORY_LOOK = 0.5
"""Seconds between two looks at the memory that workers of their own take, and at what is left."""

MOST_SPANS = 20_000
"""Spans that a report keeps; later ones are counted in the lanes only."""

FAST_PULL = 0.001
"""Seconds: input that comes faster than this is drawn in doubling helpings, slower input one at a time."""

MOST_AHEAD = 1024
"""Calls that a lazy run draws ahead of what was consumed, at most, where the caller gave no ``buffersize``."""


class Source:
    """The caller's input, advanced only inside ``pull``, in the thread that steps."""

    def __init__(self, iterables: Sequence[Iterable[Any]], style: Style, strict: bool = False) -> None:
        self.style = style
        self.total = _length(iterables)
        """None where nobody can tell: an iterator's, or that of a range with more items than can be counted."""
        self.error: BaseException | None = None
        self.ended = False
        self._helping = 1 << 16 if all(type(one) in _READY for one in iterables) else 1
        # What is there already needs no drawing: batches are slices of it.
        only = iterables[0] if len(iterables) == 1 else None
        there = type(only) in (list, tuple, range) and self.total is not None
        self.whole: Sequence[Any] | None = only if there else None  # type: ignore[assignment]
        self._items: Iterator[Any] = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=strict)
        self._strict = strict and len(iterables) > 1
        self.drawn, self.drawing, self.took = 0, 0.0, 0.0
        """Items that were drawn, seconds that this took, and those of the last time."""

    def let_go(self) -> None:
        """The map is over: nothing will be drawn."""
        self.whole, self._items, self.error = None, iter(()), None

    def pull(self, room: int, clock: Clock) -> Sequence[Any]:
        """The next items, at most ``room``; sets ``ended``, and ``error`` where the input raised."""
        wanted = min(room, self._helping)
        began = clock.now()
        items: list[Any] = []
        try:
            with outside():
                # ``extend`` keeps what came before the input raised.
                items.extend(itertools.islice(self._items, wanted))
        except Exception as error:  # noqa: BLE001 - the caller's iterator; raised again in its place
            self.error = _said_of_the_callers(error) if self._strict and type(error) is ValueError else error
            self.ended = True
            return items
        self.ended = len(items) < wanted
        took = self.took = clock.now() - began
        self.drawn, self.drawing = self.drawn + len(items), self.drawing + took
        self._helping = self._helping * 2 if took < FAST_PULL else max(1, self._helping // 4)
        return items


def _said_of_the_callers(error: ValueError) -> ValueError:
    """What ``zip`` says of its arguments' lengths, said of the caller's."""
    import re

    uneven = re.fullmatch(r"zip\(\) argument (\d+) is (shorter|longer) than argument(s?) ([\d-]+)", str(error))
    return ValueError("strict=True: iterable {} is {} than iterable{} {}".format(*uneven.groups())) if uneven else error


_READY = (list, tuple, range, dict, set, frozenset, str, bytes, bytearray)
"""Containers whose items are there: drawing from them never waits."""


def _length(iterables: Sequence[Iterable[Any]]) -> int | None:
    lengths = []
    for iterable in iterables:
        try:
            lengths.append(len(iterable))  # type: ignore[arg-type]
        except (TypeError, OverflowError):
            return None
    return min(lengths) if lengths else 0


class Live:
    """A crew that is open, with its lane's number in the dispatch. ``each``: bytes that its largest worker takes;
    ``fewest``: workers that memory had room for when it had the least; ``sending`` and ``fetching``: the caller's CPU
    seconds for what travels."""

    __slots__ = ("attendance", "backend", "crew", "each", "fetching", "fewest", "growth", "pace", "sending", "startup")

    def __init__(self, backend: Backend, crew: Crew, growth: Growth | None = None, startup: float = 0.0) -> None:
        self.backend = backend
        self.crew = crew
        self.growth = growth
        in_line = growth is not None and growth.ceiling <= 1  # for the GIL, or for the only core
        threads = backend.capabilities.shares_memory and not backend.capabilities.coroutines
        self.pace = Pace() if in_line and threads else None
        self.startup = startup
        self.each = 0
        self.fewest = NO_CAP
        self.attendance = Attendance()
        self.sending, self.fetching = Gauge(), Gauge()


class Plan(Record):
    """How a run begins: with which backend and how many workers.

    ``growth``: how the number of workers may grow; ``window``: calls that may be drawn and not yet consumed
    (None: no bound but the work ahead); ``chunksize`` the caller's; ``on_send``: asked before a call goes out,
    False drops it (a future that was cancelled meanwhile); ``crew``: one of the backend's that is open already;
    ``submitted``: calls come one by one, with all their arguments; ``stall_timeout``: seconds without an end of a call
    after which the workers' stacks are shown.
    """

    backend: Backend
    workers: int
    terms: Terms
    rules: Rules
    growth: Growth | None = None
    window: int | None = None
    lazy: bool = False
    chunksize: int | None = None
    on_send: Callable[[int], bool] | None = None
    submitted: bool = False
    crew: Crew | None = None
    stall_timeout: float | None = None
    progress: Callable[[Progress], None] | None = None
    decisions: list[Decision] = fresh(factory=list)


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
        self._told = self.began
        # Nothing of the kit is imported where nobody has made a lock.
        watch = getattr(sys.modules.get("lightwork._kit.checked"), "Watch", None)
        self._locks = None if watch is None else watch(self.began)
        self.first = self.open(plan.backend, plan.workers, plan.growth)

    dispatch_of: type[Dispatch] = Dispatch
    process_cpu = staticmethod(process_cpu)

    # crews

    def open(self, backend: Backend, workers: int, growth: Growth | None = None) -> int:
        """Opens a crew and wants ``workers`` of it; returns its lane."""
        number = len(self._live)
        capabilities = backend.capabilities
        # A batch of a lazy run is at most a quarter of what may be drawn ahead, so that several workers share it.
        cap = max(1, (self.plan.window or MOST_AHEAD) // (4 * max(1, workers))) if self.plan.lazy else 1 << 16
        revocable = capabilities.can_revoke
        shared = SHARED if revocable else 0.0
        batching = Batching(capabilities.per_call, self.plan.chunksize, cap, shared=shared)
        if capabilities.in_caller:
            batching.longest, batching.alone = TRIAL_BATCH, True
        # Nothing is put behind a submitted call, which may take long, where it cannot be taken back.
        queued = capabilities.max_queued if revocable or not self.plan.submitted else 1
        self.dispatch.add_lane(
            number,
            batching,
            queued,
            backend.crash_error,
            whole=capabilities.in_caller and not self.plan.lazy,
            revocable=revocable,
        )
        self.dispatch.set_lane(number, workers)
        crew = None if number else self.plan.crew
        self._live[number] = Live(backend, crew or backend.open(self._terms(backend, workers)), growth)
        self._live[number].crew.patience = TRIAL_BATCH
        return number

    def _terms(self, backend: Backend, workers: int) -> Terms:
        if backend.capabilities.in_caller or backend.capabilities.coroutines or not backend.capabilities.local:
            return self.plan.terms
        return replace(self.plan.terms, library_threads=share(workers))

    def crews(self) -> list[Crew]:
        """The crews that are open, oldest first."""
        return [live.crew for live in self._live.values()]

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

    def _room(self) -> int:
        dispatch = self.dispatch
        ahead = sum(
            max(1, lane.target) * lane.max_queued * lane.batching.size(1 << 30, max(1, lane.target), True)
            for lane in dispatch.lanes.values()
        )
        room = max(64, 2 * ahead) - dispatch.pending
        if self.plan.lazy:
            window = self.plan.window
            if window is None:
                window = min(MOST_AHEAD, max(16, 4 * ahead))
            room = min(room, window - (dispatch.fed - self.consumed))
        return room

    def _draw(self) -> bool:
        """Draws one helping of input; returns whether more could be drawn at once."""
        source, dispatch = self._source, self.dispatch
        if source is None or not dispatch.more:
            return False
        if source.whole is not None and self._fn is not None and not self.plan.lazy:
            dispatch.feed(self._fn, source.style, source.whole, source.total)
            dispatch.end_of_input()
            return False
        if self._fn is not None and (room := self._room()) > 0:
            dispatch.feed(self._fn, source.style, source.pull(room, self.clock))
            dispatch.away = source.took
            if source.ended:
                dispatch.end_of_input()
        return dispatch.more and self._room() > 0

    # the loop

    def step(self, timeout: float | None = None) -> None:
        """Moves the work on; blocks for an event if there is nothing else to do, at most ``timeout`` seconds."""
        hungry = self.prepare()
        self.absorb(0.0 if hungry else timeout)

    def prepare(self) -> bool:
        """Draws input and hands out work; returns whether more input could be drawn at once."""
        hungry = self._draw()
        self.hand_out()
        return hungry

    def hand_out(self) -> None:
        """Hands out work that was drawn."""
        now = self.clock.now()
        if now >= self._memory_look:
            for number, live in self._live.items():
                lane = self.dispatch.lanes[number]
                if live.backend.capabilities.memory and lane.workers:
                    self._mind_memory(number, live, len(lane.workers), lane.wanted)
        self._make_way()
        while self._carry_out(now) or self._look_around():
            pass

    def _make_way(self) -> None:
        for number, live in self._live.items():
            if live.pace is not None:
                lane = self.dispatch.lanes[number]
                lane.room = live.pace.room(len(lane.workers) - len(lane.idle))

    def _look_around(self) -> bool:
        """Looks whether threads that have got as many calls as they may at once compute; returns whether there is room
        for more."""
        again = False
        for number, live in self._live.items():
            lane = self.dispatch.lanes[number]
            if live.pace is not None and lane.room <= 0 and lane.idle and self.dispatch.pending and lane.open:
                busy = len(lane.workers) - len(lane.idle)
                live.pace.looked(busy, live.crew.glance())
                lane.room = live.pace.room(busy)
                again |= lane.room > 0
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
                    began, worker = self.clock.now(), live.crew.start_worker()
                    live.attendance.start(worker, began)
                    self.dispatch.started((instruction.lane, worker))
                again = True
            elif isinstance(instruction, Retire):
                live = self._live[instruction.worker[0]]
                live.crew.retire(instruction.worker[1])
                live.attendance.gone(instruction.worker[1], now)
            else:
                self._live[instruction.worker[0]].crew.revoke(instruction.worker[1])
        return again

    def _affordable(self, start: Start) -> int:
        """How many of the workers that are to be started memory has room for."""
        live = self._live[start.lane]
        if not live.backend.capabilities.memory:
            return start.count
        lane = self.dispatch.lanes[start.lane]
        alive = len(lane.workers)
        most = self._mind_memory(start.lane, live, alive, alive + lane.starting)
        missing = max(0, min(start.count, alive + lane.starting - most))
        if missing:
            self.dispatch.not_started(start.lane, missing)
        return start.count - missing

    def _mind_memory(self, number: int, live: Live, alive: int, wanted: int) -> int:
        """Caps a lane's workers by the memory that there is; returns how many it may have."""
        self._memory_look = self.clock.now() + MEMORY_LOOK
        live.each = max(live.each, live.backend.capabilities.memory, *live.crew.memory())
        available = available_memory()
        most = affordable(wanted, alive, live.each, available)
        self.dispatch.cap_lane(number, most if most < wanted else NO_CAP)
        if most < min(wanted, live.fewest):
            live.fewest = most
            what = f"went on with {most} instead of {wanted} {live.backend.name}"
            why = f"a worker takes {shown(live.each)}, and {shown(available or 0)} of memory are available"
            self.decide(what, why, fewer=True)
        return most

    def _send(self, instruction: Send) -> bool:
        batch = instruction.batch
        again = False
        if (wanted := self.plan.on_send) is not None:
            for position in range(batch.start, batch.stop):
                if not wanted(batch.first + position):
                    again = True
                    if not self.dispatch.drop(instruction.worker, batch, position):
                        return True
                    break
        self._ship(instruction)
        return again

    def _ship(self, instruction: Send) -> None:
        lane, worker = instruction.worker
        batch = instruction.batch
        live = self._live[lane]
        crew = live.crew
        shipped = crew.shipped
        if not live.backend.capabilities.needs_pickling or not live.sending.due():
            crew.send(worker, batch)
        else:
            before = thread_cpu()
            crew.send(worker, batch)
            live.sending.add(thread_cpu() - before)
        if crew.shipped > shipped:
            self.dispatch.lanes[lane].batching.weigh(batch.stop - batch.start, crew.shipped - shipped)

    def timeout(self, timeout: float | None) -> float | None:
        """How long to wait for an event, when the caller would wait ``timeout``."""
        deadline = self.dispatch.next_deadline()
        deadline = math.inf if deadline is None else deadline
        if self._watchdog is not None and self._watchdog.due is not None:
            deadline = min(self._watchdog.due, deadline)
        for live in self._live.values():
            if live.growth is not None and live.growth.due is not None:
                deadline = min(self.began + live.growth.due, deadline)
        if deadline == math.inf:
            return timeout
        until = max(0.0, deadline - self.clock.now())
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
                self._take_in(number, live, 0.0)
        awaited = [number for number in others if self.dispatch.in_flight(number)] or list(others)[-1:]
        if len(awaited) > 1:
            # One crew is ending while the next begins: each is waited for in turn, for a moment.
            timeout = TURN if timeout is None else min(timeout, TURN)
        for number, live in others.items():
            self._take_in(number, live, timeout if number in awaited else 0.0)

    def _watch(self, watchdog: Watchdog) -> None:
        now = self.clock.now()
        ended = self.dispatch.done + self.dispatch.retried
        if not watchdog.look(now, ended, self.dispatch.running()):
            return
        stacks: dict[tuple[int, int], str] = {}
        for number, live in self._live.items():
            busy = [worker for lane, worker in watchdog.running if lane == number]
            if busy and live.backend.capabilities.can_show_stacks:
                stacks |= {(number, worker): text for worker, text in live.crew.stacks(busy).items()}
        self.decide("showed what the workers do, on stderr", f"no call had ended for {watchdog.seconds:g} s")
        if sys.stderr is not None:
            from lightwork._watchdog import words

            sys.stderr.write(words(watchdog.seconds, now, watchdog.running, stacks))

    def _take_in(self, number: int, live: Live, timeout: float | None) -> None:
        scarce = None
        before = thread_cpu() if live.backend.capabilities.needs_pickling and live.fetching.due() else None
        if live.crew.opens_gate:
            events = live.crew.wait(timeout)
        else:
            with opened():
                events = live.crew.wait(timeout)
        if before is not None:
            live.fetching.add(thread_cpu() - before)
        for event in events:
            self._take_event(number, event)
            if isinstance(event, WorkerFailed) and event.scarce:
                scarce = event.exception
        if scarce is not None and self.dispatch.broken is None:
            most = self.dispatch.lanes[number].wanted
            live.growth = None  # there would be a next time, and a next refusal, all the way
            what = f"went on with {counted(most, live.backend.name)}"
            self.decide(what, f"no more could be started: {scarce}", fewer=True)
        if (growth := live.growth) is not None:
            lane = self.dispatch.lanes[number]
            if lane.target:
                now = self.clock.now() - self.began
                hungry = self.dispatch.pending > 0 and not lane.idle and len(lane.workers) >= lane.target
                if growth.workers < growth.many:
                    self._look_at(growth, now, hungry, live.crew)
                calls, busy, cpu = lane.calls, lane.busy, lane.cpu
                self.dispatch.set_lane(number, growth.observe(now, calls, busy, cpu, live.crew.delay))
            else:
                growth.due = None

    def _look_at(self, growth: Growth, now: float, hungry: bool, crew: Crew) -> None:
        """Has it looked whether the workers compute, where that is due."""
        if not hungry or growth.due is None or now >= growth.due:
            growth.look(now, hungry, self.process_cpu(), crew.delay() if hungry else None)

    def _take_event(self, number: int, event: Event) -> None:
        live = self._live[number]
        if isinstance(event, Finished):
            self._note(number, live, event)
            if event.worn and not self._replaced:
                self._replaced = True
                self.decide("replaced a worker", "its calls left more memory in use than others can do without")
        elif isinstance(event, WorkerReady):
            live.startup = max(live.startup, event.seconds)
            live.attendance.ready(event.worker, event.seconds)
        elif isinstance(event, (WorkerLost, WorkerFailed)):
            live.attendance.gone(event.worker, self.clock.now())
        self.dispatch.handle(number, event, self.clock.now())
        if isinstance(event, WorkerLost) and event.death.starved:
            most = self.dispatch.lanes[number].wanted
            live.growth = None  # there would be a next time, and a next refusal, all the way
            self.decide(
                f"went on with at most {counted(most, live.backend.name)}",
                "the kernel killed a worker for lack of memory: max_memory would end the call that takes too much",
                fewer=True,
            )

    def _note(self, number: int, live: Live, event: Finished) -> None:
        outcomes = event.outcomes
        self.sent += outcomes.sent
        if outcomes.seconds and outcomes.count and len(self._spans) < MOST_SPANS:
            sent = self.dispatch.lanes[number].workers[event.worker].sent[outcomes.batch]
            self._spans.append(
                Span(
                    live.backend.name,
                    event.worker,
                    sent.batch.first + outcomes.start,
                    outcomes.count,
                    outcomes.began - self.began,
                    outcomes.seconds,
                    outcomes.cpu,
                )
            )

    # output

    def place(self, results: list[Any]) -> None:
        """Lets crews that run in the caller's thread put results where they belong at once, if they come in order."""
        for live in self._live.values():
            live.crew.results = results

    @property
    def finished(self) -> bool:
        """Whether every call of the whole input is done."""
        return self.dispatch.finished

    def take(self) -> list[Chunk]:
        """Calls that ended since the last ``take``."""
        return self.dispatch.take()

    def let_go(self) -> None:
        """The map is over: keeps no item."""
        self.dispatch.let_go()

    def forget_failure(self) -> None:
        """Lets go of the exception that has ended the run, and of what was not taken."""
        self.dispatch.failure = self.dispatch.broken = None
        if self._source is not None:
            self._source.error = None
        self.take()

    def wake(self) -> None:
        """Ends a ``step`` that blocks, from any thread."""
        for live in list(self._live.values()):
            live.crew.wake()

    def close(self) -> None:
        """Ends all crews, at once where that can be. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._ended = self.clock.now()
        for live in self._live.values():
            self.unstoppable += live.crew.close()
            self.sent += live.crew.shipped
            live.crew.results = None  # a crew and its parts refer to each other: they would keep the list
        if self.plan.progress is not None:
            self._tell(finished=True)

    def interrupted(self) -> None:
        """After a Ctrl-C: ends all crews, and takes in what had ended, of which some is known only then."""
        for number, live in self._live.items():
            self.unstoppable += live.crew.close()
            self._take_in(number, live, 0.0)
        self.close()

    def _tell(self, finished: bool = False) -> None:
        now = self.clock.now()
        if self.plan.progress is None or (now - self._told < 0.05 and not finished):
            return
        self._told = now
        dispatch = self.dispatch
        self.plan.progress(
            Progress(
                dispatch.done - dispatch.failed,
                self.total,
                dispatch.failed,
                now - self.began,
                self._live[len(self._live) - 1].backend.name,
                finished,
            )
        )

    def report(self) -> Report:
        """What this run did so far."""
        dispatch, now = self.dispatch, self.clock.now() if self._ended is None else self._ended
        lanes = tuple(self._lane(number, now) for number, lane in dispatch.lanes.items() if lane.calls or lane.peak)
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

    def _lane(self, number: int, now: float) -> Lane:
        live, lane = self._live[number], self.dispatch.lanes[number]
        starting = idle = 0.0
        travel = live.sending.seconds + live.fetching.seconds
        if not live.backend.capabilities.in_caller:  # the caller's own thread has other things to do between calls
            starting, present = live.attendance.until(now)
            idle = max(0.0, present - lane.busy)
        return Lane(live.backend.name, lane.peak, lane.calls, lane.busy, lane.cpu, starting, idle, travel)

    def decide(self, what: str, why: str, fewer: bool = False) -> None:
        """Notes a decision for the report."""
        self.decisions.append(Decision(self.clock.now() - self.began, what, why, fewer))
