"""The strategies of ``regret.py``: fixed choices and adaptive ones. Each runs a job as its users would write it.

Imports stand inside, and what is timed begins after them: a strategy pays for its pool, not for the program's imports.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

Fn = Callable[[Any], Any]
Run = Callable[[Fn, Iterable[Any]], list[Any]]

LOOP, OURS = "loop", "lightwork"


def loop() -> Run:
    return lambda fn, items: [fn(item) for item in items]


def threads(workers: int) -> Run:
    from concurrent.futures import ThreadPoolExecutor

    def run(fn: Fn, items: Iterable[Any]) -> list[Any]:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(fn, items))

    return run


def pool(chunksize: int | None) -> Run:
    from multiprocessing import get_context

    def run(fn: Fn, items: Iterable[Any]) -> list[Any]:
        with get_context("fork").Pool() as processes:
            return list(processes.imap(fn, items)) if chunksize else processes.map(fn, items)

    return run


def process_pool_executor() -> Run:
    from concurrent.futures import ProcessPoolExecutor

    def run(fn: Fn, items: Iterable[Any]) -> list[Any]:
        with ProcessPoolExecutor() as executor:
            return list(executor.map(fn, items))

    return run


def joblib() -> Run:
    from joblib import Parallel, delayed

    return lambda fn, items: Parallel(n_jobs=-1)(delayed(fn)(item) for item in items)


def betapool() -> Run:
    from betapool import AdaptiveThreadPoolExecutor

    def run(fn: Fn, items: Iterable[Any]) -> list[Any]:
        with AdaptiveThreadPoolExecutor() as executor:
            return [future.result() for future in [executor.submit(fn, item) for item in items]]

    return run


def lightwork() -> Run:
    import lightwork as lw

    return lw.map


STRATEGIES: dict[str, Callable[[], Run]] = {
    OURS: lightwork,
    LOOP: loop,
    "threads-2": functools.partial(threads, 2),
    "threads-8": functools.partial(threads, 8),
    "threads-32": functools.partial(threads, 32),
    "threads-128": functools.partial(threads, 128),
    "pool-static": functools.partial(pool, None),
    "pool-dynamic": functools.partial(pool, 1),
    "ppe": process_pool_executor,
    "joblib": joblib,
    "betapool": betapool,
}
ADAPTIVE = (OURS, "betapool")
"""Those that choose while they run: they are judged, and no part of the best fixed choice."""


def missing() -> list[str]:
    """Strategies whose package is not installed here."""
    from importlib.util import find_spec

    return [name for name in ("joblib", "betapool") if find_spec(name) is None]
