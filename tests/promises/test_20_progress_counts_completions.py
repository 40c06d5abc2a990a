"""Promise 20: progress counts completions, knows the total when there is one, and is silent without a terminal."""

from __future__ import annotations

import pytest

import lightwork as lw
from tests.faults import nasty
from tests.promises import jobs
from tests.promises.programs import run


@pytest.mark.parametrize("workers", [1, 3])
def test_completions_are_counted(workers, tmp_path):
    """Not only at the end: the second half waits until something of the first was told."""
    told, word = [], tmp_path / "word"

    def tell(progress):
        told.append(progress)
        if progress.done:
            word.touch()

    items = [str(tmp_path) if x < 20 else str(word) for x in range(40)]
    lw.map(nasty.wait_for_word, items, backend="processes", max_workers=workers, progress=tell)
    done = [progress.done for progress in told]
    assert done == sorted(done) and done[-1] == 40
    assert any(0 < count < 40 for count in done)
    assert {progress.total for progress in told} == {40}
    assert [progress.finished for progress in told].index(True) == len(told) - 1


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_what_ended_right_after_the_last_word_is_told_before_another_call_ends(backend, tmp_path):
    """The next one may take an hour."""
    word = tmp_path / "word"

    def tell(progress):
        if progress.done:
            word.touch()

    items = [str(tmp_path), str(word)]
    lw.map(nasty.wait_for_word, items, backend=backend, max_workers=2, chunksize=1, progress=tell)
    assert word.exists()


def test_without_a_length_there_is_no_total():
    told = []
    lw.map(jobs.nap, (0.0 for _ in range(10)), backend="processes", progress=told.append)
    assert told[-1].done == 10 and told[0].total is None


def test_silent_where_nobody_looks():
    done = run("-c", "import lightwork as lw; lw.map(abs, range(50), backend='processes', progress=True)")
    assert (done.stdout, done.stderr) == ("", "")
