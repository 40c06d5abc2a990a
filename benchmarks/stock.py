"""What it is worth that NumPy is imported once, before workers are forked (see docs/wire.md).

    python benchmarks/stock.py --rounds 10

Each round starts two fresh interpreters, which make five executors one after another, with two processes and eight
short calls with NumPy each. In one of them workers have an initializer that does nothing: so each imports NumPy for
itself.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time


def program(ahead: bool) -> None:
    import numpy as np

    import lightwork as lw

    def roots(item: int) -> float:
        return float(np.sqrt(np.arange(10.0) + item).sum())

    for _ in range(5):
        began = time.perf_counter()
        with lw.Executor(2, backend="processes", initializer=None if ahead else int) as executor:
            list(executor.map(roots, range(8)))
        print(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    first: dict[str, list[float]] = {"ahead": [], "each": []}
    later: dict[str, list[float]] = {"ahead": [], "each": []}
    for _ in range(rounds):
        for way in random.sample(list(first), 2):
            done = subprocess.run([sys.executable, __file__, way], capture_output=True, text=True, check=True)
            took = [1000 * float(line) for line in done.stdout.split()]
            first[way].append(took[0])
            later[way] += took[1:]
    for way, words in (("ahead", "imported once"), ("each", "by each worker")):
        medians = statistics.median(first[way]), statistics.median(later[way])
        print(f"{words:<16} first {medians[0]:5.0f} ms   later {medians[1]:5.0f} ms")


if __name__ == "__main__":
    if sys.argv[1:2] in (["ahead"], ["each"]):
        program(sys.argv[1] == "ahead")
    else:
        main()
