"""The strategies of ``regret.py``: fixed choices and adaptive ones. Each runs a job as its users would write it.

Imports stand inside, and what is timed begins after them: a strategy pays for its pool, not for the program's imports.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regret_jobs import Work

    Run = Callable[[Work], list[Any]]

LOOP, OURS = "loop", "lightwork"


def loop() -> Run:
    return lambda work: [work.fn(item) for item in work.items]


def threads(workers: int) -> Run:
    from concurrent.futures import ThreadPoolExecutor

    def run(work: Work) -> list[Any]:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work.fn, work.items))

    return run


def pool(chunksize: int | None) -> Run:
    from multiprocessing import get_context

    def run(work: Work) -> list[Any]:
        with get_context("fork").Pool(initializer=work.prepare, initargs=(work.shared(),)) as processes:
            return list(processes.imap(work.fn, work.items)) if chunksize else processes.map(work.fn, work.items)

    return run


def process_pool_executor() -> Run:
    from concurrent.futures import ProcessPoolExecutor

    def run(work: Work) -> list[Any]:
        with ProcessPoolExecutor(initializer=work.prepare, initargs=(work.shared(),)) as executor:
            return list(executor.map(work.fn, work.items))

    return run


def joblib() -> Run:
    from joblib import Parallel, delayed

    def run(work: Work) -> list[Any]:
        if work.prepare is not None:
            raise ValueError("its workers take no lock")
        return list(Parallel(n_jobs=-1)(delayed(work.fn)(item) for item in work.items))

    return run


def betapool() -> Run:
    from betapool import AdaptiveThreadPoolExecutor

    def run(work: Work) -> list[Any]:
        with AdaptiveThreadPoolExecutor() as executor:
            return [future.result() for future in [executor.submit(work.fn, item) for item in work.items]]

    return run


def lightwork() -> Run:
    from lightwork import map as lw_map  # what comes with the name is imported when it is first asked for

    return lambda work: lw_map(work.fn, work.items)


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
