"""Jobs that compute: in Python, in C with and without the GIL, in NumPy, with much or little to carry."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from typing import Any

from regret_jobs import Work, count, job
from regret_waiting import burn


@job
def python_short_calls(scale: float) -> Work:
    return Work(burn, [2_000] * count(8_000, scale))


@job
def python_calls(scale: float) -> Work:
    return Work(burn, [160_000] * count(150, scale))


@job
def python_long_calls(scale: float) -> Work:
    return Work(burn, [6_000_000] * count(4, scale))


@job
def python_16_calls(scale: float) -> Work:
    return Work(burn, [1_500_000] * count(16, scale))


@job
def five_milliseconds(scale: float) -> Work:
    return Work(burn, [8_000] * count(20, scale))


@job
def forty_milliseconds(scale: float) -> Work:
    return Work(burn, [8_000] * count(80, scale))


@job
def a_hundred_milliseconds(scale: float) -> Work:
    return Work(burn, [8_000] * count(200, scale))


@job
def thirty_seconds(scale: float) -> Work:
    """Scaled to a tenth here: ``--scale 10`` makes it what it is called."""
    return Work(burn, [400_000] * count(125, scale))


def collatz(item: int) -> int:
    steps = 0
    while item != 1:
        item, steps = item // 2 if item % 2 == 0 else 3 * item + 1, steps + 1
    return steps


@job
def calls_of_microseconds(scale: float) -> Work:
    """Each is over sooner than a message is written, and all of them together take a second."""
    return Work(collatz, range(1, count(200_000, scale)))


def increment(item: int) -> int:
    return item + 1


@job
def tiny_calls_by_the_million(scale: float) -> Work:
    return Work(increment, range(count(2_000_000, scale)))


@job
def builtin_by_the_million(scale: float) -> Work:
    return Work(abs, range(count(2_000_000, scale)))


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@job
def recursion(scale: float) -> Work:
    return Work(fib, [21] * count(300, scale))


# C that holds the GIL

RECORDS = json.dumps([{"a": n, "b": str(n)} for n in range(10_000)])


def parse(item: int) -> int:
    return len(json.loads(RECORDS)) + item


@job
def json_loads(scale: float) -> Work:
    return Work(parse, range(count(250, scale)))


def digits(item: int) -> int:
    return sum(len(found) for found in re.findall(r"\d+", RECORDS)) + item


@job
def regular_expressions(scale: float) -> Work:
    return Work(digits, range(count(150, scale)))


def in_order(item: int) -> int:
    return sorted((n * 7919 + item) % 1_000_003 for n in range(60_000))[0]


@job
def sorting(scale: float) -> Work:
    return Work(in_order, range(count(50, scale)))


def long_sort(item: int) -> int:
    values = [(n * 7919 + item) % 1_000_003 for n in range(300_000)] * 3
    values.sort()
    return values[0]


@job
def c_call_that_holds_the_gil_long(scale: float) -> Work:
    return Work(long_sort, range(count(8, scale)))


# C that releases it

BLOCK = bytes(range(256)) * 4096


def digest(item: int) -> str:
    return hashlib.sha256(BLOCK + bytes([item % 256])).hexdigest()


@job
def sha256(scale: float) -> Work:
    return Work(digest, range(count(1_000, scale)))


def squeeze(item: int) -> int:
    return zlib.crc32(zlib.compress(BLOCK[item % 256 :], 6))


@job
def zlib_compress(scale: float) -> Work:
    return Work(squeeze, range(count(250, scale)))


# NumPy


def np_sort(item: int) -> float:
    import numpy as np

    values = (np.arange(150_000) * 7919 + item) % 1_000_003
    values.sort(kind="stable")
    return float(values[0])


@job
def numpy_sorts(scale: float) -> Work:
    import numpy  # noqa: F401 - loaded already, as by the caller's own module

    return Work(np_sort, range(count(150, scale)))


def np_small(item: int) -> float:
    import numpy as np

    total = np.zeros(8)
    for step in range(200):
        total = total * 0.5 + np.float64(step + item)
    return float(total.sum())


@job
def numpy_small_calls(scale: float) -> Work:
    import numpy  # noqa: F401

    return Work(np_small, range(count(1_500, scale)))


def np_matmul(item: int) -> float:
    import numpy as np

    matrix = np.full((700, 700), 1.0 + item)
    return float((matrix @ matrix)[0, 0])


@job
def blas_threads(scale: float) -> Work:
    import numpy  # noqa: F401

    return Work(np_matmul, range(count(80, scale)))


def np_stream(item: int) -> float:
    import numpy as np

    values = np.full(2_000_000, float(item))
    for _ in range(4):
        values += 1.0
    return float(values[-1])


@job
def memory_bandwidth(scale: float) -> Work:
    import numpy  # noqa: F401

    return Work(np_stream, range(count(60, scale)))


# much to carry


def np_total(array: Any) -> float:
    return float((array * array % 7).sum())


@job
def big_arguments(scale: float) -> Work:
    import numpy as np

    return Work(np_total, [np.arange(500_000.0) + n for n in range(count(60, scale))])


def text_digest(text: str) -> int:
    return sum(map(ord, text[:100_000])) + len(text)


@job
def big_texts(scale: float) -> Work:
    return Work(text_digest, [chr(65 + n % 26) * 1_000_000 for n in range(count(120, scale))])


def many_rows(item: int) -> list[tuple[int, str]]:
    return [(n, f"{n}-{item}") for n in range(20_000)]


@job
def big_results(scale: float) -> Work:
    return Work(many_rows, range(count(60, scale)))


def np_block(item: int) -> Any:
    import numpy as np

    return np.sort((np.arange(250_000) * 7919 + item) % 1_000_003, kind="stable")


@job
def big_array_results(scale: float) -> Work:
    import numpy  # noqa: F401

    return Work(np_block, range(count(80, scale)))


class Lookup:
    """A function with a large table."""

    def __init__(self, size: int) -> None:
        self.table = {n: str(n) for n in range(size)}

    def __call__(self, item: int) -> int:
        table = self.table
        return sum(len(table[n]) for n in range(item, item + 60_000))


@job
def large_closure(scale: float) -> Work:
    return Work(Lookup(200_000), range(count(200, scale)))


@job
def unpicklable_function_that_computes(scale: float) -> Work:
    import threading

    guard = threading.Lock()

    def steps(item: int) -> int:
        assert not guard.locked()
        return burn(100_000) + item

    return Work(steps, range(count(100, scale)))


@job
def closure_that_computes(scale: float) -> Work:
    offset = 3

    def steps(item: int) -> int:
        return burn(100_000) + item + offset

    return Work(steps, range(count(150, scale)))
