"""Promise 2: what never returns is killed at its timeout, the slot is filled again, the others are returned."""

from __future__ import annotations

import time

import pytest

import lightwork as lw
from tests.promises import jobs


@pytest.mark.parametrize("how", ["waiting", "in Python", "in C", "in C with the GIL"])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_never_returns(how, workers):
    items = [None, how, None, how, *[None] * 8]
    began = time.perf_counter()
    results = lw.map(
        jobs.never_return, items, backend="processes", max_workers=workers, call_timeout=1.0, errors="return"
    )
    assert time.perf_counter() - began < 30, "of ten minutes"
    assert [failure.index for failure in results.failures] == [1, 3]
    for failure in results.failures:
        assert type(failure.exception) is lw.CallTimeout
        assert failure.exception.seconds == 1.0 and f"item {failure.index}" in str(failure.exception)
    assert all(isinstance(value, int) for index, value in enumerate(results) if index not in (1, 3))


def test_auto_needs_no_backend_named():
    (done, late) = lw.map(jobs.nap, [0.0, 60.0], call_timeout=1.0, errors="return")
    assert done == 0.0 and isinstance(late.exception, lw.CallTimeout)
