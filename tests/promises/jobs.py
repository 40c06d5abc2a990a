"""Functions that the promises are shown with; quick to import in a worker."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import lightwork as lw
from lightwork._machine import usable_cores
from tests.conformance.jobs import mark, marks


def wait_at_three(path: str, note: str, x: int) -> int:
    """Item 3 tells its process's id and waits for its end, the first time that it is called."""
    again = 3 in marks(Path(path))
    mark(path, x)
    if x == 3 and not again:
        Path(note).write_text(str(os.getpid()))
        time.sleep(60)
    return x


def never_return(how: str | None) -> int:
    if how == "waiting":
        time.sleep(600)
    if how == "in Python":
        while True:
            pass
    if how == "in C":
        7**300_000_000
    if how == "in C with the GIL":
        ctypes.PyDLL(None).usleep(600_000_000)
    return os.getpid()


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def nap_or_wait(seconds: float, word: str) -> float:
    """0: until there is the word, for half a minute at most."""
    end = time.monotonic() + (seconds or 30)
    while time.monotonic() < end and (seconds or not Path(word).exists()):
        time.sleep(seconds or 0.005)
    return seconds


def nap_or_fail(x: int) -> int:
    """Item 2 fails at once; those after it would take a minute."""
    if x == 2:
        raise ValueError("two")
    time.sleep(0 if x < 2 else 60)
    return x


def inner(text: str) -> str:
    raise ValueError(text)


def payload(x: int) -> bytes:
    return bytes(10_000)


def overwrite(array: Any) -> float:
    array[0] = 99.0
    return float(array[-1])


def talk(x: int) -> int:
    for line in range(20):
        print(f"<{x}:{line}:" + "-" * 200 + ">")
    return x


async def talk_in_a_coroutine(x: int) -> int:
    return talk(x)


def log(x: int) -> int:
    logging.getLogger("lightwork.tests").warning("item %d speaks", x)
    return x


def square(x: int) -> int:
    return x * x


def getpid(_: Any) -> int:
    return os.getpid()


def mark_and_getpid(path: str, x: int) -> int:
    mark(path, x)
    return os.getpid()


def getpid_together(note_and_party_and_x: tuple[str, int, int]) -> int:
    """The first calls wait for each other, as many as are of the party, and so run in as many workers; the others
    leave time for further ones to start."""
    note, party, x = note_and_party_and_x
    if x < party:
        meet(note, party, x)
    else:
        time.sleep(0.05)
    return os.getpid()


def meet(note: str, party: int, x: int) -> None:
    """Waits for the calls of all items below ``party``."""
    Path(f"{note}.{x}").touch()
    while not all(Path(f"{note}.{each}").exists() for each in range(party)):
        time.sleep(0.005)


_kept: list[bytes] = []


def keep_memory(note_and_x: tuple[str, int]) -> tuple[int, int]:
    """The first call in a worker takes 100 MB for good; from the sixth item on a note says so. The first three items
    wait for each other, and so run in three workers."""
    note, x = note_and_x
    if not _kept:
        _kept.append(b"x" * 100_000_000)
    if x < 3:
        meet(note, 3, x)
    if x >= 6:
        Path(note).touch()
    time.sleep(0.03)
    return os.getpid(), x


def die_once(note_and_x: tuple[str, int]) -> tuple[int, int]:
    """The call of item 3 takes its worker with it, the first time. The first three, and then the last two, wait for
    each other."""
    note, x = note_and_x
    if x < 3:
        meet(note, 3, x)
    if x >= 18:
        Path(f"{note}.{x}").touch()
        while not (Path(f"{note}.18").exists() and Path(f"{note}.19").exists()):
            time.sleep(0.005)
    time.sleep(0.03)
    if x == 3 and not Path(note).exists():
        Path(note).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), x


def mark_and_leak(path_and_x: tuple[str, int]) -> tuple[int, int]:
    """4 MB stay behind in each call."""
    path, x = path_and_x
    mark(path, x)
    _kept.append(b"x" * 4_000_000)
    return os.getpid(), x


def nap_after_word(folder_and_x: tuple[str, int]) -> int:
    """Says that it has begun, and waits for the word to end."""
    folder, x = folder_and_x
    (Path(folder) / str(x)).touch()
    while not (Path(folder) / "end").exists():
        time.sleep(0.01)
    return x


def wait_for_word(path: str) -> None:
    """An initializer that ends when it may."""
    while not Path(path).exists():
        time.sleep(0.01)


def multiply(lock: Any, counted: memoryview) -> int:
    """Matrices, while it is counted how many threads BLAS may use for it."""
    import numpy  # noqa: F401 - which loads BLAS

    threads = blas_threads()
    with lock:
        count(counted, threads)
    multiply_matrices()
    with lock:
        count(counted, -threads)
    return 1


def blas_threads() -> int:
    from threadpoolctl import threadpool_info

    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def count(counted: memoryview, threads: int) -> None:
    counted[0] += threads
    counted[1] = max(counted[1], counted[0])


def multiply_matrices() -> None:
    import numpy

    matrix = numpy.ones((200, 200))
    for _ in range(5):
        matrix @ matrix


def multiply_nested(backend: str, counted: Any) -> int:
    fn = multiply_in_a_coroutine if backend == "asyncio" else multiply
    return sum(lw.starmap(fn, [counted] * usable_cores(), backend=backend))


_turns: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Of the coroutines of one loop: who waits to be counted off would be counted still while the next one computes."""


async def multiply_in_a_coroutine(lock: Any, counted: memoryview) -> int:
    """The same in an event loop, which is not to be blocked while another process has the lock."""
    import asyncio

    import numpy  # noqa: F401 - as above

    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        threads = blas_threads()
        async with lock:
            count(counted, threads)
        multiply_matrices()
        async with lock:
            count(counted, -threads)
    return 1


async def multiply_nested_in_a_coroutine(backend: str, counted: Any) -> int:
    return multiply_nested(backend, counted)


Pair = tuple[float, float]


def draw(_: int) -> tuple[Pair, Pair]:
    """Of lightwork's two streams; of the two global ones."""
    import random

    import numpy

    mine = lw.rng().random(), float(lw.numpy_rng().random())
    return mine, (random.random(), float(numpy.random.random()))


def draw_without_numpy(_: int) -> tuple[tuple[float], tuple[float]]:
    import random

    return (lw.rng().random(),), (random.random(),)


def draw_own(_: int) -> float:
    return lw.rng().random()


def draw_and_fail_once(path_and_x: tuple[str, int]) -> float:
    path, x = path_and_x
    number = lw.rng().random()
    if x not in marks(Path(path)):
        mark(path, x)
        raise OSError("the first time")
    return number


def draw_nested(inner_and_x: tuple[str, int]) -> list[list[float]]:
    inner, _ = inner_and_x
    return [list(lw.map(draw_own, range(3), backend=inner)) for _ in range(2)]


def talk_and_return(x: int) -> int:
    print(x, "-" * 200)
    return x
