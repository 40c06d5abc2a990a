"""What is each part of the adaptive run worth? The simulated grid with one of them switched off at a time.

python benchmarks/ablation.py
"""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from lightwork._auto import AutoRun
from lightwork._batching import Batching
from lightwork._dispatch import Dispatch
from lightwork.testing import SimulatedMachine, Workload, best_fixed, simulate
from tests.decisions.test_simulated import CALLS, KINDS, LENGTHS, LONG, SHAPES, percentile, workload

GRID = [point for point in itertools.product(KINDS, SHAPES, CALLS, LENGTHS, (2, 4, 16)) if point[0] != "does both"]
_take_over, _size = AutoRun.take_over, Batching.size


def at_once(self: Any, number: int, backend: Any) -> None:
    _take_over(self, number, backend)
    self.handover.lane = None
    self.close_lane(self.first)


def equal_shares(self: Any, pending: int, workers: int, more: bool) -> int:
    if self.alone or self.mean is None:
        return _size(self, pending, workers, more)
    return max(1, -(-pending // max(1, workers)))


PARTS: list[tuple[str, Any, str, Callable[..., Any]]] = [
    ("the look into running calls", AutoRun, "look_in", lambda *_: None),
    ("the caller goes on while workers start", AutoRun, "take_over", at_once),
    ("batches that become smaller", Batching, "size", equal_shares),
    ("the caller takes calls back", Dispatch, "_waited_for", lambda *_: False),
]


def measured(best: dict[Any, float]) -> str:
    long, short = [], []
    for point in GRID:
        work, machine = workload(*point[:4]), SimulatedMachine(cores=point[4])
        if point not in best:
            best[point] = best_fixed(work, machine)[1]
        took = simulate(work, machine).seconds
        long += [took / best[point]] if best[point] >= LONG else []
        short += [took / work.seconds] if best[point] < LONG else []
    slow = []
    for calls, length, importing in itertools.product((8, 60), (0.01, 0.1), (0.3, 3.0)):
        work = Workload([0.0] * calls, [length] * calls)
        slow.append(simulate(work, SimulatedMachine(cores=4, importing=importing)).seconds / work.seconds)
    figures = statistics.geometric_mean(long), percentile(long, 0.9), max(long), max(short), max(slow)
    return "".join(f"{figure:>10.2f}" for figure in figures)


def main() -> int:
    heads = ("mean", "90 %", "worst", "short", "imports")
    print(f"{'without':<40}" + "".join(f"{head:>10}" for head in heads))
    best: dict[Any, float] = {}
    print(f"{'nothing left out':<40}{measured(best)}", flush=True)
    for name, owner, attribute, other in PARTS:
        usual = getattr(owner, attribute)
        setattr(owner, attribute, other)
        print(f"{name:<40}{measured(best)}", flush=True)
        setattr(owner, attribute, usual)
    return 0


if __name__ == "__main__":
    sys.exit(main())
