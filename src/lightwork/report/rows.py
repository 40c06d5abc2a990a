"""What a comparison of backends found: values only. Measuring is in ``comparing``, drawing in ``text`` and ``html``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lightwork._record import asdict
from lightwork._stats import Interval


@dataclass(frozen=True, slots=True)
class Row:
    """One backend's part in a comparison.

    ``times`` are the counted runs' wall times in seconds, ``first`` the first run's (it starts everything up,
    checks the results and measures memory);
    ``time`` is the median. ``speedup`` is serial's time over this one's and ``efficiency`` that divided by
    ``workers``, or by the cores where there are fewer and calls compute. ``cpu`` counts cores kept busy on
    average: CPU seconds of all processes over wall seconds. ``memory`` is the peak of the first run over its
    start, in bytes, of the caller and its children together. ``results`` is "same", "close" (equal but for
    rounding), "different", "unknown" (values that cannot be compared) or "reference". ``predicted`` seconds
    come from the model, before measuring.
    A backend that did not run has ``reason`` and none of the figures.
    """

    backend: str
    workers: int | None = None
    times: tuple[float, ...] = ()
    first: float | None = None
    time: Interval | None = None
    speedup: Interval | None = None
    efficiency: float | None = None
    cpu: float | None = None
    memory: int | None = None
    results: str = "unknown"
    predicted: float | None = None
    verdict: str = ""
    reason: str = ""

    @property
    def ran(self) -> bool:
        """Whether this backend finished its runs."""
        return self.time is not None


@dataclass(frozen=True)
class Compared:
    """All that was found out about one function: what the reports are drawn from."""

    function: str
    items: int
    machine: str
    rows: tuple[Row, ...]
    rounds: int
    winner: str | None
    reason: str
    advice: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    """What must not be overlooked: results that differ between backends, arguments that the function changes."""
    notes: tuple[str, ...] = ()
    demand: dict[str, Any] = field(default_factory=dict)

    @property
    def agree(self) -> bool:
        """Whether no backend gave other results than the first."""
        return all(row.results != "different" for row in self.rows)

    def __getitem__(self, backend: str) -> Row:
        """The row of one backend; KeyError names those there are."""
        for row in self.rows:
            if row.backend == backend:
                return row
        raise KeyError(f"no row {backend!r}; there are {', '.join(row.backend for row in self.rows)}")

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dump``: every field, rows as dicts."""
        return {"agree": self.agree, **asdict(self)}
