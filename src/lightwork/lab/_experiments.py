"""All experiments, in the lesson's order."""

from __future__ import annotations

from itertools import chain

from lightwork.lab import (
    beyond,
    counting,
    lock_cost,
    locks,
    memory,
    messages,
    pools,
    starting,
    switching,
    waiting,
)
from lightwork.lab._values import Experiment

LESSON = (
    "log",
    "io-serial",
    "io-threads",
    "cpu-serial",
    "cpu-threads",
    "cpu-processes",
    "overlap",
    "switching",
    "one-core",
    "namespace",
    "clone",
    "queue",
    "pipe",
    "shared-memory",
    "start-cost",
    "race",
    "lock",
    "home-made",
    "lock-cost",
)
"""The keys of the claims that the lesson makes, in its order."""

BEYOND = (
    "gil-release",
    "interpreters",
    "free-threading",
    "coroutines",
    "beyond-cores",
    "batching",
    "pool-loses",
)
"""The keys of what the lesson leaves out."""


def experiments() -> dict[str, Experiment]:
    """Every experiment by its key: the lesson's claims first, in its order, then what lies beyond."""
    modules = (waiting, counting, switching, memory, messages, starting, locks, lock_cost, beyond, pools)
    found = {experiment.key: experiment for experiment in chain(*(module.EXPERIMENTS for module in modules))}
    return {key: found[key] for key in (*LESSON, *BEYOND)}
