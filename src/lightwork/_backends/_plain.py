"""Plain values: many of them can travel in one pickle, since to take and rebuild them runs none of the user's code.

They are made of builtin types, of types of the standard library and of NumPy that are data, and of classes that leave
it to pickle how they are pickled: most dataclasses, named tuples, enumerations. A pickler finds out while it pickles,
because it asks ``reducer_override`` for all that it does not write by itself: instances, their classes, functions that
rebuild them.
"""

from __future__ import annotations

import copyreg
import sys

from lightwork import _pickling
from lightwork._gate import of_a_signal
from lightwork._lean import Struct, pickle
from lightwork._loaded import loaded
from lightwork._pieces import Bytes, Pieces, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


KNOWN = {
    "builtins": frozenset(
        {"bytearray", "complex", "dict", "float", "frozenset", "getattr", "int", "list", "set", "str", "tuple"}
    ),
    "array": frozenset({"_array_reconstructor", "array"}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "copyreg": frozenset({"_reconstructor", "__newobj__"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "pathlib": frozenset({"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath"}),
    "uuid": frozenset({"UUID"}),
}
"""By the module that has them: what pickles of plain values may name."""

_ALIASES = {"_datetime": "datetime", "_decimal": "decimal", "_pydatetime": "datetime", "_pydecimal": "decimal"}
_NUMPY = frozenset({"_frombuffer", "_reconstruct", "scalar"})

_NAMED = (type, type(_pickling.dump), type(len))
"""Classes and functions, which pickles refer to by name."""

_GETSET = type(vars(type(_pickling.dump))["__code__"])


class NotPlain(Exception):
    """A value has a part that is not plain."""


_KNOWN, _ARRAY, _DTYPE, _DEFAULT, _MEMBER = "known", "array", "dtype", "default", "member"
_answers: dict[Any, str] = {}
"""What was found of classes and functions that stay what they are."""


class _Plain(pickle.Pickler):
    """Takes plain values only."""

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self.classes: dict[Any, str] = {}
        """What was found of the user's classes, which may change from batch to batch."""
        self.met: list[Any] = []
        """Parts that others refer to again and again, as often as they were met."""

    def reducer_override(self, part: Any) -> Any:
        named = isinstance(part, _NAMED)
        thing = part if named else type(part)
        answer = _answers.get(thing) or self.classes.get(thing)
        if answer is None:
            answer = self._answer(thing)
        if named:
            self.met.append(part)
        elif answer is _MEMBER or (answer is _DTYPE and part.isbuiltin == 1):
            self.met.append(part)  # there is one of its kind
        elif answer is _ARRAY and (part.nbytes >= _pickling.OUT_OF_BAND or _is_shared(part)):
            raise NotPlain
        return NotImplemented

    def _answer(self, thing: Any) -> str:
        if (answer := _known(thing)) is not None:
            _answers[thing] = answer
            return answer
        if isinstance(thing, type) and _by_default(thing) and _found_by_name(thing):
            answer = self.classes[thing] = _MEMBER if _is_enum(thing) else _DEFAULT
            return answer
        raise NotPlain


def _is_shared(array: Any) -> bool:
    """Whether an array lies in shared memory, so that it goes as a handle."""
    reducer = _pickling.reducers.get(type(array))
    return reducer is not None and reducer(array) is not NotImplemented


def _known(thing: Any) -> str | None:
    """Whether a class or a function is one of ``KNOWN``, or one of NumPy's kinds of numbers and arrays."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__name__", None)
    if type(module) is not str or type(name) is not str:
        return None
    root = module.partition(".")[0]
    root = _ALIASES.get(root, root)
    if root == "numpy" and root in sys.modules:
        if thing is loaded(root, "ndarray"):
            return _ARRAY
        if _is_subclass(thing, loaded(root, "dtype", ())):
            return _DTYPE
        return _KNOWN if name in _NUMPY or _is_subclass(thing, loaded(root, "generic", ())) else None
    return _KNOWN if name in KNOWN.get(root, ()) and loaded(root, name) is thing else None


def _is_subclass(thing: Any, cls: type | tuple[()]) -> bool:
    return isinstance(thing, type) and issubclass(thing, cls)


def _by_default(cls: Any) -> bool:
    """Whether instances are pickled and rebuilt by what ``object``, ``namedtuple`` and ``Enum`` have for that."""
    if cls in copyreg.dispatch_table or hasattr(cls, "__setstate__") or hasattr(cls, "__getnewargs_ex__"):
        return False
    if _is_enum(cls):
        return bool(cls.__reduce_ex__ is sys.modules["enum"].Enum.__reduce_ex__)
    if (
        cls.__reduce_ex__ is not object.__reduce_ex__
        or cls.__reduce__ is not object.__reduce__
        or cls.__getstate__ is not object.__getstate__
        or cls.__getattribute__ not in (object.__getattribute__, tuple.__getattribute__)
        or hasattr(cls, "__getattr__")
        or type(cls).__call__ is not type.__call__
    ):
        return False
    if issubclass(cls, tuple):
        return _is_namedtuple(cls)
    if cls.__new__ is not object.__new__ or hasattr(cls, "__getnewargs__"):
        return False
    for base in cls.__mro__[:-1]:
        held = vars(base)
        if held.get("__slots__") and cls.__setattr__ is not object.__setattr__:
            return False
        if "__dict__" in held and type(held["__dict__"]) is not _GETSET:
            return False
    return True


def _is_enum(cls: Any) -> bool:
    return type(cls) is loaded("enum", "EnumMeta")


def _is_namedtuple(cls: Any) -> bool:
    from collections import namedtuple

    made = namedtuple("made", "")
    for base in cls.__mro__:
        if base.__bases__ == (tuple,):
            makes = getattr(cls.__getnewargs__, "__code__", None)
            return (
                "_fields" in vars(base)
                and makes is vars(made)["__getnewargs__"].__code__
                and cls.__new__ is base.__new__
            )
    return False


def _found_by_name(cls: type) -> bool:
    """Whether another process finds the class under its name, as this one does."""
    module: Any = sys.modules.get(cls.__module__)
    if module is None or _pickling.by_value(cls.__module__.encode()):
        return False
    found = module
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls


def together(values: Sequence[Any]) -> bytes | Pieces | None:
    """All values as one pickle of a list; None where one of them is not plain, or cannot be pickled."""
    sink = Sink()
    try:
        _Plain(sink, 5).dump(values if type(values) is list else list(values))
    except Exception as problem:
        if of_a_signal(problem):
            raise
        return None  # who pickles each by itself will tell of which, and why
    return sink.pickled()


MOST_DEFINITIONS = 64
"""In one row."""


class OneByOne:
    """Pickles of values as they come, behind each other in segments that ``read`` takes in one go, up to any of them.

    A segment is a pickle of protocol 3 without its frame. (Later protocols count what a pickle refers back to, so that
    it would mean something else behind another.) Before it stands its length, as a number that pickle puts on its stack
    and drops again. In the same way nothing stays of segments that only define a class for those that follow.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.write = self._parts.append  # the picklers' file
        self._pickler = _Plain(self, 3)
        self._met = self._pickler.met
        self._definer = pickle.Pickler(self, 3)
        self._memo = self._definer.memo
        self._definitions: list[bytes] = []
        self._defined: dict[int, Any] = {}
        """What was defined, by its id."""
        self._short: dict[int, bytes] = {}
        """What stands for such things as values: the same each time, since there is one of a kind."""

    def renew(self) -> None:
        """Looks at the user's classes anew: for another batch."""
        self._pickler.classes.clear()
        if self._definitions:
            self._definitions.clear()
            self._defined.clear()
            self._short.clear()
            self._definer.clear_memo()
            self._pickler.clear_memo()

    def begin(self) -> bytes:
        """What is to stand before the first value."""
        return b"".join(self._definitions)

    def dump(self, value: Any) -> bytes | None:
        """What stands for the value; None where it is not plain, or cannot be pickled."""
        if (short := self._short.get(id(value))) is not None:
            return short
        parts, pickler = self._parts, self._pickler
        try:
            pickler.dump(value)
            data = parts[0] if len(parts) == 1 else b"".join(parts)
        except Exception as problem:
            if of_a_signal(problem):
                raise
            self._met.clear()
            return None  # who pickles it by itself will tell why
        finally:
            # The next value may be the same object, with other contents.
            if self._definitions:
                pickler.memo = self._memo
            else:
                pickler.clear_memo()
            parts.clear()
        data = _LENGTH.pack(b"J", len(data) - 3, b"0") + data[2:-1]
        if self._met:
            return data + self._define()
        if id(value) in self._defined:
            self._short[id(value)] = data
        return data

    def _define(self) -> bytes:
        """Definitions of what was met, which from here on is only referred to."""
        definitions = []
        for thing in dict.fromkeys(self._met) if len(self._definitions) < MOST_DEFINITIONS else ():
            self._definer.dump(thing)
            data = b"".join(self._parts)
            self._parts.clear()
            definitions.append(_LENGTH.pack(b"J", 2 - len(data), b"0") + data[2:-1] + b"0")
            self._defined[id(thing)] = thing
        self._met.clear()
        self._definitions += definitions
        self._memo = self._pickler.memo = self._definer.memo
        return b"".join(definitions)


_LENGTH = Struct("<cic")
"""The length of a value's segment; of a definition's with a minus."""
_BEGIN, _LIST, _END, _STOP = b"\x80\x03", b"(", b"l.", b"."


def read(segments: Bytes) -> tuple[list[Any], dict[int, BaseException]]:
    """The values that were pickled one by one; what one raised that cannot be rebuilt, by its place."""
    try:
        return pickle.loads(b"".join((_BEGIN, _LIST, segments, _END))), {}
    except Exception as problem:  # what the import of a class's module raises, for one
        if of_a_signal(problem):
            raise
        return _read_each(memoryview(segments))


def _read_each(rest: memoryview) -> tuple[list[Any], dict[int, BaseException]]:
    values: list[Any] = []
    problems: dict[int, BaseException] = {}
    known, undefined = _BEGIN, None
    while len(rest):
        _, length, _ = _LENGTH.unpack_from(rest)
        segment, rest = rest[_LENGTH.size :][: abs(length)], rest[_LENGTH.size + abs(length) :]
        try:
            value = pickle.loads(b"".join((known, segment, b"N" if length < 0 else b"", _STOP)))
        except BaseException as problem:
            if of_a_signal(problem):
                raise
            if length < 0:  # it harms its own call alone
                undefined = problem
            else:
                # What it refers to may be what could not be defined.
                problems[len(values)] = problem if undefined is None else undefined
                values.append(None)
        else:
            if length < 0:
                known += segment
            else:
                values.append(value)
    return values, problems
