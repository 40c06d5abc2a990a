"""Importable functions that need no module of their own in a worker: what they name goes along with their code.

To import a function's module, and all that this imports, takes longer than anything else on the way to a first result.
A function stands alone if it names nothing but built-ins, constants, parts of the standard library that no program sets
up (``PLAIN``), and functions like it, which it only calls. Constants only where no code of their module binds them
anew: another function that did so, in the module that is imported there, would not be seen. And nothing where its
module may have set up what it uses without naming it (``REGISTERS``), or where it imports something itself, which may
look for its module or bind what is in it. Annotations stay behind: nobody asks for them.
"""

from __future__ import annotations

import os
import sys

from lightwork._by_code import binding, calls_only, global_names, importable
from lightwork._lean import cache
from lightwork._loaded import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FunctionType, ModuleType
    from typing import Any
else:
    FunctionType, ModuleType = type(lambda: None), type(sys)

_WORDS = """
    _bisect _collections _hashlib _heapq _operator _struct array base64 binascii bisect bz2 cmath collections colorsys
    difflib fractions functools gzip hashlib heapq hmac html itertools json lzma math operator re statistics string
    struct textwrap time unicodedata zlib
"""
PLAIN = frozenset(_WORDS.split())
"""Modules of the standard library whose functions do the same whatever other modules have done when they were
imported: no defaults, registers, generators or handlers that a program would set up there."""

LARGEST = 1 << 20
"""Bytes, and items, of a constant that goes along."""

_Cached = type(cache(len))

_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - pathlib takes 8 ms to import

_SOURCE_FILES = sys.modules["_frozen_importlib_external"].SourceFileLoader

_ATOMS = (int, float, complex, bool, str, bytes, type(None))

REGISTERS = frozenset({"_codecs", "_locale", "builtins", "codecs", "copyreg", "gettext", "locale"})
"""Modules with which others set up what functions use without a name that leads there: error handlers of codecs, what
a decimal point is, further built-ins, how results are pickled."""

_NAMED = (FunctionType, type(len), type)

_LOOK_AROUND = frozenset({"globals", "vars", "dir", "eval", "exec", "__import__"})
"""Built-ins by which code finds what it does not name."""

_BIND_ANYTHING = frozenset({"globals", "vars", "exec", "setattr"})
"""Names with which code binds globals that it does not name."""


def standing_alone(function: Any) -> set[FunctionType]:
    """The function, with those that it names, if it stands alone. Else none."""
    found: set[FunctionType] = set()
    constants: dict[int, tuple[dict[str, Any], set[str]]] = {}
    if not _stands_alone(function, found, constants):
        return set()
    if any(names & _bound_anew(everything, names) for everything, names in constants.values()):
        return set()
    return found


def plain_modules(functions: set[FunctionType]) -> list[str]:
    """What functions that stand alone name of the standard library."""
    named = dict.fromkeys(
        value.__name__ if type(value) is ModuleType else value.__module__
        for function in functions
        for name in global_names(function.__code__)
        if (value := function.__globals__.get(name)) is not None and _is_plain(value)
    )
    return [name for name in named if loaded(name, "__file__")]


def _stands_alone(
    function: Any, found: set[FunctionType], constants: dict[int, tuple[dict[str, Any], set[str]]]
) -> bool:
    if type(function) is not FunctionType or function.__closure__ is not None or function.__dict__:
        return False
    if function in found:
        return True
    code, everything = function.__code__, function.__globals__
    if not importable(function) or type(everything.get("__loader__")) is not _SOURCE_FILES:
        return False  # its file, as it stands in the code, is not where tracebacks find the source
    if _sets_up(function.__module__) or any(map(_reaches_out, _nested(code))):
        return False
    found.add(function)
    if not all(type(value) in _ATOMS for value in _defaults(function)):
        return False
    for name in global_names(code):
        if name not in everything:
            if not _is_built_in(name):
                return False
        elif _is_constant(value := everything[name]):
            constants.setdefault(id(everything), (everything, set()))[1].add(name)
        elif not _is_plain(value) and not (_only_called(name, code) and _stands_alone(value, found, constants)):
            return False
    return True


def _reaches_out(code: CodeType) -> bool:
    """Whether code binds globals, or imports something, which may look at the function's module or change it."""
    from opcode import opmap

    return opmap["IMPORT_NAME"] in code.co_code[::2] or binding(code)


def _only_called(name: str, code: CodeType) -> bool:
    """Whether a function is only called: as a value it is another one than that of its module, which items may name
    and results are to name."""
    return all(calls_only(each, name) for each in _nested(code))


def _sets_up(module: str) -> bool:
    """Whether a module or a package that it is in may have set up for the whole process, when it was imported, what a
    function uses without naming it."""
    while module:
        for value in loaded(module, "__dict__", {}).copy().values():
            kind = type(value)
            if kind is ModuleType:
                name = value.__name__
            elif kind in _NAMED and value.__module__ != "builtins":
                name = value.__module__
            else:
                continue
            if name in REGISTERS:
                return True
        module = module.rpartition(".")[0]
    return False


def _is_built_in(name: str) -> bool:
    """Whether a name that is no global leads to a built-in, not to what somebody has put beside or in place of them."""
    builtins = __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)
    if name not in builtins or name in _LOOK_AROUND:
        return False
    value = builtins[name]
    if type(value) is type(len):
        return value.__name__ == name and value.__module__ in ("builtins", "_io")
    if issubclass(type(value), type):
        return bool(value.__module__ == "builtins")
    return name == "__debug__" or value is NotImplemented or value is ...


def _defaults(function: FunctionType) -> list[Any]:
    return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _is_constant(value: Any) -> bool:
    kind = type(value)
    if kind in (tuple, frozenset):
        return len(value) <= LARGEST and all(type(each) in _ATOMS for each in value)
    if kind in (str, bytes):
        return len(value) <= LARGEST
    return kind in _ATOMS or (kind.__name__ == "Pattern" and kind.__module__ == "re")


def _is_plain(value: Any) -> bool:
    """Whether it is a module of ``PLAIN``, or a function or a class that a name in one leads to."""
    kind = type(value)
    if kind is ModuleType:
        return value.__name__ in PLAIN and _is_as_delivered(value)
    return kind in _NAMED and value.__module__ in PLAIN and importable(value) and _is_as_delivered(_home(value))


def _home(value: Any) -> ModuleType:
    return sys.modules[value.__module__]


def _is_as_delivered(module: ModuleType) -> bool:
    """Whether it is the standard library's own, and nobody has put anything of theirs into it or its classes."""
    file = getattr(module, "__file__", None)
    if sys.modules.get(module.__name__) is not module or not (file is None or file.startswith(_LIBRARY)):
        return False
    values = [*vars(module).values()]
    for value in values:
        if type(value) is type and value.__module__.startswith(module.__name__):
            values += vars(value).values()
        home = value.__module__ if type(value) in _NAMED else type(value).__module__
        if isinstance(home, str) and home.partition(".")[0] not in sys.stdlib_module_names:
            return False
    return True


def _bound_anew(everything: dict[str, Any], names: set[str]) -> set[str]:
    """Those of a module's globals that some code which is found in it may bind while it runs."""
    bound: set[str] = set()
    for code in _codes(everything):
        if not _BIND_ANYTHING.isdisjoint(code.co_names):
            return names
        if not names.isdisjoint(code.co_names) and (binding(code) or _binds_attributes(code)):
            bound.update(code.co_names)
    return bound


def _binds_attributes(code: CodeType) -> bool:
    """Whether code sets attributes, which may be a module's."""
    from opcode import opmap

    return opmap["STORE_ATTR"] in code.co_code[::2]


def _codes(everything: dict[str, Any]) -> Iterator[CodeType]:
    """The code of a module's functions and of its classes' methods, also behind decorators."""
    seen: set[int] = set()
    ahead = list(everything.values())
    while ahead:
        thing = ahead.pop()
        kind = type(thing)  # ``isinstance`` would have lazy objects set up what they stand for
        if issubclass(kind, (staticmethod, classmethod)):
            ahead.append(thing.__func__)
        if issubclass(kind, property):
            ahead += [thing.fget, thing.fset, thing.fdel]
        if kind is _Cached:
            ahead.append(thing.__wrapped__)
        if not issubclass(kind, (type, FunctionType)) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if issubclass(kind, type):
            if thing.__module__ == everything.get("__name__"):
                ahead += vars(thing).values()
            continue
        ahead += _contents(thing)
        if thing.__globals__ is everything:
            yield from _nested(thing.__code__)


def _contents(function: FunctionType) -> Iterator[Any]:
    """What a decorator keeps of the function behind it."""
    yield from function.__dict__.values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # it is empty yet


def _nested(code: CodeType) -> Iterator[CodeType]:
    """Code, and what is defined in it."""
    yield code
    for constant in code.co_consts:
        if type(constant) is type(code):
            yield from _nested(constant)
