"""How does the time to decide grow with the number of items, and of backends to choose from?

The pure decision: microseconds of one look, by items and backends (copies of threads and processes). A real one:
milliseconds from the call of ``lw.imap`` until it has changed over, with calls that wait for 5 ms and calls that
compute so long, in a program that has decided before; most of it is the calls that are looked at.

    python benchmarks/deciding.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time

import lightwork as lw
from lightwork._backends._registry import backend
from lightwork._demand import Demand
from lightwork._policy import Candidate, Policy, Seen

ITEMS = (10, 1_000, 100_000, 10_000_000)
BACKENDS = (2, 4, 16, 64)
KINDS = {"waits": Demand(wait=0.01, cpu=1e-4, gil=1e-4), "computes": Demand(wait=0.0, cpu=0.01, gil=0.01)}


def nap(item: int) -> int:
    time.sleep(0.005)
    return item


def count(item: int) -> int:
    steps = 80_000
    while steps:
        steps -= 1
    return item


def look(items: int, backends: int, demand: Demand, rounds: int) -> float:
    """Seconds of one look, with everything known."""
    pair = [backend(name).capabilities for name in ("threads", "processes")]
    candidates = tuple(Candidate(("threads", "processes")[n % 2], pair[n % 2]) for n in range(backends))
    policy = Policy(candidates, 2, True)
    seen = Seen(0.03, 3, items, demand, True, True, None, True)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(20):
            policy.advise(seen)
        times.append((time.perf_counter() - began) / 20)
    return statistics.median(times)


def real(fn: object, items: int, rounds: int) -> float | None:
    """Seconds until an ``imap`` over so many items has changed over."""
    times = []
    for _ in range(rounds):
        with lw.imap(fn, range(items)) as stream:  # type: ignore[arg-type]
            for _ in range(min(items, 60)):
                next(stream)
            changed = [one.at for one in stream.report.decisions if one.what.startswith("changed over")]
        times += changed[:1]
    return statistics.median(times) if times else None


def main(rounds: int = 5) -> int:
    print("one look, µs" + " " * 8 + "".join(f"{count:>5} backends" for count in BACKENDS))
    for kind, demand in KINDS.items():
        for items in ITEMS:
            figures = [look(items, backends, demand, 4 * rounds) * 1e6 for backends in BACKENDS]
            print(f"{kind:<9}{items:>11,}" + "".join(f"{figure:>14.0f}" for figure in figures))
    print("\nuntil imap has decided, ms")
    for kind, fn in (("waits", nap), ("computes", count)):
        for items in ITEMS:
            took = real(fn, items, rounds)
            print(f"{kind:<9}{items:>11,}{'stays in the caller' if took is None else f'{took * 1e3:14.1f}':>22}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
