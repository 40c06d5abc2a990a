"""Functions that take memory: some give it back, some do not."""

from __future__ import annotations

import os
from pathlib import Path

kept: list[bytearray] = []


def touched(size: int) -> bytearray:
    """Bytes that are really there: a page that nobody writes to takes no memory."""
    data = bytearray(size)
    data[::4096] = b"x" * len(range(0, size, 4096))
    return data


def take(megabytes: int) -> tuple[int, int]:
    """Takes memory and gives it back."""
    return os.getpid(), len(touched(megabytes << 20))


def keep(megabytes: int) -> int:
    """Takes memory for good."""
    kept.append(touched(megabytes << 20))
    return os.getpid()


def fill(kind: str) -> None:
    """Takes all that there is, in pieces."""
    pieces: list[object] = []
    while True:
        pieces.append(bytes(100_000) if kind == "large" else [float(len(pieces))])


def many(megabytes: int) -> list[bytes]:
    """A result larger than what the call was allowed, made of one object."""
    return [bytes(1 << 20)] * megabytes


def large_item(data: bytes) -> int:
    return len(data)


def own() -> int:
    """Bytes of this process's anonymous memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def mapped(size: int) -> int:
    """Uses memory that is shared, and so no worker's own."""
    import mmap

    with mmap.mmap(-1, size) as memory:
        memory[:: mmap.PAGESIZE] = b"x" * len(range(0, size, mmap.PAGESIZE))
        return len(memory)
