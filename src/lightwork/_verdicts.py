"""From measured times to verdicts: who is fastest, who is as fast, and by how much the others are slower. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lightwork import _stats
from lightwork.report.rows import Row
from lightwork.report.text import times

ALIKE = 0.02
"""Relative difference in time below which two backends count as equally fast, however exactly it was measured."""

ALIKE_UNREPEATED = 0.10
"""The same where a backend ran once, so that nothing is known about the spread."""

TOO_SHORT_FOR_CPU = 1e-3
"""Seconds of a run under which its CPU time says more about the looking than about the run."""

MOSTLY_BUSY = 0.5
"""Cores kept busy by a plain loop under which its calls are taken to wait mostly."""

SIMPLEST_FIRST = ("serial", "threads", "asyncio", "interpreters", "processes")
"""Of equally fast backends the first of these is named the winner: the one that asks least of the function."""


@dataclass
class Measured:
    """One backend while it is being measured. ``cores``: cores kept busy, a figure for each run."""

    backend: str
    workers: int | None = None
    times: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)
    first: float | None = None
    memory: int | None = None
    results: str = "unknown"
    reason: str = ""
    predicted: float | None = None

    def note_cpu(self, cpu: float, seconds: float) -> None:
        """Takes down how many cores a run kept busy; nothing for a run too short for the kernel's CPU clock."""
        if seconds >= TOO_SHORT_FOR_CPU:
            self.cores.append(cpu / seconds)

    @property
    def failed(self) -> bool:
        """Whether it could not run, or failed on the way."""
        return bool(self.reason)

    @property
    def counted(self) -> list[float]:
        """The times that count: those of the first run only where there are no others."""
        return self.times or ([] if self.first is None else [self.first])


def judge(
    measured: Sequence[Measured], items: int | None = None, cores: int | None = None, waits: bool | None = None
) -> tuple[tuple[Row, ...], Row | None, tuple[str, ...]]:
    """All rows with their verdicts, the winner's row, and the backends that are as fast as the winner.

    With fewer than two ``items`` nothing can run beside anything: a loop that comes out behind did so by chance.
    Where calls compute, workers beyond the ``cores`` can bring nothing, and efficiency does not count them. ``waits``:
    calls mostly wait; None: told by how busy the plain loop kept its core.
    """
    ran = [m for m in measured if not m.failed and m.counted]
    serial = next((m for m in ran if m.backend == "serial"), None)
    winner, tied = _winner(ran)
    if serial is not None and items is not None and items < 2 and serial.results != "different":
        winner, tied = serial, [m for m in ran if m is not serial and alike(m.counted, serial.counted)]
    if waits is None:
        waits = serial is not None and bool(serial.cores) and _stats.median(serial.cores) < MOSTLY_BUSY
    able = None if waits else cores
    rows = []
    for m in measured:
        if m not in ran:
            rows.append(Row(m.backend, workers=None, reason=m.reason or "it did not run", verdict="unavailable"))
            continue
        speedup = None if serial is None else _speedup(serial, m)
        rows.append(
            Row(
                backend=m.backend,
                workers=m.workers,
                times=tuple(m.times),
                first=m.first,
                time=_stats.median_interval(m.counted),
                speedup=speedup,
                efficiency=None if speedup is None else speedup.value / at_once(m.workers, able),
                cpu=_stats.median(m.cores) if m.cores else None,
                memory=m.memory,
                results=m.results,
                predicted=m.predicted,
                verdict=_verdict(m, winner, tied),
            )
        )
    best = next((row for row in rows if winner is not None and row.backend == winner.backend), None)
    return tuple(rows), best, tuple(m.backend for m in tied)


def at_once(workers: int | None, cores: int | None) -> int:
    """How many calls can make headway at the same time. ``cores``: None where they do not matter."""
    workers = workers or 1
    return workers if cores is None else max(1, min(workers, cores))


def _speedup(serial: Measured, other: Measured) -> _stats.Interval:
    if serial is other:
        return _stats.Interval(1.0, 1.0, 1.0)
    return ratio(serial.counted, other.counted)


def ratio(above: Sequence[float], below: Sequence[float]) -> _stats.Interval:
    """median(above) / median(below) with its interval; a clock too coarse to see a run counts as a nanosecond."""
    return _stats.ratio_interval(above, [max(value, 1e-9) for value in below])


def _winner(ran: Sequence[Measured]) -> tuple[Measured | None, list[Measured]]:
    """The simplest of the fastest, and the others of these."""
    right = [m for m in ran if m.results != "different"]
    if not right:
        return None, []
    fastest = min(right, key=lambda m: _stats.median(m.counted))
    level = [m for m in right if m is fastest or alike(m.counted, fastest.counted)]
    winner = min(level, key=_simplicity)
    return winner, [m for m in level if m is not winner]


def alike(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two samples of times differ by too little to matter, or by little and within their uncertainty."""
    gap = abs(ratio(one, other).value - 1.0)
    margin = ALIKE if min(len(one), len(other)) > 1 else ALIKE_UNREPEATED
    return gap < margin or (gap < ALIKE_UNREPEATED and unsure(one, other))


def unsure(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the times vary so much that either could be the faster."""
    found = ratio(one, other)
    return found.low <= 1.0 <= found.high


def _simplicity(m: Measured) -> int:
    return SIMPLEST_FIRST.index(m.backend) if m.backend in SIMPLEST_FIRST else len(SIMPLEST_FIRST)


def _verdict(m: Measured, winner: Measured | None, tied: Sequence[Measured]) -> str:
    if m.results == "different":
        return "other results!"
    if winner is None:
        return ""
    if m is winner:
        return "fastest"
    if m in tied:
        return f"as fast as {winner.backend}"
    slower = f"{times(ratio(m.counted, winner.counted).value)}× slower"
    # A question mark where the times vary too much to be sure of it.
    return f"{slower}?" if len(m.counted) > 1 and unsure(m.counted, winner.counted) else slower
