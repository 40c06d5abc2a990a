"""Promise 21: ``max_tasks_per_child`` recycles workers without losing a call."""

from __future__ import annotations

import time
from collections import Counter

import pytest

import lightwork as lw
from tests.conformance.jobs import marks
from tests.leftovers import workers
from tests.promises import jobs


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("each", [1, 7])
def test_every_call_once_and_no_worker_for_more_than_its_share(size, each, tmp_path):
    path, count = tmp_path / "calls", 84
    with lw.Executor(size, backend="processes", max_tasks_per_child=each) as executor:
        futures = [executor.submit(jobs.mark_and_getpid, str(path), x) for x in range(count)]
        made = Counter(future.result(30) for future in futures)
    assert sorted(marks(path)) == list(range(count))
    assert max(made.values()) <= each and len(made) >= count / each


def test_idle_between_two_calls():
    """The worker that has done its share is replaced when there is work again, and nothing waits for the dead."""
    with lw.Executor(1, backend="processes", max_tasks_per_child=1) as executor:
        pids = []
        for _ in range(4):
            pids.append(executor.submit(jobs.getpid, 0).result(20))
            time.sleep(0.02)
        assert len(set(pids)) == 4
        assert len(workers()) <= 1


def test_recycling_among_deaths():
    with lw.Executor(2, backend="processes", max_tasks_per_child=3, call_timeout=1.5) as executor:
        futures = [executor.submit(jobs.never_return, "waiting" if x % 10 == 4 else None) for x in range(40)]
        assert [isinstance(future.exception(30), lw.CallTimeout) for future in futures] == [
            x % 10 == 4 for x in range(40)
        ]
