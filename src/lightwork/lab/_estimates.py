"""From repeated measurements to figures with an interval, and from figures to verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lightwork._stats import median, median_interval
from lightwork.lab._values import Figure, Verdict

FEWEST = 3
"""With fewer repeats than this a spread cannot be told, and no interval is given."""


def count(name: str, value: float, unit: str = "") -> Figure:
    """An exact number: counted, not estimated."""
    return Figure(name, value, unit, value, value)


def measured(name: str, samples: Sequence[float], unit: str = "") -> Figure:
    """The median of repeated measurements with its bootstrap interval."""
    if len(samples) < FEWEST:
        return Figure(name, median(samples), unit)
    interval = median_interval(samples)
    return Figure(name, interval.value, unit, interval.low, interval.high)


def ratio(name: str, tops: Sequence[float], bottoms: Sequence[float], unit: str = "×") -> Figure:
    """The median of the ratios, turn by turn: both were measured in every turn.

    Ratios within a turn take out what slows both alike for a while: another program, a hot processor.
    """
    return measured(name, [top / bottom for top, bottom in zip(tops, bottoms, strict=True)], unit)


def above(figure: Figure, threshold: float) -> Verdict:
    """Whether the figure is surely above the threshold, surely below it, or neither."""
    if figure.low is None or figure.high is None:
        return Verdict.NOT_ENOUGH
    if figure.low > threshold:
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if figure.high <= threshold else Verdict.NOT_ENOUGH


def below(figure: Figure, threshold: float) -> Verdict:
    """Whether the figure is surely below the threshold, surely above it, or neither."""
    return opposite(above(figure, threshold))


def between(figure: Figure, low: float, high: float) -> Verdict:
    """Whether the figure surely lies between the two, surely outside, or neither."""
    return every(above(figure, low), below(figure, high))


def equal(figure: Figure, value: float) -> Verdict:
    """For exact counts."""
    return Verdict.HOLDS if figure.value == value else Verdict.DOES_NOT_HOLD


def opposite(verdict: Verdict) -> Verdict:
    return {Verdict.HOLDS: Verdict.DOES_NOT_HOLD, Verdict.DOES_NOT_HOLD: Verdict.HOLDS}.get(verdict, verdict)


def every(*verdicts: Verdict) -> Verdict:
    """A claim of several parts: one that fails decides; else one that is open leaves the whole open."""
    for decisive in (Verdict.DOES_NOT_HOLD, Verdict.NOT_ENOUGH):
        if decisive in verdicts:
            return decisive
    return Verdict.HOLDS


def listed(words: Iterable[str]) -> str:
    """``a, b and c``."""
    all_words = list(words)
    return " and ".join([", ".join(all_words[:-1]), all_words[-1]] if len(all_words) > 1 else all_words)
