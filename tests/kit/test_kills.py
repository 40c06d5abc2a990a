"""Whoever uses a primitive may be killed at any moment: nothing hangs, nothing is corrupt."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

KILLS = int(os.environ.get("LIGHTWORK_KILLS", "40"))
"""The full measure is 1,000; so many take a minute for each primitive."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "primitive",
    [
        "lock",
        "rlock",
        "semaphore",
        "event",
        "condition",
        "barrier",
        "queue",
        "pipe",
        "event as-on-arm",
        "queue as-on-arm",
    ],
)
def test_killed_at_random_moments(primitive: str) -> None:
    name, *how = primitive.split()
    command = [sys.executable, "-m", "tests.kit.kills", name, str(KILLS), *how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=230)
    assert done.returncode == 0 and done.stdout.startswith("sound"), done.stdout + done.stderr
