"""A worker that is killed at the n-th step of its own code, whatever that code is.

A step is an event that ``sys.setprofile`` tells: a Python or C function begins or ends. Drawn at random they fall
everywhere between taking a batch and sending its results, so that no window between two stores stays untested, and
nothing here knows how the worker works.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import Any

from tests.conformance.jobs import mark

_armed = False


def arm(most: int) -> None:
    """Has this process kill itself after at most so many steps. Once for each process."""
    global _armed
    if _armed:
        return
    _armed = True
    left = random.SystemRandom().randrange(1, most)

    def step(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(step)


def call(path: str, most: int, x: int) -> int:
    """Notes that it began; the worker will not live long after its first call."""
    mark(path, x)
    arm(most)
    return x * x
