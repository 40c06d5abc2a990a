"""Who ran when, as rows: one for each thread of each process. Shared by the text and the HTML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lightwork.lab import _work
from lightwork.lab._values import Span


@dataclass(frozen=True, slots=True)
class Mark:
    """How a kind of work is drawn: a character, the same for terminals without block characters, and a
    colour."""

    block: str
    plain: str
    colour: str
    """A colour's name that both rich and the style sheet of the HTML know."""


MARKS = {
    _work.COUNTING: Mark("█", "#", "green"),
    _work.SLEEPING: Mark("░", ".", "blue"),
    _work.WAITING: Mark("·", "-", "yellow"),
    _work.HOLDING: Mark("▓", "H", "magenta"),
}
OTHER = Mark("▒", "=", "cyan")


def mark_of(label: str) -> Mark:
    return MARKS.get(label, OTHER)


@dataclass(frozen=True)
class Row:
    """One thread's spans."""

    pid: int
    process: str
    thread: str
    spans: tuple[Span, ...]

    @property
    def name(self) -> str:
        return f"{self.pid}:{self.process}.{self.thread}"


def rows_of(spans: Iterable[Span]) -> list[Row]:
    """The rows in the order in which they began."""
    found: dict[tuple[int, str, str], list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        found.setdefault((span.pid, span.process, span.thread), []).append(span)
    return [Row(*who, tuple(theirs)) for who, theirs in found.items()]


def end_of(spans: Iterable[Span]) -> float:
    """When the last one ended; never 0, so that it can be divided by."""
    return max((span.end for span in spans), default=0.0) or 1e-9


def labels_of(spans: Iterable[Span]) -> list[str]:
    return list(dict.fromkeys(span.label for span in spans))


def cells(row: Row, end: float, columns: int) -> list[str | None]:
    """For each of ``columns`` equal parts of the time until ``end``: the label that filled most of it, if
    any."""
    width = end / columns
    shares: list[dict[str, float]] = [{} for _ in range(columns)]
    for span in row.spans:
        first = min(columns - 1, int(span.start / width))
        last = min(columns - 1, int(span.end / width))
        for column in range(first, last + 1):
            inside = min(span.end, (column + 1) * width) - max(span.start, column * width)
            shares[column][span.label] = shares[column].get(span.label, 0.0) + inside
    drawn: list[str | None] = []
    for share in shares:
        label = max(share, key=lambda label: share[label], default=None)
        # A cell that was mostly idle stays empty, unless it holds a whole span that would else not be seen at
        # all.
        drawn.append(label if label is not None and sum(share.values()) >= width / 2 else None)
    if not any(drawn) and row.spans:
        drawn[min(columns - 1, int(row.spans[0].start / width))] = row.spans[0].label
    return drawn


def duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
