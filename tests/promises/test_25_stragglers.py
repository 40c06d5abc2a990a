"""Promise 25: one long item among many short ones ends near the critical path."""

from __future__ import annotations

import time

import pytest

import lightwork as lw
from tests.promises import jobs

SHORT, LONG, COUNT, WORKERS = 0.01, 1.0, 200, 4


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_the_short_ones_do_not_wait_for_the_long_one(backend):
    """The long one begins among the first; then the others take 200 × 0.01 s / 3 while it runs."""
    naps = [LONG if x == 7 else SHORT for x in range(COUNT)]
    began = time.perf_counter()
    seen = list(lw.imap_unordered(jobs.nap, naps, backend=backend, max_workers=WORKERS))
    took = time.perf_counter() - began
    assert len(seen) == COUNT and seen[-1] == LONG, "nobody stood in line behind it"
    assert took < LONG + 1.0, "all of it one after another takes 3 s"
