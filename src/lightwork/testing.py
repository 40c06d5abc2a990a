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

from collections.abc import Iterator

from lightwork._attempts import Rules
from lightwork._backends.base import Backend
from lightwork._calls import Terms
from lightwork._clock import ManualClock
from lightwork._engine import Run
from lightwork._growth import MOST_THREADS, Growth
from lightwork._plan import Plan
from lightwork._policy import Candidate, Policy
from lightwork._record import Record
from lightwork._simulated import SimulatedCaller, SimulatedWorkers, Simulation
from lightwork._source import Source
from lightwork._world import SimulatedMachine, Workload, World

__all__ = ["ManualClock", "SimulatedMachine", "SimulatedRun", "Workload", "best_fixed", "fixed", "simulate"]


class SimulatedRun(Record, frozen=True):
    """How it went: ``seconds`` in all, the calls by backend, the ``decisions`` in words."""

    seconds: float
    calls: dict[str, int]
    decisions: tuple[str, ...] = ()


def simulate(workload: Workload, machine: SimulatedMachine) -> SimulatedRun:
    """What ``lw.map`` with ``backend="auto"`` would do with this workload on this machine."""
    world = World(workload, machine)
    backends = {"threads": SimulatedWorkers(world, "threads"), "processes": SimulatedWorkers(world, "processes")}

    def policy(waits: bool, apart: bool = False) -> Policy:
        names = ["threads"] if waits or not (machine.gil or apart) else list(backends)
        candidates = tuple(Candidate(name, backends[name].capabilities) for name in names)
        return Policy(candidates, machine.cores, machine.gil)

    def grow(made: Backend, workers: int) -> Growth | None:
        if not made.capabilities.shares_memory:
            return None
        return Growth(1.0 if machine.gil else float(machine.cores), MOST_THREADS, workers)

    caller = SimulatedCaller(world)
    run = Simulation(world, Plan(caller, 1, Terms(), Rules()), policy, backends.__getitem__, grow)
    caller.crew.run = run
    _drive(run, world)
    report = run.report()
    done = {lane.backend: 0 for lane in report.lanes}
    for lane in report.lanes:
        done[lane.backend] += lane.calls
    return SimulatedRun(world.clock.now(), done, tuple(f"{d.what}: {d.why}" for d in report.decisions))


def fixed(workload: Workload, machine: SimulatedMachine, backend: str, workers: int) -> SimulatedRun:
    """The same calls by lightwork with a backend and a number of workers that were fixed beforehand."""
    world = World(workload, machine)
    run = Run(Plan(SimulatedWorkers(world, backend), workers, Terms(), Rules()), world.clock)
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


def _drive(run: Run, world: World) -> None:
    # An annotation and plain items: evidence that calls can travel, as most have it.
    items = range(world.workload.calls) if world.workload.input is None else _input(world, world.workload.input)
    run.attach(_call, Source([items], "one"))
    while not run.dispatch.finished:
        run.step()
        run.dispatch.take()
    run.close()


def _input(world: World, pause: float) -> Iterator[int]:
    for index in range(world.workload.calls):
        world.happen(world.clock.now() + pause)
        yield index


def _call(item: int) -> int:
    raise TypeError(f"call {item} is simulated: nobody makes it")


def _pool(workload: Workload, machine: SimulatedMachine, kind: str, workers: int, share: int) -> float:
    """Seconds of a plain pool that hands out ``share`` calls at a time, without anything of lightwork in it."""
    world = World(workload, machine)
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
