"""What a comparison of backends found: values only. ``_measuring`` measures them, ``text`` and ``html`` draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lightwork._record import asdict
from lightwork._stats import Interval, median


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
    are what the model makes of a few calls that were made by themselves; ``off`` is ``time`` over that.
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

    @property
    def off(self) -> float | None:
        """How many times as long as predicted it took; None without a prediction."""
        if self.time is None or not self.predicted or self.time.value <= 0:
            return None
        return self.time.value / self.predicted


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

    @property
    def wrong(self) -> tuple[float, float, str] | None:
        """How wrong the model was, as factors: that of the middle row, the largest, and which backend's that is. The
        plain loop, from which the others are predicted, counts only where it is alone."""
        factors = {row.backend: max(row.off, 1 / row.off) for row in self.rows if row.off is not None}
        if len(factors) > 1:
            factors.pop("serial", None)
        if not factors:
            return None
        worst = max(factors, key=lambda backend: factors[backend])
        return median(factors.values()), factors[worst], worst

    def __getitem__(self, backend: str) -> Row:
        """The row of one backend; KeyError names those there are."""
        for row in self.rows:
            if row.backend == backend:
                return row
        raise KeyError(f"no row {backend!r}; there are {', '.join(row.backend for row in self.rows)}")

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dump``: every field, rows as dicts."""
        found = asdict(self)
        for row, told in zip(self.rows, found["rows"], strict=True):
            told["off"] = row.off
        wrong = self.wrong
        model = None if wrong is None else dict(zip(("middle", "largest", "backend"), wrong, strict=True))
        return {"agree": self.agree, **found, "model": model}
