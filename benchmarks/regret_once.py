"""One job by one strategy in this fresh interpreter: prints "ready", then "done", and then one line of JSON.

    python benchmarks/regret_once.py JOB STRATEGY SCALE

Seconds are from the strategy's start, its pool not yet there, to its end, with the pool closed. Imports and the job's
own preparation come before. ``value`` is a digest of the results and of what the job left behind.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any


def digest(things: list[Any]) -> str:
    """Equal for equal results, whoever made them."""
    found = hashlib.sha256()
    for thing in things:
        found.update(thing.tobytes() if hasattr(thing, "tobytes") else repr(thing).encode())
    return found.hexdigest()


def main(job: str, strategy: str, scale: float) -> None:
    from regret_jobs import load
    from regret_strategies import OURS, STRATEGIES

    with load()[job](scale) as work:
        run = STRATEGIES[strategy]()
        print("ready", flush=True)
        began = time.perf_counter()
        results = run(work)
        took = time.perf_counter() - began
        print("done", flush=True)  # the digest of millions of results takes longer than to compute them
        value = digest([*results, work.state()])
        told = {"seconds": took, "value": value, "calls": len(results)}
        if strategy == OURS:
            told["picked"] = f"{results.report.backend} × {results.report.workers}"
            told["decisions"] = [f"{d.at * 1e3:.0f} ms: {d.what}: {d.why}" for d in results.report.decisions]
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
