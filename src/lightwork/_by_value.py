"""Pickling by value: what has no importable name, or a name that means something else in another process.

cloudpickle does this, with some help (see ``_classes`` and ``_decorated``); as for plain functions (see ``_by_code``),
functions that a caller sends to one worker in several pickles share one set of globals there, and functions behind
``functools.lru_cache`` travel, each with an empty cache.
"""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from lightwork import _classes, _decorated
from lightwork._by_code import MAIN, MAINS, cached, fill, global_generator, global_names, importable, key_of, make
from lightwork._pieces import Pieces, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._by_code import Names


def dumps(
    value: Any,
    buffer_callback: Callable[[pickle.PickleBuffer], Any],
    shared: bool,
    reducers: dict[type, Callable[[Any], Any]],
    names: Names | None = None,
) -> bytes | Pieces:
    """``value`` by value. ``shared``: for a worker, where functions join the globals of those sent before.

    ``reducers``: how things of these very types are pickled. ``names``: notes the classes that go along.
    """
    file = Sink()
    pickler = _pickler()(file, protocol=5, buffer_callback=buffer_callback)
    pickler.reducers = reducers
    pickler.shared, pickler.names = shared, names
    pickler.dump(value)
    return file.pickled()


@cache
def _pickler() -> Any:
    import cloudpickle

    for name in MAINS:
        if name != MAIN and name in sys.modules:  # cloudpickle knows the other one alone
            cloudpickle.register_pickle_by_value(sys.modules[name])

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        reducers: dict[type, Callable[[Any], Any]] = {}  # noqa: RUF012 - each gets its own
        shared = False
        names: Names | None = None

        def reducer_override(self, thing: Any) -> Any:
            if self.reducers and (reducer := self.reducers.get(type(thing))) is not None:
                reduced = reducer(thing)
                if reduced is not NotImplemented:
                    return reduced
            if (named := global_generator(thing)) is not None:
                return getattr, named
            if type(thing) is functools._lru_cache_wrapper and not importable(thing):
                return cached, (thing.__wrapped__, thing.cache_parameters())
            reduced = _decorated.reduced(thing)
            if reduced is not NotImplemented:
                return reduced
            reduced = super().reducer_override(_annotated(thing) if type(thing) is FunctionType else thing)
            if not isinstance(reduced, tuple) or len(reduced) != 6:
                return reduced
            if self.shared and type(thing) is FunctionType:
                key = key_of(thing)
                maker, arguments, state, _, _, setter = reduced
                named, everything = state[1]["__globals__"], thing.__globals__
                for name in global_names(thing.__code__):  # cloudpickle leaves out what bodies of classes name
                    if name in everything:
                        named.setdefault(name, everything[name])
                return make, (key, maker, *arguments), (key, setter, state), None, None, fill
            return _classes.reduced(thing, reduced, self.shared, self.names) if isinstance(thing, type) else reduced

    return Pickler


def _annotated(function: FunctionType) -> FunctionType:
    """The function, or one like it without annotations where these cannot be evaluated."""
    try:
        _ = function.__annotations__
    except Exception:  # noqa: BLE001 - they are any code
        bare = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        bare.__kwdefaults__, bare.__annotations__ = function.__kwdefaults__, {}
        return functools.update_wrapper(bare, function, ("__module__", "__qualname__", "__doc__"))  # type: ignore[return-value]
    return function
