"""What may be seen by others while a function runs, and the way to it."""

from __future__ import annotations

from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
"""Stands for an object that is not known."""

_LONGEST = 4  # parts of a path ("a.b.c.d"); without a bound ``node = node.next`` in a loop would go on for ever


class Val:
    """Something that others may see too. ``obj``: the object itself, where it is known.

    ``kind``: where it came from ("argument", "global", "closure", "default", "object"); ``name``: the way to
    it; ``maybe``: on some paths only; ``base`` and ``attr``: what it is an attribute of.
    """

    __slots__ = ("attr", "base", "kind", "maybe", "name", "obj")

    def __init__(
        self,
        kind: str,
        name: str,
        obj: Any = MISSING,
        maybe: bool = False,
        base: Val | None = None,
        attr: str = "",
    ) -> None:
        self.kind, self.name, self.obj, self.maybe, self.base, self.attr = kind, name, obj, maybe, base, attr

    def perhaps(self) -> Val:
        """The same, on some paths only."""
        return self if self.maybe else Val(self.kind, self.name, self.obj, True, self.base, self.attr)

    def known_as(self, obj: Any) -> Val:
        """The same with another object."""
        return Val(self.kind, self.name, obj, self.maybe, self.base, self.attr)

    def __repr__(self) -> str:
        return f"Val({self.kind!r}, {self.name!r}, {self.obj!r}{', maybe' if self.maybe else ''})"

    def key(self) -> tuple[Any, ...]:
        return self.kind, self.name, id(self.obj), self.maybe, self.base is None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Val) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())


def lookup(cls: type, name: str) -> Any:
    """A class's attribute by its mro, without running any descriptor; MISSING if there is none."""
    for ancestor in type.__dict__["__mro__"].__get__(cls):
        found = type.__dict__["__dict__"].__get__(ancestor).get(name, MISSING)
        if found is not MISSING:
            return found
    return MISSING


def _attribute(obj: Any, name: str) -> Any:
    """What ``obj.name`` is, where that can be told without running code."""
    if isinstance(obj, ModuleType):
        return object.__getattribute__(obj, "__dict__").get(name, MISSING)
    if isinstance(obj, type):
        return lookup(obj, name)
    try:
        own = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        own = {}
    found = own.get(name, MISSING) if type(own) is dict else MISSING
    return lookup(type(obj), name) if found is MISSING else found


def child(val: Val, attr: str) -> Val | None:
    """A part of something shared: an attribute, or an item ("[...]")."""
    obj = MISSING if val.obj is MISSING or attr == "[...]" else _attribute(val.obj, attr)
    if obj is not MISSING and isinstance(obj, (int, float, complex, str, bytes, type(None))):
        return None
    name = val.name + attr if attr == "[...]" else f"{val.name}.{attr}"
    if name.count(".") + name.count("[") > _LONGEST:
        name = val.name
    return Val(val.kind, name, obj, val.maybe, val, attr)
