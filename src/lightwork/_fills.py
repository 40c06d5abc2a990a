"""What a function gives itself in a local of threads: attributes that it stores where they are not there yet, or that
the local's class stores for each thread. What is there for that reason need not be the caller's own."""

from __future__ import annotations

from lightwork._bytecode import decode
from lightwork._effects import Reader, unwrapped
from lightwork._shared import Val, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType
    from typing import Any


def fills_for_itself(fn: Callable[..., Any], local: Any, held: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Attributes of a ``threading.local`` that ``fn`` stores, though not where they are there already, as those that
    are ``held``; and those that the local's class has stored for this thread as for every other."""
    reader, again, maker = Reader(), Reader(), Reader()
    again.held = local, held
    try:
        for one in (reader, again):
            one.read(fn)
        made = unwrapped(lookup(type(local), "__init__"))
        if made is not None and not _takes_more(made.__code__):  # else what it was given belongs to who gave it
            maker.follow(made, [Val("object", "self", local)], {}, 0)
    except Exception:  # noqa: BLE001 - as above: what was not read fills nothing
        return set(), set()
    if min(reader.steps, again.steps, maker.steps) <= 0:
        return set(), set()
    stored, anew, begun = ({name for whose, name in one.filled if whose is local} for one in (reader, again, maker))
    constants = _constants(made.__code__) if made is not None and begun else {}
    kept = {name for name in begun if name not in constants or _same(constants[name], held.get(name))}
    return stored - anew, kept - stored


def _constants(code: CodeType) -> dict[str, Any]:
    """Attributes to which a method assigns constants, each with its last."""
    found: dict[str, Any] = {}
    steps = decode(code).steps
    for constant, target, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.op == "STORE_ATTR" and target.op.startswith("LOAD_FAST"):
            name = code.co_names[step.arg]
            found.pop(name, None)
            if constant.op.startswith("LOAD_CONST"):
                found[name] = code.co_consts[constant.arg]
            elif constant.op == "LOAD_SMALL_INT":
                found[name] = constant.arg
    return found


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


def _takes_more(code: CodeType) -> bool:
    """Whether a method takes other arguments than its object."""
    return code.co_argcount + code.co_kwonlyargcount > 1 or bool(code.co_flags & 12)  # 12: *args, **kwargs
