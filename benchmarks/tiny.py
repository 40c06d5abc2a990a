"""What ``lw.map`` adds to a function that is over in a moment, where no backend can gain anything.

Plain loop, list comprehension and ``lw.map`` take turns, in a new order each round, over a range and over a list; the
ratio is the median of the rounds' own ratios. The goal is at most 1.05 times the plain loop, for jobs of ten
milliseconds or more: a map costs 0.02 ms of its own, 0.1 where the processor's caches have forgotten its code.

    python benchmarks/tiny.py
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import lightwork as lw

GOAL = 1.05
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def tiny(x: int) -> int:
    return x * x + 1


def plain_loop(items: Sequence[int]) -> list[int]:
    results = []
    for x in items:
        results.append(tiny(x))
    return results


def comprehension(items: Sequence[int]) -> list[int]:
    return [tiny(x) for x in items]


def lightwork_map(items: Sequence[int]) -> list[int]:
    return lw.map(tiny, items)


WAYS: tuple[Callable[[Sequence[int]], list[int]], ...] = (plain_loop, comprehension, lightwork_map)


def seconds(way: Callable[[Sequence[int]], list[int]], items: Sequence[int], times: int) -> float:
    """Seconds for one run of ``way``, as the mean over so many in a row."""
    began = time.perf_counter()
    for _ in range(times):
        way(items)
    return (time.perf_counter() - began) / times


def main() -> int:
    each = seconds(plain_loop, range(100_000), 1) * 1e4
    print(f"Python {sys.version.split()[0]}, a function of {each:.0f} ns a call\n")
    print(f"{'calls':>16}{'plain loop':>14}{'lw.map':>14}{'to loop':>10}{'to compr.':>11}{'added':>13}")
    worst = 0.0
    for n, kind in [(n, kind) for n in SIZES for kind in (range, list)]:
        items = range(n) if kind is range else list(range(n))
        times, rounds = max(1, 20_000 // n), 41 if n <= 100_000 else 15
        took: dict[str, list[float]] = {way.__name__: [] for way in WAYS}
        for _ in range(rounds + 1):
            for way in random.sample(WAYS, len(WAYS)):
                took[way.__name__].append(seconds(way, items, times))
        loop, listed, mapped = (took[way.__name__][1:] for way in WAYS)  # the first round warms up
        ratio = statistics.median(m / p for m, p in zip(mapped, loop, strict=True))
        to_listed = statistics.median(m / c for m, c in zip(mapped, listed, strict=True))
        added = statistics.median(m - p for m, p in zip(mapped, loop, strict=True))
        plain, mine = statistics.median(loop), statistics.median(mapped)
        if n >= 100_000:
            worst = max(worst, ratio)
        times_ms = f"{plain * 1e3:>11.3f} ms{mine * 1e3:>11.3f} ms"
        print(f"{n:>10,} {kind.__name__:<5}{times_ms}{ratio:>10.3f}{to_listed:>11.3f}{added * 1e6:>10.0f} µs")
    print(f"\nWorst ratio to the loop, 100,000 calls or more: {worst:.3f} (goal: at most {GOAL})")
    return 0 if worst <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
