"""Promise 9: nested maps with BLAS inside: at no moment more of its threads than cores, in every backend."""

from __future__ import annotations

import os

import pytest

import lightwork as lw
from lightwork import _library_threads
from lightwork._machine import usable_cores
from tests.promises import jobs

pytest.importorskip("numpy")
pytest.importorskip("threadpoolctl")

CORES = usable_cores()
BACKENDS = ["serial", "threads", "processes", "asyncio"]
"""NumPy refuses sub-interpreters: there is no BLAS inside of those."""


@pytest.fixture(autouse=True)
def nothing_set_by_the_user(monkeypatch):
    for name in _library_threads.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def counted():
    """Threads of BLAS now, and at most."""
    return lw.Lock(), lw.share(bytes(16), writable=True).cast("q")


def most(counted):
    return counted[1][1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map(counted, backend):
    fn = jobs.multiply_in_a_coroutine if backend == "asyncio" else jobs.multiply
    lw.starmap(fn, [counted] * 6, backend=backend, max_workers=CORES)
    assert 1 <= most(counted) <= CORES


@pytest.mark.parametrize("inner", BACKENDS)
@pytest.mark.parametrize("outer", BACKENDS)
def test_a_map_within_a_map(counted, outer, inner):
    fn = jobs.multiply_nested_in_a_coroutine if outer == "asyncio" else jobs.multiply_nested
    totals = lw.starmap(fn, [(inner, counted)] * CORES, backend=outer, max_workers=CORES)
    assert totals == [CORES] * CORES
    assert 1 <= most(counted) <= CORES


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_one_worker_has_all_cores(counted, backend):
    lw.starmap(jobs.multiply, [counted] * 2, backend=backend, max_workers=1)
    assert most(counted) == CORES


def test_what_the_user_set_wins(counted):
    from threadpoolctl import threadpool_limits

    threads = max(CORES, os.cpu_count() or 1) + 1  # as many as no library has by itself
    with threadpool_limits(threads):
        lw.starmap(jobs.multiply, [counted], backend="threads", max_workers=1)
    assert most(counted) == threads
