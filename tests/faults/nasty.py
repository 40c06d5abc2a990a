"""Functions for the nasty tests; quick to import in a worker."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

from tests.conformance.jobs import mark

KEPT: list[tuple[Any, str]] = []
"""Slices of arguments that this worker was given, with their digests at the time."""


def count_and_nap(begun: memoryview, ended: memoryview, x: int, seconds: float) -> int:
    """Counts in shared memory that it began, and notes when it ended."""
    begun[x] += 1
    time.sleep(seconds)
    ended[x] = time.perf_counter()
    return x


def wait_for_word(path: str, value: Any = None) -> Any:
    """Until a file is there, whose name whoever gives the word knows; for half a minute at most."""
    end = time.monotonic() + 30
    while not Path(path).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody gave the word: {path}")
        time.sleep(0.002)
    return value


def nap(path: str, x: int, seconds: float) -> int:
    mark(path, x)
    time.sleep(seconds)
    return x


def mark_and_wait(path: str, word: str | None, x: int) -> int:
    mark(path, x)
    return x if word is None else wait_for_word(word, x)


def hang(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(60)


def large(x: int) -> bytes:
    return x.to_bytes(4, "little") * 50_000


def digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def keep_and_return(array: Any) -> tuple[Any, list[int]]:
    """A new array of the argument's values, and the places of kept slices that changed since they were kept."""
    changed = [place for place, (kept, told) in enumerate(KEPT) if digest(kept) != told]
    part = array[: 1 << 12]
    KEPT.append((part, digest(part)))
    return array + 1, changed


def place(x: int) -> tuple[int, str, str | None, int]:
    return x, str(Path.cwd()), os.environ.get("LIGHTWORK_TEST"), os.getpid()


def double_array(array: Any) -> Any:
    return array * 2


def square(x: int) -> int:
    return x * x


def mark_and_square(path: str, x: int) -> int:
    mark(path, x)
    return x * x


def mark_and_work(path: str, x: int) -> int:
    """As ``mark_and_square``, in some 40 µs."""
    mark(path, x)
    return sum([x] * 2000) - 2000 * x + x * x


def linger(path: str, x: int) -> int:
    """The first calls leave their process's id and wait to be killed with whatever runs them."""
    mark(path, x)
    if x < 2:
        time.sleep(60)
    return x
