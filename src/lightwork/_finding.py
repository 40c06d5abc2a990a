"""What a rule finds: values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

Verdict = Literal["would fail", "changes results", "costs time", "not enough evidence", "good to know"]
FAILS: Final = "would fail"
CHANGES: Final = "changes results"
COSTS: Final = "costs time"
UNKNOWN: Final = "not enough evidence"
GOOD_TO_KNOW: Final = "good to know"

ORDER: tuple[Verdict, ...] = (FAILS, CHANGES, COSTS, GOOD_TO_KNOW, UNKNOWN)
"""The worst first."""

PROBLEMS: frozenset[Verdict] = frozenset((FAILS, CHANGES, COSTS))


@dataclass(frozen=True)
class Finding:
    """One thing that would go wrong in parallel, or that cost a run time, or that could not be found out.

    ``rule``: its name ("pickling"). ``verdict``: "would fail", "changes results", "costs time", "not enough evidence"
    or "good to know". ``what`` it is and what follows, in sentences. ``where``: "file:line", or "" where there is no
    such place. ``remedy``: what to do. ``backends``: those that it concerns; the others are free of it.
    """

    rule: str
    verdict: Verdict
    what: str
    where: str
    remedy: str
    backends: tuple[str, ...]

    @property
    def place(self) -> str:
        """``where`` as people say it: "line 12 of work.py"."""
        file, _, number = self.where.rpartition(":")
        return f"line {number} of {PurePath(file).name}" if file else ""

    def __str__(self) -> str:
        place = f" ({self.place})" if self.where else ""
        return f"{self.verdict}: {self.what}{place} {self.remedy}"
