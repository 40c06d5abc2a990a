"""``lw.gather``: different functions side by side."""

from __future__ import annotations

import functools
import threading

import pytest

import lightwork as lw


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_all_start_at_once(backend):
    barrier = threading.Barrier(12, timeout=20)
    assert sorted(lw.gather(*[lambda: barrier.wait()] * 12, backend=backend)) == list(range(12))


def test_results_are_in_order():
    assert lw.gather(lambda: 1, functools.partial(max, [3, 2]), str) == [1, 3, ""]
    assert lw.gather() == []


def test_coroutine_functions_share_a_loop():
    import asyncio

    async def main_loop():
        return id(asyncio.get_running_loop())

    assert len(set(lw.gather(main_loop, main_loop))) == 1


def test_mixed():
    async def later():
        return "later"

    assert lw.gather(later, lambda: "now") == ["later", "now"]


def test_processes():
    import os

    pids = lw.gather(os.getpid, os.getpid, backend="processes")
    assert os.getpid() not in pids


def test_what_cannot_start_at_once_says_so():
    with pytest.raises(lw.BackendUnavailable, match="at once"):
        lw.gather(str, str, backend="serial")
    with pytest.raises(lw.BackendUnavailable, match="max_workers=1"):
        lw.gather(str, str, max_workers=1)


def test_bad_callables():
    with pytest.raises(TypeError, match=r"lw\.gather\(\*callables\)"):
        lw.gather([int, str])
    with pytest.raises(TypeError, match="argument 2"):
        lw.gather(str, 5)
    with pytest.raises(TypeError, match="chunksize"):
        lw.gather(str, chunksize=2)


def test_failures():
    with pytest.raises(ZeroDivisionError):
        lw.gather(str, lambda: 1 // 0)
    results = lw.gather(str, lambda: 1 // 0, errors="return")
    assert results[0] == "" and isinstance(results[1], lw.Failure)
