"""The locals of threads within a function's reach that hold nothing in this thread: to be asked before the first call.

    if not hasattr(mine, "session"):
        mine.session = Session()

Each thread that makes calls gives itself such a session, and all are alike, unless the caller has made one before, and
logged in with it. Once calls were made in the caller's thread nobody can tell the two. So whoever makes the first call
of a map looks before it; a local that was not found here counts as filled by the caller.

What an earlier map's calls have left in one that was empty before is not the caller's either, as long as it is there.

The shortest maps look as well: nothing is loaded for it, nothing of the user's is run, and it is over in some µs.
"""

from __future__ import annotations

from itertools import islice
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType

try:  # not by way of ``_lean``: the shortest maps do without what that loads
    from _thread import _local as local
except ImportError:
    from threading import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any
    from weakref import WeakKeyDictionary, ref

MOST = 50
"""Things that are looked at: 5 µs. The nearest come first."""

_NOTHING_IN_THEM = frozenset(
    {ModuleType, type, BuiltinFunctionType, int, float, complex, bool, str, bytes, bytearray, type(None)}
    | {tuple, list, dict, set, frozenset, range, CodeType}
)
_left: WeakKeyDictionary[local, dict[str, ref[Any]]] | None = None
"""What calls have left in locals that they found empty."""


def unfilled(fn: Callable[..., Any]) -> tuple[local, ...]:
    """Those that ``fn``, the functions that it names, or an object among its globals may read."""
    found: list[local] = []
    try:
        _look(fn, found)
    except Exception:  # noqa: BLE001 - an object that is none of the usual kind: what was not seen counts as filled
        return tuple(found)
    return tuple(found)


def leave(found: Iterable[local]) -> None:
    """Calls were made: keeps in mind what they have left in locals that were ``found`` empty. Nothing is kept alive by
    that; what can not be kept in mind without, and whatever replaces it, counts as the caller's."""
    global _left
    for mine in found:
        held = _held(mine)
        if not held:
            continue
        from weakref import WeakKeyDictionary, ref

        if _left is None:
            _left = WeakKeyDictionary()
        try:
            _left[mine] = {name: ref(value) for name, value in held.items()}
        except TypeError:  # one of a kind that takes no references
            _left.pop(mine, None)


def left_by_calls(mine: local) -> bool:
    """Whether all that a local of threads holds in this thread was left there by the calls of an earlier map."""
    if _left is None or not _is_plain(type(mine)):
        return False
    marks = _left.get(mine)
    return marks is not None and all(name in marks and marks[name]() is value for name, value in _held(mine).items())


def _look(fn: Callable[..., Any], found: list[local]) -> None:
    left: list[Any] = [fn]
    seen: set[int] = set()
    for value in left:  # which grows meanwhile
        kind = type(value)
        if kind in _NOTHING_IN_THEM or id(value) in seen:
            continue
        if len(seen) >= MOST:
            return
        seen.add(id(value))
        if kind is FunctionType:
            _follow(value, value.__code__, left)
            for cell in value.__closure__ or ():
                try:
                    left.append(cell.cell_contents)
                except ValueError:
                    continue  # not filled yet
            if value.__defaults__ or value.__kwdefaults__:
                left += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        elif issubclass(kind, local):
            if _is_plain(kind) and not _held(value):
                found.append(value)
        elif kind is MethodType:
            left += [value.__func__, value.__self__]
        elif kind.__module__ != "builtins":
            _open(kind, value, left)


def _follow(function: FunctionType, code: CodeType, left: list[Any]) -> None:
    """Names are taken as they are, those of attributes too: one more that was found empty does no harm."""
    scope = function.__globals__
    for name in code.co_names:
        if name in scope:
            left.append(scope[name])
    for constant in code.co_consts:
        if type(constant) is CodeType:
            _follow(function, constant, left)


def _open(kind: type, value: Any, left: list[Any]) -> None:
    """An object's own locals, and what is called when it is."""
    call = kind.__dict__.get("__call__")
    if type(call) is FunctionType:
        left.append(call)
    if kind.__module__ in ("functools", "_functools") and kind.__name__ == "partial":
        left += [value.func, *value.args, *value.keywords.values()]
    elif kind.__dictoffset__:
        own = object.__getattribute__(value, "__dict__")
        left += [part for part in islice([*own.values()], MOST) if issubclass(type(part), local)]


def _is_plain(kind: Any) -> bool:
    """Whether looking into a local of this class runs no code of the class's own, and it can be remembered."""
    return kind.__init__ is object.__init__ and kind.__hash__ is object.__hash__ and kind.__eq__ is object.__eq__


def _held(mine: local) -> dict[str, Any]:
    """What a plain one holds in this thread."""
    held: dict[str, Any] = local.__getattribute__(mine, "__dict__")
    return held
