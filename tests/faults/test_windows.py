"""Workers that are killed at every step between taking a call and handing over its result."""

from __future__ import annotations

from collections import Counter

import pytest

import lightwork as lw
from tests.conformance.jobs import marks
from tests.faults import stepping

CALLS = 150


@pytest.mark.timeout(40)
@pytest.mark.parametrize(
    ("workers", "chunksize"), [(1, 1), (1, 10), (2, None), (4, 3), (8, None)], ids=lambda value: f"{value}"
)
def test_a_kill_at_any_step_loses_no_call_and_makes_none_twice(workers, chunksize, tmp_path):
    path = tmp_path / "calls"
    most = 40 * (chunksize or 12)  # each call has about that many steps: most kills are in the first batches
    results = lw.map(
        stepping.call,
        [str(path)] * CALLS,
        [most] * CALLS,
        range(CALLS),
        backend="processes",
        max_workers=workers,
        chunksize=chunksize,
        errors="return",
    )
    begun = Counter(marks(path))
    assert max(begun.values()) == 1, "no call begins twice"
    for x, value in enumerate(results):
        if isinstance(value, lw.Failure):
            assert value.index == x and value.exception.signal == 9
        else:
            assert value == x * x and begun[x] == 1
    killed = results.report.lost_workers
    assert killed >= 3
    assert len(results.failures) <= killed, "a kill costs one call at most"


@pytest.mark.timeout(40)
def test_with_retries_every_call_has_its_result(tmp_path):
    path = tmp_path / "calls"
    results = lw.map(
        stepping.call, [str(path)] * CALLS, [300] * CALLS, range(CALLS), backend="processes", max_workers=3, retries=50
    )
    assert results == [x * x for x in range(CALLS)]
    begun = Counter(marks(path))
    assert set(begun) == set(range(CALLS))
    assert begun.total() - CALLS <= results.report.retries <= results.report.lost_workers


@pytest.mark.timeout(40)
@pytest.mark.parametrize("workers", [1, 3])
def test_futures_of_an_executor_too(workers, tmp_path):
    path = tmp_path / "calls"
    with lw.Executor(workers, backend="processes") as executor:
        futures = [executor.submit(stepping.call, str(path), 300, x) for x in range(CALLS // 2)]
        for x, future in enumerate(futures):
            failure = future.exception(30)
            assert failure is None or (isinstance(failure, lw.WorkerCrashed) and failure.index == x)
            assert failure is not None or future.result() == x * x
    assert max(Counter(marks(path)).values()) == 1
