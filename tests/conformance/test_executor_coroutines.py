"""How many coroutines of an executor run at a time."""

from __future__ import annotations

import asyncio

import pytest

import lightwork as lw


@pytest.mark.timeout(60)
def test_no_more_coroutines_than_max_workers_run_though_others_stand_still():
    running = most = 0
    over = asyncio.Event()

    async def call(waits):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if waits:
            await asyncio.wait([asyncio.ensure_future(over.wait())], timeout=2.5)
        running -= 1

    executor = lw.Executor(2, backend="asyncio")
    waits = [False] * 100 + [True] + [False] * 100 + [True] * 3 + [False] * 200 + [True] * 2
    for future in [executor.submit(call, each) for each in waits]:
        future.result(40)
    executor.shutdown()
    assert most == 2
