"""How a buffer is copied into shared memory fastest: in one go or in pieces, by one thread or by two.

    python benchmarks/copying.py [--rounds N] [--places N]

Sources are arrays that no cache holds any more, targets are pages of shared memory that have been written to before, as
when a map sends arrays to its workers. The ways take turns, in a new order each time; medians. ``PAYS`` and ``PIECE``
of ``lightwork._backends._copying`` come from here, and how much it matters that few ``--places`` are used in turn, so
that they stay in the caches. The machine should be idle: the second thread is to find a core.
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


def ways() -> dict[str, Callable[[list[tuple[memoryview, memoryview]]], None]]:
    found: dict[str, Callable[[list[tuple[memoryview, memoryview]]], None]] = {}

    def add(name: str, piece: int, copy: Callable[[list[tuple[memoryview, memoryview]]], None]) -> None:
        def way(pairs: list[tuple[memoryview, memoryview]]) -> None:
            _copying.PIECE = piece
            copy(pairs)

        found[name] = way

    add("one, whole", 1 << 40, _copying.alone)
    for piece in PIECES:
        add(f"one, {piece >> 10} kB", piece, _copying.alone)
    for piece in PIECES:
        add(f"two, {piece >> 10} kB", piece, lambda pairs: _copying._together(pairs, np))
    return found


def measure(size: int, rounds: int, places: int) -> dict[str, float]:
    """Seconds of one copy, by the way it is made."""
    sources = [memoryview(np.random.default_rng(i).bytes(size)) for i in range(max(places, COLD // size))]
    descriptor = os.memfd_create("copying") if hasattr(os, "memfd_create") else -1
    if descriptor >= 0:
        os.ftruncate(descriptor, places * size)
    memory = memoryview(mmap.mmap(descriptor, places * size))
    memory[:] = bytes(len(memory))
    took: dict[str, list[float]] = {}
    turn = 0
    for _ in range(rounds):
        for name, way in random.sample(list(ways().items()), len(ways())):
            turn += 1
            at = turn % places * size
            pairs = [(memory[at : at + size], sources[turn % len(sources)])]
            began = time.perf_counter()
            way(pairs)
            took.setdefault(name, []).append(time.perf_counter() - began)
    return {name: statistics.median(took[name]) for name in ways()}


def main() -> None:
    parser = argparse.ArgumentParser(description="copies in one go and in pieces, by one thread and by two")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--places", type=int, default=4, help="buffers of shared memory that are used in turn")
    args = parser.parse_args()
    print(f"{'MB':>6}" + "".join(f"{name:>13}" for name in ways()) + "   (ms)")
    for size in SIZES:
        found = measure(size, args.rounds, args.places)
        print(f"{size / MB:>6g}" + "".join(f"{seconds * 1e3:>13.3f}" for seconds in found.values()), flush=True)


if __name__ == "__main__":
    main()
