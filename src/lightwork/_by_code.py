"""Plain functions by value: their code, and what it names. No module has to be loaded for that.

cloudpickle takes everything (see ``_by_value``), but 30 to 50 ms to import, in the caller and in the workers, before a
first result. Most functions of a script or a notebook name nothing but modules, importable things, data and each other.
These are written here, in the way in which cloudpickle does it; what asks for more is left to it.

Functions that a caller sends to one worker in several pickles share one set of globals there, as they do in the caller:
what an initializer or an earlier call has put into a global is seen by the next function. And functions behind
``functools.lru_cache`` travel, each with an empty cache.
"""

from __future__ import annotations

import _thread
import copyreg
import marshal
import sys

from lightwork._lean import cache, pickle
from lightwork._pieces import Pieces, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from types import CellType, CodeType, FunctionType, ModuleType
    from typing import Any, Protocol

    Named = tuple[Callable[[str], type], tuple[str]]
    """What stands for a class in a pickle."""

    class Names(Protocol):
        """Which classes the receiver of a pickle has."""

        def name(self, kind: type) -> Named | None: ...
        def note(self, kind: type, identity: str, /) -> bool: ...

    Key = tuple[str, int]
    """A caller's module, and which globals in it: the identity of the dict, since code may be run in dicts of its
    own."""
else:
    FunctionType, ModuleType = type(lambda: None), type(sys)
    CodeType, CellType = type((lambda: None).__code__), type((lambda one: lambda: one)(None).__closure__[0])

_Cached = type(cache(len))

MAIN = "__main__"
"""Never written into a pickle, where an empty text stands for it: what names it means another module in a worker."""

MAINS = (MAIN, "__mp_main__")
"""What the main module calls itself: in processes that ``multiprocessing`` has spawned, otherwise."""

IMMUTABLE = (FunctionType, type, ModuleType, int, float, complex, str, bytes, tuple, frozenset, type(None))
_NAMELESS = (type(None), type(...), type(NotImplemented))
"""Types without an importable name that pickle knows."""


_NOBODYS = (type(_thread.allocate_lock()), _thread.RLock, type(_ for _ in ()))
"""Types of what cannot be pickled: locks, and generators."""


class _NotPlain(Exception):
    """It takes cloudpickle."""


class NobodysError(TypeError):
    """It cannot be pickled; nor does cloudpickle take it."""


# in the caller


def dumps(
    value: Any,
    buffer_callback: Callable[[pickle.PickleBuffer], Any],
    reducers: dict[type, Callable[[Any], Any]],
    names: Names | None = None,
    functions: bool = True,
    alone: Collection[FunctionType] = (),
) -> bytes | Pieces | None:
    """``value`` for a worker, with plain functions by value; None where there is more to it. ``alone``: importable
    functions that go by value, too.

    ``reducers``: how things of these very types are pickled. ``names``: of classes that the receiver has. Without
    ``functions`` it is for the caller, whose own functions they would have to be. Raises what pickling the value
    raises, which says nothing: cloudpickle may do better.
    """
    file = Sink()
    pickler = Pickler(file, 5, buffer_callback=buffer_callback)
    pickler.reducers, pickler.names, pickler.functions, pickler.alone = reducers, names, functions, alone
    try:
        pickler.dump(value)
    except _NotPlain:
        return None
    return file.pickled()


class Pickler(pickle.Pickler):
    """See ``dumps``."""

    reducers: dict[type, Callable[[Any], Any]] = {}  # noqa: RUF012 - each gets its own
    names: Names | None = None
    functions = True
    alone: Collection[FunctionType] = ()

    def reducer_override(self, thing: Any) -> Any:
        kind = type(thing)
        if self.reducers and (reducer := self.reducers.get(kind)) is not None:
            reduced = reducer(thing)
            if reduced is not NotImplemented:
                return reduced
        if (place := global_generator(thing)) is not None:
            return getattr, place
        if kind is FunctionType:
            if thing not in self.alone and importable(thing):
                return NotImplemented
            if not self.functions:
                raise _NotPlain
            return _reduced(thing, annotated=thing not in self.alone)
        if kind is ModuleType:
            name = thing.__name__
            if sys.modules.get(name) is not thing:
                raise _NotPlain
            return _module, (name,)
        if kind is CodeType:
            return marshal.loads, (marshal.dumps(thing),)
        if issubclass(kind, type):
            if not any(thing is each for each in _NAMELESS) and not importable(thing):
                if self.names is None or (named := self.names.name(thing)) is None:
                    raise _NotPlain
                return named
        elif kind is _Cached and not importable(thing):
            return cached, (thing.__wrapped__, thing.cache_parameters())
        elif kind in _NOBODYS and kind not in copyreg.dispatch_table:
            raise NobodysError(f"cannot pickle '{kind.__module__}.{kind.__qualname__}' object".replace("builtins.", ""))
        return NotImplemented


def global_generator(thing: Any) -> tuple[ModuleType, str] | None:
    """Where the one generator stands that the functions of ``random`` or ``numpy.random`` draw from, if it is
    this: each process has its own, and a copy would draw the same numbers again."""
    for module, name in _GLOBAL_GENERATORS:
        found = sys.modules.get(module)
        if found is not None and thing is getattr(found, name, _NAMELESS):
            return found, name
    return None


_GLOBAL_GENERATORS = (("random", "_inst"), ("numpy.random.mtrand", "_rand"))


def importable(thing: Any) -> bool:
    """Whether a name leads to this very thing in every process."""
    if thing.__module__ in MAINS or "<" in thing.__qualname__:
        return False
    found: Any = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is thing


def _reduced(function: FunctionType, annotated: bool) -> Any:
    """``annotated``: with its annotations, which may name what nothing else of it does, or what is not there to be
    named."""
    code, everything, closure = function.__code__, function.__globals__, function.__closure__
    named = {name: everything[name] for name in global_names(code) if name in everything}
    cells = None if closure is None else [*map(_contents, closure)]
    own = {name: everything[name] for name in ("__package__", "__name__", "__path__", "__file__") if name in everything}
    named.pop("__name__", None)  # it is in ``own``
    if own.get("__name__") in MAINS:
        own["__name__"] = ""
    slots = {
        "__name__": function.__name__,
        "__qualname__": function.__qualname__,
        "__annotations__": annotations_of(function) if annotated else {},
        "__kwdefaults__": function.__kwdefaults__,
        "__defaults__": function.__defaults__,
        "__module__": "" if function.__module__ in MAINS else function.__module__,
        "__doc__": function.__doc__,
        "__globals__": named,
        "__closure__": cells,
        "submodules": _submodules(code, [*named.values(), *(cell[0] for cell in cells or () if cell)]),
    }
    key = key_of(function)
    made = (key, _made, code, own, 0 if cells is None else len(cells), cells is None)
    return make, made, (key, _filled, (function.__dict__, slots)), None, None, fill


def annotations_of(function: FunctionType) -> dict[str, Any]:
    """None where they name what is not there: where they are evaluated late (3.14), most functions never notice."""
    try:
        return function.__annotations__
    except Exception:  # noqa: BLE001 - they are any code
        return {}


def key_of(function: FunctionType) -> Key:
    """Which globals a function has."""
    module = str(function.__module__)
    return "" if module in MAINS else module, id(function.__globals__)


def _contents(cell: CellType) -> tuple[Any, ...]:
    """What is in a cell: nothing, or one thing."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _submodules(code: CodeType, things: Iterable[Any]) -> list[ModuleType]:
    """Modules that are reached through their packages, as in ``xml.dom.minidom``: whoever has only imported the
    package does not find them there."""
    found = []
    for thing in things:
        if type(thing) is ModuleType and getattr(thing, "__package__", None):
            prefix = thing.__name__ + "."
            for name, module in list(sys.modules.items()):
                if name.startswith(prefix) and set(name[len(prefix) :].split(".")) <= set(code.co_names):
                    found.append(module)
    return found


def global_names(code: CodeType) -> dict[str, None]:
    """The names of the globals that code, and what is defined in it, reads, binds or deletes; in a fixed order."""
    found = dict.fromkeys(_global_names(code))
    for constant in code.co_consts:
        if type(constant) is CodeType:
            found.update(global_names(constant))
    return found


def _global_names(code: CodeType) -> Iterator[str]:
    load, others, extended, anywhere = _instructions()
    raw, names, high = code.co_code, code.co_names, 0
    for op, argument in zip(raw[::2], raw[1::2], strict=True):
        argument |= high
        high = argument << 8 if op == extended else 0
        if op == load:
            yield names[argument >> 1]  # the lowest bit says something of the stack
        elif op in others or op in anywhere:
            yield names[argument]


def binding(code: CodeType) -> bool:
    """Whether code binds or deletes a global, not counting what is defined in it."""
    others = _instructions()[1]
    return any(op in others for op in code.co_code[::2])


def calls_only(code: CodeType, name: str) -> bool:
    """Whether code does nothing with a global but call it: nobody sees then which of two equal ones it is."""
    load, others, extended, anywhere = _instructions()
    raw, names, high = code.co_code, code.co_names, 0
    for op, argument in zip(raw[::2], raw[1::2], strict=True):
        argument |= high
        high = argument << 8 if op == extended else 0
        if (op == load and not argument & 1 and names[argument >> 1] == name) or (
            (op in others or op in anywhere) and names[argument] == name
        ):
            return False
    return True


@cache
def _instructions() -> tuple[int, frozenset[int], int, frozenset[int]]:
    """LOAD_GLOBAL, what else is certain to mean a global, EXTENDED_ARG, and what the body of a class finds what it
    names with, wherever that is."""
    from opcode import opmap

    anywhere = frozenset(opmap[name] for name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") if name in opmap)
    return (
        opmap["LOAD_GLOBAL"],
        frozenset((opmap["STORE_GLOBAL"], opmap["DELETE_GLOBAL"])),
        opmap["EXTENDED_ARG"],
        anywhere,
    )


# in the worker

_globals: dict[Key, dict[str, Any]] = {}
_sent: dict[Key, dict[str, Any]] = {}
"""The globals that the functions share, and what of them came from the caller."""


def make(key: Key, maker: Callable[..., Any], code: Any, own: dict[str, Any], *rest: Any) -> Any:
    """A function that is still empty, with the globals of all that have its ``key``."""
    return maker(code, _globals.setdefault(key, own), *rest)


def fill(function: Any, packed: tuple[Key, Callable[..., Any], Any]) -> None:
    """Gives a function what belongs to it, and its globals those values that are due."""
    key, setter, (state, slots) = packed
    sent = _sent.setdefault(key, {})
    fresh = {name: value for name, value in slots["__globals__"].items() if is_due(function.__globals__, sent, name)}
    sent.update(fresh)
    setter(function, (state, {**slots, "__globals__": fresh}))


def is_due(here: Mapping[str, Any], sent: dict[str, Any], name: str) -> bool:
    """Whether a global, or an attribute of a class, takes the value that came now.

    Not where a call has bound it anew or may have changed it: that is what the functions share it for. A helper that
    the caller has defined again, or a number, is taken as it is now.
    """
    if name not in here:
        return True
    return name in sent and here[name] is sent[name] and isinstance(here[name], IMMUTABLE)


def _made(code: CodeType, shared: dict[str, Any], cells: int, no_closure: bool) -> FunctionType:
    shared["__builtins__"] = __builtins__
    if shared.get("__name__") == "":
        shared["__name__"] = MAIN
    return FunctionType(code, shared, None, None, None if no_closure else tuple(CellType() for _ in range(cells)))


def _filled(function: Any, packed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    state, slots = packed
    del slots["submodules"]  # they had only to be imported
    function.__dict__.update(state)
    function.__globals__.update(slots.pop("__globals__"))
    for cell, content in zip(function.__closure__ or (), slots.pop("__closure__") or (), strict=True):
        if content:
            (cell.cell_contents,) = content
    if slots["__module__"] == "":
        slots["__module__"] = MAIN
    for name, value in slots.items():
        setattr(function, name, value)


def _module(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """A function behind an empty cache."""
    import functools

    return functools.lru_cache(**parameters)(function)
