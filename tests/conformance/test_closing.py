"""What workers hold by ``lw.per_worker`` is closed before the work is over, however long that takes."""

from __future__ import annotations

import time

import lightwork as lw
from tests.conformance import jobs


class _Slow:
    """Closes after longer than any worker is waited for that has nothing to close."""

    def __init__(self, path):
        self.path = path

    def __call__(self, thing):
        time.sleep(2.5)
        jobs.mark(self.path, 1)


def test_a_map_waits_for_what_takes_long_to_close(way, tmp_path):
    made, closed = tmp_path / "made", tmp_path / "closed"
    get = lw.per_worker(jobs.Maker(str(made)), _Slow(str(closed)))
    assert lw.map(way.fn(lambda x: get() and x), range(20), backend=way.name, max_workers=2) == list(range(20))
    assert len(jobs.marks(closed)) == len(jobs.marks(made)) >= 1


def test_so_does_the_end_of_an_executor(way, tmp_path):
    made, closed = tmp_path / "made", tmp_path / "closed"
    get = lw.per_worker(jobs.Maker(str(made)), _Slow(str(closed)))
    with lw.Executor(2, backend=way.name) as executor:
        assert list(executor.map(way.fn(lambda x: get() and x), range(20))) == list(range(20))
    assert len(jobs.marks(closed)) == len(jobs.marks(made)) >= 1
