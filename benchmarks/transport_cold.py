"""Seconds from before a peer's import until its first result, in this fresh interpreter, as one line of JSON.

``transport.py`` starts it. The function is importable, or one of ``__main__``, which workers that are not forks of
this process can only be sent by value:

    python benchmarks/transport_cold.py PEER importable|value
"""

import sys
import time

from transport_calls import noop


def here(item: object) -> object:
    """As ``noop``, but of ``__main__``."""
    return item


def first_result(peer: str, fn: object) -> float:
    """Seconds until ``peer`` has given the result of one call. Nothing of it is imported yet."""
    began = time.perf_counter()
    if peer == "ppe":
        from concurrent.futures import ProcessPoolExecutor

        pool = ProcessPoolExecutor(2)
        result = pool.submit(fn, 1).result()
    elif peer == "pool":
        from multiprocessing import Pool

        pool = Pool(2)
        result = pool.apply(fn, (1,))
    elif peer == "loky":
        from loky import ProcessPoolExecutor

        pool = ProcessPoolExecutor(2)
        result = pool.submit(fn, 1).result()
    elif peer == "joblib":
        from joblib import Parallel, delayed

        pool = None
        [result] = Parallel(n_jobs=2)([delayed(fn)(1)])
    elif peer == "mpire":
        from mpire import WorkerPool

        pool = WorkerPool(2)
        result = pool.apply(fn, (1,))
    elif peer == "pebble":
        from pebble import ProcessPool

        pool = ProcessPool(2)
        result = pool.schedule(fn, args=(1,)).result()
    elif peer == "lightwork":
        import lightwork as lw

        pool = None
        [result] = lw.map(fn, [1], backend="processes", max_workers=2)
    elif peer == "executor":
        import lightwork as lw

        pool = lw.Executor(2, backend="processes")
        result = pool.submit(fn, 1).result()
    else:
        raise ValueError(f"no peer is named {peer!r}")
    took = time.perf_counter() - began
    if result != 1:
        raise RuntimeError("wrong result")
    for ending in ("shutdown", "close", "join"):  # whichever the pool has, in this order
        if hasattr(pool, ending):
            getattr(pool, ending)()
    return took


if __name__ == "__main__":
    print(f'{{"value": {first_result(sys.argv[1], noop if sys.argv[2] == "importable" else here)}}}', flush=True)
