"""Crews that make no call, and a run that asks a workload instead of measuring: what ``lightwork.testing`` drives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lightwork._auto import AutoRun
from lightwork._backends._remote import VISIBLE
from lightwork._backends.base import CLOSING, Backend, Capabilities, Crew
from lightwork._backends.threads import MOMENT
from lightwork._calls import Batch, Event, Finished, Outcomes, Revoked, Terms, Turn, WorkerReady
from lightwork._demand import Meter, Wire
from lightwork._growth import Growth
from lightwork._plan import Plan
from lightwork._policy import Ask
from lightwork._scout import LOOK, SLOWER
from lightwork._world import TURN, World

if TYPE_CHECKING:
    from lightwork._auto import MakePolicy

_CAPABILITIES: dict[str, Any] = {
    "coroutines": False,
    "local": True,
    "can_kill": False,
}


class SimulatedWorkers(Backend):
    """Threads or processes that make no call."""

    def __init__(self, world: World, name: str) -> None:
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
        return SimulatedCrew(self._world, self.capabilities)


class SimulatedCrew(Crew):
    """Workers that take a batch each, call after call, and report at its end."""

    def __init__(self, world: World, can: Capabilities) -> None:
        self._world, self._can = world, can
        self._events: list[Event] = []
        self._queues: dict[int, list[Batch]] = {}
        self._running: dict[int, tuple[Batch, Outcomes]] = {}
        self._computes: dict[int, tuple[float, float]] = {}
        """When the last call of each worker has computed, and for how long that is in all."""
        self._cut: dict[int, int] = {}
        """Where batches end of which the rest was taken back: the run may hear of that later."""
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
                positions[batch.id] = self._cut[batch.id] = outcomes.count + 1
        positions |= {batch.id: 0 for batch in self._queues[worker]}
        self._queues[worker].clear()
        self._events.append(Revoked(worker, positions))

    def _call(self, worker: int, batch: Batch, outcomes: Outcomes, when: float) -> None:
        """The next call of a batch begins: it waits, then it computes."""
        world = self._world
        index = batch.first + outcomes.count
        travel = 0.0 if self._can.shares_memory else world.workload.wire
        alone = world.workload.computes[index] + travel + self._can.per_item

        def computes(ready: float) -> None:
            beside = self._can.shares_memory and len(self._running) > 1
            computing = alone * (world.workload.crowding if beside else 1.0)
            outcomes.cpu += computing
            over = world.compute(ready, computing, self._can.shares_memory)
            self._computes[worker] = over, computing
            world.at(over, ended)

        def ended(end: float) -> None:
            outcomes.values.append(index)
            if outcomes.count < self._cut.get(batch.id, batch.stop):
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

    def cpu_untold(self) -> float:
        """Seconds that its workers have computed so far in calls of which nothing was told."""
        now, untold = self._world.clock.now(), 0.0
        for worker, (_, outcomes) in self._running.items():
            over, computing = self._computes.get(worker, (now, 0.0))
            untold += outcomes.cpu - min(computing, max(0.0, over - now))
        return untold + sum(event.outcomes.cpu for event in self._events if isinstance(event, Finished))

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

    def close(self, patience: float = CLOSING) -> int:
        return 0


class SimulatedCaller(Backend):
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

    def __init__(self, world: World) -> None:
        self.crew = CallersCrew(world)

    def open(self, terms: Terms) -> Crew:
        return self.crew


class CallersCrew(Crew):
    run: AutoRun

    def __init__(self, world: World) -> None:
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

    def close(self, patience: float = CLOSING) -> int:
        return 0


class Canary:
    """Says what a canary would have heard of the GIL."""

    def __init__(self, share: float) -> None:
        self._share = share

    def start(self) -> None:
        """Nothing to do, as below."""

    @property
    def sure(self) -> bool:
        """Its knocks are not simulated: it watches for all of its time."""
        return False

    def held_share(self) -> float:
        return self._share

    def stop(self) -> None:
        """Nothing to do: there is no thread."""


class Simulation(AutoRun):
    """A run whose questions are answered by the workload."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        policy: MakePolicy,
        usable: Callable[[str], Backend],
        grow: Callable[[Backend, int], Growth | None],
    ) -> None:
        def cpu() -> float:
            return world.caller_cpu

        self._world = world
        meter = Meter(world.clock.now, cpu, cpu, children_cpu=lambda: 0.0, run_delay=lambda: None)
        super().__init__(plan, policy, usable, grow, clock=world.clock, meter=meter, watched=False)

    def process_cpu(self) -> float:
        in_process = [live for live in self._live.values() if live.backend.capabilities.shares_memory]
        untold = sum(live.crew.cpu_untold() for live in in_process if isinstance(live.crew, SimulatedCrew))
        return untold + sum(live.lane.cpu for live in in_process)

    def find_out(self, ask: Ask) -> bool:
        workload, machine = self._world.workload, self._world.machine
        if ask is Ask.EFFECTS:
            self._world.load(machine.loading)
            self.evidence.effects_known = True
        elif ask is Ask.WIRE:
            self.evidence.wire = Wire(workload.wire, workload.wire, 0, 0)
        else:
            if not self.evidence.listening:
                held = workload.gil if machine.gil else 0.0
                self.evidence.listen_to(Canary(held), self.clock)  # type: ignore[arg-type]
            return False
        return True
