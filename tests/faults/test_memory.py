"""``max_memory``: a call that wants too much fails alone, a worker that leaks is replaced in time."""

from __future__ import annotations

import sys

import pytest

import lightwork as lw
from lightwork._machine import free_threaded_build
from tests.faults import hungry

linux = pytest.mark.skipif(sys.platform != "linux", reason="no other kernel limits what a process allocates")
MB = 1 << 20
FILL = 2000 if free_threaded_build() else 400
"""Megabytes that are too much under a ceiling of 200 MB; the free-threaded build has 1 GB reserved that is not seen."""


@linux
@pytest.mark.parametrize("errors", ["raise", "return"])
def test_what_wants_too_much_fails_alone_and_its_worker_goes_on(errors):
    items = [1, FILL, 2, FILL, 3]
    if errors == "raise":
        with pytest.raises(MemoryError) as caught:
            lw.map(hungry.take, items, backend="processes", max_workers=1, max_memory="200MB")
        (told, *_) = caught.value.__notes__
    else:
        results = lw.map(hungry.take, items, backend="processes", max_workers=1, max_memory="200MB", errors="return")
        assert [failure.index for failure in results.failures] == [1, 3]
        assert [results[i][1] for i in (0, 2, 4)] == [MB, 2 * MB, 3 * MB]
        assert len({results[i][0] for i in (0, 2, 4)}) == 1 and results.report.lost_workers == 0
        (told, *_) = results.failures[0].exception.__notes__
    assert told.startswith("lightwork: max_memory lets a worker process have 200 MB of its own; ")
    assert "in use when this call began" in told


@linux
@pytest.mark.parametrize("kind", ["large", "small"])
def test_a_call_that_takes_all_in_pieces(kind):
    """Until nothing is left: the worker itself must still be able to say so."""
    with lw.Executor(1, backend="processes", max_memory="100MB") as executor:
        error = executor.submit(hungry.fill, kind).exception(50)
        assert type(error) is MemoryError and "max_memory" in error.__notes__[0]
        if kind == "large":  # with nothing at all left, Python has no room for the traceback either
            assert "in fill" in str(error.__cause__) and "_ceiling.py" not in str(error.__cause__)
        # The same worker, or a fresh one where the heap could not be given back.
        assert executor.submit(hungry.take, 1).result(30)[1] == MB


@linux
@pytest.mark.parametrize("workers", [1, 2])
def test_a_leak_never_costs_an_innocent_call(workers):
    """60 calls that leave 10 MB each behind, 600 MB in all, and each worker may have 150."""
    pids = lw.map(hungry.keep, [10] * 60, backend="processes", max_workers=workers, max_memory="150MB")
    assert len(set(pids)) >= 60 * 10 / 150
    assert all(pids.count(pid) <= 9 for pid in set(pids))
    assert pids.report.lost_workers == 0
    assert any(decision.what == "replaced a worker" for decision in pids.report.decisions)


@linux
def test_a_leak_in_one_call_and_a_hungry_one_behind_it():
    with lw.Executor(1, backend="processes", max_memory=200 * MB) as executor:
        first = executor.submit(hungry.keep, 120)
        second = executor.submit(hungry.take, 120)
        assert second.result(30)[0] != first.result(30)


@linux
def test_what_is_shared_does_not_count():
    assert lw.map(hungry.mapped, [300 * MB], max_memory="100MB") == [300 * MB]


@linux
def test_an_item_larger_than_the_ceiling_kills_no_worker():
    items = [b"x" * 10, b"x" * (150 * MB), b"x" * 20]
    results = lw.map(hungry.large_item, items, backend="processes", max_workers=1, max_memory="100MB", errors="return")
    assert results[0] == 10 and results[2] == 20 and results.report.lost_workers == 0
    assert results[1] == 150 * MB or isinstance(results[1].exception, MemoryError)


@linux
def test_it_can_be_tried_again():
    results = lw.map(hungry.take, [FILL], max_memory="100MB", retries=2, errors="return")
    assert results[0].attempts == 3 and isinstance(results[0].exception, MemoryError)


@linux
def test_an_initializer_may_take_what_it_likes():
    """The ceiling is about calls: what the initializer loaded leaves less room, and is no leak."""
    with lw.Executor(1, backend="processes", max_memory="200MB", initializer=hungry.keep, initargs=(120,)) as executor:
        pids = {executor.submit(hungry.take, 10).result(30)[0] for _ in range(5)}
        assert len(pids) == 1
        assert isinstance(executor.submit(hungry.take, FILL).exception(30), MemoryError)


@pytest.mark.parametrize("backend", ["serial", "threads", "interpreters", "asyncio"])
def test_backends_without_memory_of_their_own_say_so(backend):
    if not lw.backends()[backend]:
        pytest.skip(f"no {backend} here")
    fn = hungry.take
    if backend == "asyncio":

        async def fn(x):
            return x

    with pytest.raises(lw.BackendUnavailable, match="max_memory"):
        lw.map(fn, [1], backend=backend, max_memory="100MB")


@pytest.mark.parametrize(
    ("value", "kind"),
    [("lots", ValueError), ("10MB", ValueError), (-1, ValueError), (1.5e9, TypeError), (True, TypeError)],
)
def test_what_is_no_size_is_refused(value, kind):
    with pytest.raises(kind, match="max_memory"):
        lw.map(hungry.take, [1], max_memory=value)


def test_other_systems_say_that_they_cannot(monkeypatch):
    from lightwork._backends.processes import ProcessBackend
    from lightwork._record import replace

    monkeypatch.setattr(ProcessBackend, "capabilities", replace(ProcessBackend.capabilities, can_limit_memory=False))
    with pytest.raises(lw.BackendUnavailable, match="nothing would hold it"):
        lw.map(hungry.take, [1], backend="processes", max_memory="100MB")
