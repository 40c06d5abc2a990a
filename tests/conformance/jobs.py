"""Functions that the conformance tests put to every backend. Importable, so that workers find them by name."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def double(x: Any) -> Any:
    return x * 2


def square(x: int) -> int:
    return x * x


def count(n: int) -> int:
    total = 0
    for i in range(n):
        total += i
    return total


def sleep_and_return(seconds: float, value: Any) -> Any:
    time.sleep(seconds)
    return value


def add(a: Any, b: Any) -> Any:
    return a + b


def five(a: int, b: int, c: int, d: int, e: int) -> tuple[int, ...]:
    return a, b, c, d, e


def uneven(x: int) -> int:
    """Early items take longest, so that they end last where calls run side by side."""
    time.sleep(0.02 if x % 5 == 0 else 0.0)
    return x


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def mark(path: str, x: int) -> int:
    """Leaves a trace of each call. One write with O_APPEND is whole, whoever else writes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b"%d\n" % x)
    finally:
        os.close(descriptor)
    return x


def marks(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


_calls: list[None] = []


def calls_here() -> int:
    """How often this was called in its worker."""
    _calls.append(None)
    return len(_calls)


def fails_at_three(x: int) -> int:
    if x == 3:
        raise ValueError("three", 3)
    return x


def mark_and_fail_odd(path: str, x: int) -> int:
    mark(path, x)
    if x % 2:
        raise KeyError(x)
    return x


class Awkward(Exception):
    """Needs two arguments, so that a plain pickle of it does not load."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Unsendable(Exception):
    """Holds what no pickle takes."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.handle = (line for line in [message])


def raises(what: str) -> None:
    if what == "awkward":
        raise Awkward(7, "seven")
    if what == "unsendable":
        raise Unsendable("cannot be sent")
    if what == "exit":
        raise SystemExit(3)
    if what == "stop":
        raise StopIteration("over")
    if what == "generator exit":
        raise GeneratorExit("gone")
    raise RuntimeError(what)


def nested(n: int) -> list[int]:
    import lightwork as lw

    return list(lw.map(double, range(n)))


def nested_in(way: tuple[str, int]) -> list[int]:
    import lightwork as lw

    backend, n = way
    return list(lw.map(double, range(n), backend=backend))


def draw(_: Any) -> tuple[float, float, float]:
    import random

    import lightwork as lw

    stream = lw.rng()
    return stream.random(), lw.rng().random(), random.random()


def die(how: str) -> None:
    import ctypes
    import signal

    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(3)
    elif how == "segfault":
        ctypes.string_at(0)


def die_at_three(x: int) -> int:
    if x == 3:
        die("kill")
    return x


class Thing:
    def __init__(self, number: int) -> None:
        self.number = number


class Broken(Exception):
    pass


def make(thing: Thing) -> Thing:
    return Thing(thing.number)


def breaks(thing: Thing) -> Thing:
    if thing.number == 3:
        raise Broken(thing)
    return Thing(thing.number)


def third(n: int) -> str:
    from decimal import Decimal

    return str(Decimal(n) / 3)


def slow_third(n: int) -> str:
    end = time.perf_counter() + 0.03
    while time.perf_counter() < end:
        pass
    return third(n)


def limits(n: int) -> tuple[str, list[str], int, int]:
    import decimal
    import sys

    traps = [signal.__name__ for signal, set in decimal.getcontext().traps.items() if set]
    return third(n), sorted(traps), sys.getrecursionlimit(), sys.get_int_max_str_digits()


def third_with_five_digits_once(n: int) -> str:
    import decimal

    if not n:
        context = decimal.getcontext().copy()
        context.prec = 5
        decimal.setcontext(context)
    return third(1)


def slow(thing: Thing) -> Thing:
    end = time.perf_counter() + 0.02
    while time.perf_counter() < end:
        pass
    return make(thing)


def slow_to_break(thing: Thing) -> Thing:
    slow(thing)
    if thing.number == 20:
        raise Broken
    return make(thing)


def naps(thing: Thing) -> Thing:
    time.sleep(0.02)
    return make(thing)


class Maker:
    """Makes something for a worker to hold, and marks that it did."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self) -> object:
        mark(self.path, 1)
        return object()
