"""What ``import lightwork`` costs, beside its peers: fresh interpreters, taking turns.

Each round starts one interpreter for every module (and one that imports nothing), in a new order; a module's
figure is the median over the rounds of its time less the bare interpreter's time in the same round. What the
machine does meanwhile so hits all of them alike.

    python benchmarks/import_time.py [ROUNDS]
"""

from __future__ import annotations

import importlib.util
import random
import statistics
import subprocess
import sys
import time

PEERS = ["concurrent.futures.process", "multiprocessing.pool", "joblib", "mpire", "pebble"]
GOAL = 0.015
"""Seconds over a bare interpreter that lightwork may take."""


def start_up(code: str) -> float:
    """Seconds from starting an interpreter until it has run ``code`` and ended."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def is_installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def main(rounds: int = 25) -> int:
    modules = ["lightwork", *filter(is_installed, PEERS)]
    code = {"": "pass", **{module: f"import {module}" for module in modules}}
    for line in code.values():
        start_up(line)  # writes the .pyc files and warms the disk cache
    over: dict[str, list[float]] = {module: [] for module in modules}
    bare: list[float] = []
    for _ in range(rounds):
        took = {name: start_up(code[name]) for name in random.sample(list(code), len(code))}
        bare.append(took[""])
        for module in modules:
            over[module].append(took[module] - took[""])

    print(
        f"Python {sys.version.split()[0]}, {rounds} rounds; bare interpreter {statistics.median(bare) * 1e3:.1f} ms\n"
    )
    print(f"{'import':<30}{'ms over bare':>14}{'middle half':>20}")
    for module in modules:
        low, middle, high = (value * 1e3 for value in statistics.quantiles(over[module], n=4))
        print(f"{module:<30}{middle:>14.1f}{f'{low:.1f} … {high:.1f}':>20}")
    missing = [peer for peer in PEERS if peer not in modules]
    if missing:
        print(f"\nNot installed here: {', '.join(missing)}")
    met = statistics.median(over["lightwork"]) <= GOAL
    print(f"\nlightwork: {'within' if met else 'OVER'} its {GOAL * 1e3:.0f} ms")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
