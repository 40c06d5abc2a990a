"""Evidence that a function changes what others see: globals, closures, its arguments. Read from its bytecode.

A small abstract interpretation. Every value on the stack and in every local variable is either *shared* (it came
from a global, a closure, an argument, or a mutable default value: a ``Val``) or of no interest (``None``: created
here, or unknown). Storing into a shared object, or calling a method of it that is known to change it, is an
*effect*. What is unknown is never one: a false alarm keeps a function serial needlessly. So finding nothing
proves nothing.

Functions of the user's own that are called by name are followed, with what is known of their arguments. Nothing
is called, and no attribute is looked up in a way that could run code. Source is not needed.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from itertools import islice, takewhile
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType

from lightwork._bytecode import ATTR_HAS_FLAG, ENDS, Handler, Step, decode, line
from lightwork._changers import (
    BUILTIN_TYPES,
    CHANGES_ALWAYS,
    CHANGES_CONTAINERS,
    CHANGES_FIRST,
    CHANGES_UNUSED,
    DRAINS,
    INPLACE,
    INSIDE,
    PROCESS_STATE,
    VALUE_USED,
    VIEWS,
    changer_of,
    each_thread_its_own,
    is_queue,
    logs,
)
from lightwork._flow import Flow
from lightwork._instructions import Inner, Present
from lightwork._record import Record
from lightwork._shared import MISSING, Val, child, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


_DEPTH = 5  # functions deep
_CODES = 60  # functions in all
_TABLE = 20  # functions in a table of them
_STEPS = 3000  # instructions in all: some 20 ms


class Effect(Record, frozen=True):
    """Something that a function changes beyond its own locals.

    ``what``: in words. ``name``: of what is changed ("counter", "self.total"). ``where``: "file:line", or "" for
    a function without bytecode. ``certain``: False if it happens on some paths only, or is a guess from a name.
    ``kind``: what it belongs to: "argument", "global", "closure", "default", "object" or "process".
    """

    what: str
    where: str
    certain: bool
    name: str
    kind: str = "object"

    @property
    def of_argument(self) -> bool:
        """Whether it is the argument itself that is changed, and nothing that this leads to."""
        return self.kind == "argument" and not {".", "["} & set(self.name)

    def __str__(self) -> str:
        file, _, number = self.where.rpartition(":")
        return f"{self.what} (line {number} of {file.rpartition(os.sep)[2]})" if file else self.what


def effects(fn: Callable[..., Any]) -> list[Effect]:
    """What a function is seen to change, in the order of reading; certain evidence first.

    Never calls it, and raises for nothing: what cannot be read has no findings. Functions of the standard
    library and of installed packages are trusted.
    """
    reader = Reader()
    try:
        reader.read(fn)
    except Exception:  # noqa: BLE001 - bytecode of a kind never seen: what was found until here still holds
        reader.cut = True
    return sorted(reader.found.values(), key=lambda effect: not effect.certain)


def identities(fn: Callable[..., Any]) -> list[tuple[str, str]]:
    """The objects that a function asks its argument to be, as ``is`` does: their names, and where ("file:line").

    In another process the argument is a copy. Left out are those of which there is one in every process: classes,
    members of an Enum, and whatever says itself how it is copied.
    """
    reader = Reader()
    try:
        reader.read(fn)
    except Exception:  # noqa: BLE001 - as above
        reader.cut = True
    return list(dict.fromkeys(reader.identities))


class Reader:
    """Collects the effects of a function and of what it calls."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Effect] = {}
        self.identities: list[tuple[str, str]] = []
        self.filled: list[tuple[Any, str]] = []
        """Locals of threads, and the attributes that are stored in them."""
        self.held: tuple[Any, Mapping[str, Any]] = None, {}
        """A local of threads, and what it is supposed to have already where that is asked for."""
        self.seen: set[tuple[Any, ...]] = set()
        self.steps = _STEPS
        self.cut = False

    # what to read

    def read(self, fn: Any) -> None:
        """A callable of any kind, as map would call it."""
        given: list[Val | None] = []
        while isinstance(fn, partial):
            given = [self._bound(f"argument {i} bound by partial", v) for i, v in enumerate(fn.args)] + given
            fn = fn.func
        if isinstance(fn, BuiltinFunctionType) and isinstance(fn.__self__, BUILTIN_TYPES):
            if fn.__name__ in CHANGES_CONTAINERS:
                kind = type(fn.__self__).__name__
                self._add(f"changes the {kind} whose method {fn.__name__} it is", "", True, kind)
            return
        if isinstance(fn, MethodType):
            given.insert(0, self._bound("self", fn.__self__))
            fn = fn.__func__
        plain = unwrapped(fn)
        if plain is None and not isinstance(fn, type):
            call = lookup(type(fn), "__call__")
            plain = unwrapped(call)
            given.insert(0, self._bound("self", fn))
        elif isinstance(fn, type):
            plain = unwrapped(lookup(fn, "__init__"))
            given.insert(0, None)
        if plain is not None and own(plain.__code__):
            self.follow(plain, given, {}, 0, root=True)

    @staticmethod
    def _bound(name: str, value: Any) -> Val | None:
        return Val("object", name, value)

    def follow(
        self,
        fn: FunctionType,
        args: list[Val | None],
        named: Mapping[str, Val | None],
        depth: int,
        root: bool = False,
    ) -> None:
        """Reads a function's body; ``args`` say what is known of its first arguments."""
        code = fn.__code__
        slots: dict[int, Val | None] = {}
        names = code.co_varnames
        count = code.co_argcount
        positional = fn.__defaults__ or ()
        defaults = dict(zip(names[count - len(positional) : count], positional, strict=False))
        defaults.update(fn.__kwdefaults__ or {})
        for i, name in enumerate(names[: count + code.co_kwonlyargcount]):
            if i < min(len(args), count):
                slots[i] = args[i]
            elif name in named:
                slots[i] = named[name]
            elif name in defaults:
                slots[i] = _interesting("default", name, defaults[name])
            elif root:
                slots[i] = Val("argument", name)
        extra = count + code.co_kwonlyargcount
        if code.co_flags & 4:  # *args: the tuple is new, what it holds is the caller's
            rest = [arg for arg in args[count:] if arg is not None]
            slots[extra] = Val("argument", names[extra]) if root and not rest else next(iter(rest), None)
        free = []
        for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=False):
            try:
                free.append(_interesting("closure", name, cell.cell_contents))
            except ValueError:  # an empty cell
                free.append(None)
        self.body(Inner(code, tuple(free), frozenset(code.co_freevars)), slots, fn.__globals__, depth)

    def body(self, inner: Inner, slots: dict[int, Val | None], scope: dict[str, Any], depth: int) -> None:
        """Reads one code object."""
        key = (inner, tuple(slots.items()))
        if key in self.seen or depth > _DEPTH or len(self.seen) >= _CODES:
            return
        self.seen.add(key)
        listener = _Listener(self, inner.code, scope, depth)
        Flow(inner.code, slots, inner.free, scope, listener, inner.foreign).run()

    def _add(self, what: str, where: str, certain: bool, name: str, kind: str = "object") -> None:
        key = (what, where)
        if key not in self.found or (certain and not self.found[key].certain):
            self.found[key] = Effect(what, where, certain, name, kind)


class _Listener:
    """Is told by the flow through one code object what happens there, and judges it."""

    def __init__(self, reader: Reader, code: CodeType, scope: dict[str, Any], depth: int) -> None:
        self.reader, self.code, self.scope, self.depth = reader, code, scope, depth

    def step(self) -> bool:
        """Counts an instruction; False when there were enough."""
        self.reader.steps -= 1
        return self.reader.steps > 0

    def supposed(self, val: Val | None, name: str) -> Present | None:
        """What is to be found under a name."""
        whose, held = self.reader.held
        if whose is None or val is None or val.obj is not whose or held.get(name) is None:
            return None
        kind = type(held[name])
        return Present(all(lookup(kind, method) is MISSING for method in ("__bool__", "__len__")))

    def expects(self, handler: Handler) -> bool:
        """Whether what is thrown may come to a handler: not where it waits for what is there to be missing."""
        return not any(_is_tried(self.code, handler, name) for name in self.reader.held[1])

    def report(self, what: str, name: str, at: int, kind: str, certain: bool = True) -> None:
        self.reader._add(what, f"{self.code.co_filename}:{line(self.code, at)}", certain, name, kind)

    def stored_global(self, name: str, at: int) -> None:
        """``global name`` and an assignment."""
        self.report(f'changes the global "{name}"', name, at, "global")

    def stored_free(self, name: str, at: int) -> None:
        """``nonlocal name`` and an assignment."""
        self.report(f'changes the closure variable "{name}"', name, at, "closure")

    def changed(self, val: Val | None, at: int, certain: bool = True) -> None:
        """An attribute, item or content of ``val`` was written."""
        if val is None:
            return
        if each_thread_its_own(val.obj):
            self.reader.filled.append((val.obj, val.attr))
            return
        self.report(f'changes {_KINDS[val.kind]} "{val.name}"', val.name, at, val.kind, certain and not val.maybe)

    def inplace(self, val: Val | None, at: int, new_list: bool) -> None:
        """``val += …``: a change for a list, a new object for a number."""
        if val is None or val.base is not None:  # of an attribute or item: the store that follows tells
            return
        if val.obj is MISSING:
            if new_list:
                self.changed(val, at)
        elif any(lookup(type(val.obj), name) is not MISSING for name in INPLACE):
            self.changed(val, at)

    def nested(self, inner: Inner, slots: dict[int, Val | None]) -> None:
        """A function that is defined here: a lambda, a comprehension, a closure."""
        self.reader.body(inner, slots, self.scope, self.depth + 1)

    def fetched(self, base: Val, found: property) -> None:
        """An attribute that a method of the class works out."""
        plain = unwrapped(found)
        if plain is not None and own(plain.__code__) and not isinstance(base.obj, type):
            self.reader.follow(plain, [base], {}, self.depth + 1)

    def special(self, val: Val | None, name: str) -> None:
        """A method that an operator or a statement calls."""
        if val is None or val.obj is MISSING or isinstance(val.obj, type):
            return
        plain = unwrapped(lookup(type(val.obj), name))
        if plain is not None and own(plain.__code__):
            self.reader.follow(plain, [val], {}, self.depth + 1)

    def advanced(self, val: Val | None, at: int) -> None:
        """Something was asked for its next items. An argument's may be what the function is for."""
        if val is None or val.kind == "argument" or val.obj is MISSING or isinstance(val.obj, type):
            return
        if lookup(type(val.obj), "__next__") is not MISSING:
            self.changed(val, at)

    def identified(self, left: Val | None, right: Val | None, at: int) -> None:
        """Two things were asked to be the same."""
        for given, other in ((left, right), (right, left)):
            if given is None or given.kind != "argument" or other is None or other.kind == "argument":
                continue
            if _is_copied(other.obj):
                where = f"{self.code.co_filename}:{line(self.code, at)}"
                self.reader.identities.append((other.name, where))

    def handed(self, val: Val | None, at: int) -> None:
        """What is given to somebody else's code, which calls what it can."""
        if val is None or val.obj is MISSING:
            return
        if isinstance(val.obj, (FunctionType, MethodType, partial)):
            self.enter(val.obj, [], {}, val)
        elif (base := changer_of(val)) is not None:
            self.changed(base, at)

    def called(
        self, fn: Val, args: list[Val | None], named: Mapping[str, Val | None], at: int, used: bool
    ) -> Val | None:
        """A call; returns what is known of its result."""
        first = args[0] if args else None
        obj = fn.obj
        if fn.attr == "[...]" and fn.base is not None:
            for one in _functions_in(fn.base.obj):
                self.enter(one, args, named, fn)
            return None
        if fn.base is not None and not isinstance(fn.base.obj, ModuleType):
            result = self.method(fn.base, fn.attr, obj, args, named, at, used)
            return result
        if not _is_own(obj):
            for arg in (*args, *named.values()):
                self.handed(arg, at)
        if obj is MISSING:
            return None
        if (base := changer_of(fn)) is not None:
            self.changed(base, at)
            return None
        name = getattr(obj, "__name__", "") if isinstance(obj, (BuiltinFunctionType, FunctionType, type)) else ""
        if isinstance(obj, (BuiltinFunctionType, type)) and getattr(obj, "__module__", "") == "builtins":
            # An argument's next item may be what the function is for.
            advances = name == "next" and first is not None and first.kind != "argument"
            if advances or name in ("setattr", "delattr"):
                self.changed(first, at)
            elif name in DRAINS:
                for arg in args:
                    self.advanced(arg, at)
            elif name == "input":
                self.report("takes lines from the standard input", "stdin", at, "process")
            elif name == "globals":
                return Val("global", "globals()")
            elif name in VIEWS or name == "getattr":
                return next((arg for arg in args if arg is not None), None)
            return None
        if isinstance(obj, MethodType):
            name = obj.__func__.__name__ if isinstance(obj.__func__, FunctionType) else ""
        state = PROCESS_STATE.get((getattr(obj, "__module__", None) or "", name)) if name else None
        if state is not None:
            self.report(f"changes {state} of the process", state, at, "process")
        elif name == "getcontext" and getattr(obj, "__module__", "") in ("decimal", "_decimal"):
            return Val("global", "decimal.getcontext()")
        elif name in CHANGES_FIRST and not _is_own(obj):
            self.changed(first, at)
        else:
            self.enter(obj, args, named, fn)
        return None

    def enter(self, obj: Any, args: list[Val | None], named: Mapping[str, Val | None], fn: Val) -> None:
        """Follows the user's own Python code that a known object stands for."""
        if isinstance(obj, partial):
            args = [_interesting("global", f"{fn.name}.args", arg) for arg in obj.args] + args
            obj = obj.func
        if isinstance(obj, MethodType):
            args = [_interesting("global", f"{fn.name}.__self__", obj.__self__), *args]
            obj = obj.__func__
        plain = unwrapped(obj)
        if plain is None and isinstance(obj, type):
            plain, args = unwrapped(lookup(obj, "__init__")), [None, *args]
        elif plain is None and not isinstance(obj, BuiltinFunctionType):
            plain, args = unwrapped(lookup(type(obj), "__call__")), [fn, *args]
        if plain is not None and own(plain.__code__):
            self.reader.follow(plain, args, named, self.depth + 1)

    def method(
        self,
        base: Val,
        attr: str,
        obj: Any,
        args: list[Val | None],
        named: Mapping[str, Val | None],
        at: int,
        used: bool,
    ) -> Val | None:
        """A call of a method of something shared."""
        plain = unwrapped(obj)
        if plain is not None:
            if own(plain.__code__):
                static = isinstance(lookup(type(base.obj), attr), staticmethod) or isinstance(base.obj, type)
                self.reader.follow(plain, args if static else [base, *args], named, self.depth + 1)
                return None
            if base.obj is not MISSING and not isinstance(base.obj, BUILTIN_TYPES):
                # A library's own object, its method written in Python: judged by name like one written in C.
                obj = MISSING
        known = base.obj is not MISSING
        if isinstance(base.obj, type) and args and args[0] is not None and not isinstance(args[0].obj, type):
            return self.method(args[0], attr, MISSING, args[1:], named, at, used)  # list.append(results, x)
        if known and is_queue(base.obj) and attr in ("get", "get_nowait"):
            self.changed(base, at)
            return None
        if known and base.obj is sys.stdin and attr.startswith("read"):
            self.report("takes lines from the standard input", "stdin", at, "process")
            return None
        for arg in (*args, *named.values()):
            self.handed(arg, at)
        if known and (isinstance(base.obj, type) or lookup(type(base.obj), attr) is MISSING):
            return None
        if known and (base.obj is sys.stdout or base.obj is sys.stderr or logs(base.obj)):
            return None
        if attr in CHANGES_ALWAYS:
            self.changed(base, at, certain=known or not used or attr in INSIDE)
        elif attr in CHANGES_UNUSED and (
            not used or attr in VALUE_USED or (known and isinstance(base.obj, BUILTIN_TYPES))
        ):
            self.changed(base, at)
        return child(base, "[...]") if attr in INSIDE else None


_KINDS = {
    "argument": "its argument",
    "global": "the global",
    "closure": "the closure variable",
    "default": "the default value of its argument",
    "object": "the object",
}

_IMMUTABLE = (int, float, complex, str, bytes, bool, type(None), frozenset, range)


def _interesting(kind: str, name: str, obj: Any) -> Val | None:
    return None if isinstance(obj, _IMMUTABLE) else Val(kind, name, obj)


def unwrapped(obj: Any) -> FunctionType | None:
    """The Python function behind one: a memoised one (functools.cache), a static or class method, what a library's
    decorator wraps."""
    for _ in range(10):
        if isinstance(obj, FunctionType):
            inner = obj.__dict__.get("__wrapped__")
            if inner is None or own(obj.__code__):
                return obj
            obj = inner
        elif isinstance(obj, (staticmethod, classmethod)):
            obj = obj.__func__
        elif type(obj).__name__ == "_lru_cache_wrapper":
            obj = obj.__wrapped__
        elif isinstance(obj, property):
            obj = obj.fget
        else:
            return None
    return None


def _is_copied(obj: Any) -> bool:
    """Whether another process has a copy of an object, as far as its class leaves that to Python."""
    if obj is MISSING or isinstance(obj, (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)):
        return False
    kind = type(obj)
    usual = all(lookup(kind, name) is lookup(object, name) for name in ("__reduce__", "__reduce_ex__", "__new__"))
    return usual and obj is not NotImplemented and obj is not Ellipsis


def _functions_in(table: Any) -> list[FunctionType]:
    """The user's own functions in a table of them."""
    parts = table.values() if type(table) is dict else table if type(table) in (list, tuple) else ()
    return [part for part in islice(parts, _TABLE) if _is_own(part)]


def _is_own(obj: Any) -> bool:
    plain = unwrapped(obj)
    return plain is not None and own(plain.__code__)


_STANDARD = os.path.dirname(os.__file__)  # noqa: PTH120 - a string is compared, and pathlib is slow to compare
_HERE = os.path.dirname(__file__)  # noqa: PTH120


def own(code: CodeType) -> bool:
    """Whether code is the user's own: not the standard library's, an installed package's, or lightwork's."""
    return own_file(code.co_filename)


def own_file(file: str) -> bool:
    """The same of a file. An empty name is nobody's."""
    if not file or "site-packages" in file or "dist-packages" in file or file.startswith("<frozen"):
        return False
    return not file.startswith((_STANDARD + os.sep, _HERE + os.sep))


def _is_tried(code: CodeType, handler: Handler, name: str) -> bool:
    """Whether an attribute of this name is asked for where an AttributeError is expected first of all."""
    if not {name, "AttributeError"} <= set(code.co_names):
        return False
    steps = decode(code).steps
    asked = any(
        step.op in ("LOAD_ATTR", "LOAD_METHOD") and _attribute_of(code, step) == name
        for step in steps[handler.first : handler.last]
    )
    expected = takewhile(lambda step: "MATCH" not in step.op and step.op not in ENDS, steps[handler.target :])
    return asked and any(
        step.op == "LOAD_GLOBAL" and code.co_names[step.arg >> 1] == "AttributeError" for step in expected
    )


def _attribute_of(code: CodeType, step: Step) -> str:
    shifted = step.op == "LOAD_ATTR" and ATTR_HAS_FLAG
    return code.co_names[step.arg >> 1 if shifted else step.arg]
