"""The peers of ``transport.py``: process pools of two workers, each with the settings that are natural to it.

A peer is open and keeps its workers while its context lasts. ``lw.map`` alone has no pool to keep: it starts and ends
its workers in every map, and that counts; but for large arrays, where all peers profit from memory that their workers
have used before: there lightwork's pool is its ``Executor``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

WORKERS = 2

Fn = Callable[[Any], Any]
Map = Callable[[Fn, Sequence[Any]], list[Any]]


@dataclass(frozen=True)
class Peer:
    """An open pool: ``call`` submits one call and waits for it; ``map`` as the peer does it when nothing is said
    about batches; ``each`` with one call a message; ``kept``: a map in workers that stay, where ``map`` ends them."""

    call: Callable[[Fn, Any], Any]
    map: Map
    each: Map
    kept: Map | None = None


@contextmanager
def process_pool_executor() -> Iterator[Peer]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as pool:
        yield Peer(
            call=lambda fn, x: pool.submit(fn, x).result(),
            map=lambda fn, items: list(pool.map(fn, items)),
            each=lambda fn, items: list(pool.map(fn, items, chunksize=1)),
        )


@contextmanager
def multiprocessing_pool() -> Iterator[Peer]:
    from multiprocessing import Pool

    with Pool(WORKERS) as pool:
        yield Peer(
            call=lambda fn, x: pool.apply(fn, (x,)),
            map=lambda fn, items: pool.map(fn, items),
            each=lambda fn, items: pool.map(fn, items, chunksize=1),
        )


@contextmanager
def loky() -> Iterator[Peer]:
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as pool:
        yield Peer(
            call=lambda fn, x: pool.submit(fn, x).result(),
            map=lambda fn, items: list(pool.map(fn, items)),
            each=lambda fn, items: list(pool.map(fn, items, chunksize=1)),
        )


@contextmanager
def joblib() -> Iterator[Peer]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=WORKERS) as pool, Parallel(n_jobs=WORKERS, batch_size=1) as singly:
        yield Peer(
            call=lambda fn, x: pool([delayed(fn)(x)])[0],
            map=lambda fn, items: pool(delayed(fn)(x) for x in items),
            each=lambda fn, items: singly(delayed(fn)(x) for x in items),
        )


@contextmanager
def mpire() -> Iterator[Peer]:
    from mpire import WorkerPool

    with WorkerPool(WORKERS, keep_alive=True) as pool:
        yield Peer(
            call=lambda fn, x: pool.apply(fn, (x,)),
            map=lambda fn, items: pool.map(fn, items, concatenate_numpy_output=False),
            each=lambda fn, items: pool.map(fn, items, concatenate_numpy_output=False, chunk_size=1),
        )


@contextmanager
def pebble() -> Iterator[Peer]:
    from pebble import ProcessPool

    with ProcessPool(WORKERS) as pool:
        yield Peer(
            call=lambda fn, x: pool.schedule(fn, args=(x,)).result(),
            map=lambda fn, items: list(pool.map(fn, items).result()),
            each=lambda fn, items: list(pool.map(fn, items, chunksize=1).result()),
        )


@contextmanager
def lightwork() -> Iterator[Peer]:
    import lightwork as lw

    with ExitStack() as open_ones:

        @functools.cache
        def executor() -> lw.Executor:  # made when used: its workers are not to sit beside those of a map
            return open_ones.enter_context(lw.Executor(WORKERS, backend="processes"))

        yield Peer(
            call=lambda fn, x: executor().submit(fn, x).result(),
            map=lambda fn, items: lw.map(fn, items, backend="processes", max_workers=WORKERS),
            each=lambda fn, items: lw.map(fn, items, backend="processes", max_workers=WORKERS, chunksize=1),
            kept=lambda fn, items: list(executor().map(fn, items)),
        )


@dataclass(frozen=True)
class Entry:
    """A row of the table: its name there, the module that must be importable, how to open it."""

    name: str
    module: str
    open: Callable[[], Any]


PEERS = {
    "ppe": Entry("ProcessPoolExecutor", "concurrent.futures", process_pool_executor),
    "pool": Entry("multiprocessing.Pool", "multiprocessing", multiprocessing_pool),
    "loky": Entry("loky", "loky", loky),
    "joblib": Entry("joblib", "joblib", joblib),
    "mpire": Entry("mpire", "mpire", mpire),
    "pebble": Entry("pebble", "pebble", pebble),
    "lightwork": Entry("lightwork", "lightwork", lightwork),
}
