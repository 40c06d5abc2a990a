"""What the rules look at: the function, the code that it runs, the objects it brings along, and its items.

Gathered once and without calling anything. Iterators are left alone: looking at their items would use them up.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from lightwork._backends.base import Capabilities
from lightwork._captured import reach
from lightwork._effects import own
from lightwork._kinds import is_a
from lightwork._shared import MISSING

MOST_ITEMS = 1_000
"""Items that are looked at, from the front."""


@dataclass(frozen=True)
class Use:
    """A name that the code loads: ``dotted`` as the thing is known ("multiprocessing.Pool"), the ``value`` where that
    can be told, and ``where`` it is loaded ("file:line"). ``imported``: by an import statement inside the function."""

    name: str
    dotted: str
    value: Any
    where: str
    imported: bool = False

    @property
    def package(self) -> str:
        return self.dotted.partition(".")[0]


class Subject:
    """``backends``: those that the answer is wanted for, by name."""

    def __init__(
        self, fn: Callable[..., Any], iterables: Sequence[Iterable[Any]], backends: Mapping[str, Capabilities]
    ) -> None:
        self.fn = fn
        self.backends = backends
        self.iterables = iterables
        self.name = str(getattr(fn, "__qualname__", None) or type(fn).__qualname__)

    def those(self, wanted: Callable[[Capabilities], bool]) -> tuple[str, ...]:
        """The backends with some capability."""
        return tuple(name for name, can in self.backends.items() if wanted(can))

    @property
    def pickling(self) -> tuple[str, ...]:
        """Backends that send functions and items by pickle."""
        return self.those(lambda can: can.needs_pickling)

    @property
    def sharing(self) -> tuple[str, ...]:
        """Backends whose calls run at the same time on the caller's own objects."""
        return self.those(lambda can: can.shares_memory and not can.in_caller and not can.coroutines)

    @property
    def parallel(self) -> tuple[str, ...]:
        return self.those(lambda can: not can.in_caller and not can.coroutines)

    @cached_property
    def things(self) -> list[tuple[str, Any]]:
        """The objects that the function brings along, by name."""
        return list(reach(self.fn))

    @cached_property
    def functions(self) -> list[FunctionType]:
        """The function and what it calls by name, as far as that is the user's own."""
        return [thing for _, thing in self.things if is_a(thing, FunctionType) and own(thing.__code__)]

    @cached_property
    def uses(self) -> list[Use]:
        return [use for function in self.functions for use in _uses(function, function.__code__)]

    def where(self, name: str) -> str:
        """The first place at which the code uses a name, or something of that name; or "" """
        whole = name.partition(".")[0]
        return next((use.where for use in self.uses if use.name == whole), "")

    @cached_property
    def columns(self) -> list[list[Any] | None]:
        """The first items of each iterable; None for an iterator, which is not advanced."""
        return [None if iter(items) is items else list(islice(items, MOST_ITEMS)) for items in self.iterables]


def _uses(function: FunctionType, code: CodeType, known: dict[str, str] | None = None) -> Iterator[Use]:
    """Names of globals, closures and imports that the code loads, with their attributes as far as these are known.

    ``known``: what the enclosing code has imported under which name.
    """
    imported = dict(known or {})
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    name, dotted, value, where = "", "", MISSING, ""
    taken = pending = ""  # the module of an import statement, and what the next name will stand for
    for step in dis.get_instructions(code):
        op, arg = step.opname, step.argval
        if op in ("LOAD_ATTR", "LOAD_METHOD") and dotted:
            dotted, value = _attribute(dotted, value, arg)
            continue
        if dotted and op not in ("PUSH_NULL", "CACHE", "PRECALL", "NOP"):
            yield Use(name, dotted, value, where)
            dotted = ""
        line = step.positions.lineno if step.positions and step.positions.lineno else code.co_firstlineno
        here = f"{code.co_filename}:{line}"
        if op in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF") or op.startswith("LOAD_FAST"):
            name, where = (arg[-1] if isinstance(arg, tuple) else str(arg)), here
            if name in imported:
                dotted, value = imported[name], sys.modules.get(imported[name], MISSING)
            elif op in ("LOAD_GLOBAL", "LOAD_NAME") and name in function.__globals__:
                value = function.__globals__[name]
                dotted = _dotted(value, name)
            elif op == "LOAD_DEREF" and name in cells:
                try:
                    value = cells[name].cell_contents
                except ValueError:  # not filled yet
                    continue
                dotted = _dotted(value, name)
        elif op == "IMPORT_NAME":
            taken = pending = str(arg)
            yield Use(taken, taken, sys.modules.get(taken, MISSING), here, True)
        elif op == "IMPORT_FROM":
            pending, found = _attribute(taken, sys.modules.get(taken, MISSING), str(arg))
            yield Use(str(arg), pending, found, here, True)
        elif op.startswith("STORE_") and pending:
            imported[str(arg)] = str(arg) if pending.startswith(f"{arg}.") else pending
            pending = ""
    if dotted:
        yield Use(name, dotted, value, where)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _uses(function, constant, imported)


def _attribute(dotted: str, value: Any, name: str) -> tuple[str, Any]:
    """What an attribute is called, and what it is if its owner is a module that has it."""
    inner = vars(value).get(name, MISSING) if is_a(value, ModuleType) else MISSING
    whole = f"{dotted}.{name}"
    return (_dotted(inner, whole) if isinstance(inner, ModuleType) else whole), inner


def _dotted(value: Any, name: str) -> str:
    if is_a(value, ModuleType):
        return value.__name__
    # Other objects are not asked: that could run code of theirs.
    module = value.__module__ if is_a(value, (type, FunctionType, BuiltinFunctionType, MethodType)) else None
    return f"{module}.{value.__name__}" if isinstance(module, str) else name
