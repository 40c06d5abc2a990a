"""Middle values, spreads and their uncertainty; pure functions of numbers, the same results every time.

Sources: quantiles as Hyndman & Fan (1996), type 7, as NumPy and R do by default; median absolute deviation
and its factor 1.4826 for normal data, Rousseeuw & Croux (1993); percentile bootstrap, Efron & Tibshirani,
"An Introduction to the Bootstrap" (1993), chapter 13.
"""

from __future__ import annotations

import math

from lightwork._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    _Draw = Callable[[Sequence[float]], list[float]]


NORMAL = 1.4826
"""mad × this estimates the standard deviation of normally distributed values."""

_ROUNDS = 1000  # resamples: the ends of a 95 % interval then rest on 25 values each


def quantile(values: Iterable[float], q: float) -> float:
    """The value below which a share ``q`` (0 to 1) of the values lies, linear between neighbours.

    Raises ValueError for no values, and for a ``q`` outside of 0 to 1.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a quantile of no values")
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"q is a share from 0 to 1, not {q}")
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low if low == high else low + (high - low) * (position - below)


def median(values: Iterable[float]) -> float:
    """The middle value; raises ValueError for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a median of no values")
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    low, high = ordered[middle - 1], ordered[middle]
    return low if low == high else low + (high - low) / 2


def mad(values: Iterable[float], center: float | None = None) -> float:
    """The median absolute deviation from the median (or from ``center``), in the values' own unit."""
    values = list(values)
    middle = median(values) if center is None else center
    return median([abs(value - middle) for value in values])


def relative_mad(values: Iterable[float]) -> float:
    """mad over median: 0.05 says that half of the values lie within 5 % of it. 0 for a median of 0."""
    values = list(values)
    middle = median(values)
    return mad(values, middle) / abs(middle) if middle else 0.0


def ewma(values: Iterable[float], weight: float = 0.3) -> float:
    """The exponentially weighted mean, the last value weighing most (``weight``, over 0 to 1).

    Raises ValueError for no values.
    """
    if not 0.0 < weight <= 1.0:
        raise ValueError(f"weight is over 0 and at most 1, not {weight}")
    mean: float | None = None
    for value in values:
        mean = value if mean is None else mean + weight * (value - mean)
    if mean is None:
        raise ValueError("a mean of no values")
    return mean


class Interval(Record, frozen=True):
    """An estimate and the interval that holds the true value with the asked confidence."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two cannot be told apart."""
        return self.low <= other.high and other.low <= self.high


def median_interval(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The median with its percentile-bootstrap interval. One value gives one of no width: no evidence.

    Raises ValueError for no values.
    """
    return _bootstrap(median(values), lambda draw: median(draw(values)), confidence, seed)


def ratio_interval(above: Sequence[float], below: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """median(above) / median(below) with its bootstrap interval: a speed-up and how sure it is.

    Both samples are resampled independently. Raises ValueError for no values, or a value of 0 or less below.
    """
    if any(value <= 0 for value in below):
        raise ValueError("a ratio to values that are not positive")
    value = median(above) / median(below)
    return _bootstrap(value, lambda draw: median(draw(above)) / median(draw(below)), confidence, seed)


def _bootstrap(value: float, statistic: Callable[[_Draw], float], confidence: float, seed: int) -> Interval:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is a share between 0 and 1, not {confidence}")
    from random import Random  # 3 ms of imports that a plain map does not need

    random = Random(seed).random

    def draw(values: Sequence[float]) -> list[float]:
        count = len(values)
        return [values[int(random() * count)] for _ in range(count)]

    results = [statistic(draw) for _ in range(_ROUNDS)]
    tail = (1.0 - confidence) / 2
    return Interval(value, min(value, quantile(results, tail)), max(value, quantile(results, 1.0 - tail)))
