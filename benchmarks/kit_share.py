"""How long does it take until 8 workers have an array that is shared, and how much memory do they take for it?

    python benchmarks/kit_share.py [GB] [ROUNDS]

An array of 1 GB, copied once. *handed over*: from the call until the last of 8 workers, each of which is kept from
taking two, has told a value of it, median. *memory*: what all processes together take for it once each has read all of
it (PSS: a page counts to each of its users as a fraction). Beside ``lw.share``: ``multiprocessing``'s ``SharedMemory``,
opened by name for each call, which has to be closed and unlinked by hand and needs room in /dev/shm.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np

import lightwork as lw

WORKERS = 8
FORK = multiprocessing.get_context("fork")


def shared_pages() -> int:
    """Bytes of shared memory that are this process's own by fraction."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Shmem"))


def touch(array: Any, barrier: Any) -> float:
    barrier.wait()  # nobody takes two
    return float(array[-1])


def memory(array: Any, barrier: Any) -> int:
    assert array.sum() == array.size
    barrier.wait()
    found = shared_pages()
    barrier.wait()
    return found


def touch_by_name(name: str, size: int, barrier: Any, do: Callable[..., Any]) -> Any:
    segment = SharedMemory(name=name)
    array = np.ndarray(size // 8, buffer=segment.buf)
    try:
        return do(array, barrier)
    finally:
        del array
        segment.close()


def with_lightwork(size: int, rounds: int) -> Iterator[float]:
    """Seconds for the copy, seconds of each round, bytes."""
    original = np.ones(size // 8)
    began = time.perf_counter()
    array = lw.share(original)
    yield time.perf_counter() - began
    barrier = lw.Barrier(WORKERS)
    with lw.Executor(WORKERS, backend="processes", initializer=__import__, initargs=("numpy",)) as executor:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            for future in [executor.submit(touch, array, barrier) for _ in range(WORKERS)]:
                future.result()
            yield time.perf_counter() - began
        yield sum(future.result() for future in [executor.submit(memory, array, barrier) for _ in range(WORKERS)])


_barrier: Any = None


def _keep(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _by_name(args: tuple[str, int, str]) -> Any:
    name, size, what = args
    return touch_by_name(name, size, _barrier, touch if what == "touch" else memory)


def with_shared_memory(size: int, rounds: int) -> Iterator[float]:
    original = np.ones(size // 8)
    began = time.perf_counter()
    segment = SharedMemory(create=True, size=size)
    try:
        np.ndarray(size // 8, buffer=segment.buf)[:] = original
        yield time.perf_counter() - began
        with FORK.Pool(WORKERS, _keep, (FORK.Barrier(WORKERS),)) as pool:
            for _ in range(rounds + 1):
                began = time.perf_counter()
                pool.map(_by_name, [(segment.name, size, "touch")] * WORKERS, chunksize=1)
                yield time.perf_counter() - began
            yield sum(pool.map(_by_name, [(segment.name, size, "memory")] * WORKERS, chunksize=1))
    finally:
        segment.close()
        segment.unlink()


def main(size: int, rounds: int) -> int:
    print(f"an array of {size / 1e9:.3g} GB, {WORKERS} workers, {os.cpu_count()} cores")
    print(f"{'':16}{'copy s':>8}{'handed over ms':>16}{'memory GB':>12}")
    missed = 0
    for name, measure in (("lightwork", with_lightwork), ("SharedMemory", with_shared_memory)):
        try:
            copy, _, *handed, taken = measure(size, rounds)  # the workers start in the first round
        except OSError as problem:
            print(f"{name:16}{problem}")
            continue
        ms = statistics.median(handed) * 1e3
        print(f"{name:16}{copy:>8.2f}{ms:>16.1f}{taken / 1e9:>12.3f}")
        if name == "lightwork":
            missed = int(ms > 50 or taken > 1.1 * size)
    return missed


if __name__ == "__main__":
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    sys.exit(main(int(gigabytes * 1e9) // 8 * 8, int(sys.argv[2]) if len(sys.argv) > 2 else 9))
