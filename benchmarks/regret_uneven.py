"""Jobs whose calls are not alike, whose input is slow or endless, and those that change what others see."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

from regret_jobs import Work, count, job
from regret_waiting import burn, nap


def heavy_tail(calls: int, least: int) -> list[int]:
    """Steps by a Pareto law of exponent 1.3, the same each time."""
    state, found = 12345, []
    for _ in range(calls):
        state = (1103515245 * state + 12345) % (1 << 31)
        found.append(min(int(least * ((state + 1) / (1 << 31)) ** (-1 / 1.3)), 100 * least))
    return found


@job
def heavy_tailed(scale: float) -> Work:
    return Work(burn, heavy_tail(count(300, scale), 25_000))


@job
def heavy_tailed_waits(scale: float) -> Work:
    return Work(nap, [steps * 1e-7 for steps in heavy_tail(count(300, scale), 50_000)])


@job
def growing(scale: float) -> Work:
    return Work(burn, [400 * n for n in range(count(340, scale))])


@job
def shrinking(scale: float) -> Work:
    return Work(burn, [400 * n for n in reversed(range(count(340, scale)))])


@job
def giant_first(scale: float) -> Work:
    return Work(burn, [12_000_000] + [80_000] * count(150, scale))


@job
def giant_last(scale: float) -> Work:
    return Work(burn, [80_000] * count(150, scale) + [8_000_000])


def either(item: float) -> float:
    """Waits for a negative number of seconds, computes for a positive number of steps."""
    if item < 0:
        time.sleep(-item)
    else:
        burn(int(item))
    return item


@job
def computing_then_waiting(scale: float) -> Work:
    return Work(either, [80_000] * count(60, scale) + [-0.02] * count(100, scale))


@job
def waiting_then_computing(scale: float) -> Work:
    return Work(either, [-0.02] * count(60, scale) + [80_000] * count(200, scale))


@job
def alternating(scale: float) -> Work:
    return Work(either, [-0.01, 80_000] * count(80, scale))


@job
def short_then_long(scale: float) -> Work:
    """After 20,000 calls of 2 µs the average says nothing."""
    return Work(burn, [50] * count(20_000, scale) + [100_000] * count(200, scale))


@job
def short_computing_then_waiting(scale: float) -> Work:
    """Whoever has hundreds of short calls at a time has hundreds of waits with them."""
    return Work(either, [2_500] * count(3_000, scale) + [-0.02] * count(1_500, scale))


@functools.cache
def table() -> int:
    return burn(3_000_000)


def slow_at_first(item: int) -> int:
    return table() + burn(80_000) + item


@job
def slow_first_call(scale: float) -> Work:
    return Work(slow_at_first, range(count(150, scale)))


def produced(calls: int, pause: float) -> Iterator[int]:
    for _ in range(calls):
        time.sleep(pause)
        yield 80_000


@job
def slow_producer(scale: float) -> Work:
    return Work(burn, produced(count(120, scale), 0.004))


def counted(calls: int, steps: int) -> Iterator[int]:
    yield from (steps for _ in range(calls))


@job
def unknown_length(scale: float) -> Work:
    return Work(burn, counted(count(200, scale), 120_000))


@job
def short_unknown_length(scale: float) -> Work:
    return Work(burn, counted(count(300, scale), 500))


@job
def unknown_length_waiting(scale: float) -> Work:
    return Work(nap, (0.02 for _ in range(count(100, scale))))


SEEN: list[int] = []


def remembers(item: int) -> int:
    SEEN.append(item)
    return burn(80_000) + len(SEEN)


@job
def side_effects(scale: float) -> Work:
    return Work(remembers, range(count(100, scale)), state=lambda: list(SEEN))


def changes(item: list[int]) -> int:
    item.append(burn(80_000))
    return len(item)


@job
def changes_its_argument(scale: float) -> Work:
    items: list[list[int]] = [[n] for n in range(count(100, scale))]
    return Work(changes, items, state=lambda: items)
