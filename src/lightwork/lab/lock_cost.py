"""What a lock costs: nanoseconds for each use, and the work that cannot go on beside its holder."""

from __future__ import annotations

import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from lightwork.lab import _alike, _crew, _work
from lightwork.lab._estimates import below, count, measured, ratio
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict

SHARES = (0.0, 0.25, 0.5, 1.0)
WORKERS = 2
STEP = 20_000
"""Counts in one step, about a millisecond: a thousand times what taking the lock costs, so that the curve
shows the waiting for each other and not the price of the lock itself."""

CLEARLY_LESS = 0.75
"""Two workers that exclude each other do the work of one, half of the free ones': below the middle of
both."""


def amdahl(share: float, workers: int) -> float:
    """Speed-up when ``share`` of the work can be done by only one at a time (Amdahl 1967)."""
    return 1 / (share + (1 - share) / workers)


def measure(settings: Settings) -> list[Figure]:
    times = max(2_000, int(settings.window * 200_000))
    alone, contended = [], []
    for _ in range(settings.repeats):
        alone.append(_per_acquire(times, 1))
        contended.append(_per_acquire(times, 2))
    speed = _throughput(settings)
    one, free = speed[(1, 0.0)], speed[(WORKERS, 0.0)]
    figures = [
        measured("threading.Lock, one thread", alone, "ns"),
        measured("threading.Lock, two threads", contended, "ns"),
    ]
    for share in SHARES:
        name = f"{share:.0%} under the lock"
        figures.append(ratio(f"two processes, {name}", speed[(WORKERS, share)], one))
        figures.append(count(f"Amdahl, {name}", round(amdahl(share, WORKERS), 2), "×"))
    figures.append(ratio("all under the lock / nothing", speed[(WORKERS, 1.0)], free))
    return [*figures, *_alike.lock_price(settings)]


def _per_acquire(times: int, threads: int) -> float:
    """Nanoseconds from one acquire to the next, less those of the loop around it."""
    lock = threading.Lock()

    def locking() -> None:
        for _ in range(times):
            lock.acquire()
            lock.release()

    def loop() -> None:
        for _ in range(times):
            pass

    took = []
    for work in (locking, loop):
        crew = [threading.Thread(target=work) for _ in range(threads)]
        began = time.perf_counter()
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        took.append(time.perf_counter() - began)
    return (took[0] - took[1]) / times / threads * 1e9


def _throughput(settings: Settings) -> dict[tuple[int, float], list[float]]:
    """Steps a second, all workers together, by number of workers and share of each step under the lock."""
    cases = [(1, 0.0), *((WORKERS, share) for share in SHARES)]
    results: dict[tuple[int, float], list[float]] = {case: [] for case in cases}
    lock = _crew.context().Lock()
    with _crew.child_processes([_work_in_steps] * WORKERS, lock) as pipes:
        for pipe in pipes:
            pipe.recv()
        for _ in range(settings.repeats):
            _crew.fresh_record()
            for workers, share in cases:
                # The picture shows the half share: there waiting and holding are both seen.
                order = (share, settings.window / 2, share == 0.5)
                for pipe in pipes[:workers]:
                    pipe.send(order)
                results[(workers, share)].append(sum(pipe.recv() for pipe in pipes[:workers]))
        for pipe in pipes:
            pipe.send(None)
    return results


def _work_in_steps(pipe: Connection, lock: Any) -> None:
    pipe.send("ready")
    while (order := pipe.recv()) is not None:
        share, seconds, drawn = order
        under, outside = int(STEP * share), STEP - int(STEP * share)
        steps, began = 0, time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            if under:
                with lock:
                    inside = time.perf_counter()
                    _count(under)
                    out = time.perf_counter()
                if drawn and steps < 40:
                    _work.note(now, inside, _work.WAITING)
                    _work.note(inside, out, _work.HOLDING)
            if outside:
                free = time.perf_counter()
                _count(outside)
                if drawn and steps < 40:
                    _work.note(free, time.perf_counter(), _work.COUNTING)
            steps += 1
        pipe.send(steps / (time.perf_counter() - began))


def _count(n: int) -> None:
    while n > 0:
        n -= 1


def judge(evidence: Evidence) -> Judgement:
    less = evidence["all under the lock / nothing"]
    each = evidence["threading.Lock, one thread"]
    verdict = below(less, CLEARLY_LESS)
    said = (
        f"One acquire and release took {each}; two processes with all their work under a lock did {less} "
        "the work of free ones"
    )
    if verdict is Verdict.DOES_NOT_HOLD and evidence.here.cores < 2:
        return Judgement(verdict, f"{said}: on one core nothing could have run beside the lock's holder anyway.")
    reason = {
        Verdict.HOLDS: "they waited for each other.",
        Verdict.DOES_NOT_HOLD: "the waiting cost little here.",
        Verdict.NOT_ENOUGH: f"too near to the limit of {CLEARLY_LESS} to tell; repeat on a quieter machine.",
    }[verdict]
    return Judgement(verdict, f"{said}: {reason}")


EXPERIMENTS = (
    Experiment(
        "lock-cost",
        "A lock may cost efficiency.",
        lambda settings: (
            f"A threading.Lock taken and released in a loop, by one thread and by two; then {WORKERS} "
            "processes that count "
            "with 0, 25, 50 and 100 % of each step under one lock, against one process, "
            f"{settings.repeats} turns. Amdahl's "
            "curve assumes that nothing goes on beside the exclusive part; here the other worker's "
            "free part may, so that "
            f"the measured speed-up can lie above it. {_alike.SAME}"
        ),
        measure,
        judge,
    ),
)
