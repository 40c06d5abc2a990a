"""A machine that is none: what it has and costs, the calls that it is given, and what happens on it, by a clock that
moves only then.

A call waits first, with any number of others, and computes then: on one of the machine's cores, first come, first
served, and under the GIL one thread of an interpreter at a time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence

from lightwork._clock import ManualClock
from lightwork._record import Record

TURN = 0.005
"""Seconds after which a thread that computes gives the GIL away."""


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
    process and back; ``input``: of an input that does not say how long it is, until it gives the next item;
    ``crowding``: times as long as it computes alone that a call takes for it beside another one in its process, by
    locks, or counts of references, that they share."""

    waits: Sequence[float]
    computes: Sequence[float]
    gil: float = 1.0
    wire: float = 1e-5
    input: float | None = None
    crowding: float = 1.0

    @property
    def calls(self) -> int:
        return len(self.waits)

    @property
    def seconds(self) -> float:
        """What a plain loop takes."""
        return sum(self.waits) + sum(self.computes) + self.calls * (self.input or 0.0)


class World:
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
