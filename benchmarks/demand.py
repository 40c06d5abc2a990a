"""How well does lightwork measure what one call asks for? Functions of known mix, by ``lw.probe`` and by ``lw.map``.

A call sleeps, computes in Python (under the GIL) and computes in hashlib (without it), in all mixes of quarters, 2 to
50 ms long. What each part takes here is measured by itself just before. Errors are in per cent of the call's whole
time. ``auto`` is what a map had to decide by: a few of the job's own calls, or the beginning of one; ``report`` is what
its report makes of that at the end. The wire is compared with pickling and unpickling the same things many times over:
objects of a few bytes to a megabyte.

    python benchmarks/demand.py [ROUNDS]
"""

from __future__ import annotations

import hashlib
import itertools
import pickle
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import lightwork as lw
from lightwork._account import learnt
from lightwork._machine import gil_enabled
from lightwork._wire_cost import measure_wire

LENGTHS = (0.002, 0.01, 0.05)
MIXES = [mix for mix in itertools.product(range(5), repeat=3) if sum(mix) == 4]
BLOCK = bytes(1 << 15)  # long enough for hashlib to let the GIL go, short enough for fine steps
JOB = 0.5  # seconds of a map's plain loop
BUDGET = 0.25
SMALL = 2e-5  # seconds to pickle and unpickle below which an error is told in seconds


def python(steps: int) -> None:
    while steps:
        steps -= 1


def hashes(count: int) -> None:
    for _ in range(count):
        hashlib.sha256(BLOCK)


def call(wait: float, steps: int, count: int, item: int) -> int:
    if wait:
        time.sleep(wait)
    python(steps)
    hashes(count)
    return item


def each(fn: Callable[[int], None], many: int) -> float:
    """CPU seconds of one of ``many`` steps."""
    times = []
    for _ in range(5):
        began = time.thread_time()
        fn(many)
        times.append(time.thread_time() - began)
    return statistics.median(times) / many


def alone(wait: float, steps: int, count: int) -> tuple[float, float, float]:
    """Seconds of each part, by itself."""
    found = []
    for _ in range(5):
        marks = [time.perf_counter()]
        if wait:
            time.sleep(wait)
        marks.append(time.perf_counter())
        began = time.thread_time()
        python(steps)
        held = time.thread_time()
        hashes(count)
        found.append((marks[1] - marks[0] if wait else 0.0, held - began, time.thread_time() - held))
    return tuple(map(statistics.median, zip(*found, strict=True)))  # type: ignore[return-value]


def of_mixes(errors: dict[str, dict[str, list[float]]]) -> None:
    step, block = each(python, 100_000), each(hashes, 100)
    for length in LENGTHS:
        for mix in MIXES:
            waits, holds, frees = (part * length / 4 for part in mix)
            parts = waits, round(holds / step), round(frees / block)
            wait, held, free = alone(*parts)
            whole = wait + held + free
            fn = partial(call, *parts)
            profile = lw.probe(fn, range(100), budget=BUDGET).demand
            report = lw.map(fn, range(max(8, int(JOB / length)))).report
            for who, demand, heard in (
                ("probe", profile, True),
                ("auto", report.demand, report.gil_known or not gil_enabled()),
                ("report", learnt(report), report.gil_known or not gil_enabled()),
            ):
                if demand is None:
                    continue
                errors[who]["wait"].append(abs(demand.wait - wait) / whole)
                errors[who]["cpu"].append(abs(demand.cpu - held - free) / whole)
                if heard:
                    errors[who]["gil"].append(abs(demand.gil - (held if gil_enabled() else 0.0)) / whole)


def of_the_wire(errors: dict[str, list[float]]) -> None:
    things: list[Any] = [1.5, "a" * 100, list(range(100)), {str(n): n for n in range(1000)}, bytes(100_000)]
    things += [list(range(100_000)), [float(n) for n in range(100_000)], "b" * 1_000_000, bytes(1_000_000)]
    things += [[str(n) for n in range(50_000)], [{"n": n} for n in range(1_000)], tuple(range(10_000))]
    for thing in things:
        many = max(3, int(0.01 / max(1e-6, _both_ways(thing))))
        reference = statistics.median(_both_ways(thing) for _ in range(min(many, 300)))
        found = measure_wire([thing], [], None)
        wrong = abs(found.caller + found.worker - reference)
        if reference > SMALL:
            errors["large"].append(wrong / reference)
        else:
            errors["small"].append(wrong)


def _both_ways(thing: Any) -> float:
    began = time.perf_counter()
    pickle.loads(pickle.dumps(thing, 5))
    return time.perf_counter() - began


def main(rounds: int = 1) -> int:
    errors: dict[str, dict[str, list[float]]] = {
        who: {part: [] for part in ("wait", "cpu", "gil")} for who in ("probe", "auto", "report")
    }
    wire: dict[str, list[float]] = {"large": [], "small": []}
    for _ in range(rounds):
        of_mixes(errors)
        of_the_wire(wire)
    gil = "with" if gil_enabled() else "without"
    print(f"Python {platform.python_version()}, {gil} the GIL; {len(MIXES) * len(LENGTHS)} mixes, {rounds} round(s)")
    print("error in % of a call's time (wire: in % of itself)\n")
    print(f"{'':<8}{'':<6}{'cases':>7}{'median':>9}{'90 % under':>12}{'worst':>8}")
    rows = [(who, part, found) for who, parts in errors.items() for part, found in parts.items()]
    for who, part, found in [*rows, ("both", "wire", wire["large"])]:
        if found:
            ninety = statistics.quantiles(found, n=10, method="inclusive")[-1]
            figures = f"{100 * statistics.median(found):>9.1f}{100 * ninety:>12.1f}{100 * max(found):>8.1f}"
            print(f"{who:<8}{part:<6}{len(found):>7}{figures}")
    small = f"{1e6 * statistics.median(wire['small']):.1f} µs, at most {1e6 * max(wire['small']):.1f}"
    print(f"\nwire of what takes less than {1e6 * SMALL:.0f} µs: wrong by {small}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
