"""Where the command line's items come from: an expression, file names, lines, JSON, or the target's own module."""

from __future__ import annotations

import builtins
import difflib
import glob
import importlib
import inspect
import io
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TextIO

from lightwork._target import own_name
from lightwork.errors import LightworkError

COMMON = {
    "Path": ("pathlib", "Path"),
    "np": ("numpy", None),
    **{
        name: (name, None)
        for name in ("glob", "itertools", "json", "math", "numpy", "os", "pathlib", "random", "string")
    },
}
"""Names that an expression may use without an import; the target's own names come first."""


_ENCODING, _ERRORS = "utf-8-sig", "surrogateescape"
"""How text is read: bytes that are no UTF-8 (file names, old texts) pass through unchanged; the mark that some editors
put at the beginning is no part of it."""


class InvalidItems(LightworkError):
    """The items given on the command line are none, or cannot be read. The message says what would work."""


def from_expression(text: str, module: ModuleType) -> Iterable[Any]:
    """The value of a Python expression in which the target module's names, and common modules, are known."""
    try:
        code = compile(text.strip(), "--items", "eval")
    except SyntaxError as error:
        raise InvalidItems(f"--items {text!r} is not a Python expression: {error.msg}.") from None
    names = dict(vars(module))
    for name in _names(code) - names.keys() - set(dir(builtins)):
        if name in COMMON:
            place, attribute = COMMON[name]
            try:
                found = importlib.import_module(place)
            except ImportError as error:
                raise InvalidItems(f"--items {text!r} needs {place}, which is not installed: {error}.") from None
            names[name] = getattr(found, attribute) if attribute else found
    try:
        value = eval(code, names)
    except NameError as error:
        near = difflib.get_close_matches(str(error.name), [*names, *COMMON, *dir(builtins)], 1)
        hint = f" Did you mean {near[0]}?" if near else f" It sees the names of {own_name(module)}."
        raise InvalidItems(f"--items {text!r}: {error}.{hint}") from None
    except Exception as error:
        raise InvalidItems(f"--items {text!r} raised {type(error).__name__}: {error}.") from error
    return _iterable(value, f"--items {text!r}")


def _iterable(value: Any, what: str) -> Iterable[Any]:
    if isinstance(value, str | bytes):
        raise InvalidItems(f"{what} is a single text, not several items; write [{value!r}] for one item.")
    try:
        iter(value)
    except TypeError:
        hint = f" Did you mean range({value})?" if isinstance(value, int) and not isinstance(value, bool) else ""
        raise InvalidItems(f"{what} is {value!r:.60}, which is not iterable.{hint}") from None
    found: Iterable[Any] = value
    return found


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):  # a lambda or a comprehension inside
            found |= _names(constant)
    return found


def from_glob(pattern: str) -> list[str]:
    """The paths that match, sorted; ``**`` goes into all directories."""
    # Path.glob knows no absolute patterns, and its ** follows other rules than the shell's.
    found = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True)) if pattern else []  # noqa: PTH207
    if not found:
        where = "" if Path(pattern).is_absolute() else f" in {Path.cwd()}"
        hint = "" if "**" in pattern else " ** goes into subdirectories, as in '**/*.txt'."
        raise InvalidItems(f"No file matches {pattern!r}{where}.{hint}")
    return found


def from_lines(name: str) -> Iterator[str]:
    """The lines of a file, or of standard input for ``-``, without their ends; read as they are asked for."""
    opened = _open(name)

    def lines() -> Iterator[str]:
        with opened as stream:
            for line in stream:
                yield line.rstrip("\r\n")

    return lines()


def from_json(name: str) -> Iterator[Any]:
    """The elements of a JSON array, or the values of JSON lines; lines are read as they are asked for."""
    opened = _open(name)

    def values() -> Iterator[Any]:
        with opened as stream:
            yield from _json_values(stream, name)

    return values()


def _json_values(stream: TextIO, name: str) -> Iterator[Any]:
    numbered = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    try:
        head = json.loads(first[1])
    except (ValueError, RecursionError):
        yield from _document(first[1] + stream.read(), name)
        return
    second = next(numbered, None) if isinstance(head, list) else None
    if isinstance(head, list) and second is None:
        yield from head  # one line that holds the whole array
        return
    yield head
    for number, line in itertools.chain([] if second is None else [second], numbered):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidItems(f"Line {number} of {_called(name)} is not JSON: {error}.") from None


def _document(text: str, name: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidItems(f"{_called(name)} is neither a JSON array nor JSON lines: {error}.") from None
    if not isinstance(value, list):
        raise InvalidItems(f"{_called(name)} holds a JSON {type(value).__name__}; items come from an array.")
    return value


def _open(name: str) -> AbstractContextManager[TextIO]:
    if name == "-":
        if sys.stdin is None:  # it was closed before Python began
            raise InvalidItems("There is no standard input to read items from.")
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding=_ENCODING, errors=_ERRORS)
        return nullcontext(sys.stdin)
    path = Path(name).expanduser()
    if path.is_dir():
        raise InvalidItems(f"{name} is a directory; for its files use --glob '{path / '*'}'.")
    try:
        return path.open(encoding=_ENCODING, errors=_ERRORS)
    except OSError as error:
        raise InvalidItems(f"{name} cannot be read: {error.strerror or error}.") from None


def _called(name: str) -> str:
    return "standard input" if name == "-" else name


def from_module(module: ModuleType) -> tuple[str, Iterable[Any]] | None:
    """``items`` or ``ITEMS`` of the target's module, a collection or a function without arguments; None without."""
    for name in ("items", "ITEMS"):
        value = getattr(module, name, None)
        if value is None:
            continue
        what = f"{name} in {own_name(module)}"
        if callable(value):
            try:
                inspect.signature(value).bind()
            except (TypeError, ValueError):
                continue  # a function that needs arguments is something else
            return f"{name}()", _iterable(value(), f"{name}() in {own_name(module)}")
        return name, _iterable(value, what)
    return None
