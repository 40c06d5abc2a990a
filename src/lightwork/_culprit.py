"""Finds the part of an object that cannot be pickled, and the way to it: ``result.session._lock``.

Breadth first over what pickle itself would walk: containers, ``__dict__`` and slots, what ``__reduce_ex__`` names,
and a function's closure, defaults and the globals that it uses. Bounded, so that a huge object costs no more than
a moment; then the path ends at the deepest part that is known to be at fault.
"""

from __future__ import annotations

from types import FunctionType, MethodType, ModuleType

from lightwork._clock import SystemClock
from lightwork._kinds import held_by, is_a
from lightwork._lean import pickle, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


MOST_TRIALS = 400
"""Parts that are tried; each trial pickles the part."""
MOST_SECONDS = 0.5
"""For all of these: of what is large, or deep, each one may take a tenth of that."""
MOST_PARTS = 200
"""Parts of one object that are looked at."""
LONGEST = 120
"""Characters of a path; a longer one, of deeply nested data, is cut in its middle."""


def find(value: Any, root: str, dump: Callable[[Any], object]) -> tuple[str, Any]:
    """The path to the innermost part of ``value`` that ``dump`` refuses, and that part. ``value`` is refused itself."""
    path, part = root, value
    seen = {id(part)}
    trials, until = 0, SystemClock.now() + MOST_SECONDS
    found = True
    while found:
        found = False
        for step, inner in _parts(part):
            if id(inner) in seen or trials >= MOST_TRIALS or SystemClock.now() >= until:
                continue
            seen.add(id(inner))
            trials += 1
            if not crosses(inner, dump):
                path, part, found = path + step, inner, True
                break
    if len(path) > LONGEST:
        half = (LONGEST - 3) // 2
        path = f"{path[:half]} … {path[-half:]}"
    return path, part


def crosses(value: Any, dump: Callable[[Any], object]) -> bool:
    """Whether ``dump`` takes the value."""
    try:
        dump(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - objects raise anything from __reduce__, SystemExit too
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Everything that pickling ``value`` pickles, with how a reader would name it."""
    if is_a(value, dict):
        for key, inner in list(value.items())[:MOST_PARTS]:
            yield f"[{_short(key)}]", inner
            yield f"'s key {_short(key)}", key
        return
    if is_a(value, (list, tuple)):
        for position, inner in enumerate(value[:MOST_PARTS]):
            yield f"[{position}]", inner
    elif is_a(value, (set, frozenset)):
        for inner in list(value)[:MOST_PARTS]:
            yield f"{{{_short(inner)}}}", inner
    if is_a(value, MethodType):
        yield ".__self__", value.__self__
        return
    if is_a(value, FunctionType):
        yield from _parts_of_function(value)
        return
    if is_a(value, (type, ModuleType)) or _refuses(value):
        return
    for name, inner in list(_state(value).items())[:MOST_PARTS]:
        yield f".{name}", inner
    yield from _reduced(value)


def _refuses(value: Any) -> bool:
    """Whether it is the object itself that will not be pickled, whatever is in it."""
    kind = type(value)
    if all(getattr(kind, name) is getattr(object, name) for name in ("__reduce__", "__reduce_ex__")):
        return False
    return not crosses(value, lambda whole: whole.__reduce_ex__(pickle.HIGHEST_PROTOCOL))


def _parts_of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"'s variable {name!r}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in code.co_names:
        if name in function.__globals__:
            yield f"'s global {name!r}", function.__globals__[name]
    for position, inner in enumerate(function.__defaults__ or ()):
        yield f"'s default {position}", inner


def _state(value: Any) -> dict[str, Any]:
    state = held_by(value)
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            with suppress(Exception):  # it may be empty, or the object's own ``__getattr__`` raise anything
                state.setdefault(name, getattr(value, name))
    return state


def _reduced(value: Any) -> Iterator[tuple[str, Any]]:
    try:
        reduced = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - this object itself is the one at fault
        return
    if isinstance(reduced, tuple):
        for position, inner in enumerate(reduced[1] or ()):
            yield f".__reduce__()[{position}]", inner
        if len(reduced) > 2 and isinstance(reduced[2], dict):
            for name, inner in list(reduced[2].items())[:MOST_PARTS]:
                yield f".{name}", inner


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= 40 else text[:37] + "..."


def shown(value: Any) -> str:
    """Its ``repr``, or what it is where that raises."""
    try:
        return repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - it is the caller's code, and raises anything
        return f"<{type(value).__qualname__} object>"
