"""What do items and results of many kinds cost, and calls that are submitted one by one, beside the standard library?

    python benchmarks/kinds.py [ROUNDS]

Maps of a function that gives back its item, over two worker processes: ``lw.map``, which starts and ends its workers,
beside a kept ``multiprocessing.Pool`` and a kept ``ProcessPoolExecutor`` with sixteen chunks. Then thousands of calls
submitted to executors, each with a future of its own. Microseconds a call, medians of rounds in turns.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import Pool
from typing import Any

from kinds_calls import kinds, same

import lightwork as lw

WORKERS = 2
CALLS = 10_000
"""Calls that are submitted."""

Map = Callable[[Sequence[Any]], Sequence[Any]]


def in_turns(ways: dict[str, Map], items: Sequence[Any], rounds: int) -> dict[str, float]:
    """Seconds for each item, by the way."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + rounds):  # the first warms up
        for name, way in ways.items():
            gc.collect()
            began = time.perf_counter()
            results = way(items)
            took[name].append(time.perf_counter() - began)
            if list(map(repr, results[:100])) != list(map(repr, items[:100])) or len(results) != len(items):
                raise RuntimeError(f"wrong results by {name}")
    return {name: statistics.median(each[1:]) / len(items) for name, each in took.items()}


def submitted(executor: Executor) -> Map:
    def way(items: Sequence[Any]) -> Sequence[Any]:
        futures = [executor.submit(same, item) for item in items]
        return [future.result() for future in futures]

    return way


def show(what: str, found: dict[str, float]) -> None:
    ours, *others = found.values()
    cells = "".join(f"{1e6 * seconds:>12.2f}" for seconds in found.values())
    print(f"{what:<24}{cells}{ours / min(others):>10.2f}", flush=True)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with Pool(WORKERS) as pool, ProcessPoolExecutor(WORKERS) as ppe:
        ways: dict[str, Map] = {
            "lightwork": lambda items: lw.map(same, items, backend="processes", max_workers=WORKERS),
            "Pool": lambda items: pool.map(same, items),
            "PPE, chunks": lambda items: list(ppe.map(same, items, chunksize=-(-len(items) // 16))),
        }
        print(f"{'map, µs an item':<24}" + "".join(f"{name:>12}" for name in ways) + "   of best")
        for kind, items in kinds().items():
            show(kind, in_turns(ways, items, rounds))
        print(f"\n{'submit, µs a call':<24}{'lightwork':>12}{'standard':>12}{'apply_async':>12}   of best")
        with lw.Executor(WORKERS, backend="processes") as ours:
            asynchronous: Map = lambda items: [r.get() for r in [pool.apply_async(same, (x,)) for x in items]]  # noqa: E731
            ways = {"lightwork": submitted(ours), "ppe": submitted(ppe), "apply_async": asynchronous}
            show("processes", in_turns(ways, range(CALLS), rounds))
    with lw.Executor(WORKERS, backend="threads") as ours, ThreadPoolExecutor(WORKERS) as tpe:
        show("threads", in_turns({"lightwork": submitted(ours), "tpe": submitted(tpe)}, range(CALLS), rounds))


if __name__ == "__main__":
    main()
