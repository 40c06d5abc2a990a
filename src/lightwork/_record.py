"""Plain records: classes that are their fields.

``dataclasses`` would do the same, but importing it and compiling methods for forty classes takes 25 ms, which every
first call would wait for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, dataclass_transform

    T = TypeVar("T")
    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_):
        """What type checkers know by this name does nothing here."""
        return lambda cls: cls


class _Fresh:
    """Marks a default that is made anew for each record."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def fresh(*, factory: Callable[[], T]) -> T:
    """A field's default: what ``factory`` gives, for each record anew."""
    return _Fresh(factory)  # type: ignore[return-value]


@dataclass_transform(field_specifiers=(fresh,))
class Record:
    """Base of records: takes its annotated fields in order or by name, is equal to a record of the same class and
    fields, and shows them. ``class X(Record, frozen=True)``: fields cannot be set again, and records can be hashed."""

    _fields: tuple[str, ...] = ()
    _known: frozenset[str] = frozenset()
    _defaults: dict[str, Any] = {}  # noqa: RUF012 - each class has its own
    _fresh: dict[str, Callable[[], Any]] = {}  # noqa: RUF012
    _frozen = False

    def __init_subclass__(cls, frozen: bool = False) -> None:
        own = cls.__dict__
        names = [name for name in own.get("__annotations__", _annotations(cls)) if not name.startswith("__")]
        given = {name: own[name] for name in names if name in own}
        cls._fields = (*cls._fields, *names)
        cls._known = frozenset(cls._fields)
        cls._fresh = {**cls._fresh, **{name: one.make for name, one in given.items() if type(one) is _Fresh}}
        cls._defaults = {**cls._defaults, **{name: one for name, one in given.items() if type(one) is not _Fresh}}
        cls._frozen = frozen
        if frozen:
            cls.__setattr__ = _refuse  # type: ignore[method-assign, assignment]
            cls.__delattr__ = _refuse  # type: ignore[method-assign, assignment]
            cls.__hash__ = _hash  # type: ignore[method-assign, assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = self.__dict__
        values.update(self._defaults)
        if args:
            if len(args) > len(self._fields):
                raise TypeError(f"{type(self).__name__} takes {len(self._fields)} fields, not {len(args)}")
            positional = dict(zip(self._fields, args, strict=False))
            if twice := positional.keys() & kwargs.keys():
                raise TypeError(f"{type(self).__name__} was given {min(twice)!r} twice")
            values.update(positional)
        values.update(kwargs)
        for name, make in self._fresh.items():
            if name not in values:
                values[name] = make()
        if values.keys() != self._known:
            if missing := [name for name in self._fields if name not in values]:
                raise TypeError(f"{type(self).__name__} needs {missing[0]}")
            raise TypeError(f"{type(self).__name__} has no field {min(values.keys() - self._known)!r}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__qualname__}({shown})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(self.__dict__[name] for name in self._fields)


def _annotations(cls: type) -> dict[str, Any]:
    # Since Python 3.14 they are not in the class's own dictionary.
    found: dict[str, Any] = getattr(cls, "__annotations__", {})
    return found


def _refuse(self: Record, name: str, *_: Any) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")


def _hash(self: Record) -> int:
    return hash((type(self), self._values()))


class Slotted:
    """Base of the records that are made for every message, with ``__slots__`` and an ``__init__`` of their own."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def replace(record: R, **changes: Any) -> R:
    """The record with some fields changed."""
    if unknown := changes.keys() - record._known:
        raise TypeError(f"{type(record).__name__} has no field {min(unknown)!r}")
    made = object.__new__(type(record))
    made.__dict__.update(record.__dict__, **changes)
    return made


def asdict(value: Any) -> Any:
    """A record as a dictionary, with all records, dataclasses, tuples, lists and dictionaries in it taken apart too."""
    names = getattr(value, "_fields", None) or getattr(value, "__dataclass_fields__", None)
    if isinstance(value, Slotted):
        names = value.__slots__
    if names is not None and not isinstance(value, type):
        return {name: asdict(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: asdict(each) for key, each in value.items()}
    return [asdict(each) for each in value] if isinstance(value, (list, tuple)) else value
