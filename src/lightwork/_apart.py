"""Whether calls may change what each is given beside the others: whether a way leads from there to another call's.

In a plain loop a call sees what those before it have done, if it comes upon that: through an item that holds another
one, memory that two arrays share, a table that the function knows. Only where it certainly does not are such calls made
by several threads.
"""

from __future__ import annotations

import re
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

from lightwork._by_code import MAINS
from lightwork._bytecode import decode
from lightwork._captured import LIBRARY, held, names
from lightwork._effects import own_file
from lightwork._fingerprint import immutable
from lightwork._lean import deque, partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

MOST = 100_000
"""Things that items consist of, at most: looking at each takes 0.1 µs."""

_VALUES = frozenset(
    {
        *(("datetime", name) for name in ("date", "time", "datetime", "timedelta")),
        *(("pathlib", "PosixPath"), ("pathlib._local", "PosixPath"), ("uuid", "UUID")),
        *(("decimal", "Decimal"), ("fractions", "Fraction")),
    }
)
"""Types of the standard library's whose values nobody changes."""

_SEQUENCES = (list, set, deque)
_FROZEN = (tuple, frozenset)
_EVERYWHERE = frozenset({"sys", "gc", "inspect", "importlib", "builtins"})
"""Modules from which ways lead to all others."""
_ANYWHERE = frozenset({"globals", "locals", "vars", "eval", "exec", "compile", "__import__"})
"""The same of builtins."""


def alone(fn: Callable[..., Any], items: Sequence[Any]) -> bool:
    """Whether items are plain data, of which no two have any in common, and ``fn`` brings nothing along that could
    lead to another call's."""
    try:
        return _brings_nothing(fn) and _are_strangers(items)
    except RuntimeError:  # a call that is running has just changed the one that is looked at
        return False


def _brings_nothing(fn: Callable[..., Any]) -> bool:
    """Whether nothing that ``fn`` or a function of its own names, holds or imports leads anywhere."""
    left: list[Any] = [fn]
    seen: set[int] = set()
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is FunctionType:
            left += (*(part for _, part in held(value)), *vars(value).values())
            if not value.__code__.co_filename.startswith(LIBRARY):
                left += (*_named(value.__code__, value.__globals__), *_imported(value.__code__))
        elif type(value) is partial:
            left += (value.func, *value.args, *value.keywords.values(), *vars(value).values())
        elif not _leads_nowhere(value):
            return False
    return True


def _named(code: CodeType, known: dict[str, Any]) -> Iterator[Any]:
    """What code finds by its names among those that are ``known``; ``NotImplemented`` for what it may find anywhere."""
    builtins = known.get("__builtins__", {})
    builtins = builtins if isinstance(builtins, dict) else vars(builtins)
    for name in names(code):
        if name in known:
            yield known[name]
        elif name in builtins:
            yield NotImplemented if name in _ANYWHERE else builtins[name]


def _imported(code: CodeType) -> Iterator[Any]:
    """The modules that it imports; ``NotImplemented`` for those that nobody has loaded yet."""
    for step in decode(code).steps:
        if step.op == "IMPORT_NAME":
            yield sys.modules.get(code.co_names[step.arg], NotImplemented)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _imported(constant)


def _leads_nowhere(value: Any) -> bool:
    kind = type(value)
    if kind is BuiltinFunctionType:
        return value.__self__ is None or type(value.__self__) is ModuleType
    if kind in _FROZEN:
        return all(_is_value(part) for part in value)
    if kind is ModuleType:
        return value.__name__.partition(".")[0] not in _EVERYWHERE and not _is_own(value.__name__)
    if issubclass(kind, type):
        return not _is_own(value.__module__)
    return _is_value(value) or kind is re.Pattern or kind is range


def _is_own(module: str) -> bool:
    """Whether a module is the user's own: it, or its classes, may know a table of all items."""
    return module in MAINS or own_file(getattr(sys.modules.get(module), "__file__", None) or "")


def _is_value(thing: Any) -> bool:
    return immutable(thing) or (type(thing).__module__, type(thing).__qualname__) in _VALUES


def _are_strangers(items: Sequence[Any]) -> bool:
    seen: set[int] = set()
    left, looked = [*reversed(items)], 0  # those first whose calls are soon made
    array = getattr(sys.modules.get("numpy"), "ndarray", None)
    while left:
        thing = left.pop()
        kind = type(thing)
        looked += 1
        if looked > MOST:
            return False
        if _is_value(thing):
            continue
        if kind in _FROZEN:
            left += thing
            continue
        if id(thing) in seen:
            return False
        seen.add(id(thing))
        if kind in _SEQUENCES:
            left += thing
        elif kind is dict:
            left += thing
            left += thing.values()
        elif kind is array:
            if thing.base is not None or thing.dtype.hasobject:
                return False
        elif kind is not bytearray:
            return False
    return True
