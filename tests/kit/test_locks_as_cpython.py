"""The kit's locks pass CPython's own ``lock_tests``, which its ``threading`` is tested with.

The suite is the one of the interpreter that runs this, or, where that ships without, the one in the folder that
``LIGHTWORK_CPYTHON_TEST`` names (it holds the package ``test``).
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

import pytest

import lightwork as lw

if os.environ.get("LIGHTWORK_CPYTHON_TEST"):
    sys.path.insert(0, os.environ["LIGHTWORK_CPYTHON_TEST"])
lock_tests = pytest.importorskip("test.lock_tests", reason="this Python ships without CPython's tests")

LEFT_OUT = {
    "test_at_fork_reinit": "calls a private method of CPython's; a fork of the caller shares the lock, as it should",
    "test_repr": "expects CPython's own text",
    "test_locked_repr": "expects CPython's own text",
    "ConditionTests.test_acquire": "makes a condition of a threading.Lock, which means nothing in another process",
    "test_default_timeout": "fails when the machine is busy: 0.5 s, in which several threads must have been started",
}


def _as(base: Any, **names: Any) -> Any:
    members = {name: staticmethod(value) for name, value in names.items()}
    left_out = {name.removeprefix(f"{base.__name__}.") for name in LEFT_OUT}
    members |= {name: None for name in left_out if hasattr(base, name)}
    return type(base.__name__, (base,), members)


TestLock = _as(lock_tests.LockTests, locktype=lw.Lock)
TestRLock = _as(lock_tests.RLockTests, locktype=lw.RLock)
TestEvent = _as(lock_tests.EventTests, eventtype=lw.Event)
TestCondition = _as(lock_tests.ConditionTests, condtype=lw.Condition)
TestSemaphore = _as(lock_tests.SemaphoreTests, semtype=lw.Semaphore)
TestBoundedSemaphore = _as(lock_tests.BoundedSemaphoreTests, semtype=functools.partial(lw.Semaphore, bounded=True))
TestBarrier = _as(lock_tests.BarrierTests, barriertype=lw.Barrier)
