"""From which size on two threads copy a buffer into shared memory faster than one.

    python benchmarks/copying.py [--rounds N]

Sources are arrays that no cache holds any more, targets are pages of shared memory that have been written to before, as
when a map sends arrays to its workers. The ways take turns, in a new order each time; medians. ``PAYS`` and ``PIECE``
of ``lightwork._backends._copying`` come from here. The machine should be idle: the second thread is to find a core.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import statistics
import time
from collections.abc import Callable

import numpy as np

from lightwork._backends import _copying

MB = 1 << 20
SIZES = (MB // 2, MB, 2 * MB, 3 * MB, 4 * MB, 8 * MB, 32 * MB)
PIECES = (256 << 10, 512 << 10, 1 * MB, 2 * MB)
COLD = 256 * MB
"""Bytes of sources that are copied in turn, so that what comes again has left the caches."""
PLACES = 4


def ways() -> dict[str, Callable[[list[tuple[memoryview, memoryview]]], None]]:
    found: dict[str, Callable[[list[tuple[memoryview, memoryview]]], None]] = {"one thread": _copying.alone}
    for piece in PIECES:

        def together(pairs: list[tuple[memoryview, memoryview]], piece: int = piece) -> None:
            _copying.PIECE = piece
            _copying._together(pairs, np)

        found[f"two, {piece >> 10} kB"] = together
    return found


def measure(size: int, rounds: int) -> dict[str, float]:
    """Seconds of one copy, by the way it is made."""
    sources = [memoryview(np.random.default_rng(i).bytes(size)) for i in range(max(PLACES, COLD // size))]
    descriptor = os.memfd_create("copying") if hasattr(os, "memfd_create") else -1
    if descriptor >= 0:
        os.ftruncate(descriptor, PLACES * size)
    memory = memoryview(mmap.mmap(descriptor, PLACES * size))
    memory[:] = bytes(len(memory))
    took: dict[str, list[float]] = {}
    turn = 0
    for _ in range(rounds):
        for name, way in random.sample(list(ways().items()), len(ways())):
            turn += 1
            at = turn % PLACES * size
            pairs = [(memory[at : at + size], sources[turn % len(sources)])]
            began = time.perf_counter()
            way(pairs)
            took.setdefault(name, []).append(time.perf_counter() - began)
    return {name: statistics.median(took[name]) for name in ways()}


def main() -> None:
    parser = argparse.ArgumentParser(description="one thread's copies beside two threads'")
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    print(f"{'MB':>6}" + "".join(f"{name:>16}" for name in ways()) + "   (ms)")
    for size in SIZES:
        found = measure(size, rounds)
        print(f"{size / MB:>6g}" + "".join(f"{seconds * 1e3:>16.3f}" for seconds in found.values()), flush=True)


if __name__ == "__main__":
    main()
