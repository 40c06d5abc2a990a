"""Promise 22: workers are capped by measured memory; a kill by the kernel for lack of it is named as that, and the
call is made again, where retries allow, beside fewer neighbours.

How much is available is what the kernel says; where it must be little, that answer is given in its place. A real kill
by the kernel would need a control group of the test's own: its notice is what ``tests/decisions`` feeds in.
"""

from __future__ import annotations

import sys

import pytest

import lightwork as lw
from lightwork import _engine
from lightwork._backends import _process_launcher
from lightwork._headroom import RESERVE
from tests.leftovers import workers
from tests.promises import jobs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no other kernel is asked")


def party(tmp_path, size, count):
    return [(str(tmp_path / "met"), size, x) for x in range(count)]


def test_with_little_memory_there_are_fewer_workers_and_the_report_says_so(monkeypatch, tmp_path):
    each = 15_000_000
    monkeypatch.setattr(_engine, "available_memory", lambda: RESERVE + 31_000_000 - each * len(workers()))
    pids = lw.map(jobs.getpid_together, party(tmp_path, 2, 12), backend="processes", max_workers=6, chunksize=1)
    assert len(set(pids)) == 2 and pids.report.workers == 2
    (told,) = [decision for decision in pids.report.decisions if decision.fewer]
    assert told.what == "went on with 2 instead of 6 processes" and "95 MB of memory" in told.why


def test_with_none_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setattr(_engine, "available_memory", lambda: 0)
    pids = lw.map(jobs.getpid_together, party(tmp_path, 1, 6), backend="processes", max_workers=6, chunksize=1)
    assert len(set(pids)) == 1


def test_with_plenty_nothing_is_said(tmp_path):
    pids = lw.map(jobs.getpid_together, party(tmp_path, 3, 6), backend="processes", max_workers=3, chunksize=1)
    assert len(set(pids)) == 3 and not pids.report.decisions


def test_what_workers_were_measured_to_take_counts(monkeypatch, tmp_path):
    """Room for three at first sight. Then each is seen to take 100 MB, and the reserve is touched: one after the other
    ends, to the last."""
    note = tmp_path / "taken"
    monkeypatch.setattr(_engine, "MEMORY_LOOK", 0.02)
    monkeypatch.setattr(_engine, "available_memory", lambda: RESERVE - 1 if note.exists() else RESERVE + 10**9)
    items = [(str(note), x) for x in range(40)]
    results = lw.map(jobs.keep_memory, items, backend="processes", max_workers=3, chunksize=1)
    assert len({pid for pid, _ in results[:3]}) == 3
    assert len({pid for pid, _ in results[-5:]}) == 1
    told = [decision for decision in results.report.decisions if decision.fewer]
    assert [decision.what for decision in told] == [
        "went on with 2 instead of 3 processes",
        "went on with 1 instead of 3 processes",
    ]
    assert "a worker takes 1" in told[0].why and "MB" in told[0].why


def test_a_kill_by_the_kernel_is_named_and_the_call_made_again_beside_fewer(monkeypatch, tmp_path):
    """The kernel's counter of such kills cannot be made to count here, so the notice is given its word: all else, the
    SIGKILL too, is real."""
    describe = _process_launcher.describe
    monkeypatch.setattr(
        _process_launcher, "describe", lambda pid, status, memory, alarmed: describe(pid, status, True, alarmed)
    )
    items = [(str(tmp_path / "died"), x) for x in range(20)]
    results = lw.map(jobs.die_once, items, backend="processes", max_workers=3, chunksize=1, retries=1)
    assert [x for _, x in results] == list(range(20)) and results.report.lost_workers == 1
    assert len({pid for pid, _ in results[-8:]}) == 2
    (told,) = results.report.decisions
    assert told.what == "went on with at most 2 processes" and "for lack of memory" in told.why and told.fewer

    items = [(str(tmp_path / "died again"), x) for x in range(20)]
    results = lw.map(jobs.die_once, items, backend="processes", max_workers=3, chunksize=1, errors="return")
    (failure,) = results.failures
    assert failure.index == 3 and "was killed by the kernel for lack of memory" in str(failure.exception)
