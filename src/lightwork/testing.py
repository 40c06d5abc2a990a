"""For tests and for planning: a clock that stands still, and a machine that is none.

``simulate`` runs a workload on a machine of any size with the very code that runs real maps: the policy, the dispatch,
the batches, the growth of threads and the engine's loop are not copied here, they are driven, over crews that make no
call but move a ``ManualClock``. The same numbers come out every time, in milliseconds.

    caller's thread ─┐                       ┌─ wait: any number at a time
    threads ─────────┼─ each call is one of ─┼─ computing: one of the machine's cores, first come, first served
    processes ───────┘                       └─ under the GIL: one of all threads of an interpreter

A call waits first and computes then. What is left out: caches, memory bandwidth, the kernel's time slices, noise but
for what a workload brings itself. ``docs/scaling.md`` has the simulator beside real runs.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lightwork._auto import AutoRun
from lightwork._backends._remote import VISIBLE
from lightwork._backends.base import Backend, Capabilities, Crew
from lightwork._backends.threads import MOMENT
from lightwork._calls import Batch, Event, Finished, Outcomes, Revoked, Terms, Turn, WorkerReady
from lightwork._clock import ManualClock
from lightwork._demand import Meter, Wire
from lightwork._dispatch import Rules
from lightwork._engine import Plan, Run, Source
from lightwork._growth import Growth
from lightwork._model import MOST_THREADS
from lightwork._policy import Ask, Candidate, Policy
from lightwork._record import Record
from lightwork._scout import LOOK, SLOWER

TURN = 0.005
"""Seconds after which a thread that computes gives the GIL away."""

__all__ = ["ManualClock", "SimulatedMachine", "SimulatedRun", "Workload", "best_fixed", "fixed", "simulate"]


class SimulatedMachine(Record, frozen=True):
    """A machine by its costs, in seconds. The defaults are those of an ordinary one with Linux."""

    cores: int = 2
    gil: bool = True
    thread_start: float = 1e-4
    """Of the caller's time for each thread."""
    process_start: float = 0.05
    """Until the first worker process takes a call, in a program that has started none before."""
    fork: float = 0.004
    """Until each further one does: they are forked one after another."""
    importing: float = 0.0
    """Of each process before its first call: for the function's module. It keeps no core."""
    loading: float = 0.0
    """Of a program's first map, before its first decision: for modules. 0.03 on an idle machine."""
    handoff_thread: float = 2e-5
    """Of the caller's time for each batch that goes to a thread and comes back."""
    handoff_process: float = 6e-5
    """The same for a process."""


class Workload(Record, frozen=True):
    """Calls by what each asks for, in seconds: ``waits`` and ``computes`` have one figure a call. ``gil``: the part of
    the computing that holds the GIL; ``wire``: seconds of the caller, and of the worker, for a call's way to another
    process and back; ``input``: of an input that does not say how long it is, until it gives the next item."""

    waits: Sequence[float]
    computes: Sequence[float]
    gil: float = 1.0
    wire: float = 1e-5
    input: float | None = None

    @property
    def calls(self) -> int:
        return len(self.waits)

    @property
    def seconds(self) -> float:
        """What a plain loop takes."""
        return sum(self.waits) + sum(self.computes) + self.calls * (self.input or 0.0)


class SimulatedRun(Record, frozen=True):
    """How it went: ``seconds`` in all, the calls by backend, the ``decisions`` in words."""

    seconds: float
    calls: dict[str, int]
    decisions: tuple[str, ...] = ()


def simulate(workload: Workload, machine: SimulatedMachine) -> SimulatedRun:
    """What ``lw.map`` with ``backend="auto"`` would do with this workload on this machine."""
    world = _World(workload, machine)
    backends = {"threads": _Workers(world, "threads"), "processes": _Workers(world, "processes")}

    def policy(waits: bool) -> Policy:
        names = ["threads"] if waits else list(backends)
        candidates = tuple(Candidate(name, backends[name].capabilities) for name in names)
        return Policy(candidates, machine.cores, machine.gil)

    def grow(made: Backend, workers: int) -> Growth | None:
        if not made.capabilities.shares_memory:
            return None
        return Growth(1.0 if machine.gil else float(machine.cores), MOST_THREADS, workers)

    caller = _Caller(world)
    run = _Simulated(world, Plan(caller, 1, Terms(), Rules()), policy, backends.__getitem__, grow)
    caller.crew.run = run
    _drive(run, world)
    report = run.report()
    done = {lane.backend: 0 for lane in report.lanes}
    for lane in report.lanes:
        done[lane.backend] += lane.calls
    return SimulatedRun(world.clock.now(), done, tuple(f"{d.what}: {d.why}" for d in report.decisions))


def fixed(workload: Workload, machine: SimulatedMachine, backend: str, workers: int) -> SimulatedRun:
    """The same calls by lightwork with a backend and a number of workers that were fixed beforehand."""
    world = _World(workload, machine)
    run = Run(Plan(_Workers(world, backend), workers, Terms(), Rules()), world.clock)
    _drive(run, world)
    return SimulatedRun(world.clock.now(), {backend: workload.calls})


def best_fixed(workload: Workload, machine: SimulatedMachine) -> tuple[str, float]:
    """The best choice in hindsight and its seconds: the plain loop, or pools of threads or processes of several sizes,
    which hand out one call at a time to whoever is free, or equal shares at the start.

    Raises ValueError for a workload with an ``input``, of which pools would make a list."""
    if workload.input is not None:
        raise ValueError("what pools would do with an input without a length is not simulated")
    found = [("loop", workload.seconds)]
    for kind, sizes in (("threads", (2, 8, 32, 128)), ("processes", (machine.cores,))):
        for workers in sizes:
            workers = min(workers, workload.calls)
            found.append((f"{kind} × {workers}", _pool(workload, machine, kind, workers, 1)))
    share = -(-workload.calls // machine.cores)
    if share > 1:
        found.append(
            (f"processes × {machine.cores}, static", _pool(workload, machine, "processes", machine.cores, share))
        )
    return min(found, key=lambda pair: pair[1])


def _drive(run: Run, world: _World) -> None:
    # An annotation and plain items: evidence that calls can travel, as most have it.
    items = range(world.workload.calls) if world.workload.input is None else _input(world, world.workload.input)
    run.attach(_call, Source([items], "one"))
    while not run.finished:
        run.step()
        run.take()
    run.close()


def _input(world: _World, pause: float) -> Iterator[int]:
    for index in range(world.workload.calls):
        world.happen(world.clock.now() + pause)
        yield index


def _call(item: int) -> int:
    raise TypeError(f"call {item} is simulated: nobody makes it")


class _World:
    """The clock, the cores and the GIL, and what will happen."""

    def __init__(self, workload: Workload, machine: SimulatedMachine) -> None:
        self.workload, self.machine = workload, machine
        self.clock = ManualClock()
        self.horizon = float("inf")
        """Until then the caller's thread is inside a call: whoever else drives may wait no longer."""
        self.owed = 0.0
        self.caller_cpu = 0.0
        self._cores = [0.0] * machine.cores
        self._gil = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def at(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def compute(self, ready: float, seconds: float, shares_gil: bool) -> float:
        """When work that is ready to compute from ``ready`` on will have done so; whoever asks first comes first."""
        held = seconds * self.workload.gil if shares_gil and self.machine.gil else 0.0
        begin = max(ready, min(self._cores))
        if held:
            begin = max(begin, self._gil)
            self._gil = begin + held
        # Not the core that is free first: those who stand in line for the GIL keep none of the others meanwhile.
        place = max((core, number) for number, core in enumerate(self._cores) if core <= begin)[1]
        self._cores[place] = begin + seconds
        return begin + seconds

    def gil_is_held(self) -> bool:
        """Whether somebody computes under it now. Who gives it up now and then gives it to others, too."""
        return self.workload.gil == 1.0 and self._gil > self.clock.now()

    def happen(self, until: float) -> None:
        """Everything up to ``until``, at which the clock then stands."""
        while self._events and self._events[0][0] <= until:
            when, _, what = heapq.heappop(self._events)
            what(when)
        self.clock.advance(max(0.0, until - self.clock.now()))

    def load(self, seconds: float) -> None:
        """Somebody loads modules: beside the call that the caller's thread is in, and after it what is left."""
        now = self.clock.now()
        beside = min(seconds, max(0.0, self.horizon - now))
        self.owed += seconds - beside
        self.happen(now + beside)

    def next_event(self) -> float:
        return self._events[0][0] if self._events else float("inf")


_CAPABILITIES: dict[str, Any] = {
    "coroutines": False,
    "local": True,
    "can_kill": False,
}


class _Workers(Backend):
    """Threads or processes that make no call."""

    def __init__(self, world: _World, name: str) -> None:
        from lightwork._backends._registry import backend

        self.name = name
        self._world = world
        real, machine = backend(name).capabilities, world.machine
        threads = real.shares_memory
        self.capabilities = Capabilities(
            shares_memory=threads,
            needs_pickling=real.needs_pickling,
            parallel_python=not threads or not machine.gil,
            in_caller=False,
            startup=machine.thread_start if threads else machine.process_start,
            per_call=real.per_call,
            per_item=real.per_item,
            startup_each=machine.thread_start if threads else machine.fork,
            can_revoke=True,
            **_CAPABILITIES,
        )

    def open(self, terms: Terms) -> Crew:
        return _Crew(self._world, self.capabilities)


class _Crew(Crew):
    """Workers that take a batch each, call after call, and report at its end."""

    def __init__(self, world: _World, can: Capabilities) -> None:
        self._world, self._can = world, can
        self._events: list[Event] = []
        self._queues: dict[int, list[Batch]] = {}
        self._running: dict[int, tuple[Batch, Outcomes]] = {}
        self._imported: set[int] = set()
        self._free: dict[int, float] = {}
        self._woken = False

    def start_worker(self) -> int:
        worker, machine, now = len(self._free) + 1, self._world.machine, self._world.clock.now()
        if self._can.shares_memory:
            self._world.clock.advance(machine.thread_start)
            ready = now + machine.thread_start
        else:
            ready = now + machine.process_start + (worker - 1) * machine.fork
        self._free[worker], self._queues[worker] = float("inf"), []
        self._world.at(ready, lambda when: self._ready(worker, when))
        return worker

    def _ready(self, worker: int, when: float) -> None:
        self._events.append(WorkerReady(worker, when))
        self._free_again(worker, when)

    def send(self, worker: int, batch: Batch) -> None:
        machine, clock = self._world.machine, self._world.clock
        if self._can.shares_memory:
            clock.advance(machine.handoff_thread)
        else:
            clock.advance(machine.handoff_process + len(batch.items) * self._world.workload.wire)
        self._queues[worker].append(batch)
        if self._free[worker] <= clock.now():
            self._next(worker, clock.now())

    def _next(self, worker: int, when: float) -> None:
        self._running.pop(worker, None)
        if not self._queues[worker]:
            return
        self._free[worker] = float("inf")
        importing = self._world.machine.importing
        if importing and not self._can.shares_memory and worker not in self._imported:
            self._imported.add(worker)
            self._world.at(when + importing, lambda end: self._free_again(worker, end))
            return
        batch = self._queues[worker].pop(0)
        outcomes = Outcomes(batch.id, 0, [], began=when)
        self._running[worker] = batch, outcomes
        self._call(worker, batch, outcomes, when)

    def _free_again(self, worker: int, when: float) -> None:
        self._free[worker] = when
        self._next(worker, when)

    def revoke(self, worker: int) -> None:
        self._world.at(self._world.clock.now() + VISIBLE, lambda _: self._revoked(worker))

    def _revoked(self, worker: int) -> None:
        positions = {}
        if worker in self._running:
            batch, outcomes = self._running[worker]
            if outcomes.count + 1 < batch.stop:
                positions[batch.id] = outcomes.count + 1
        positions |= {batch.id: 0 for batch in self._queues[worker]}
        self._queues[worker].clear()
        self._events.append(Revoked(worker, positions))

    def _call(self, worker: int, batch: Batch, outcomes: Outcomes, when: float) -> None:
        """The next call of a batch begins: it waits, then it computes."""
        world = self._world
        index = batch.first + outcomes.count
        travel = 0.0 if self._can.shares_memory else world.workload.wire
        computing = world.workload.computes[index] + travel + self._can.per_item

        def computes(ready: float) -> None:
            outcomes.cpu += computing
            world.at(world.compute(ready, computing, self._can.shares_memory), ended)

        def ended(end: float) -> None:
            outcomes.values.append(index)
            if outcomes.count < batch.stop:
                self._call(worker, batch, outcomes, end)
                return
            outcomes.seconds = end - outcomes.began
            self._events.append(Finished(worker, outcomes, last=True))
            self._free_again(worker, end)

        wait = world.workload.waits[index]
        if wait:
            world.at(when + wait, computes)
        else:
            computes(when)

    def wait(self, timeout: float | None) -> list[Event]:
        world = self._world
        world.happen(world.clock.now())
        until = min(world.horizon, float("inf") if timeout is None else world.clock.now() + timeout)
        while not self._events and (when := world.next_event()) <= until:
            world.happen(max(when, world.clock.now()))
        if not self._events and until < float("inf"):
            world.happen(max(until, world.clock.now()))
        events, self._events = self._events, []
        return events

    def glance(self) -> float:
        world = self._world
        late = TURN if world.gil_is_held() else 0.0
        world.happen(world.clock.now() + MOMENT + late)
        return late

    def wake(self) -> None:
        """Nothing to do: nobody blocks."""

    def retire(self, worker: int) -> None:
        """Nothing to do: what is idle takes nothing."""

    def kill(self, worker: int) -> None:
        raise TypeError("a simulated worker cannot be killed")

    def close(self) -> int:
        return 0


class _Caller(Backend):
    """The caller's thread, for which time passes while it makes calls."""

    name = "serial"
    capabilities = Capabilities(
        shares_memory=True,
        needs_pickling=False,
        parallel_python=False,
        in_caller=True,
        startup=0.0,
        per_call=1e-7,
        max_queued=1,
        **_CAPABILITIES,
    )

    def __init__(self, world: _World) -> None:
        self.crew = _CallersCrew(world)

    def open(self, terms: Terms) -> Crew:
        return self.crew


class _CallersCrew(Crew):
    run: AutoRun

    def __init__(self, world: _World) -> None:
        self._world = world
        self._events: list[Event] = []
        self._batches: list[Batch] = []

    def start_worker(self) -> int:
        self._events.append(WorkerReady(1, 0.0))
        return 1

    def send(self, worker: int, batch: Batch) -> None:
        self._batches.append(batch)

    def wait(self, timeout: float | None) -> list[Event]:
        if self._batches:
            batch = self._batches.pop()
            outcomes = Outcomes(batch.id, batch.start, [], began=self._world.clock.now())
            self._run(batch, outcomes)
            outcomes.seconds = self._world.clock.now() - outcomes.began
            self._events.append(Finished(1, outcomes, last=True))
        events, self._events = self._events, []
        return events

    def _run(self, batch: Batch, outcomes: Outcomes) -> None:
        world, workload, meter = self._world, self._world.workload, self.meter
        turn, at, until = Turn(1, batch, outcomes), batch.start, outcomes.began + self.patience
        look = LOOK
        while True:
            size, end = turn.begin(at, 1)
            if size <= 0:
                return
            if meter is not None:
                meter.begin()
            index = batch.first + at
            begin, cpu = world.clock.now(), workload.computes[index]
            computing = begin + workload.waits[index]
            ends = world.compute(computing, cpu, shares_gil=True) if cpu else computing
            # The scout looks on, at the pace at which the real one does.
            while outcomes.began + look < ends:
                world.horizon = ends
                world.happen(max(world.clock.now(), outcomes.began + look))
                soon: float | None = 0.0
                while soon == 0.0 and world.clock.now() < ends:
                    used = outcomes.cpu + max(0.0, world.clock.now() - max(computing, ends - cpu))
                    soon = self.run.look_in(turn, world.clock.now() - outcomes.began, used)
                later = world.clock.now() - outcomes.began
                look = max(SLOWER * look, later + LOOK)
                look = min(look, later + soon) if soon else look
            world.horizon = float("inf")
            world.happen(max(ends, world.clock.now()))
            world.caller_cpu += cpu
            outcomes.cpu += cpu
            outcomes.values.append(index)
            at += 1
            if meter is not None:
                meter.end(1)
            world.happen(world.clock.now() + world.owed)
            world.owed = 0.0
            if world.clock.now() >= until or at >= end:
                return

    def wake(self) -> None:
        """Nothing to do: nobody blocks."""

    def retire(self, worker: int) -> None:
        """Nothing to do: the worker is the caller's thread."""

    def kill(self, worker: int) -> None:
        raise TypeError("the caller's own thread cannot be killed")

    def close(self) -> int:
        return 0


class _Canary:
    """Says what a canary would have heard of the GIL."""

    def __init__(self, share: float) -> None:
        self._share = share

    def held_share(self, busy: float) -> float:
        return self._share

    def stop(self) -> None:
        """Nothing to do: there is no thread."""


class _Simulated(AutoRun):
    """A run whose questions are answered by the workload."""

    def __init__(
        self,
        world: _World,
        plan: Plan,
        policy: Callable[[bool], Policy],
        usable: Callable[[str], Backend],
        grow: Callable[[Backend, int], Growth | None],
    ) -> None:
        def cpu() -> float:
            return world.caller_cpu

        self._world = world
        meter = Meter(world.clock.now, cpu, cpu, children_cpu=lambda: 0.0, run_delay=lambda: None)
        super().__init__(plan, policy, usable, grow, clock=world.clock, meter=meter, watched=False)

    def process_cpu(self) -> float:
        in_process = [n for n, live in self._live.items() if live.backend.capabilities.shares_memory]
        return sum(self.dispatch.lanes[number].cpu for number in in_process)

    def _find_out(self, ask: Ask) -> bool:
        workload, machine = self._world.workload, self._world.machine
        if ask is Ask.EFFECTS:
            self._world.load(machine.loading)
            self._effects_known = True
        elif ask is Ask.WIRE:
            self._wire = Wire(workload.wire, workload.wire, 0, 0)
        elif self._canary is None:
            assert self.demand is not None
            held = workload.gil * self.demand.cpu_share if machine.gil else 0.0
            self._canary, self._canary_since = _Canary(held), self._world.clock.now()  # type: ignore[assignment]
            self._canary_busy = 0.0
            return False
        else:
            return False
        return True


def _pool(workload: Workload, machine: SimulatedMachine, kind: str, workers: int, share: int) -> float:
    """Seconds of a plain pool that hands out ``share`` calls at a time, without anything of lightwork in it."""
    world = _World(workload, machine)
    threads = kind == "threads"
    handoff = machine.handoff_thread if threads else machine.handoff_process + share * workload.wire
    caller = finished = 0.0
    queue = iter(range(0, workload.calls, share))

    def take(now: float) -> None:
        nonlocal caller
        first = next(queue, None)
        if first is not None:
            # The caller hands out one batch after another.
            caller = max(caller, now) + handoff
            make(first, min(first + share, workload.calls), caller)

    def make(index: int, stop: int, now: float) -> None:
        nonlocal finished
        if index == stop:
            finished = max(finished, now)
            take(now)
            return

        def compute(ready: float) -> None:
            end = world.compute(ready, workload.computes[index], threads) if workload.computes[index] else ready
            world.at(end, lambda when: make(index + 1, stop, when))

        world.at(now + workload.waits[index], compute)

    for number in range(workers):
        # What a pool forks has the caller's modules.
        start = machine.thread_start * (number + 1) if threads else 0.02 + number * machine.fork
        world.at(start, take)
    while (when := world.next_event()) < float("inf"):
        world.happen(when)
    return finished
