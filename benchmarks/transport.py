"""What it costs to have a call run in another process: lightwork beside its peers, side by side in one run.

Two workers each. Every figure is measured in a fresh interpreter, so that nobody disturbs another; all peers take
turns in each round, in a new order; what is printed is the median over the rounds. The columns:

    trip     one submit and its result, back to back
    noop     a map of no-ops, for each item; every peer with the batches that are natural to it
    metg     METG(50 %): the shortest call with which two workers still reach half of twofold speed
             (Slaughter et al., SC20), with natural batches
    metg1    the same with ``chunksize=1``, which is one call a message; lightwork, which can take back what has not
             begun, lets calls of under a millisecond share a message even then
    in       an array of 8 MB as argument, for each array of a map over 32 that nobody has seen before
    inout    the same where a new array of 8 MB is the result
    cold     from before the import to the first result in a fresh interpreter, for an importable function
    value    the same for a function of ``__main__``, which is sent by value where workers are no forks

The peers are what is installed of loky, joblib, mpire and pebble, and the standard library's two pools:

    pip install numpy loky joblib mpire pebble
    python benchmarks/transport.py [--rounds N] [--only COLUMN,...] [--peers ppe,loky,...] [--json FILE]

Takes about four minutes a round. Absolute figures move from machine to machine and with what else it does; the
ratios of one run are what counts. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from transport_peers import PEERS

HERE = Path(__file__).parent
BARE = "bare"
LIMIT = 150.0
"""Seconds that one measurement may take."""

COLD_STARTS = 5
"""Fresh interpreters of each peer in one round: each is over in a moment."""


@dataclass(frozen=True)
class Column:
    """A column of the table; ``goal`` is for lightwork: a ratio to the best peer (``"peer"``) or to a bare
    interpreter's start (``"bare"``), or a figure in the column's unit (``"absolute"``)."""

    title: str
    unit: str
    scale: float
    goal: float
    against: str = "peer"


COLUMNS = {
    "trip": Column("round trip of one submit", "µs", 1e6, 0.5),
    "noop": Column("map of no-ops, each", "µs", 1e6, 1.2),
    "metg": Column("METG(50 %), batched", "µs", 1e6, 1.5),
    "metg1": Column("METG(50 %), chunksize=1", "µs", 1e6, 15, "absolute"),
    "in": Column("8 MB array in", "ms", 1e3, 0.15),
    "inout": Column("8 MB array in and out", "ms", 1e3, 0.2),
    "cold": Column("first result cold, importable", "ms", 1e3, 3, "bare"),
    "value": Column("first result cold, by value", "ms", 1e3, 4.5, "bare"),
}
COLD = {"cold": "importable", "value": "value"}

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Without the setting that would have all workers compile what they import, time and again."""


class Failed(Exception):
    """A peer gave no figure; says why."""


def run(arguments: list[str]) -> str:
    """What a fresh interpreter prints; it is ended with all that it started where it takes too long."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=LIMIT)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"no figure after {LIMIT:.0f} s") from None
            raise
    if process.returncode:
        lines = err.strip().splitlines() or [f"ended with status {process.returncode}"]
        raise Failed(lines[-1])
    return out


def figure(column: str, peer: str) -> dict[str, float]:
    """Measures once; raises Failed."""
    script = ["transport_cold.py", peer, COLD[column]] if column in COLD else ["transport_measure.py", column, peer]
    printed = run([str(HERE / script[0]), *script[1:]])
    try:
        found: dict[str, float] = json.loads(printed.splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed(f"printed no figure but {printed[-60:]!r}") from None
    return found


def bare() -> dict[str, float]:
    """Seconds from starting an interpreter that does nothing until it has ended."""
    began = time.perf_counter()
    run(["-c", "pass"])
    return {"value": time.perf_counter() - began}


class Table:
    """All figures of a run, by column and peer, and why some are missing."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, list[dict[str, float]]]] = {}
        self.failures: dict[str, dict[str, str]] = {}

    def add(self, column: str, peer: str) -> None:
        """Measures one more figure, unless that failed before."""
        if peer in self.failures.get(column, {}):
            return
        try:
            found = bare() if peer == BARE else figure(column, peer)
        except Failed as failure:
            self.failures.setdefault(column, {})[peer] = str(failure)
            self.figures.get(column, {}).pop(peer, None)
        else:
            self.figures.setdefault(column, {}).setdefault(peer, []).append(found)

    def value(self, column: str, peer: str) -> float | None:
        """The median of what was measured, in seconds."""
        found = self.figures.get(column, {}).get(peer)
        return statistics.median(one["value"] for one in found) if found else None


def measure(columns: list[str], peers: list[str], rounds: int) -> Table:
    """Rounds over all columns, in each of which all peers take turns."""
    table = Table()
    for number in range(1, rounds + 1):
        for column in columns:
            cold = column in COLD
            turns = [*peers, BARE] if cold else peers
            if cold and number == 1:
                for peer in peers:  # writes the .pyc files and warms the disk cache
                    table.add(column, peer)
                table.figures.pop(column, None)
            for _ in range(COLD_STARTS if cold else 1):
                for peer in random.sample(turns, len(turns)):
                    tell(f"round {number} of {rounds}: {column}, {peer}")
                    table.add(column, peer)
    tell("")
    return table


def tell(text: str) -> None:
    """What is going on, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)


def three_digits(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def print_table(table: Table, columns: list[str], peers: list[str]) -> None:
    width = 7
    print(f"{'':<21}" + "".join(f"{name:>{width}}" for name in columns))
    print(f"{'':<21}" + "".join(f"{COLUMNS[name].unit:>{width}}" for name in columns))
    for peer in peers:
        cells = []
        for name in columns:
            value = table.value(name, peer)
            cell = three_digits(None if value is None else value * COLUMNS[name].scale)
            at_most = any(one.get("at_most") for one in table.figures.get(name, {}).get(peer, []))
            cells.append(("≤ " if at_most else "") + cell)
        print(f"{PEERS[peer].name:<21}" + "".join(f"{cell:>{width}}" for cell in cells))
    for column in columns:
        if (start := table.value(column, BARE)) is not None:
            print(f"\nA bare interpreter starts and ends in {start * 1e3:.1f} ms.")
            break
    for column, missing in table.failures.items():
        for peer, reason in missing.items():
            print(f"- {PEERS[peer].name}, {column}: {reason}"[:200])


def print_goals(table: Table, columns: list[str], peers: list[str]) -> bool:
    """lightwork beside what it is to reach; whether it reaches all of it."""
    met = True
    print(f"\n{'lightwork':<31}{'it':>8}   {'beside':<24}{'goal':>8}")
    for name in columns:
        column = COLUMNS[name]
        mine = table.value(name, "lightwork")
        beside: tuple[str, float] | None = None
        if column.against == "bare":
            start = table.value(name, BARE)
            beside = None if start is None else ("bare", start)
        elif column.against == "peer":
            others = [(value, peer) for peer in peers if peer != "lightwork" and (value := table.value(name, peer))]
            beside = (min(others)[1], min(others)[0]) if others else None
        head = f"{column.title:<31}{three_digits(None if mine is None else mine * column.scale):>8} {column.unit} "
        if mine is None or (beside is None and column.against != "absolute"):
            print(f"{head} nothing to compare with")
            met = False
            continue
        if column.against == "absolute":
            reached, text, goal = mine * column.scale, "", f"{column.goal:g} {column.unit}"
        else:
            assert beside is not None
            reached = mine / beside[1]
            text = f"{reached:.2f} × {beside[0]} ({three_digits(beside[1] * column.scale)})"
            goal = f"{column.goal:g} ×"
        met = met and reached <= column.goal
        print(f"{head}{text:<24}{goal:>8}  {'ok' if reached <= column.goal else 'MISS'}")
    return met


def versions(peers: list[str]) -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in ["numpy", *(PEERS[peer].module for peer in peers)]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # of the standard library, or not installed
    return found


def chosen(text: str | None, known: dict[str, object], what: str) -> list[str]:
    """The names in ``text``, in the order of the table; all where there is none."""
    names = text.split(",") if text else list(known)
    if unknown := set(names) - set(known):
        sys.exit(f"no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if name in names]


def main() -> int:
    parser = argparse.ArgumentParser(description="lightwork's transport beside its peers'")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", metavar="COLUMN,...", help=", ".join(COLUMNS))
    parser.add_argument("--peers", metavar="PEER,...", help=", ".join(PEERS))
    parser.add_argument("--json", metavar="FILE", type=Path, help="all figures of all rounds, in seconds")
    options = parser.parse_args()
    columns = chosen(options.only, dict(COLUMNS), "column")
    asked = chosen(options.peers, dict(PEERS), "peer")
    peers = [peer for peer in asked if importlib.util.find_spec(PEERS[peer].module.partition(".")[0])]

    load = os.getloadavg()[0]
    table = measure(columns, peers, options.rounds)
    for column in columns:
        for peer in set(asked) - set(peers):
            table.failures.setdefault(column, {})[peer] = "not installed here"
    found = versions(peers)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"Python {found['python']}, {cores} cores, two workers, {options.rounds} round(s), load before {load:.1f}")
    print(", ".join(f"{name} {number}" for name, number in found.items() if name != "python") + "\n")
    print_table(table, columns, asked)
    met = print_goals(table, columns, peers) if "lightwork" in peers else True
    if options.json:
        report = {"versions": found, "cores": cores, "rounds": options.rounds, "load_before": load}
        options.json.write_text(json.dumps({**report, "seconds": table.figures, "failures": table.failures}, indent=1))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
