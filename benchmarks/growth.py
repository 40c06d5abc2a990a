"""How the cost of calls in processes grows: with their number, with workers, with the size of what they are given.

Four tables. Items: seconds and the caller's memory for 10³ to 10⁷ no-ops, by ``map`` over processes and threads, and
by ``imap``, whose memory must stay flat. Workers: 1 to 64 of them on the cores that there are, from a cold pool to its
end. Sizes: an argument of 1 B to 1 GB, there and back as its length. Every row is measured in a fresh interpreter.

    python benchmarks/growth.py [--most N] [--largest BYTES] [--rounds N]

Exits with 1 where ``imap`` grows by more than 20 MB, or where a no-op over threads takes more than 1 µs at 10⁶ items.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
FLAT = 20e6
"""Bytes that the caller may grow by in ``imap``."""
THREADS = 1e-6
"""Seconds for a no-op over threads."""


def resident() -> int:
    """Bytes of anonymous memory that this process has now, and the most it had: what is shared does not count."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def items(how: str, count: int) -> dict[str, float]:
    """A map of ``count`` no-ops by ``how``: processes, threads, imap."""
    from transport_calls import noop

    import lightwork as lw

    backend = "threads" if how == "threads" else "processes"
    lw.map(noop, range(100), backend=backend, max_workers=2)
    before, peak, wrong = resident(), 0, 0
    began = time.perf_counter()
    if how == "imap":
        expected = 0
        with lw.imap(noop, iter(range(count)), backend=backend, max_workers=2) as results:
            for value in results:
                wrong += value != expected
                expected += 1
                if not expected % 100_000:
                    peak = max(peak, resident())
        wrong += expected != count
    else:
        wrong = lw.map(noop, range(count), backend=backend, max_workers=2) != list(range(count))
    took = time.perf_counter() - began
    return {"seconds": took, "grown": max(peak, resident()) - before, "wrong": float(wrong)}


def workers(count: int) -> dict[str, float]:
    """Four calls of 5 ms for each of ``count`` workers: from the first of them to the last worker's end."""
    from transport_calls import spin

    import lightwork as lw

    lw.map(spin, [0.0], backend="processes", max_workers=1)
    calls = [0.005] * (4 * count)
    began = time.perf_counter()
    results = lw.map(spin, calls, backend="processes", max_workers=count)
    took = time.perf_counter() - began
    return {"seconds": took, "peak": float(results.report.workers), "startup": results.report.startup}


def size(count: int) -> dict[str, float]:
    """One argument of so many bytes to a worker that is there, and its length back."""
    import lightwork as lw

    argument = bytes(count)
    with lw.Executor(1, backend="processes") as executor:
        executor.submit(len, b"").result()
        times = []
        for _ in range(3 if count >= 1 << 26 else 20):
            began = time.perf_counter()
            if executor.submit(len, argument).result() != count:
                return {"seconds": 0.0, "wrong": 1.0}
            times.append(time.perf_counter() - began)
    return {"seconds": statistics.median(times), "first": times[0]}


MEASURES = {"items": items, "workers": workers, "size": size}


def measured(what: str, *arguments: object, rounds: int) -> dict[str, float]:
    """The median of each figure over fresh interpreters."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--measure", what, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    if any(one.get("wrong") for one in found):
        raise SystemExit(f"wrong results: {what} {arguments}")
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def shown(count: float) -> str:
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if count >= unit:
            return f"{count / unit:.0f} {name}"
    return f"{count:.0f} B"


def main() -> int:
    parser = argparse.ArgumentParser(description="how the cost of calls in processes grows")
    parser.add_argument("--most", type=float, default=1e7, help="items of the longest map (default 10 million)")
    parser.add_argument("--largest", type=float, default=2**30, help="bytes of the largest argument (default 1 GB)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, *arguments = options.measure
        print(json.dumps(MEASURES[what](*(int(one) if one.isdigit() else one for one in arguments))))
        return 0
    missed = []
    print(f"Python {sys.version.split()[0]}\n\n{'items':>12}  {'processes':>22}  {'imap':>22}  {'threads':>22}")
    count = 1000
    while count <= options.most:
        cells = []
        for how in ("processes", "imap", "threads"):
            row = measured("items", how, count, rounds=options.rounds)
            each = row["seconds"] / count
            cells.append(f"{each * 1e6:8.2f} µs {row['grown'] / 1e6:7.1f} MB")
            if how == "imap" and row["grown"] > FLAT:
                missed.append(f"imap over {count:,} items grew by {row['grown'] / 1e6:.0f} MB")
            if how == "threads" and count == 1_000_000 and each > THREADS:
                missed.append(f"a no-op over threads took {each * 1e6:.2f} µs")
        print(f"{count:>12,}  " + "  ".join(f"{cell:>22}" for cell in cells), flush=True)
        count *= 10
    print("\nEach item's time, and how much the caller has grown.\n")
    print(f"{'workers':>12}  {'in all':>10}  {'a worker':>10}  {'used':>5}  {'slowest start':>14}")
    count = 1
    while count <= 64:
        row = measured("workers", count, rounds=options.rounds)
        print(
            f"{count:>12}  {row['seconds'] * 1e3:7.0f} ms  {row['seconds'] / count * 1e3:7.1f} ms  {row['peak']:5.0f}  "
            f"{row['startup'] * 1e3:11.0f} ms",
            flush=True,
        )
        count *= 2
    print("\nFour calls of 5 ms for each worker, from a caller that has its starter.\n")
    print(f"{'argument':>12}  {'a round trip':>14}  {'the first':>12}  {'a second':>10}")
    count = 1
    while count <= options.largest:
        row = measured("size", count, rounds=options.rounds)
        rate = shown(count / row["seconds"])
        print(
            f"{shown(count):>12}  {row['seconds'] * 1e3:11.3f} ms  {row['first'] * 1e3:9.3f} ms  {rate:>10}", flush=True
        )
        count *= 32
    for miss in missed:
        print(f"MISS: {miss}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
