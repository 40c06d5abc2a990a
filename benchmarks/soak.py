"""A long mixed load with random faults: does anything get lost, doubled or left behind?

Rounds of maps, lazy maps and executors take turns, each with a random number of workers, chunk size and kind of call:
tiny ones, large results, ones that wait, raise, exit, crash or hang (``call_timeout``), recycled workers. Meanwhile
random workers are killed from outside, about three a second. Every call notes in a file that it began; after each
round all results are compared with what they must be.

    python benchmarks/soak.py [MINUTES]      (default 10; fractions are fine)

Exits with 1 where a result is wrong or missing, a call began twice without a retry, or something is left at the end:
a process, a descriptor, a name of lightwork's or multiprocessing's in /dev/shm, or more than 50 MB in the caller. Linux
only: it looks into /proc.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

import lightwork as lw

KILL_EVERY = 0.3
"""Mean seconds between two kills from outside."""
TIMEOUT = 0.5
"""Seconds that a call may take in rounds with hanging calls. Honest calls take a thousandth of that."""
GROWTH = 50e6
"""Bytes that the caller may have grown since the first rounds: allocators keep some."""

OURS = ("lightwork", "psm_")
"""How names in /dev/shm begin that this program could leave there; other programs have theirs."""

FAULTS = ("raise", "exit", "os._exit", "segfault", "kill")


def note(path: str, x: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b"%d\n" % x)
    finally:
        os.close(descriptor)


def call(path: str, kind: str, x: int) -> Any:
    """Notes that it began, and does what its kind says."""
    note(path, x)
    if kind == "raise":
        raise ValueError(x)
    if kind == "exit":
        sys.exit(3)
    if kind == "os._exit":
        os._exit(3)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "kill":
        os.kill(os.getpid(), 9)
    if kind == "hang":
        time.sleep(600)
    if kind == "wait":
        time.sleep(0.002)
    if kind == "compute":
        return sum(range(20_000)) + x
    if kind == "large":
        return x.to_bytes(4, "little") * 75_000
    return x * x


def expected(kind: str, x: int) -> Any:
    if kind == "compute":
        return sum(range(20_000)) + x
    if kind == "large":
        return x.to_bytes(4, "little") * 75_000
    return x * x


def workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        try:
            found += [worker for worker in child.children() if worker.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            continue
    return found


class Killer(threading.Thread):
    """Kills a random worker now and then, until ``over`` is set."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over, self.kills = threading.Event(), 0

    def run(self) -> None:
        while not self.over.wait(random.expovariate(1 / KILL_EVERY)):
            victims = workers()
            if victims:
                try:
                    random.choice(victims).kill()
                    self.kills += 1
                except psutil.NoSuchProcess:
                    continue


class Soak:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def round(self, number: int) -> None:
        """One map or executor with random options, and the comparison of all that came back."""
        ways: tuple[Callable[..., list[Any]], ...] = (self._map, self._imap, self._imap_unordered, self._executor)
        way = random.choice(ways)
        large = random.random() < 0.2
        hanging = random.random() < 0.3
        count = random.randint(50, 300) if large else random.randint(200, 8000)
        if way == self._executor:
            count = min(count, 1500)
        kinds = [random.choice(("plain", "wait", "compute", "large") if large else ("plain",)) for _ in range(count)]
        for _ in range(random.randint(0, 6)):
            kinds[random.randrange(count)] = random.choice(FAULTS)
        if hanging:
            kinds[random.randrange(count)] = "hang"
        retries = random.choice((0, 0, 2))
        path = os.path.join(self.folder, str(number))  # noqa: PTH118
        options = {
            "backend": "processes",
            "max_workers": random.randint(1, 6),
            "retries": retries,
            "call_timeout": TIMEOUT if hanging else None,
        }
        self.compare(path, kinds, way(path, kinds, options), retries, f"round {number}: {way.__name__} {options}")
        Path(path).unlink(missing_ok=True)

    def _map(self, path: str, kinds: list[str], options: dict[str, Any]) -> list[Any]:
        chunk = random.choice((None, None, 1, 7, 100))
        columns = [path] * len(kinds), kinds, range(len(kinds))
        return list(lw.map(call, *columns, errors="return", chunksize=chunk, **options))

    def _imap(self, path: str, kinds: list[str], options: dict[str, Any]) -> list[Any]:
        columns = [path] * len(kinds), kinds, range(len(kinds))
        return list(lw.imap(call, *columns, errors="return", buffersize=random.choice((None, 5, 200)), **options))

    def _imap_unordered(self, path: str, kinds: list[str], options: dict[str, Any]) -> list[Any]:
        numbered = [(path, kind, x) for x, kind in enumerate(kinds)]
        told: list[Any] = [None] * len(kinds)
        for value in lw.imap_unordered(call_numbered, numbered, errors="return", **options):
            index, result = (value.index, value) if isinstance(value, lw.Failure) else value
            if told[index] is not None:
                self.wrong.append(f"result {index} came twice")
            told[index] = result
        return told

    def _executor(self, path: str, kinds: list[str], options: dict[str, Any]) -> list[Any]:
        per_child = random.choice((None, None, 20))
        with lw.Executor(max_tasks_per_child=per_child, **options) as executor:
            futures = [executor.submit(call, path, kind, x) for x, kind in enumerate(kinds)]
            told = []
            for x, future in enumerate(futures):
                problem = future.exception()
                told.append(future.result() if problem is None else lw.Failure(x, problem))
        return told

    def compare(self, path: str, kinds: list[str], results: list[Any], retries: int, where: str) -> None:
        begun: Counter[int] = Counter(map(int, Path(path).read_text().split()))
        self.counts["calls"] += len(kinds)
        self.counts["rounds"] += 1
        if len(results) != len(kinds):
            self.wrong.append(f"{where}: {len(results)} results of {len(kinds)}")
        for x, (kind, value) in enumerate(zip(kinds, results, strict=False)):
            if begun[x] > 1 + retries:
                self.wrong.append(f"{where}: call {x} ({kind}) began {begun[x]} times")
            if not isinstance(value, lw.Failure):
                if kind in FAULTS or kind == "hang" or value != expected(kind, x) or not begun[x]:
                    self.wrong.append(f"{where}: call {x} ({kind}) gave {str(value)[:60]}")
                continue
            self.counts[type(value.exception).__name__] += 1
            if not fits(kind, value.exception):
                self.wrong.append(f"{where}: call {x} ({kind}) failed with {value.exception!r}")


def call_numbered(numbered: tuple[str, str, int]) -> tuple[int, Any]:
    return numbered[2], call(*numbered)


def fits(kind: str, exception: BaseException) -> bool:
    """Whether a call of this kind may fail so. Any call may be killed from outside."""
    if isinstance(exception, lw.WorkerCrashed):
        return exception.signal == 9 or kind in ("os._exit", "segfault")
    if isinstance(exception, lw.CallTimeout):
        return kind == "hang"
    return isinstance(exception, {"raise": ValueError, "exit": SystemExit}.get(kind, ()))


def state() -> dict[str, Any]:
    """What may leak: compared before and after."""
    gc.collect()
    return {
        "processes": len(psutil.Process().children(recursive=True)),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "/dev/shm": sum(entry.name.startswith(OURS) for entry in Path("/dev/shm").iterdir()),
        "memory": psutil.Process().memory_info().rss,
    }


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        soak, killer = Soak(folder), Killer()
        for number in range(5):
            soak.round(-number - 1)
        before = state()
        killer.start()
        end, number = time.monotonic() + 60 * minutes, 0
        told = time.monotonic()
        while time.monotonic() < end and len(soak.wrong) < 20:
            number += 1
            soak.round(number)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                counts = soak.counts
                print(f"{counts['rounds']:,} rounds, {counts['calls']:,} calls, {killer.kills:,} kills", flush=True)
        killer.over.set()
        killer.join()
        after = state()
    print(f"\n{soak.counts['calls']:,} calls in {soak.counts['rounds']:,} rounds, {killer.kills:,} workers killed")
    for name in sorted(soak.counts.keys() - {"calls", "rounds"}):
        print(f"  {name:<24}{soak.counts[name]:>10,}")
    print(f"\n{'':<14}{'before':>14}{'after':>14}")
    for name in before:
        print(f"{name:<14}{before[name]:>14,}{after[name]:>14,}")
    leaks = [name for name in ("processes", "descriptors", "/dev/shm") if after[name] > before[name]]
    leaks += ["memory"] if after["memory"] - before["memory"] > GROWTH else []
    for line in [*soak.wrong, *(f"left behind: {name}" for name in leaks)]:
        print(line)
    print("\nNothing lost, nothing doubled, nothing left." if not (soak.wrong or leaks) else "\nFAILED")
    return 1 if soak.wrong or leaks else 0


if __name__ == "__main__":
    sys.exit(main())
