"""``auto`` with a memory: begins with what was best before, checks that against the first calls, and keeps what it
learns. For maps that keep none nothing of this is loaded.
"""

from __future__ import annotations

from lightwork._account import learnt
from lightwork._auto import FIRST_LOOK, AutoRun
from lightwork._backends.base import CLOSING
from lightwork._calls import Finished
from lightwork._demand import Demand
from lightwork._live import Live
from lightwork._memory import Memory
from lightwork._past import ENOUGH, WORTH_KEEPING, Past, begin, differs, seen_since, still
from lightwork._policy import Ask
from lightwork._sizes import workers as counted
from lightwork._source import Source
from lightwork._worth import computes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


MOST_NOTED = 256
"""Batches whose times are noted."""


UNCLEAR = 5.0
"""Times as long as to hand a call over: of calls that seem to take less, a worker's times tell more of the worker."""


class RememberingRun(AutoRun):
    """A run that has a ``memory``. Where that holds a past, no call is made to learn."""

    def __init__(self, memory: Memory, *args: Any) -> None:
        super().__init__(*args)
        self._memory = memory
        self._unchecked: Past | None = None
        self._instead: Demand | None = None
        """The demand of the first calls, where it is not what was remembered."""
        self._kept = False
        self._warm: set[tuple[int, int]] = set()
        self._walls: list[float] = []
        self._cpus: list[float] = []

    def attach(self, fn: Callable[..., Any], source: Source) -> None:
        super().attach(fn, source)
        if self._memory.past is not None:
            self._begin(self._memory.past)

    def _begin(self, past: Past) -> None:
        """Begins with what was best before, where that is another backend than the plain loop."""
        self.began = min(self.began, self._memory.began)
        verdict = begin(self.policy, past, self.total, None, False)
        if verdict.ask is Ask.EFFECTS:
            self.find_out(Ask.EFFECTS)
            verdict = begin(self.policy, past, self.total, self.evidence.effects, True)
        if verdict.switch is not None:
            self._unchecked, self.demand, self._kept = past, past.demand, True
            self.evidence.remembered = True
            self._settled = True
            backend, workers = self._usable(verdict.switch), verdict.workers
            growth = self._grow(backend, workers)
            self.mind_children(growth)
            number = self.open(backend, workers, growth)
            self.take_over(number, backend)
            self.decide(f"began with {counted(workers, backend.name)}", f"remembered from {past}: {verdict.why}")

    def _note(self, number: int, live: Live, event: Finished) -> None:
        super()._note(number, live, event)
        outcomes = event.outcomes
        if live.backend.capabilities.needs_pickling and (number, event.worker) not in self._warm:
            self._warm.add((number, event.worker))  # its first calls paid for the function's imports
            return
        if outcomes.count and len(self._walls) < MOST_NOTED:
            self._walls.append(outcomes.seconds / outcomes.count)
            self._cpus.append(outcomes.cpu / outcomes.count)

    def _see_to(self) -> None:
        if self._unchecked is not None and len(self._walls) >= ENOUGH:
            self._check(self._unchecked)
        super()._see_to()

    def _check(self, past: Past) -> None:
        """Compares the first calls with what was remembered. Where they differ, that is forgotten: the run goes on
        in the caller's thread and learns anew, unless it is plain that its backend is the best all the same."""
        self._unchecked = None
        why = differs(past, self._walls, self._cpus)
        if why is None:
            self.crews()[0].meter = None
            return
        newest = max(self.dispatch.lanes)
        name, workers = self._live[newest].backend.name, self.dispatch.lanes[newest].target
        self._kept, self.evidence.gil_known = False, past.gil_known
        self.demand = self._instead = seen_since(past.demand, self._walls, self._cpus)
        over = not self.dispatch.more and not self.dispatch.pending
        plain = self.demand.wall > UNCLEAR * self._live[newest].backend.capabilities.per_call
        if over or (plain and still(self.policy, self.seen(self.clock.now() - self.began), name)):
            self.decide(f"forgot what was remembered, and stayed with {counted(workers, name)}", why)
            return
        self.decide("forgot what was remembered, and went on in the calling thread", why)
        self.demand, self._settled, self.evidence.gil_known = None, False, False
        self._walls.clear()
        self._cpus.clear()
        self._look = self.clock.now() - self.began + FIRST_LOOK
        self._retreat(newest)

    def close(self, patience: float = CLOSING) -> None:
        ended = not self.closed
        super().close(patience)
        if ended and (learnt := self._learnt()) is not None:
            self._memory.keep(learnt)

    def _learnt(self) -> Past | None:
        """What is worth remembering of this run."""
        report, known = self.report(), self._memory.past
        demand = learnt(report) or self._instead
        if demand is None or report.failures or self.dispatch.broken:
            return None
        wrong = self._instead is not None
        gil_known, wire_known = self.evidence.gil_known, self.evidence.wire is not None
        refused = tuple(self._refused.items())
        if known is not None and self._kept:
            gil_known, wire_known, refused = known.gil_known, known.wire_known, known.refused
        elif known is not None and not wrong and (known.gil_known > gil_known or known.wire_known > wire_known):
            return None  # this run had less to find out, having fewer calls
        if report.seconds < WORTH_KEEPING and not wrong:
            return None
        if len(self._walls) >= ENOUGH and not computes(demand.wall, demand.cpu):
            # Calls that wait do so beside others as they do alone: all that ended are better than the first few.
            demand = seen_since(demand, self._walls, self._cpus)
        return Past(
            demand=demand,
            gil_known=gil_known,
            wire_known=wire_known,
            refused=refused,
            backend=report.backend,
            workers=report.workers,
            throughput=report.calls / max(report.seconds, 1e-9),
            calls=report.calls,
        )
