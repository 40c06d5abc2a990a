"""What the memory of past runs costs and brings: ``python benchmarks/past_runs.py``.

Times of reading and writing a row; of a short map without and with a memory; and, each in a fresh process and by turns,
when the run's first decision was made and how long the map took, without a memory and with one that knows the function.
Medians. Where ``WORTH_KEEPING`` of ``lightwork._past`` comes from.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lightwork as lw
from lightwork import _memory
from lightwork._demand import Demand
from lightwork._past import Past

ROUNDS = 7
PAST = Past(Demand(wait=0.02, cpu=0.0), True, True, (), "threads", 60, 900.0, 60)

CHILD = """
import sys, time
import lightwork as lw
def wait(x): time.sleep(0.02)
def long_wait(x): time.sleep(0.1)
def count(x): return sum(i for i in range(150_000))
fn = {"wait": wait, "long_wait": long_wait, "count": count}[sys.argv[1]]
began = time.perf_counter()
with lw.config(memory=sys.argv[2] or None):
    report = lw.map(fn, range(60)).report
print(report.decisions[0].at, time.perf_counter() - began)
"""


def median(measure, times=200):
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        measure()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def child(kind, path):
    done = subprocess.run([sys.executable, "-c", CHILD, kind, path], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "past.sqlite")
        row = _memory.Memory(path, abs, 2, 0.0)
        print(f"read a row   {median(lambda: _memory.Memory(path, abs, 2, 0.0)) * 1e3:.2f} ms")
        print(f"write a row  {median(lambda: row.keep(PAST)) * 1e3:.2f} ms")
        print(f"10 short calls without  {median(lambda: lw.map(hash, range(10))) * 1e3:.2f} ms")
        with lw.config(memory=path):
            print(f"10 short calls with     {median(lambda: lw.map(hash, range(10))) * 1e3:.2f} ms")
        print("\n60 calls, cold             first decision      whole map")
        for kind in ("wait", "long_wait", "count"):
            child(kind, path)
            pairs = [(child(kind, ""), child(kind, path)) for _ in range(ROUNDS)]
            for place, name in ((0, "without"), (1, "with a memory")):
                at, whole = (statistics.median(pair[place][which] for pair in pairs) for which in (0, 1))
                print(f"{kind:<10} {name:<14} {at * 1e3:>12.0f} ms {whole * 1e3:>12.0f} ms")


if __name__ == "__main__":
    main()
