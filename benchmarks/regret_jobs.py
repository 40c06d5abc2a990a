"""The jobs of ``regret.py`` by name. A job is made fresh in each interpreter: what it needs is set up, then it is run.

Sizes are for ``scale`` 1: most take between a third of a second and two seconds in a plain loop, some less. ``scale``
makes jobs longer or shorter by the number of their items, so that a call stays what it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

JOBS: dict[str, Callable[[float], contextlib.AbstractContextManager[Work]]] = {}


@dataclass
class Work:
    """One job, ready to be run: ``fn`` for each of ``items``. ``state``: what else it leaves behind, to be compared.
    ``prepare``: what each worker process is to call first, with ``shared()``, for the calls to do there what they do in
    threads: a lock of a module is else one for each process."""

    fn: Callable[[Any], Any]
    items: Iterable[Any]
    state: Callable[[], Any] = lambda: None
    prepare: Callable[[Any], None] | None = None
    shared: Callable[[], Any] = lambda: None


def job(make: Callable[[float], Any]) -> Callable[[float], Any]:
    """Registers a job under its function's name. ``make`` returns a ``Work`` or, as a generator, yields one and then
    clears up."""

    @contextlib.contextmanager
    def ready(scale: float) -> Any:
        made = make(scale)
        if isinstance(made, Work):
            yield made
        else:
            yield from made

    JOBS[make.__name__.strip("_").replace("_", "-")] = ready
    return make


def count(number: float, scale: float) -> int:
    """So many items, at least one."""
    return max(1, round(number * scale))


def load() -> dict[str, Callable[[float], contextlib.AbstractContextManager[Work]]]:
    """All jobs; their modules import nothing heavy before a job is made."""
    import regret_computing
    import regret_uneven
    import regret_waiting

    assert regret_computing and regret_uneven and regret_waiting
    return JOBS
