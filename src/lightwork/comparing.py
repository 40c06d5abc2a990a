"""``compare``: one function over the same items on every backend, timed fairly, and the reason for what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any

from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import NAMES
from lightwork._backends._registry import backend as registry_backend
from lightwork._clock import SystemClock
from lightwork._measuring import Session
from lightwork._options import positive, refuse_unknown
from lightwork._stats import Interval
from lightwork._trace import Progress
from lightwork._verdicts import Measured
from lightwork.mapping import _checked
from lightwork.report.comparison import Comparison
from lightwork.report.rows import Row
from lightwork.report.text import duration

__all__ = ["Comparison", "Interval", "Row", "compare"]


class WrongRequest(ValueError):
    """``compare`` was asked for something that cannot be: no rounds, or a backend that does not exist."""


MOST_ITEMS = 10_000_000
"""Items of an input with a length above which it is refused: every run has all of them, and copies, in memory."""

MOST_DRAWN, PATIENCE = 1_000_000, 10.0
"""Items, and seconds, after which an input without a length is taken for endless."""

OPTIONS = ("backends", "max_workers", "rounds", "progress")


def compare(
    fn: Callable[..., Any],
    *iterables: Iterable[Any],
    backends: Sequence[str] | None = None,
    max_workers: int | None = None,
    rounds: int = 5,
    progress: bool | Callable[[Progress], None] = False,
    **unknown: Any,
) -> Comparison:
    """Runs ``fn`` over the items on each backend and says which is fastest, by how much, and why.

    Every run gets fresh copies of the items (``copy.deepcopy``; items that cannot be copied are used again, and the
    notes say so), so ``fn`` is called ``(rounds + 1) × len(backends)`` times an item. The first run of each backend
    starts everything up, checks that its results equal those of the plain loop, and measures memory; it is shown
    but not counted. The further ``rounds`` go round robin, so that noise strikes all alike. Where they would take
    more than a minute in all there are fewer, down to the first run alone.

    ``backends``: names, by default all that suit ``fn``; those that cannot run here are in the table with the reason.
    ``"serial"`` is a plain loop written in Python, not an engine with one worker. ``max_workers``: for all backends;
    None lets each find its own number. ``progress`` is as for ``map``, and counts runs.

    Returns a Comparison. Raises what ``fn`` raises in the plain loop, and WrongRequest (a ValueError) for
    an unknown backend, or more items than can be gone through several times; TypeError and ValueError for options
    that cannot be. A backend that fails where the plain loop
    does not is no error: its row has the reason.
    """
    _checked("compare", fn, iterables)
    refuse_unknown(unknown, OPTIONS)
    positive("rounds", rounds)
    if max_workers is not None:
        positive("max_workers", max_workers)
    else:
        _check_environment()
    items = finite(*iterables)
    coroutine = is_coroutine_function(fn)
    entries = [_entry(name, coroutine) for name in _names(backends, coroutine)]
    session = Session(
        fn, items, coroutine, max_workers, _listener(progress, sum(not entry.failed for entry in entries), rounds)
    )
    return session.run(entries, rounds)


def finite(*iterables: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The arguments of each call. Raises WrongRequest for endless input, and for more than can be kept in memory."""
    lengths = [length for length in map(_length, iterables) if length is not None]
    if lengths and min(lengths) > MOST_ITEMS:
        raise _too_many(f"{min(lengths):,.0f} items")
    items: list[tuple[Any, ...]] = []
    began = SystemClock.now()
    for item in zip(*iterables, strict=False):
        items.append(item)
        if lengths:
            continue
        if len(items) > MOST_DRAWN or (len(items) % 64 == 0 and SystemClock.now() - began > PATIENCE):
            raise _too_many(f"the input gave {len(items):,} items in {duration(SystemClock.now() - began)} and no end")
    return items


def _length(iterable: Iterable[Any]) -> float | None:
    if not isinstance(iterable, Sized):
        return None
    try:
        return len(iterable)
    except OverflowError:  # a range longer than any list
        return float("inf")


def _too_many(what: str) -> WrongRequest:
    return WrongRequest(
        f"compare runs the function over all items several times, and {what} are too many: give it fewer, "
        "e.g. --items 'range(1000)' or itertools.islice(items, 1000)"
        if what.endswith("items")
        else f"compare runs the function over all items several times, but {what}: give it fewer, "
        "e.g. --items 'range(1000)' or itertools.islice(items, 1000)"
    )


def _check_environment() -> None:
    """Said once, before anything runs, and not as the fault of every backend."""
    text = os.environ.get("LIGHTWORK_MAX_WORKERS")
    if not text:
        return
    try:
        valid = int(text) >= 1
    except ValueError:
        valid = False
    if not valid:
        raise WrongRequest(
            f"the environment variable LIGHTWORK_MAX_WORKERS must be a whole number of at least 1, not {text!r}"
        )


def _names(backends: Sequence[str] | None, coroutine: bool) -> list[str]:
    if backends is None:
        return ["serial", "asyncio"] if coroutine else [name for name in NAMES if name != "asyncio"]
    if isinstance(backends, str):
        backends = [backends]
    names = list(dict.fromkeys(backends))
    if not names:
        raise WrongRequest("backends is empty; leave it out to compare all of them")
    for name in names:
        try:
            registry_backend(name)
        except ValueError as error:
            raise WrongRequest(str(error)) from None
    return names


def _entry(name: str, coroutine: bool) -> Measured:
    if name == "serial":
        return Measured(name, workers=1)
    backend = registry_backend(name)
    reason = backend.unavailable()
    if reason is None and coroutine and not backend.capabilities.coroutines:
        reason = "it cannot await a coroutine function"
    if reason is None and not coroutine and backend.capabilities.coroutines:
        reason = "it awaits coroutine functions (async def), and this is an ordinary one"
    return Measured(name, reason=reason or "")


def _silent(_done: int, _backend: str, _seconds: float, _finished: bool) -> None:
    """Nobody wants to know."""


def _listener(
    progress: bool | Callable[[Progress], None], entries: int, rounds: int
) -> Callable[[int, str, float, bool], None]:
    if progress is False:
        return _silent
    if progress is True:
        from lightwork.report.progress import bar

        progress = bar("compare")
    tell = progress

    def listen(done: int, backend: str, seconds: float, finished: bool) -> None:
        total = done if finished else max(done, entries * (rounds + 1))
        tell(Progress(done, total, 0, seconds, backend, finished))

    return listen
