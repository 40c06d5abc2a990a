"""Classes of a script are sent to a worker once, as functions are: from then on items name them, and so do results.

An item names a class only where the worker has certainly unpickled it, and as long as it has not changed here since.
"""

from __future__ import annotations

from lightwork._by_code import IMMUTABLE
from lightwork._lean import WeakValues

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightwork._by_code import Named

    State = dict[str, Any]
    """The attributes of a class: those that its worker takes anew when they have changed, and the names of all."""

MOST = 1000
"""Classes of a crew that are kept to be named: who makes ever new ones has them sent each time."""

known: WeakValues[str, type] = WeakValues()
"""Classes that were sent from here or have come here, by the identity that cloudpickle gives them."""


def named(identity: str) -> type:
    """The class of this identity, which both sides have."""
    return known[identity]


# in a worker

_kept: dict[int, tuple[type, str]] = {}
"""Classes that items and results name, as the caller keeps them. By ``id``: a metaclass may forbid to hash them."""


def keep(kind: type, identity: str) -> None:
    """A class came that may be named from now on."""
    _kept[id(kind)] = kind, identity


class _Home:
    """Names in results, for the caller, who keeps what is named."""

    def name(self, kind: type) -> Named | None:
        found = _kept.get(id(kind))
        return None if found is None else (named, (found[1],))

    def note(self, _kind: type, _identity: str) -> bool:
        return False


HOME = _Home()


# in the caller


class Sending:
    """Names in what a crew sends; it keeps the classes, so that results may name them.

    ``held``: those that the worker which is sent to certainly has, as they were; ``fresh``: those that go along.
    """

    def __init__(self) -> None:
        self.held: dict[int, State] = {}
        self.fresh: dict[int, State] = {}
        self._kept: dict[int, tuple[type, str]] = {}

    def name(self, kind: type) -> Named | None:
        """What stands for a class that the worker has just as it is here."""
        if id(kind) not in self.held:
            return None
        for each in kind.__mro__:
            if (was := self.held.get(id(each))) is not None and not _same(was, _state(each)):
                return None
        return named, (self._kept[id(kind)][1],)

    def note(self, kind: type, identity: str) -> bool:
        """Whether the worker is to keep a class that goes along, because it may be named then."""
        if id(kind) not in self._kept:
            if len(self._kept) >= MOST:
                return False
            self._kept[id(kind)] = kind, identity
        self.fresh[id(kind)] = _state(kind)
        return True


def _state(kind: type) -> State:
    return {name: value if isinstance(value, IMMUTABLE) else None for name, value in vars(kind).items()}


def _same(one: State, other: State) -> bool:
    return len(one) == len(other) and all(other.get(name, one) is value for name, value in one.items())
