"""What does a lock cost? Microseconds for acquire and release, alone and contended, between threads and processes.

    python benchmarks/kit_locks.py [ROUNDS]

Beside lightwork's: ``threading``'s and ``multiprocessing``'s. Fairness: of several workers that want the lock all the
time, how many times as often the luckiest got it as the unluckiest, and the longest that one waited.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import lightwork as lw

FORK = multiprocessing.get_context("fork")
ALONE = 50_000
SECONDS = 0.5
WORKERS = 4

LOCKS: dict[str, Callable[[], Any]] = {
    "lightwork Lock": lw.Lock,
    "threading.Lock": threading.Lock,
    "multiprocessing.Lock": FORK.Lock,
    "lightwork RLock": lw.RLock,
    "threading.RLock": threading.RLock,
    "multiprocessing.RLock": FORK.RLock,
    "lightwork Semaphore": lw.Semaphore,
    "threading.Semaphore": threading.Semaphore,
    "multiprocessing.Semaphore": FORK.Semaphore,
}


def alone(lock: Any) -> float:
    """Seconds for one pair."""
    acquire, release = lock.acquire, lock.release
    began = time.perf_counter()
    for _ in range(ALONE):
        acquire()
        release()
    return (time.perf_counter() - began) / ALONE


def shared(lock: Any) -> float:
    """The same while another process holds the lock too, but does not use it."""
    ready, over = FORK.Event(), FORK.Event()

    def other() -> None:
        with lock:
            ready.set()
        over.wait()

    process = FORK.Process(target=other)
    process.start()
    ready.wait()
    try:
        return alone(lock)
    finally:
        over.set()
        process.join()


def fight(lock: Any, place: Any, index: int, start: Any) -> None:
    start.wait()
    end, count, longest = time.perf_counter() + SECONDS, 0, 0.0
    while True:
        wanted = time.perf_counter()
        if wanted > end:
            break
        with lock:
            got = time.perf_counter()
            while time.perf_counter() - got < 2e-6:
                continue
        count += 1
        longest = max(longest, got - wanted)
    place[2 * index], place[2 * index + 1] = count, longest


def contended(lock: Any, processes: bool) -> tuple[float, float, float]:
    """Pairs a second of all workers, luckiest over unluckiest, the longest wait in seconds."""
    place = FORK.Array("d", 2 * WORKERS, lock=False)
    start = FORK.Event() if processes else threading.Event()
    kind: Any = FORK.Process if processes else threading.Thread
    workers = [kind(target=fight, args=(lock, place, index, start)) for index in range(WORKERS)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
    counts = place[::2]
    return sum(counts) / SECONDS, max(counts) / max(1.0, min(counts)), max(place[1::2])


def main(rounds: int) -> None:
    names = list(LOCKS)
    costs: dict[str, dict[str, list[float]]] = {name: {"alone": [], "shared": []} for name in names}
    for _ in range(rounds):
        for name in names:
            costs[name]["alone"].append(alone(LOCKS[name]()))
            if "threading" not in name:
                costs[name]["shared"].append(shared(LOCKS[name]()))
    print(f"uncontended, µs for acquire and release, median of {rounds}")
    print(f"{'':28}{'threads':>10}{'processes':>12}")
    for name in names:
        row = [costs[name][what] for what in ("alone", "shared")]
        print(f"{name:28}" + "".join(f"{statistics.median(x) * 1e6:>11.2f}" if x else f"{'—':>11}" for x in row))
    print(f"\n{WORKERS} workers that want it all the time and hold it 2 µs")
    print(f"{'':28}{'':>10}{'pairs/s':>12}{'luckiest/unluckiest':>21}{'longest wait ms':>17}")
    for name in names[:3]:
        for processes in (False, True):
            if processes and "threading" in name:
                continue
            figures = [contended(LOCKS[name](), processes) for _ in range(rounds)]
            rate, luck, wait = (statistics.median(column) for column in zip(*figures, strict=True))
            where = "processes" if processes else "threads"
            print(f"{name:28}{where:>10}{rate:>12,.0f}{luck:>21.1f}{wait * 1e3:>17.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
