"""A module that hangs while a worker imports it, or waits for a word; the caller imports it without harm."""

from __future__ import annotations

import os
import time
from pathlib import Path

if os.environ.get("LIGHTWORK_TEST_HANG") == "1":
    time.sleep(600)
elif word := os.environ.get("LIGHTWORK_TEST_WORD"):
    Path(f"{word}.{os.getpid()}").touch()
    while not Path(word).exists():
        time.sleep(0.01)


ADDED: list[int] = []
"""What names something of its module needs it in a worker."""


def square(x: int) -> int:
    return x * x + len(ADDED)
