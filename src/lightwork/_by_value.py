"""Pickling by value: what has no importable name, or a name that means something else in another process.

cloudpickle does this; two things are added. Functions that a caller sends to one worker in several pickles share one
set of globals there, as they do in the caller: what an initializer or an earlier call has put into a global is seen by
the next function. And functions behind ``functools.lru_cache`` travel, each with an empty cache.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

Key = tuple[str, int]
"""A caller's module, and which globals in it: the identity of the dict, since code may be run in dicts of its own."""

_IMMUTABLE = (FunctionType, type, ModuleType, int, float, complex, str, bytes, tuple, frozenset, type(None))

_globals: dict[Key, dict[str, Any]] = {}
_sent: dict[Key, dict[str, Any]] = {}
"""Of a worker: the globals that its functions share, and what of them came from the caller."""


def dumps(
    value: Any,
    buffer_callback: Callable[[pickle.PickleBuffer], Any],
    shared: bool,
    reducers: dict[type, Callable[[Any], Any]],
) -> bytes:
    """``value`` by value. ``shared``: for a worker, where functions join the globals of those sent before.

    ``reducers``: how things of these very types are pickled.
    """
    file = io.BytesIO()
    pickler = _classes()[shared](file, protocol=5, buffer_callback=buffer_callback)
    pickler.reducers = reducers
    pickler.dump(value)
    return file.getvalue()


@cache
def _classes() -> tuple[Any, Any]:
    import cloudpickle

    class Own(cloudpickle.Pickler):  # type: ignore[misc]
        """Functions with globals of their own."""

        reducers: dict[type, Callable[[Any], Any]] = {}  # noqa: RUF012 - each pickler gets its own

        def reducer_override(self, thing: Any) -> Any:
            if self.reducers and (reducer := self.reducers.get(type(thing))) is not None:
                reduced = reducer(thing)
                if reduced is not NotImplemented:
                    return reduced
            if type(thing) is functools._lru_cache_wrapper and not _importable(thing):
                return _cached, (thing.__wrapped__, thing.cache_parameters())
            return super().reducer_override(thing)

    class Shared(Own):
        """Functions with the globals of their module."""

        def reducer_override(self, thing: Any) -> Any:
            reduced = super().reducer_override(thing)
            if type(thing) is FunctionType and isinstance(reduced, tuple) and len(reduced) == 6:
                key = (str(thing.__module__), id(thing.__globals__))
                maker, arguments, state, _, _, setter = reduced
                return _make, (key, maker, *arguments), (key, setter, state), None, None, _set
            return reduced

    return Own, Shared


def _importable(thing: Any) -> bool:
    """Whether a name leads to this very thing in every process."""
    if thing.__module__ == "__main__" or "<" in thing.__qualname__:
        return False
    found: Any = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is thing


# in the worker


def _make(key: Key, maker: Callable[..., Any], code: Any, own: dict[str, Any], *rest: Any) -> Any:
    return maker(code, _globals.setdefault(key, own), *rest)


def _set(function: Any, packed: tuple[Key, Callable[..., Any], Any]) -> None:
    key, setter, (state, slots) = packed
    sent = _sent.setdefault(key, {})
    fresh = {name: value for name, value in slots["__globals__"].items() if _is_due(function, sent, name)}
    sent.update(fresh)
    setter(function, (state, {**slots, "__globals__": fresh}))


def _is_due(function: Any, sent: dict[str, Any], name: str) -> bool:
    """Whether a global takes the value that came with this function.

    Not where a call has bound it anew or may have changed it: that is what the functions share it for. A helper that
    the caller has defined again, or a number, is taken as it is now.
    """
    here = function.__globals__
    if name not in here:
        return True
    return name in sent and here[name] is sent[name] and isinstance(here[name], _IMMUTABLE)


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)
