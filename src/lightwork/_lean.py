"""Parts of the standard library that are written in C, without the Python around them.

``socket``, ``signal``, ``pickle``, ``threading``, ``collections`` and ``contextlib`` import enumerations, regular
expressions and each other: 20 ms, which a first call over processes would wait for twice, in the caller and in the
process that starts its workers. What is used on that way exists in C under the same names. Where an interpreter has no
such modules, the public ones stand in.
"""

from __future__ import annotations

__all__ = [
    "Empty",
    "Iterator",
    "Lock",
    "OrderedDict",
    "RLock",
    "SimpleQueue",
    "Struct",
    "WeakValues",
    "attrgetter",
    "bisect",
    "cache",
    "deque",
    "get_ident",
    "local",
    "partial",
    "pickle",
    "ref",
    "signal",
    "socket",
    "start_new_thread",
    "struct",
    "suppress",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import bisect
    import pickle
    import signal
    import socket
    import struct
    from _thread import start_new_thread
    from collections import OrderedDict, deque
    from collections.abc import Iterator
    from contextlib import suppress
    from functools import cache, partial
    from operator import attrgetter
    from queue import Empty, SimpleQueue
    from struct import Struct
    from threading import Lock, RLock, get_ident, local
    from types import TracebackType
    from typing import Any
    from weakref import WeakValueDictionary as WeakValues
    from weakref import ref
else:
    try:
        import _signal as signal
        import _socket as socket
        import _struct as struct
        from _collections import OrderedDict, deque
        from _collections_abc import Iterator
        from _functools import _lru_cache_wrapper, partial
        from _operator import attrgetter
        from _struct import Struct
        from _thread import RLock, get_ident, start_new_thread
        from _thread import _local as local
        from _thread import allocate_lock as Lock
        from _weakref import _remove_dead_weakref, ref

        def cache(function):
            """Remembers what the function returned."""
            return _lru_cache_wrapper(function, None, False, tuple)

        class WeakValues:
            """What is used of ``weakref.WeakValueDictionary``: a dictionary that keeps none of its values alive. It
            lives as long as its module."""

            __slots__ = ("_refs",)

            def __init__(self) -> None:
                self._refs: dict[Any, ref[Any]] = {}

            def get(self, key: Any) -> Any:
                found = self._refs.get(key)
                return None if found is None else found()

            def __getitem__(self, key: Any) -> Any:
                if (value := self.get(key)) is None:
                    raise KeyError(key)
                return value

            def __setitem__(self, key: Any, value: Any) -> None:
                # In C, for another thread may have put something else there meanwhile.
                self._refs[key] = ref(value, lambda _, refs=self._refs, remove=_remove_dead_weakref: remove(refs, key))
    except ImportError:
        import signal
        import socket
        import struct
        from _thread import start_new_thread
        from collections import OrderedDict, deque
        from collections.abc import Iterator
        from functools import cache, partial
        from operator import attrgetter
        from struct import Struct
        from threading import Lock, RLock, get_ident, local
        from weakref import WeakValueDictionary as WeakValues
        from weakref import ref

    class suppress:
        """Ends the block where one of these exceptions is raised in it."""

        def __init__(self, *exceptions: type[BaseException]) -> None:
            self._exceptions = exceptions

        def __enter__(self) -> None:
            return None

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> bool:
            return kind is not None and issubclass(kind, self._exceptions)

    def __getattr__(name: str) -> object:
        """What is a file of its own, and not needed by all: a starter does without some."""
        if (place := {"Empty": "queue", "SimpleQueue": "queue"}.get(name, name)) not in _FILES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            found = __import__("_" + place)
        except ImportError:
            found = __import__(place)
        globals()[name] = thing = found if place == name else getattr(found, name)
        return thing

    _FILES = frozenset({"bisect", "pickle", "queue"})


def load_pickle() -> None:
    """Loads what is written in C of ``pickle`` where nothing else is loaded yet.

    That wants ``partial`` of ``functools``, which takes 2 ms to import with what it needs itself, and which finds it in
    ``_functools`` too. Only for a process without threads: another one's import would find the wrong module.
    """
    import sys

    if "functools" in sys.modules:
        return
    try:
        sys.modules["functools"] = __import__("_functools")
        globals()["pickle"] = __import__("_pickle")
    except ImportError:
        return  # whoever wants it will see
    finally:
        sys.modules.pop("functools", None)
