"""Waiting and computing calls submitted together: does ``Executor(backend="auto")`` send each where it is best?

The same futures by each executor, each in a fresh interpreter, its start included; medians of ROUNDS.

    python benchmarks/routing.py [ROUNDS]
"""

from __future__ import annotations

import concurrent.futures as cf
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

CALLS, WAIT, STEPS = 40, 0.05, 400_000


def wait(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def count(steps: int) -> int:
    while steps:
        steps -= 1
    return steps


def lightwork() -> cf.Executor:
    import lightwork as lw

    return lw.Executor()


WAYS: dict[str, Callable[[], cf.Executor]] = {
    "lw.Executor()": lightwork,
    "ThreadPoolExecutor()": cf.ThreadPoolExecutor,
    "ProcessPoolExecutor()": cf.ProcessPoolExecutor,
}


def one(way: str) -> None:
    """Prints the seconds of all calls by one executor."""
    began = time.perf_counter()
    with WAYS[way]() as executor:
        futures = []
        for _ in range(CALLS):
            futures += [executor.submit(wait, WAIT), executor.submit(count, STEPS)]
        cf.wait(futures)
        for future in futures:
            future.result()
    print(time.perf_counter() - began)


def main(rounds: int = 5) -> int:
    began = time.thread_time()
    count(STEPS)
    each = time.thread_time() - began
    print(
        f"{CALLS} calls that wait {WAIT * 1e3:.0f} ms and {CALLS} that compute {each * 1e3:.0f} ms, submitted in turns"
    )
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            done = subprocess.run([sys.executable, __file__, way], check=True, capture_output=True, text=True)
            took[way].append(float(done.stdout))
    print(f"{'a plain loop would take':<24}{CALLS * (WAIT + each):>8.2f} s")
    for way, times in took.items():
        print(f"{way:<24}{statistics.median(times):>8.2f} s   ({min(times):.2f} to {max(times):.2f})")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in WAYS:
        one(sys.argv[1])
    else:
        sys.exit(main(*map(int, sys.argv[1:2])))
