"""What the standard library makes of other things, by value: of functions its decorators, in which cloudpickle meets a
lock, weak references or a generator; of types ``ctypes``, whose arrays have no methods of their own to be sent."""

from __future__ import annotations

import functools
import operator
from contextlib import _AsyncGeneratorContextManager, _GeneratorContextManager
from types import CodeType, FunctionType
from typing import Any

from lightwork._by_code import importable
from lightwork._loaded import loaded

_dispatcher: CodeType = functools.singledispatch(len).__code__  # type: ignore[attr-defined]


def reduced(thing: Any) -> Any:
    """How it is pickled; NotImplemented for what is none of them."""
    kind = type(thing)
    if kind is functools.cached_property:
        return _property, (thing.func, thing.attrname)
    if kind is FunctionType and thing.__code__ is _dispatcher and not importable(thing):
        known = [*thing.registry.items()]
        own: dict[str, Any] = {
            name: getattr(thing, name) for name in functools.WRAPPER_ASSIGNMENTS if hasattr(thing, name)
        }
        own["__wrapped__"] = thing.__wrapped__
        return _dispatching, (thing.__name__,), (known, own), None, None, _register
    if kind in (_GeneratorContextManager, _AsyncGeneratorContextManager) and hasattr(thing, "func"):  # not yet entered
        return kind, (thing.func, thing.args, thing.kwds)
    if isinstance(thing, type) and _is_array_type(thing) and not importable(thing):
        return operator.mul, (thing._type_, thing._length_)  # type: ignore[attr-defined]
    return NotImplemented


def _is_array_type(kind: type) -> bool:
    """Whether it is what ``ctypes.c_int * 4`` makes."""
    array = loaded("_ctypes", "Array")
    return array is not None and kind.__bases__ == (array,)


def _property(function: Any, name: str | None) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _dispatching(name: str) -> Any:
    """``functools.singledispatch`` of nothing yet: what it leads to may call it."""

    def unknown(*_: Any) -> None: ...

    unknown.__name__ = name
    return functools.singledispatch(unknown)


def _register(dispatching: Any, packed: tuple[list[tuple[type, Any]], dict[str, Any]]) -> None:
    known, own = packed
    for kind, function in known:
        dispatching.register(kind, function)
    for name, value in own.items():
        setattr(dispatching, name, value)
