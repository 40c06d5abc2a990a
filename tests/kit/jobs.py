"""What workers do with the kit, in every backend."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import lightwork as lw


def add(lock: Any, counter: memoryview, times: int) -> int:
    """Adds to a number that two at a time would lose: the lock makes it exact."""
    for _ in range(times):
        with lock:
            value = int.from_bytes(counter[:8], "little")
            counter[:8] = (value + 1).to_bytes(8, "little")
    return os.getpid()


def add_packed(item: tuple[dict[str, Any], int]) -> int:
    """The same with both deep inside a container."""
    tools, times = item
    return add(tools["locks"][0], tools["counter"], times)


def give_back(lock: Any) -> Any:
    """The lock as a result; it is taken meanwhile by whoever sent it."""
    return lock, lock.acquire(False)


def nested(lock: Any, counter: memoryview, backend: str, times: int) -> int:
    """A worker whose own workers use the lock."""
    lw.starmap(add, [(lock, counter, times)] * 2, backend=backend, max_workers=2)
    return os.getpid()


def wait_for(event: Any) -> bool:
    return bool(event.wait(20))


def meet(barrier: Any) -> int:
    return int(barrier.wait(20))


def consume(queue: Any, count: int) -> list[Any]:
    return [queue.get(timeout=20) for _ in range(count)]


def produce(queue: Any, values: list[Any]) -> None:
    for value in values:
        queue.put(value, timeout=20)


def where() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def echo(there: Any, back: Any, count: int) -> None:
    for _ in range(count):
        back.put(there.get(timeout=20), timeout=20)


def answer(end: Any) -> None:
    while (number := end.recv()) is not None:
        end.send(2 * number)


def dine(forks, place: int, meals: int) -> int:
    first, second = sorted((place, (place + 1) % len(forks)))
    for _ in range(meals):
        with forks[first], forks[second]:
            pass
    return meals


class Buffer:
    """A bounded buffer as in the textbooks: one condition, some places in shared memory."""

    def __init__(self, places: int) -> None:
        self.condition = lw.Condition()
        self.words = lw.share(bytes(8 * (places + 2)), writable=True).cast("q")
        self.places = places

    def put(self, value: int) -> None:
        with self.condition:
            self.condition.wait_for(lambda: self.words[1] - self.words[0] < self.places)
            self.words[2 + self.words[1] % self.places] = value
            self.words[1] += 1
            self.condition.notify_all()

    def get(self) -> int:
        with self.condition:
            self.condition.wait_for(lambda: self.words[1] > self.words[0])
            value = self.words[2 + self.words[0] % self.places]
            self.words[0] += 1
            self.condition.notify_all()
            return value


def fill(buffer: Buffer, values: list[int]) -> None:
    for value in values:
        buffer.put(value)


def drain(buffer: Buffer, count: int) -> list[int]:
    return [buffer.get() for _ in range(count)]


def puts(queue, start, values: list[int]) -> dict[int, tuple[float, float]]:
    start.wait(50)
    history = {}
    for value in values:
        began = time.perf_counter()
        queue.put(value if value % 3 else (value, bytes(20_000)), timeout=50)
        history[value] = began, time.perf_counter()
    return history


def gets(queue, start, count: int) -> dict[int, tuple[float, float]]:
    start.wait(50)
    history = {}
    for _ in range(count):
        began = time.perf_counter()
        message = queue.get(timeout=50)
        history[message if isinstance(message, int) else message[0]] = began, time.perf_counter()
    return history
