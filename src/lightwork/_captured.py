"""What a function brings along: objects in its globals, closure and defaults that tie it to where it is.

    a seeded generator   gives its next number to whoever comes first, and every process would repeat its numbers
    an open file         so does its place, and what is written is mixed
    a list's ``append``  changes the list of this process alone
    a connection, a local   belongs to the thread that made it

Evidence from the objects themselves, beside that of ``_effects``, which reads the bytecode.
"""

from __future__ import annotations

import _io
import os
import sys
from functools import partial
from itertools import pairwise
from site import getsitepackages
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType

from lightwork._by_code import global_generator
from lightwork._bytecode import decode
from lightwork._effects import identities
from lightwork._fills import fills_for_itself
from lightwork._kinds import held_by, is_a
from lightwork._lean import deque, local, socket
from lightwork._record import Record
from lightwork._shared import MISSING, lookup
from lightwork._unfilled import left_by_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any


DEEP = 3
"""How many functions away from the first one is looked."""

MOST = 2_000
"""Objects that are looked at, at most."""

_GENERATORS = frozenset(
    {("random", "Random"), ("numpy.random._generator", "Generator"), ("numpy.random.mtrand", "RandomState")}
)
_OF_A_THREAD = frozenset({("sqlite3", "Connection"), ("sqlite3", "Cursor")})
_IO = (_io._IOBase, socket.socket)
_DATA = (int, float, complex, str, bytes, tuple, frozenset, type(None))
_CHANGEABLE = (list, dict, set, bytearray, deque)
_CHANGING = frozenset(
    [
        "append",
        "appendleft",
        "extend",
        "extendleft",
        "insert",
        "add",
        "update",
        "setdefault",
        "remove",
        "discard",
        "pop",
        "popleft",
        "popitem",
        "clear",
        "sort",
        "reverse",
        "rotate",
        "__setitem__",
        "__delitem__",
        "difference_update",
        "intersection_update",
        "symmetric_difference_update",
    ]
)
_HERE = os.path.dirname(__file__)  # noqa: PTH120 - lightwork's own, from wherever it was imported
LIBRARY = (_HERE, os.path.dirname(os.__file__), *getsitepackages())  # noqa: PTH120


class Tie(Record, frozen=True):
    """Why a function stays: ``to`` its "process" or its "thread"; ``str()`` is the reason, a phrase after "it"."""

    to: str
    name: str
    why: str
    generator: bool = False
    """Whether it is a generator of random numbers."""
    where: str = ""
    """Where it is asked for as itself ("file:line")."""

    def __str__(self) -> str:
        return self.why


def ties(fn: Callable[..., Any], unfilled: Sequence[local] = ()) -> list[Tie]:
    """What ties ``fn`` to its process or its thread; finding nothing is no proof. Never calls anything.

    ``unfilled``: locals of threads that held nothing in this thread before any call was made.
    """
    found, asks = [], False
    for name, value in reach(fn):
        asks = asks or (is_a(value, FunctionType) and _asks(value.__code__))
        kinds = {(kind.__module__, kind.__qualname__) for kind in type(value).__mro__}
        if kinds & _GENERATORS:
            if is_a(fn, FunctionType) and global_generator(value) is not None:
                continue
            why = f'draws from the generator "{name}": who comes first gets the next number; lw.rng() is per call'
            found.append(Tie("thread", name, why, generator=True))
        elif is_a(value, _IO) and _is_open(value):
            kind = "file" if is_a(value, _io._IOBase) else "socket"
            why = f'uses "{name}", an open {kind}, which others would read from, or write to, in between'
            found.append(Tie("thread", name, why))
        elif kinds & _OF_A_THREAD:
            found.append(Tie("thread", name, f'uses "{name}", a {type(value).__qualname__} of the thread that made it'))
        elif is_a(value, BuiltinFunctionType) and _changes(value):
            kind = type(value.__self__).__qualname__
            found.append(Tie("process", name, f'brings along "{value.__name__}" of a {kind} of this process'))
        elif is_a(value, local) and needs_this_thread(fn, value, unfilled):
            found.append(Tie("thread", name, f'reads "{name}", which this thread alone has filled'))
    for name, where in identities(fn) if asks else ():
        at = f"line {where.rpartition(':')[2]} of {os.path.basename(where.rpartition(':')[0])}"  # noqa: PTH119
        why = f'asks whether its argument is "{name}" itself ({at}), of which another process has a copy'
        found.append(Tie("process", name, why, where=where))
    return found


def needs_this_thread(fn: Callable[..., Any], value: local, unfilled: Sequence[local] = ()) -> bool:
    """Whether ``fn`` may find other things in a local of threads than another thread would give itself there: what was
    put there before, or what a call leaves for the next one, as a count, or the next number of a generator.

    What ``fn`` stores itself was put there before as well, unless the local is one of those ``unfilled``.
    """
    held = held_by(value)
    if not held:
        return False
    by_calls = any(one is value for one in unfilled) or left_by_calls(value)
    stored, made = fills_for_itself(fn, value, held)
    if by_calls:
        return not held.keys() <= stored | made or any(_leads_on(held[name], name in stored) for name in held)
    return not held.keys() <= made - stored or any(_leads_on(one, False) for one in held.values())


def _leads_on(value: Any, stored: bool) -> bool:
    """Whether a call may go on with what another one made of this, where calls do, or do not, store it."""
    if is_a(value, _CHANGEABLE) or (stored and is_a(value, _DATA)):
        return True
    kinds = {(kind.__module__, kind.__qualname__) for kind in type(value).__mro__}
    if kinds & _OF_A_THREAD:
        return False  # a cursor, which every thread has to make for itself anyway
    return bool(kinds & _GENERATORS) or lookup(type(value), "__next__") is not MISSING


def _is_open(value: Any) -> bool:
    if is_a(value, _io._IOBase):
        if is_a(value, (_io.BytesIO, _io.StringIO)) or any(value is one for one in (sys.stdin, sys.stdout, sys.stderr)):
            return False
        return not value.closed
    return bool(value.fileno() >= 0)


def _asks(code: CodeType) -> bool:
    """Whether code may ask something to be an object that is no constant."""
    steps = decode(code).steps
    return any(step.op == "IS_OP" and before.op != "LOAD_CONST" for before, step in pairwise(steps)) or any(
        _asks(constant) for constant in code.co_consts if isinstance(constant, CodeType)
    )


def _changes(method: BuiltinFunctionType) -> bool:
    return is_a(method.__self__, _CHANGEABLE) and method.__name__ in _CHANGING


def has_locals(fn: Callable[..., Any]) -> bool:
    """Whether ``fn`` reads what each thread has its own of, so that ``ties`` must be asked in the caller's thread."""
    return bool(locals_of(fn))


def locals_of(fn: Callable[..., Any]) -> list[local]:
    """The locals of threads that ``fn`` brings along."""
    return [value for _, value in reach(fn) if is_a(value, local)]


def reach(fn: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """``fn`` and what it brings along, each with its name; functions of the user's own are followed."""
    seen: set[int] = set()
    queue: list[tuple[str, Any, int]] = [(getattr(fn, "__name__", "fn"), fn, 0)]
    while queue and len(seen) < MOST:
        name, value, depth = queue.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield name, value
        if depth <= DEEP:
            queue += [(part, found, depth + 1) for part, found in _parts(name, value, depth)]


def _parts(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if is_a(value, MethodType):
        yield value.__func__.__name__, value.__func__
        yield "self", value.__self__
    elif is_a(value, BuiltinFunctionType):
        if not is_a(value.__self__, (ModuleType, type(None))):
            yield "self", value.__self__
    elif is_a(value, FunctionType):
        if depth and value.__code__.co_filename.startswith(LIBRARY):
            return
        yield from _of_function(value)
    elif is_a(value, partial):
        yield "func", value.func
        yield from ((f"argument {place}", argument) for place, argument in enumerate(value.args))
        yield from value.keywords.items()
    elif depth <= 1 and not is_a(value, (type, local)) and type(value).__module__ != "builtins":
        # A callable object, or the object of a bound method: its attributes, and its __call__. What a local of threads
        # has of this thread is nothing that another would get.
        yield from ((f"{name}.{part}", found) for part, found in held_by(value).items())
        call = type(value).__dict__.get("__call__")
        if call is not None:
            yield "__call__", call


def held(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function's closure and defaults hold, each with its name."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue  # not filled yet
    yield from ((f"default {place}", value) for place, value in enumerate(function.__defaults__ or ()))
    yield from (function.__kwdefaults__ or {}).items()


def _of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    yield from held(function)
    for name in names(function.__code__):
        if name in function.__globals__:
            value = function.__globals__[name]
            if value is not sys.modules.get(name):
                yield name, value


def names(code: CodeType) -> Iterator[str]:
    """Of what code, and the functions that it makes, look for among globals."""
    # Not co_names as they are: those of attributes stand there, too.
    for step in decode(code).steps:
        if step.op == "LOAD_GLOBAL":
            yield code.co_names[step.arg >> 1]
        elif step.op == "LOAD_NAME":
            yield code.co_names[step.arg]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)
