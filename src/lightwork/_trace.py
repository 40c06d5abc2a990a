"""What ran where, when and why: the record that a run leaves behind. Values only; rendering is in ``report``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightwork._demand import Demand


@dataclass(frozen=True, slots=True)
class Span:
    """One worker's uninterrupted work on ``calls`` calls, the first of them item ``first``.

    ``began`` in seconds since the run's start, ``seconds`` wall time in the worker, ``cpu`` its thread's CPU seconds.
    """

    backend: str
    worker: int
    first: int
    calls: int
    began: float
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided ``at`` seconds after the run's start, and the evidence, each a full sentence."""

    at: float
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One backend's part of a run. ``busy``: seconds its workers spent in calls, added up."""

    backend: str
    workers: int
    calls: int
    busy: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: handed to the callable given as ``progress=``. ``total`` is None where it is unknown."""

    done: int
    total: int | None
    failed: int
    seconds: float
    backend: str
    finished: bool = False


@dataclass(frozen=True)
class Report:
    """What a run did, and why. ``str(report)`` is the text for people.

    ``backend`` is the one that ran most of the calls, ``workers`` the most that it had at a time; ``seconds`` is
    wall time from the call of map to its end, ``sent`` the bytes that crossed to workers and back.
    """

    backend: str
    workers: int
    calls: int
    seconds: float
    lanes: tuple[Lane, ...] = ()
    decisions: tuple[Decision, ...] = ()
    spans: tuple[Span, ...] = field(default=(), repr=False)
    demand: Demand | None = None
    startup: float = 0.0
    sent: int = 0
    retries: int = 0
    failures: int = 0
    lost_workers: int = 0
    unstoppable: int = 0

    def __str__(self) -> str:
        noun = "worker" if self.workers == 1 else "workers"
        lines = [f"{self.calls:,} calls in {self.seconds:.3g} s on {self.backend} ({self.workers} {noun})"]
        if len(self.lanes) > 1:
            parts = (f"{lane.calls:,} on {lane.backend}" for lane in self.lanes)
            lines.append("  where: " + ", ".join(parts))
        if self.demand is not None:
            lines.append(f"  one call: {self.demand}")
        lines += [f"  at {d.at:.3g} s: {d.what}: {d.why}" for d in self.decisions]
        for count, what in (
            (self.retries, "retried"),
            (self.failures, "failed"),
            (self.lost_workers, "worker(s) lost and replaced"),
            (self.unstoppable, "could not be stopped and went on"),
        ):
            if count:
                lines.append(f"  {count} {what}")
        if self.sent:
            lines.append(f"  {self.sent:,} bytes crossed between processes")
        return "\n".join(lines)
