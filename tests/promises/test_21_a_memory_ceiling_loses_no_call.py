"""Promise 21: a memory ceiling recycles workers without losing a call."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

import lightwork as lw
from tests.conformance.jobs import marks
from tests.promises import jobs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no other kernel limits what a process allocates")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("chunksize", [None, 10])
def test_workers_that_leak_are_replaced_and_every_call_is_made_once(workers, chunksize, tmp_path):
    """80 calls leave 4 MB each behind; a worker may have 64."""
    path, count = tmp_path / "calls", 80
    items = [(str(path), x) for x in range(count)]
    options = {"backend": "processes", "max_workers": workers, "chunksize": chunksize}
    results = lw.map(jobs.mark_and_leak, items, max_memory="64MB", **options)
    assert [x for _, x in results] == list(range(count))
    assert sorted(marks(path)) == list(range(count))
    made = Counter(pid for pid, _ in results)
    assert max(made.values()) <= 64 / 4 and len(made) >= count * 4 / 64
    assert results.report.failures == results.report.lost_workers == 0


def test_futures_of_an_executor_come_through(tmp_path):
    path, count = tmp_path / "calls", 60
    with lw.Executor(2, backend="processes", max_memory="64MB") as executor:
        futures = [executor.submit(jobs.mark_and_leak, (str(path), x)) for x in range(count)]
        assert [future.result(30)[1] for future in futures] == list(range(count))
    assert sorted(marks(path)) == list(range(count))


def test_among_deaths_and_timeouts(tmp_path):
    path = tmp_path / "calls"
    with lw.Executor(2, backend="processes", max_memory="64MB", call_timeout=1.5) as executor:
        futures = {}
        for x in range(30):
            futures[x] = executor.submit(jobs.mark_and_leak, (str(path), x))
            if x % 10 == 5:
                futures[-x] = executor.submit(jobs.never_return, "waiting")
        for x, future in futures.items():
            if x < 0:
                assert isinstance(future.exception(30), lw.CallTimeout)
            else:
                assert future.result(30)[1] == x
    assert sorted(marks(path)) == list(range(30))


def test_without_a_ceiling_nothing_is_recycled(tmp_path):
    items = [(str(tmp_path / "calls"), x) for x in range(20)]
    assert len({pid for pid, _ in lw.map(jobs.mark_and_leak, items, backend="processes", max_workers=1)}) == 1
