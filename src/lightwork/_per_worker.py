"""``lw.per_worker``: things that every worker makes once for itself, such as a connection or a model."""

from __future__ import annotations

import os

from lightwork._lean import local
from lightwork._loaded import running_loop
from lightwork._typing import Generic, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


T = TypeVar("T")


class _Held:
    """A thing with its ``close``. When the thread that owns it ends, its storage goes, and so does the thing.

    What ``close`` raises is told by Python (``sys.unraisablehook``), costs no result, and keeps nothing else from being
    closed. It is closed as it goes, where nothing is raised but told; a Ctrl-C in ``close_now`` comes out.
    """

    def __init__(self, thing: Any, close: Callable[[Any], object] | None) -> None:
        self.thing, self._close = thing, close

    @property
    def closes(self) -> bool:
        return self._close is not None

    def close_now(self) -> None:
        try:
            self.__del__()
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # noqa: BLE001 - whatever a user's function raises
            _Told(problem)

    def __del__(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            close(self.thing)


class _Told:
    """Has Python tell of an exception that nobody is to catch."""

    def __init__(self, problem: BaseException) -> None:
        self._problem = problem

    def __del__(self) -> None:
        raise self._problem


class _Shelf(local):
    """What this thread holds: by token, and on an event loop by the loop as well."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, int], _Held] = {}


_shelf = _Shelf()


class PerWorker(Generic[T]):
    """Made by ``per_worker``. Call it inside ``fn``."""

    def __init__(self, factory: Callable[[], T], close: Callable[[T], object] | None, token: str) -> None:
        self._factory, self._close, self._token = factory, close, token

    def __call__(self) -> T:
        """This worker's own thing; made at the first call."""
        loop = running_loop()
        key = (self._token, 0 if loop is None else id(loop))
        held = _shelf.held.get(key)
        if held is None:
            held = _shelf.held[key] = _Held(self._factory(), self._close)
        thing: T = held.thing
        return thing

    def __reduce__(self) -> tuple[Any, ...]:
        # The token travels along, so that all copies in one worker share one thing.
        return PerWorker, (self._factory, self._close, self._token)


def per_worker(factory: Callable[[], T], close: Callable[[T], object] | None = None) -> PerWorker[T]:
    """Something that each worker makes once: ``get = lw.per_worker(connect)``, and inside fn ``get().query(…)``.

    ``factory()`` is called the first time that a thread, process, sub-interpreter or event loop asks; all later calls
    in that worker get the same thing, so it need not be safe for threads, nor picklable. ``close(thing)`` is called
    when the worker ends in peace, and the end of the work waits for it, up to a minute; a worker that is killed, as a
    busy one is after Ctrl-C, has no time for it. What it raises costs no result: it is written to standard error
    (``sys.unraisablehook``). Raises TypeError where ``factory`` or ``close`` is no function.
    """
    if not callable(factory):
        raise TypeError(f"per_worker needs a function that makes the thing, not {factory!r}")
    if close is not None and not callable(close):
        raise TypeError(f"close must be a function of the thing, not {close!r}")
    return PerWorker(factory, close, os.urandom(8).hex())


def held() -> frozenset[object]:
    """What this thread holds now, for ``release``."""
    return frozenset(_shelf.held)


def closes() -> bool:
    """Whether this thread holds something that is to be closed."""
    return any(held.closes for held in _shelf.held.values())


def release(keep: frozenset[object] = frozenset()) -> None:
    """Closes what this thread holds, but for what it held already when ``keep`` was asked; a worker's last act.
    A Ctrl-C comes out."""
    for key in [key for key in _shelf.held if key not in keep]:
        _shelf.held.pop(key).close_now()
