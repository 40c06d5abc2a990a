"""How close does ``lw.map(fn, items)`` come to the best fixed choice in hindsight?

Each job runs by each strategy in a fresh interpreter of its own; seconds count from before a strategy has started
anything. Strategies take turns, in a new order each round, after a run that does not count: whoever comes first pays
for files and memory that the machine has to fetch. One that takes three times as long as the best so far is ended and
counts as worse; one that gives other results than the plain loop counts as wrong.

    python benchmarks/regret.py [--jobs PATTERN] [--rounds N] [--strategies A,B] [--scale X] [--why] [--json FILE]

Goals: for jobs whose best takes 0.25 s or more, lightwork's time over the best: geometric mean 1.05, 90th percentile
1.20, worst 1.5. For shorter ones, over the plain loop: never more than 1.1.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fnmatch
import json
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from regret_jobs import load
from regret_strategies import ADAPTIVE, LOOP, OURS, STRATEGIES, missing
from regret_table import Times, shown, summary, table

ONCE = Path(__file__).with_name("regret_once.py")
HOPELESS = 3.0
"""Times as long as the best so far: given up."""
GRACE = 0.5
"""Seconds beyond that, for what is not the job."""
LONGEST = 120.0
"""Seconds for whoever has nobody to be compared with."""


class Refused(Exception):
    """There is no time to report, and why."""


def once(job: str, strategy: str, scale: float, limit: float) -> dict[str, Any]:
    """What one run told; Refused where it took longer than ``limit`` seconds, or failed."""
    command = [sys.executable, str(ONCE), job, strategy, str(scale)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            if process.stdout.readline() != "ready\n":
                raise Refused("failed")
            if not select.select([process.stdout], [], [], limit)[0]:
                raise Refused("slow")
            process.stdout.readline()
            line = process.stdout.readline()
            if not line:
                raise Refused("failed")
            told: dict[str, Any] = json.loads(line)
            return told
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def measure(job: str, strategies: list[str], rounds: int, scale: float) -> Times:
    times = Times(job, {name: [] for name in strategies})
    values: dict[str, str] = {}
    with contextlib.suppress(Refused):  # the next run is refused as well, and tells of it
        once(job, OURS, scale, LONGEST)
    for turn in range(rounds):
        # Ours and the loop first, for they seldom are hopeless; then nobody else needs long.
        order = random.sample(strategies, len(strategies))
        if not turn:
            order.sort(key=lambda name: (name != OURS, name != LOOP))
        for name in order:
            if name in times.refused:
                continue
            done = [min(seconds) for other, seconds in times.seconds.items() if seconds and other not in times.refused]
            # The loop is the judge of what is right: it may take longer.
            patience = 10 * HOPELESS if name == LOOP else HOPELESS
            limit = patience * min(done) + GRACE if done else LONGEST
            try:
                told = once(job, name, scale, limit)
            except Refused as refusal:
                times.refused[name] = str(refusal)
                continue
            times.seconds[name].append(told["seconds"])
            values[name] = told["value"]
            if name == OURS:
                times.picked, times.decisions = told["picked"], told["decisions"]
    for name, value in values.items():
        if LOOP in values and value != values[LOOP]:
            times.refused[name] = "wrong"
    for name in ADAPTIVE:
        if times.seconds.get(name) and not times.refused.get(name) and times.regret(name) > HOPELESS:
            times.decisions.append(f"{name} took {times.regret(name):.1f} times the best")
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="*", help="patterns of names, with commas between them")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--scale", type=float, default=1.0, help="so many times as many items")
    parser.add_argument("--why", action="store_true", help="lightwork's decisions, too")
    parser.add_argument("--json", type=Path, help="a file for all that was measured")
    options = parser.parse_args()
    jobs = [name for name in load() if any(fnmatch.fnmatch(name, one) for one in options.jobs.split(","))]
    absent = missing()
    if absent:
        print(f"not installed, so left out: {', '.join(absent)}")
    strategies = [name for name in options.strategies.split(",") if name not in absent]
    if not jobs:
        parser.error(f"no job's name is like {options.jobs!r}; there are: {', '.join(load())}")
    if unknown := [name for name in strategies if name not in STRATEGIES]:
        parser.error(f"no strategy is called {', '.join(unknown)}; there are: {', '.join(STRATEGIES)}")
    found = []
    for job in jobs:
        times = measure(job, strategies, options.rounds, options.scale)
        found.append(times)
        print(f"{job:<36}{times.regret():6.2f}  best {times.best[0]} {times.best[1]:.3f} s, {times.picked}", flush=True)
        if options.why:
            print("".join(f"    {decision}\n" for decision in times.decisions), end="", flush=True)
    print("\n" + table(found, strategies) + "\n")
    for name in ADAPTIVE:
        if name in strategies:
            print(shown(name, summary(found, name)))
    if options.rounds > 1:
        told = summary([times.quietest() for times in found], OURS)
        print(shown(f"{OURS}, everybody by the best of {options.rounds} rounds", told))
        told = summary(found, OURS, Times.paired)
        print(shown(f"{OURS}, in each round over the best choice of the others", told))
    if options.json is not None:
        options.json.write_text(json.dumps([dataclasses.asdict(times) for times in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
