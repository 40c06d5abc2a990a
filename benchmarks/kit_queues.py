"""How many messages a second go through a queue or a pipe?

    python benchmarks/kit_queues.py [ROUNDS] [SIZE ...]

Bytes of 64 B, 4 KB, 1 MB and 64 MB from 1 or 4 producers to 1 or 4 consumers, all processes. Beside lightwork's:
multiprocessing's Queue, SimpleQueue and Pipe (1:1 alone), and faster-fifo where it is installed. Medians; each round
takes all in turns.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import lightwork as lw

FORK = multiprocessing.get_context("fork")
COUNTS = {64: 40_000, 4096: 20_000, 1 << 20: 400, 64 << 20: 8}
"""Messages of one run, by size: a multiple of 4."""
ENDS = ((1, 1), (4, 1), (1, 4), (4, 4))
AHEAD = {64: 1000, 4096: 1000, 1 << 20: 8, 64 << 20: 4}


class Pair:
    """A pipe with a queue's methods."""

    def __init__(self, pipe: Callable[..., Any]) -> None:
        self.receiver, self.sender = pipe(False)

    def put(self, message: bytes) -> None:
        self.sender.send(message)

    def get(self) -> Any:
        return self.receiver.recv()


class Ring:
    """faster-fifo's queue, which raises Full and Empty now and then though there was time to wait."""

    def __init__(self, ring: Any) -> None:
        self.ring = ring

    def put(self, message: bytes) -> None:
        while True:
            with contextlib.suppress(queue.Full):
                self.ring.put(message, timeout=10)
                return

    def get(self) -> Any:
        while True:
            with contextlib.suppress(queue.Empty):
                return self.ring.get(timeout=10)


def contestants(size: int, ends: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        "lightwork Queue": lambda: lw.Queue(AHEAD[size]),
        "multiprocessing Queue": lambda: FORK.Queue(AHEAD[size]),
        "multiprocessing SimpleQueue": FORK.SimpleQueue,
    }
    if ends == (1, 1):
        found["lightwork Pipe"] = lambda: Pair(lw.Pipe)
        found["multiprocessing Pipe"] = lambda: Pair(FORK.Pipe)
    with contextlib.suppress(ImportError):
        from faster_fifo import Queue

        # It has one ring, of as many bytes as are asked for.
        found["faster-fifo"] = lambda: Ring(Queue(max_size_bytes=max(1_000_000, min(AHEAD[size], 8) * (size + 1000))))
    return found


def produce(channel: Any, message: bytes, count: int, start: Any) -> None:
    start.wait()
    for _ in range(count):
        channel.put(message)


def consume(channel: Any, count: int, size: int, start: Any) -> None:
    start.wait()
    for _ in range(count):
        assert len(channel.get()) == size


def measured(make: Callable[[], Any], size: int, ends: tuple[int, int]) -> float:
    """Messages a second."""
    producers, consumers = ends
    channel, start = make(), FORK.Barrier(producers + consumers + 1)
    message, count = bytes(size), COUNTS[size]
    workers = [
        FORK.Process(target=produce, args=(channel, message, count // producers, start)) for _ in range(producers)
    ]
    workers += [FORK.Process(target=consume, args=(channel, count // consumers, size, start)) for _ in range(consumers)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    assert not any(worker.exitcode for worker in workers)
    return count / (time.perf_counter() - began)


def main(rounds: int, sizes: list[int]) -> None:
    names = list(contestants(64, (1, 1)))
    print("messages a second: " + ", ".join(f"({i}) {name}" for i, name in enumerate(names)))
    print(f"{'size':>10} {'ends':>5} " + "".join(f"{f'({i})':>11}" for i in range(len(names))) + "   first")
    for size in sizes:
        for ends in ENDS:
            rates: dict[str, list[float]] = {}
            for _ in range(rounds):
                for name, make in contestants(size, ends).items():
                    rates.setdefault(name, []).append(measured(make, size, ends))
            medians = {name: statistics.median(found) for name, found in rates.items()}
            first = max(medians, key=lambda name: medians[name])
            row = "".join(f"{medians[name]:>11,.0f}" if name in medians else f"{'—':>11}" for name in names)
            print(f"{size:>10,} {ends[0]}:{ends[1]:<3} {row}   {first}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, [int(size) for size in sys.argv[2:]] or list(COUNTS))
