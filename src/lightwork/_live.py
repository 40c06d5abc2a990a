"""A crew that is open, and what is measured of it: memory, attendance, what the caller does for it, how it may grow."""

from __future__ import annotations

import math
import os

from lightwork import _trace
from lightwork._attendance import Attendance, Gauge
from lightwork._calls import WorkerFailed, WorkerLost, WorkerReady
from lightwork._clock import thread_cpu
from lightwork._gate import opened
from lightwork._growth import BRIEF, WAITING
from lightwork._headroom import affordable
from lightwork._lanes import NO_CAP
from lightwork._pace import AGAIN, Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightwork._backends.base import Backend, Crew
    from lightwork._calls import Batch, Event, Outcomes
    from lightwork._clock import Clock
    from lightwork._growth import Growth
    from lightwork._lanes import Lane


IN_A_FORK = (
    "this map was begun by the process that has forked this one, and its workers are that one's: go on with it there, "
    "or begin another one here"
)


class Live:
    """A crew, and the ``lane`` that the dispatch has for it.

    ``growth``: how the number of its workers may grow, None where it may not, or not any more; ``pace``: how many
    calls its threads may have at a time, where that is to be found; ``startup``: seconds that the slowest worker's
    start took; ``each``: bytes that the largest worker takes; ``fewest``: workers that memory had room for when it had
    the least.
    """

    __slots__ = (
        "_attendance",
        "_fetching",
        "_longest",
        "_process",
        "_sending",
        "backend",
        "crew",
        "each",
        "fewest",
        "growth",
        "lane",
        "pace",
        "startup",
    )

    def __init__(self, backend: Backend, crew: Crew, lane: Lane, growth: Growth | None = None) -> None:
        self.backend = backend
        self._process = os.getpid()
        self.crew = crew
        self.lane = lane
        self._longest = lane.batching.longest
        self.growth = growth
        in_line = growth is not None and growth.ceiling <= 1  # for the GIL, or for the only core
        threads = backend.capabilities.shares_memory and not backend.capabilities.coroutines
        self.pace = Pace() if in_line and threads else None
        self.startup = 0.0
        self.each = 0
        self.fewest = NO_CAP
        self._attendance = Attendance()
        self._sending, self._fetching = Gauge(), Gauge()  # the caller's CPU seconds for what travels

    def mind_fork(self) -> None:
        """RuntimeError in a process that the crew's has forked, where workers are not to be spoken to, or are not."""
        if os.getpid() != self._process and not self.backend.capabilities.in_caller:
            raise RuntimeError(IN_A_FORK)

    # workers

    def start_worker(self, clock: Clock) -> int:
        """Starts a worker; returns its number."""
        began, worker = clock.now(), self.crew.start_worker()
        self._attendance.start(worker, began)
        return worker

    def retire(self, worker: int, now: float) -> None:
        """Lets an idle worker end."""
        self.crew.retire(worker)
        self._attendance.gone(worker, now)

    def attended(self, event: Event, now: float) -> None:
        """Notes from when on, or until when, a worker could take calls, where the event says so."""
        if isinstance(event, WorkerReady):
            self.startup = max(self.startup, event.seconds)
            self._attendance.ready(event.worker, event.seconds)
        elif isinstance(event, (WorkerLost, WorkerFailed)):
            self._attendance.gone(event.worker, now)

    def stacks(self, workers: Sequence[int]) -> dict[int, str]:
        """What these workers are doing, as far as that can be found out."""
        return self.crew.stacks(workers) if workers and self.backend.capabilities.can_show_stacks else {}

    # how many there may be, and how many calls they may have

    def affordable(self, wanted: int, available: int | None) -> int:
        """How many of the ``wanted`` workers so many bytes have room for, by what those take that there are."""
        self.each = max(self.each, self.backend.capabilities.memory, *self.crew.memory())
        return affordable(wanted, len(self.lane.workers), self.each, available)

    def grown(self, growth: Growth, now: float, pending: int, process_cpu: Callable[[], float]) -> int:
        """How many workers to have ``now``, in seconds since the run's start; ``pending`` calls are with nobody."""
        lane, delay = self.lane, self.crew.delay
        if growth.workers < growth.many or growth.due is not None:
            hungry = self._hungry(pending)
            if not hungry or growth.due is None or now >= growth.due:
                growth.look(now, hungry, process_cpu(), delay() if hungry else None, lane.calls, pending)
        told = lane.batching.told
        wanted = growth.observe(now, lane.calls, lane.busy, lane.cpu, delay, process_cpu, told)
        waits = lane.cpu < WAITING * lane.busy and not (growth.over or growth.sated)
        lane.batching.longest = BRIEF if waits else self._longest
        return wanted

    def _hungry(self, pending: int) -> bool:
        """Whether calls wait for a worker, and all that there are to be have one."""
        lane = self.lane
        return pending > 0 and not lane.idle and len(lane.workers) >= lane.target

    def due(self, now: float, pending: int, process_cpu: Callable[[], float]) -> float:
        """When to look again, though no event may come: all calls that were handed out since the last one may wait.
        Infinite: there is nothing to look for."""
        lane, growth, due = self.lane, self.growth, math.inf
        if not (pending and lane.target and lane.open):
            return due
        if self.pace is not None and lane.idle and lane.room <= 0:
            due = now + AGAIN
        if growth is not None:
            if growth.due is None and growth.looks(lane.calls) and self._hungry(pending):
                growth.look(now, True, process_cpu(), self.crew.delay(), lane.calls, pending)
            if growth.due is not None:
                due = min(due, growth.due)
        return due

    def make_way(self, pace: Pace) -> None:
        """Lets as many calls go out as may before it is looked whether the threads compute."""
        lane = self.lane
        lane.room = pace.room(len(lane.workers) - len(lane.idle))

    def look_around(self, pace: Pace) -> bool:
        """Looks whether threads that have got as many calls as they may at once compute; returns whether there is room
        for more."""
        lane = self.lane
        if lane.room > 0 or not lane.idle or not lane.open:
            return False
        pace.looked(len(lane.workers) - len(lane.idle), self.crew.glance())
        self.make_way(pace)
        return lane.room > 0

    # messages

    def send(self, worker: int, batch: Batch) -> None:
        """Hands a batch to a worker, and sees what that takes."""
        crew = self.crew
        shipped = crew.shipped
        if not self.backend.capabilities.needs_pickling or not self._sending.due():
            crew.send(worker, batch)
        else:
            before = thread_cpu()
            crew.send(worker, batch)
            self._sending.add(thread_cpu() - before)
        if crew.shipped > shipped:
            self.lane.batching.weigh(batch.stop - batch.start, crew.shipped - shipped)

    def wait(self, timeout: float | None) -> list[Event]:
        """The crew's events, awaited for ``timeout`` seconds at most; Ctrl-C may strike where nothing is in hand."""
        self.mind_fork()
        before = thread_cpu() if self.backend.capabilities.needs_pickling and self._fetching.due() else None
        if self.crew.opens_gate:
            events = self.crew.wait(timeout)
        else:
            with opened():
                events = self.crew.wait(timeout)
        if before is not None:
            self._fetching.add(thread_cpu() - before)
        return events

    # for the report

    def span(self, worker: int, outcomes: Outcomes, began: float) -> _trace.Span:
        """A worker's work on these calls, which are not told to the dispatch yet, in a run that ``began`` then."""
        first = self.lane.workers[worker].sent[outcomes.batch].batch.first + outcomes.start
        at = outcomes.began - began
        return _trace.Span(self.backend.name, worker, first, outcomes.count, at, outcomes.seconds, outcomes.cpu)

    def record(self, now: float) -> _trace.Lane:
        """What this crew did so far."""
        lane = self.lane
        starting = idle = 0.0
        travel = self._sending.seconds + self._fetching.seconds
        if not self.backend.capabilities.in_caller:  # the caller's own thread has other things to do between calls
            starting, present = self._attendance.until(now)
            idle = max(0.0, present - lane.busy)
        return _trace.Lane(self.backend.name, lane.peak, lane.calls, lane.busy, lane.cpu, starting, idle, travel)
