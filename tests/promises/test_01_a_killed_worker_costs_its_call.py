"""Promise 1: SIGKILL while item 3 of 8 runs: seven results; item 3 is retried if allowed, else reported."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

import lightwork as lw
from tests.conformance.jobs import marks
from tests.leftovers import pid_in
from tests.promises import jobs


def mapped_while_item_3_is_killed(tmp_path, **options):
    note, killed = tmp_path / "pid", []

    def kill():
        pid = pid_in(note)
        killed.append(time.perf_counter())
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    results = lw.map(
        jobs.wait_at_three,
        [str(tmp_path / "calls")] * 8,
        [str(note)] * 8,
        range(8),
        backend="processes",
        max_workers=2,
        **options,
    )
    ended = time.perf_counter()
    killer.join()
    assert ended - killed[0] < 10, "of the minute that the call would take"
    assert results.report.lost_workers == 1
    return results


@pytest.mark.parametrize("chunksize", [None, 1, 8])
def test_seven_results_and_one_failure(tmp_path, chunksize):
    results = mapped_while_item_3_is_killed(tmp_path, errors="return", chunksize=chunksize)
    assert [x for x in results if not isinstance(x, lw.Failure)] == [0, 1, 2, 4, 5, 6, 7]
    crash = results[3].exception
    assert isinstance(crash, lw.WorkerCrashed) and isinstance(crash, BrokenProcessPool)
    assert (crash.index, crash.signal, crash.exitcode) == (3, signal.SIGKILL, None)
    assert "item 3" in str(crash) and "SIGKILL" in str(crash) and str(crash.pid) in str(crash)
    assert sorted(marks(tmp_path / "calls")) == list(range(8))


def test_item_3_is_retried_where_that_is_allowed(tmp_path):
    results = mapped_while_item_3_is_killed(tmp_path, retries=1, retry_on=lw.WorkerCrashed)
    assert results == list(range(8))
    assert results.report.retries == 1
    assert sorted(marks(tmp_path / "calls")) == [0, 1, 2, 3, 3, 4, 5, 6, 7]
