"""Simulates a particle detector's signal with noise, and finds the pulses in it again (NumPy).

Each call draws its own event from ``lw.numpy_rng()``: with ``seed=`` the results are the same in every
backend and with any number of workers, and no two events share random numbers.

    lightwork compare examples/detector_pulses.py:find_pulses
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import lightwork as lw

SAMPLES = 20_000
"""Length of one recorded event, in samples of 1 ns."""
RISE, DECAY = 5.0, 40.0
"""Time constants of the pulse's shape, in ns: scintillation light, seen through a slow amplifier."""
NOISE = 1.0
"""Standard deviation of the electronics' noise, in mV."""
PULSES = 12
"""Mean number of pulses in one event."""
THRESHOLD = 6.0
"""A pulse must stand this many standard deviations out of the filtered noise."""


class Event(NamedTuple):
    number: int
    true_times: tuple[int, ...]
    true_heights: tuple[float, ...]
    found_times: tuple[int, ...]
    found_heights: tuple[float, ...]


def pulse_shape() -> np.ndarray:
    """exp(-t/DECAY) - exp(-t/RISE), with its highest sample at 1."""
    t = np.arange(int(8 * DECAY))
    shape = np.exp(-t / DECAY) - np.exp(-t / RISE)
    return shape / shape.max()


def simulate(rng: np.random.Generator, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A noisy trace in mV, with the times (ns) and heights (mV) of the pulses hidden in it."""
    times = np.sort(rng.integers(0, SAMPLES - len(shape), size=rng.poisson(PULSES)))
    heights = 3.0 + rng.exponential(20.0, size=len(times))
    trace = rng.normal(0.0, NOISE, SAMPLES)
    for time, height in zip(times, heights, strict=True):
        trace[time : time + len(shape)] += height * shape
    return trace, times, heights


def matched_filter(trace: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The best linear estimate of a pulse's height at each start time, in mV (white noise).

    Its noise is NOISE / sqrt(sum(shape²)): the filter of North (1943).
    """
    return np.correlate(trace, shape, mode="valid") / np.dot(shape, shape)


def find_pulses(number: int) -> Event:
    """Simulates event ``number`` and finds its pulses: the highest first, each taken out of the trace."""
    shape = pulse_shape()
    trace, times, heights = simulate(lw.numpy_rng(), shape)
    least = THRESHOLD * NOISE / np.sqrt(np.dot(shape, shape))
    found: list[tuple[int, float]] = []
    while len(found) < 5 * PULSES:  # more than any event has: the filter has gone astray
        heard = matched_filter(trace, shape)
        at = int(np.argmax(heard))
        if heard[at] < least:
            break
        found.append((at, float(heard[at])))
        trace[at : at + len(shape)] -= heard[at] * shape
    found.sort()
    found_times, found_heights = tuple(at for at, _ in found), tuple(height for _, height in found)
    return Event(number, tuple(times.tolist()), tuple(heights.tolist()), found_times, found_heights)


def items() -> range:
    """The numbers of a hundred events."""
    return range(100)


def match(event: Event, within: int = 10) -> list[tuple[float, float | None]]:
    """For each true pulse its height and the height of the nearest found one, None if there is none near."""
    pairs: list[tuple[float, float | None]] = []
    for time, height in zip(event.true_times, event.true_heights, strict=True):
        near = [
            (abs(at - time), seen)
            for at, seen in zip(event.found_times, event.found_heights, strict=True)
            if abs(at - time) <= within
        ]
        pairs.append((height, min(near)[1] if near else None))
    return pairs


def main() -> None:
    events = lw.map(find_pulses, items(), seed=2024)
    pairs = [pair for event in events for pair in match(event)]
    print(f"{len(events)} events, {len(pairs)} pulses, {sum(len(e.found_times) for e in events)} found\n")
    print("  height / mV   pulses   found   resolution")
    for low, high in [(3, 6), (6, 12), (12, 24), (24, 48), (48, 1000)]:
        here = [(true, seen) for true, seen in pairs if low <= true < high]
        errors = [seen / true - 1 for true, seen in here if seen is not None]
        if errors:
            spread = float(np.median(np.abs(errors))) * 1.4826  # robust: pile-up spoils a few badly
            print(f"  {low:4} … {high:<6} {len(here):6}   {len(errors) / len(here):5.0%}   {spread:9.1%}")
    print(f"\n{events.report}")


if __name__ == "__main__":
    main()
