"""Promise 25: one long item among many short ones ends near the critical path."""

from __future__ import annotations

import pytest

import lightwork as lw
from tests.promises import jobs

SHORT, LONG, COUNT, WORKERS = 0.01, 0.0, 200, 4


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_the_short_ones_do_not_wait_for_the_long_one(backend, tmp_path):
    """The long one begins among the first, and lasts until all others have ended: nobody stands in line behind it."""
    word = tmp_path / "word"
    naps = [LONG if x == 7 else SHORT for x in range(COUNT)]
    seen = []
    for nap in lw.imap_unordered(jobs.nap_or_wait, naps, [str(word)] * COUNT, backend=backend, max_workers=WORKERS):
        seen.append(nap)
        if len(seen) == COUNT - 1:
            word.touch()
    assert len(seen) == COUNT and seen[-1] == LONG and max(seen) == SHORT
