"""How ``gather`` starts all its callables at once: one worker for each.

Where nobody names a backend each has a thread. Those that are known to compute have their threads wait for a process
each: all start at once, and the ones that wait do so beside the ones that compute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from lightwork import _context
from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import backend
from lightwork._backends.base import Backend
from lightwork._options import settle
from lightwork._record import replace
from lightwork._routing import routes
from lightwork._trace import Decision
from lightwork.errors import BackendUnavailable, Failure, UnpicklableError

if TYPE_CHECKING:
    from lightwork._report import Report
    from lightwork.executor import Executor


def call(fn: Callable[[], Any]) -> Any:
    """Calls ``fn``; a coroutine function among ordinary ones gets an event loop of its own."""
    if is_coroutine_function(fn):
        return asyncio.run(fn())
    return fn()


async def acall(fn: Callable[[], Any]) -> Any:
    """Awaits ``fn``."""
    return await fn()


def elsewhere(executor: Executor, fn: Callable[[], Any]) -> Any:
    """Calls ``fn`` in a process; here where it cannot travel."""
    try:
        return executor.submit(fn).result()
    except UnpicklableError as error:
        if error.begun:
            raise
        routes.stay(fn)
        return fn()


@contextmanager
def routed(callables: Sequence[Callable[[], Any]], auto: bool) -> Iterator[tuple[list[Any], list[int]]]:
    """The callables as threads are to call them, and which of them are made in processes, by place.

    ``auto``: that is for lightwork to say.
    """
    places = [place for place, fn in enumerate(callables) if auto and routes.compute(fn)]
    if not places:
        yield list(callables), places
        return
    from lightwork.executor import Executor

    executor = Executor(len(places), backend="processes")
    try:
        yield [partial(elsewhere, executor, fn) if n in places else fn for n, fn in enumerate(callables)], places
    except BaseException:
        executor.kill_workers()
        raise
    finally:
        executor.shutdown()


def told(report: Report, places: Sequence[int]) -> Report:
    """The report, with those that were made in processes."""
    if not places:
        return report
    what = f"made {len(places)} of {report.calls} calls in processes"
    why = "earlier calls of these functions computed, and threads take turns for the GIL"
    return replace(report, decisions=(Decision(0.0, what, why), *report.decisions))


def learn(callables: Sequence[Callable[[], Any]], results: Sequence[Any], report: Report) -> None:
    """What threads have shown of the callables: the next ``gather`` knows which of them compute."""
    spans = [span for span in report.spans if span.backend == "threads" and span.calls == 1]
    for span in spans:
        value = results[span.first]
        if not isinstance(value, Failure):
            routes.saw_in_thread(callables[span.first], span.seconds, span.cpu, len(spans), (), value)


def how(callables: Sequence[Any], options: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any], bool]:
    """The function to map over the callables, the options with which all start at once, and whether each of them may be
    made where it is best: in threads by default, with nothing asked for that threads do otherwise than processes."""
    for position, fn in enumerate(callables):
        if not callable(fn):
            hint = " (a coroutine: give the coroutine function itself)" if asyncio.iscoroutine(fn) else ""
            if isinstance(fn, Iterable) and len(callables) == 1:
                hint = " (the callables one by one: lw.gather(*callables))"
            raise TypeError(f"argument {position + 1} of lw.gather must be callable, not {fn!r}{hint}")
    if "chunksize" in options:
        raise TypeError("lw.gather has no chunksize: every callable starts at once")
    settings = settle(options)
    asynchronous = bool(callables) and all(is_coroutine_function(fn) for fn in callables)
    name = settings.backend
    if isinstance(name, Backend):
        can, name = name.capabilities, name.name
    else:
        if isinstance(name, tuple) or name == "auto":
            allowed = name if isinstance(name, tuple) else ("asyncio", "threads", "processes")
            terms = settings.terms
            timed = terms.call_timeout is not None and not asynchronous
            if settings.isolate or timed or not (terms.max_memory is settings.stall_timeout is None):
                allowed = tuple(n for n in allowed if backend(n).capabilities.can_kill) or ("processes",)
            elif asynchronous and "asyncio" in allowed:
                allowed = ("asyncio",)
            name = next((n for n in allowed if n not in ("asyncio", "serial") or asynchronous), "threads")
        can = backend(name).capabilities
        options = {**options, "backend": name}
    count = len(callables)
    if can.in_caller and count > 1:
        raise BackendUnavailable(f"the {name!r} backend cannot start {count} callables at once; 'threads' can")
    asked = options.get("max_workers")
    if asked is not None and asked < count:
        raise BackendUnavailable(
            f"lw.gather starts all its callables at once: {count} need as many workers, max_workers={asked} forbids it"
        )
    free = settings.backend == "auto" and name == "threads" and options.get("seed") is None and not _context.depth()
    return (acall if can.coroutines else call), {**options, "max_workers": max(count, 1), "chunksize": 1}, free
