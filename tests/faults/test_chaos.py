"""Random workers are killed all the time while 100,000 calls run."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

import lightwork as lw
from tests.conformance.jobs import marks
from tests.faults import nasty
from tests.leftovers import alive, descriptors, leaked, linux, shared_memory, starters, wait_for, workers

EVERY = 0.05
"""Seconds between two kills."""


def victims(starter: psutil.Process) -> list[int]:
    """The workers' ids, read where the kernel lists them: a look at every process takes longer than the pause."""
    listed = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text()
    return [int(pid) for pid in listed.split() if alive(int(pid))]


class Killer:
    """Kills a random worker every now and then, until the end of the block."""

    def __init__(self) -> None:
        self.kills = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)

    def _kill(self) -> None:
        starter = None
        while not self._over.wait(EVERY):
            if starter is None:
                starter = next(iter(starters()), None)
            elif found := victims(starter):
                try:
                    os.kill(random.choice(found), signal.SIGKILL)
                    self.kills += 1
                except ProcessLookupError:
                    continue

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@linux
@pytest.mark.timeout(60)
def test_chaos(tmp_path):
    lw.map(nasty.square, range(4), backend="processes")  # the starter is there
    before, names = descriptors(), shared_memory()
    count, kills, rounds = 100_000, 0, 0
    while kills < 10:  # a fast machine is through with it before there were so many
        rounds += 1
        path = tmp_path / f"calls{rounds}"
        with Killer() as killer:
            results = lw.map(
                nasty.mark_and_work, [str(path)] * count, range(count), backend="processes", max_workers=4, retries=1000
            )
        kills += killer.kills
        assert results == [x * x for x in range(count)]
        begun = Counter(marks(path))
        assert set(begun) == set(range(count))
        again = begun.total() - count
        assert again <= results.report.retries <= results.report.lost_workers <= killer.kills
    wait_for(lambda: not workers(), 5)
    assert descriptors() <= before
    wait_for(lambda: not leaked(names), 10)
    assert len(starters()) == 1


@linux
@pytest.mark.timeout(60)
def test_chaos_without_retries(tmp_path):
    """Each kill costs one call at most; the lazy form, with the caller taking its time."""
    path, count = tmp_path / "calls", 20_000
    with (
        Killer() as killer,
        lw.imap(
            nasty.mark_and_work,
            [str(path)] * count,
            range(count),
            backend="processes",
            max_workers=4,
            errors="return",
        ) as results,
    ):
        seen = list(results)
        report = results.report
    failures = [value for value in seen if isinstance(value, lw.Failure)]
    assert all(isinstance(failure.exception, lw.WorkerCrashed) for failure in failures)
    lost = {failure.index for failure in failures}
    assert [value for value in seen if not isinstance(value, lw.Failure)] == [
        x * x for x in range(count) if x not in lost
    ]
    assert len(seen) == count and len(lost) <= report.lost_workers <= killer.kills
    assert max(Counter(marks(path)).values()) == 1


@linux
@pytest.mark.timeout(60)
def test_chaos_among_futures():
    with Killer() as killer, lw.Executor(4, backend="processes", retries=1000) as executor:
        rounds = 0
        while rounds < 20 or killer.kills < 5:
            rounds += 1
            futures = [executor.submit(nasty.square, x) for x in range(200)]
            assert [future.result(30) for future in futures] == [x * x for x in range(200)]
