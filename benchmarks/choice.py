"""Does ``lw.map`` pick the right backend by itself? Four kinds of function against every fixed choice.

Each round runs the plain loop, each backend fixed, and ``lw.map`` left alone, in a new order. A ratio is the
median over the rounds of a time over that round's best fixed choice: 1.00 is as good as knowing beforehand.

    python benchmarks/choice.py [ROUNDS]
"""

from __future__ import annotations

import functools
import hashlib
import random
import statistics
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import lightwork as lw

CALLS = 60
CALL_SECONDS = 0.020


def wait(item: int) -> int:
    """Waits, as for a disk or a server."""
    time.sleep(CALL_SECONDS)
    return item


def count(steps: int, item: int) -> int:
    """Pure Python: holds the GIL all the time."""
    while steps > 0:
        steps -= 1
    return item


def digest(block: bytes, repeats: int, item: int) -> str:
    """hashlib and zlib on a large block: C code that lets the GIL go."""
    for _ in range(repeats):
        found = hashlib.sha256(block).hexdigest() + str(zlib.crc32(block, item))
    return found


def tiny(item: int) -> int:
    """Over in a moment."""
    return item + 1


def repeats_for(seconds: float, run: Callable[[int], object], start: int) -> int:
    """How large ``run``'s argument must be for it to take so many seconds of CPU here."""
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        run(start)
        best = min(best, time.thread_time() - began)
    return max(1, round(start * seconds / best))


def plain_loop(fn: Callable[[int], Any], items: range) -> list[Any]:
    return [fn(item) for item in items]


def main(rounds: int = 5) -> int:
    block = random.Random(1).randbytes(1 << 20)
    steps = repeats_for(CALL_SECONDS, lambda n: count(n, 0), 200_000)
    blocks = repeats_for(CALL_SECONDS, lambda n: digest(block, n, 0), 4)
    jobs: dict[str, tuple[Callable[[int], Any], range]] = {
        "waiting": (wait, range(CALLS)),
        "counting": (functools.partial(count, steps), range(CALLS)),
        "GIL-free": (functools.partial(digest, block, blocks), range(CALLS)),
        "tiny": (tiny, range(200_000)),
    }
    known = lw.backends()
    fixed = [name for name in ("threads", "processes", "interpreters") if known[name]]
    print(f"{lw.machine()}\n\nMedian seconds of {rounds} rounds; ratio: to the best fixed choice of the round\n")
    print(f"{'job':<10}{'loop':>8}" + "".join(f"{name:>13}" for name in fixed) + f"{'lw.map':>9}{'ratio':>8}  picked")
    ratios = []
    for job, (fn, items) in jobs.items():
        ways: dict[str, Callable[[], Any]] = {"loop": functools.partial(plain_loop, fn, items)}
        for name in fixed:
            ways[name] = functools.partial(lw.map, fn, items, backend=name)
        ways["lw.map"] = functools.partial(lw.map, fn, items)
        took: dict[str, list[float]] = {way: [] for way in ways}
        picked: Counter[str] = Counter()
        for _ in range(rounds):
            for way in random.sample(list(ways), len(ways)):
                began = time.perf_counter()
                results = ways[way]()
                took[way].append(time.perf_counter() - began)
                if way == "lw.map":
                    picked[f"{results.report.backend} × {results.report.workers}"] += 1
        best = [min(took[way][i] for way in ("loop", *fixed)) for i in range(rounds)]
        ratio = statistics.median(mine / least for mine, least in zip(took["lw.map"], best, strict=True))
        ratios.append(ratio)
        middle = {way: statistics.median(times) for way, times in took.items()}
        print(
            f"{job:<10}{middle['loop']:>8.3f}"
            + "".join(f"{middle[name]:>13.3f}" for name in fixed)
            + f"{middle['lw.map']:>9.3f}{ratio:>8.2f}  {', '.join(name for name, _ in picked.most_common())}"
        )
    print(f"\nGeometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
