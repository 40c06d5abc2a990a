"""How well does the simulator predict real maps on this machine? The same jobs by ``lw.map`` and by ``simulate``.

Each real run is the first map of a fresh interpreter. What one call takes is measured there beforehand, alone.

    python benchmarks/predicted.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from regret_waiting import burn, nap

import lightwork as lw
from lightwork.testing import SimulatedMachine, Workload, fixed, simulate

CASES = {
    "100 naps of 20 ms": (nap, [0.02] * 100),
    "4 naps of 0.4 s": (nap, [0.4] * 4),
    "300 naps of 2 ms": (nap, [0.002] * 300),
    "100 calls of Python, 10 ms": (burn, [160_000] * 100),
    "16 calls of Python, 0.1 s": (burn, [1_600_000] * 16),
    "4 calls of Python, 0.4 s": (burn, [6_400_000] * 4),
}


def real(name: str) -> None:
    """Prints seconds of lw.map and of one call alone, and the backend that most calls ran on."""
    fn, items = CASES[name]
    began = time.perf_counter()
    results = lw.map(fn, items)
    took = time.perf_counter() - began
    began = time.perf_counter()
    fn(items[0])
    print(took, time.perf_counter() - began, results.report.backend)


def main(rounds: int = 5) -> int:
    here = lw.machine()
    machine = SimulatedMachine(cores=here.cores, gil=here.gil, loading=0.03)
    times = f"{'plain loop':>12}{'real':>10}{'simulated':>12}{'real / sim.':>13}{'fixed, sim.':>13}"
    print(f"{'job':<30}{times}  chosen: real / sim.")
    for name, (fn, items) in CASES.items():
        runs = []
        for _ in range(rounds):
            told = subprocess.run(
                [sys.executable, __file__, "--real", name], check=True, capture_output=True, text=True
            )
            took, each, backend = told.stdout.split()
            runs.append((float(took), float(each), backend))
        took, each = (statistics.median(run[part] for run in runs) for part in (0, 1))
        waits = fn is nap
        none, all_of_it = [0.0] * len(items), [each] * len(items)
        work = Workload(all_of_it, none) if waits else Workload(none, all_of_it)
        told_by_it = simulate(work, machine)
        parallel = "processes" if machine.gil else "threads"
        best = fixed(work, machine, *(("threads", 32) if waits else (parallel, machine.cores))).seconds
        chosen, there = ", ".join(sorted({run[2] for run in runs})), told_by_it.calls
        print(
            f"{name:<30}{work.seconds:>12.3f}{took:>10.3f}{told_by_it.seconds:>12.3f}"
            f"{took / told_by_it.seconds:>13.2f}{best:>13.3f}  {chosen} / {max(there, key=there.__getitem__)}"
        )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--real"]:
        real(sys.argv[2])
    else:
        sys.exit(main(*map(int, sys.argv[1:2])))
