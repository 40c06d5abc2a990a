"""Promise 5: an endless generator: what is pulled and not consumed stays under a bound; memory stays flat."""

from __future__ import annotations

import itertools

import psutil
import pytest

import lightwork as lw
from tests.promises import jobs

BOUND = 1100


@pytest.mark.parametrize("backend", ["auto", "processes", "threads"])
def test_an_endless_generator(backend):
    """20,000 results of 10 kB: 200 MB if they piled up; what ran before in this process may free or take some."""
    pulled = 0

    def endless():
        nonlocal pulled
        for x in itertools.count():
            pulled += 1
            yield x

    me = psutil.Process()
    options = {"max_workers": 2} if backend != "auto" else {}
    with lw.imap(jobs.payload, endless(), backend=backend, **options) as results:
        for consumed, value in enumerate(itertools.islice(results, 1000)):
            assert len(value) == 10_000
            assert pulled - consumed <= BOUND
        before = me.memory_info().rss
        for consumed, _ in enumerate(itertools.islice(results, 20_000), 1000):
            assert pulled - consumed <= BOUND
        assert me.memory_info().rss - before < 80e6


def test_buffersize_is_obeyed():
    pulled = 0

    def endless():
        nonlocal pulled
        for x in itertools.count():
            pulled += 1
            yield x

    with lw.imap(jobs.square, endless(), backend="processes", buffersize=7) as results:
        for consumed in range(200):
            assert next(results) == consumed * consumed
            assert pulled <= consumed + 7
