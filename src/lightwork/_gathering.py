"""How ``gather`` starts all its callables at once: one worker for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from lightwork._backends._registry import backend
from lightwork._backends.base import Backend
from lightwork._options import is_coroutine_function, settle
from lightwork.errors import BackendUnavailable


def call(fn: Callable[[], Any]) -> Any:
    """Calls ``fn``; a coroutine function among ordinary ones gets an event loop of its own."""
    if is_coroutine_function(fn):
        return asyncio.run(fn())
    return fn()


async def acall(fn: Callable[[], Any]) -> Any:
    """Awaits ``fn``."""
    return await fn()


def how(callables: Sequence[Any], options: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function to map over the callables, and the options with which all start at once."""
    for position, fn in enumerate(callables):
        if not callable(fn):
            hint = " (a coroutine: give the coroutine function itself)" if asyncio.iscoroutine(fn) else ""
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
    return (acall if can.coroutines else call), {**options, "max_workers": max(count, 1), "chunksize": 1}
