"""Calls of an executor that are to be tried again, when no further attempt is wanted."""

from __future__ import annotations

import threading
import time

import pytest

import lightwork as lw


@pytest.mark.parametrize("delay", [3600.0, 0.05])
@pytest.mark.timeout(60)
def test_no_call_is_tried_again_after_cancel_futures(delay):
    failed = threading.Event()

    def fails():
        failed.set()
        raise KeyError("as it does each time")

    executor = lw.Executor(1, backend="threads", retries=10**9, retry_delay=delay)
    future = executor.submit(fails)
    assert failed.wait(20)
    began = time.monotonic()
    executor.shutdown(wait=True, cancel_futures=True)
    assert time.monotonic() - began < 20
    assert isinstance(future.exception(0), KeyError)
