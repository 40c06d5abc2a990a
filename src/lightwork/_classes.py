"""Classes by value: what cloudpickle writes of a class, and what it leaves out.

A class that comes back to whom it was sent from is the very class that it was, and is left alone: cloudpickle would set
its attributes to copies of theirs, whose functions see other globals. In a worker, a class that was sent before takes
the attributes that are due, as the globals of functions do (see ``_by_code``).

cloudpickle builds classes without their slots, nested ones without the name of what they are in, and enumerations
without aliases, combined flags, and what their ``__init__`` has put into the members.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from lightwork._by_code import is_due
from lightwork._class_names import keep, known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._by_code import Names

_complete: set[str] = set()
"""Classes that were sent from here or have come here, and have their attributes; by identity."""
_sent: dict[str, dict[str, Any]] = {}
"""In a worker: what of their attributes came from the caller."""

_OF_EVERY_MEMBER = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def reduced(kind: type, by_cloudpickle: tuple[Any, ...], shared: bool, names: Names | None = None) -> tuple[Any, ...]:
    """What cloudpickle says of a class that it writes by value, made whole.

    ``shared``: it goes to a worker, where it may be named from then on, if ``names`` say so.
    """
    maker, arguments, (attributes, slots), _, _, setter = by_cloudpickle
    members = None
    if issubclass(kind, enum.Enum):
        bases, name, qualname, _, module, identity, extra = arguments
        values = {each: member.value for each, member in kind.__members__.items()}
        arguments = bases, name, qualname, values, module, identity, extra
        attributes = {each: value for each, value in attributes.items() if each not in values}
        members = {each: _added(member) for each, member in kind.__members__.items()}
    else:
        metaclass, name, bases, at_birth, identity, extra = arguments
        at_birth = {**at_birth, "__qualname__": kind.__qualname__}
        if "__slots__" in vars(kind) and not issubclass(kind, tuple):  # it has none, and NamedTuple won't be told
            at_birth["__slots__"] = _slots(kind)
            attributes = {name: value for name, value in attributes.items() if type(value) is not MemberDescriptorType}
        arguments = metaclass, name, bases, at_birth, identity, extra
    known[identity] = kind
    _complete.add(identity)
    kept = names is not None and names.note(kind, identity) and shared
    state = identity, shared, kept, setter, attributes, slots, members
    return make, (identity, maker, *arguments), state, None, None, fill


def _slots(kind: type) -> list[str]:
    """The names of its own slots: not as they were written (one text, an iterator, private ones) but as they are."""
    made = (MemberDescriptorType, GetSetDescriptorType)  # the latter: ``__dict__`` and ``__weakref__``
    return [name for name, value in vars(kind).items() if type(value) in made]


def _added(member: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(member).items() if name not in _OF_EVERY_MEMBER}


def make(identity: str, maker: Callable[..., type], *arguments: Any) -> type:
    """The class, which may be empty still."""
    kind = known.get(identity)
    if kind is None:
        kind = known[identity] = maker(*arguments)
        _complete.discard(identity)
    return kind


def fill(kind: type, packed: tuple[str, bool, bool, Callable[..., Any], dict[str, Any], dict[str, Any], Any]) -> None:
    """Gives a new class its attributes, and one that a worker had before those that are due."""
    identity, shared, kept, setter, attributes, slots, members = packed
    if kept:
        keep(kind, identity)
    if identity in _complete:
        if shared and identity in _sent:
            sent, here = _sent[identity], vars(kind)
            attributes = {name: value for name, value in attributes.items() if is_due(here, sent, name)}
            attributes.pop("_abc_impl", None)
            sent.update(attributes)
            setter(kind, (attributes, {}))
        return
    setter(kind, (attributes, slots))
    for name, added in (members or {}).items():
        vars(kind.__members__[name]).update(added)  # type: ignore[attr-defined]
    if shared:
        _sent[identity] = attributes
    _complete.add(identity)
