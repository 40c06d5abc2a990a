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


_MISSING = object()


@dataclass_transform(field_specifiers=(fresh,))
class Record:
    """Base of records: takes its annotated fields in order or by name, is equal to a record of the same class and
    fields, and shows them. ``class X(Record, frozen=True)``: fields cannot be set again, and records can be hashed."""

    _fields: dict[str, Any] = {}  # noqa: RUF012 - each class has its own
    _frozen = False

    def __init_subclass__(cls, frozen: bool = False) -> None:
        own = cls.__dict__
        names = [name for name in own.get("__annotations__", _annotations(cls)) if not name.startswith("__")]
        cls._fields = {**cls._fields, **{name: own.get(name, _MISSING) for name in names}}
        cls._frozen = frozen
        if frozen:
            cls.__setattr__ = _refuse  # type: ignore[method-assign, assignment]
            cls.__delattr__ = _refuse  # type: ignore[method-assign, assignment]
            cls.__hash__ = _hash  # type: ignore[method-assign, assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = self.__dict__
        if len(args) > len(self._fields):
            raise TypeError(f"{type(self).__name__} takes {len(self._fields)} fields, not {len(args)}")
        for (name, default), index in zip(self._fields.items(), range(len(self._fields)), strict=True):
            if index < len(args):
                values[name] = args[index]
            elif name in kwargs:
                values[name] = kwargs.pop(name)
            elif default is _MISSING:
                raise TypeError(f"{type(self).__name__} needs {name}")
            else:
                values[name] = default.make() if type(default) is _Fresh else default
        if kwargs:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(kwargs))!r}, or it was given twice")

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


def replace(record: T, **changes: Any) -> T:
    """The record with some fields changed."""
    return type(record)(**{**record.__dict__, **changes})


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
