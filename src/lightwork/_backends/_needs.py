"""What a function takes that a starter can import once, for all workers: found out while that boots."""

from __future__ import annotations

import os
import sys

from lightwork._backends._messages import IMPORTED
from lightwork._by_code import MAINS
from lightwork._lean import partial, suppress
from lightwork._loaded import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any

    from lightwork._backends._stock import Stock

_MOST_NAMES = 2000
"""In modules that are searched for what they import: half a millisecond."""

_MOST_ITEMS = 8
"""Of a tuple, whose types are looked at."""

_FUNCTION, _MODULE, _CODE = type(lambda: None), type(os), type((lambda: None).__code__)


def needs(fn: object, sample: object = None) -> tuple[list[str], Stock | None]:
    """Modules that workers for ``fn`` will import, and what is to be stocked for them. ``sample``: what calls get, or
    contains that."""
    fn = _unwrapped(fn)
    modules = [name for name in IMPORTED.values() if name in sys.modules]
    if _by_value(fn) and _is_more_than_code(fn):
        modules.append("cloudpickle")  # which takes long to import
    alone = _alone(fn)
    return [*modules, *_of_the_library(fn, alone)], to_stock(fn, sample, alone)


def to_stock(fn: object, sample: object = None, alone: set[Any] | None = None) -> Stock | None:
    """What is to be stocked for ``fn``; None where it does not take it, or that may not be. ``alone``: as ``_alone``
    says, where it was asked already."""
    if "numpy" not in sys.modules:
        return None
    from lightwork._backends._stock import TAKE_IT, stock

    roots = (name.partition(".")[0] for name in _led_to(_unwrapped(fn), sample, alone))
    return stock() if any(root in TAKE_IT for root in roots) else None


def _unwrapped(fn: object) -> object:
    while type(fn) is partial:
        fn = fn.func
    return fn


def _by_value(fn: object) -> bool:
    return getattr(fn, "__module__", None) in MAINS or "<" in getattr(fn, "__qualname__", "")


def _is_more_than_code(fn: object) -> bool:
    """Whether ``fn``, which is sent by value, will most likely take cloudpickle: for classes, and what is of them."""
    around = getattr(fn, "__globals__", {})
    values = [] if around.get("__name__") not in MAINS else list(around.values())
    for cell in getattr(fn, "__closure__", None) or ():
        with suppress(ValueError):
            values.append(cell.cell_contents)
    # Not ``isinstance``: to ask a proxy, as of settings that nobody has made yet, for its class is to have it made.
    kinds = [value if issubclass(type(value), type) else type(value) for value in values]
    return not hasattr(fn, "__code__") or any(
        kind.__module__ in MAINS or "<" in getattr(kind, "__qualname__", "") for kind in kinds
    )


def _of_the_library(fn: object, alone: set[Any]) -> list[str]:
    """Modules of the standard library that a worker will import on the way to ``fn``: those that its own module, or,
    where it is sent by value, that it itself names, and those that the other modules named there name. The starter
    imports them once, for all, and may: they start no threads. Others might."""
    if alone:
        from lightwork._standing_alone import plain_modules

        return plain_modules(alone)
    home = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib takes 8 ms to import, which every start would pay
    found = []
    for name in _named(_names(fn)):
        file = loaded(name, "__file__")
        if _is_standard(name) and file is not None and file.startswith(home):  # no file of the caller's of that name
            found.append(name)
    return found


def _led_to(fn: object, sample: object, alone: set[Any] | None) -> Iterator[str]:
    """Modules of which something comes with an item like ``sample``, or on the way to ``fn``, or in its calls."""
    yield from _kinds(sample)
    for code in _nested(getattr(fn, "__code__", None)):
        yield from code.co_names  # what it imports itself is among these
    if not (_alone(fn) if alone is None else alone):
        yield from _named(_names(fn))


def _kinds(thing: object, depth: int = 3) -> Iterator[str]:
    """The modules of the types of a thing and of what it contains; lists contain one kind."""
    yield type(thing).__module__
    if depth and type(thing) in (list, tuple):
        for each in thing[: 1 if type(thing) is list else _MOST_ITEMS]:  # type: ignore[index]
            yield from _kinds(each, depth - 1)


def _alone(fn: object) -> set[Any]:
    """The functions that go where only ``fn`` goes, without its module; none where that goes, too."""
    if _by_value(fn) or not hasattr(fn, "__globals__"):
        return set()
    from lightwork._standing_alone import standing_alone

    return standing_alone(fn)


def _names(fn: object) -> dict[str, Any]:
    """What a worker will have under a name on the way to ``fn``: all that is in its module, or, where it is sent by
    value, what it uses of that, and the functions do that it uses."""
    everything: dict[str, Any] | None = getattr(fn, "__globals__", None)
    if everything is None:  # an object that can be called
        kind = type(fn).__module__
        return {} if kind == "builtins" else loaded(kind, "__dict__", {})
    if not _by_value(fn):
        return everything
    used: dict[str, Any] = {}
    for number, cell in enumerate(getattr(fn, "__closure__", None) or ()):
        with suppress(ValueError):  # it is empty yet
            used[f"cell {number}"] = cell.cell_contents
    ahead = list(_nested(getattr(fn, "__code__", None)))
    for code in ahead:
        for name in code.co_names:
            if name in everything and name not in used:
                used[name] = value = everything[name]
                if type(value) is _FUNCTION and value.__globals__ is everything:
                    ahead += _nested(value.__code__)
    return used


def _nested(code: CodeType | None) -> Iterator[CodeType]:
    """Code, and what is defined in it."""
    if type(code) is _CODE:
        yield code
        for constant in code.co_consts:
            if type(constant) is _CODE:
                yield from _nested(constant)


def _named(names: dict[str, Any]) -> Iterator[str]:
    """The modules that are, or have made, what has these names, and in turn what is in those of them that are not of
    the standard library."""
    seen, looked, ahead = {__name__, *MAINS}, 0, [names]
    for values in ahead:
        looked += len(values)
        if looked > _MOST_NAMES:
            return
        for called, value in list(values.items()):
            if called.startswith("__"):
                continue  # what the import system has left there
            # Nothing is asked of what only stands for something else, as modules do that load when they are used.
            name = value.__name__ if type(value) is _MODULE else getattr(value, "__module__", None)
            if not isinstance(name, str) or name in seen:
                continue
            seen.add(name)
            yield name
            if not _is_standard(name):
                ahead.append(loaded(name, "__dict__", {}))


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names
