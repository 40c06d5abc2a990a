"""A module that hangs while a worker imports it; the caller imports it without harm."""

from __future__ import annotations

import os
import time

if os.environ.get("LIGHTWORK_TEST_HANG") == "1":
    time.sleep(600)


ADDED: list[int] = []
"""What names something of its module needs it in a worker."""


def square(x: int) -> int:
    return x * x + len(ADDED)
