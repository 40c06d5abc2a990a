"""Promise 15: raise within 1 s with the siblings cancelled, or return with the failure in its place."""

from __future__ import annotations

import time

import pytest

import lightwork as lw
from tests.leftovers import workers
from tests.promises import jobs


@pytest.mark.parametrize("family", ["map", "imap", "imap_unordered"])
def test_the_failure_is_raised_while_siblings_would_take_a_minute(family):
    began = time.perf_counter()
    with pytest.raises(ValueError, match="two") as caught:
        list(getattr(lw, family)(jobs.nap_or_fail, range(8), backend="processes", max_workers=4, chunksize=1))
    assert time.perf_counter() - began < 5, "of the minute"
    assert any("item 2" in note for note in caught.value.__notes__)
    assert not workers()
    if family == "map":
        assert lw.partial(caught.value).items() <= {0: 0, 1: 1}.items()


def test_or_it_stands_in_its_place():
    results = lw.map(jobs.inner, ["a", "b"], backend="processes", errors="return")
    assert [str(failure.exception) for failure in results.failures] == ["a", "b"]
    assert "in inner" in str(results[1].exception.__cause__)
