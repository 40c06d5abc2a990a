"""What is known about the call that runs now: its index, its random streams, how deep calls are nested.

A call that runs in a thread is kept in that thread's own storage, because the call may run in any context (worker
threads give each call a copy of the caller's). Coroutines take turns in one thread, so theirs is kept in a context
variable, of which every task has its own. A plain call inside a coroutine never yields: the thread's own goes first.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar

try:  # not by way of ``_lean``: the shortest maps do without what that loads
    from _thread import _local as local
except ImportError:
    from threading import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from collections.abc import Sized
    from typing import Any

    import numpy

COROUTINES = "asyncio"
"""The backend whose calls take turns in one thread."""

importing: str | None = None
"""The module of the function that a worker is importing at the moment, else None."""


class _Streams:
    """The random streams of one call, made when they are asked for."""

    __slots__ = ("index", "numpy_rng", "rng", "runs")

    def __init__(self, index: int) -> None:
        self.index = index
        self.runs = 0
        """How many runs the call has started."""
        self.rng: random.Random | None = None
        self.numpy_rng: numpy.random.Generator | None = None


class Here:
    """A call, or a stretch of calls of which ``len(done)`` have ended. ``first`` may be moved on from call to call."""

    __slots__ = ("backend", "depth", "done", "first", "outer", "seed", "streams")

    def __init__(self, first: int, seed: int, backend: str, outer: Here | None, depth: int) -> None:
        self.first = first
        self.seed = seed
        self.backend = backend
        self.outer = outer
        self.depth = depth
        self.done: Sized = ()
        self.streams: _Streams | None = None

    @property
    def index(self) -> int:
        return self.first + len(self.done)

    def own_streams(self) -> _Streams:
        """The streams of the call that runs now, not of an earlier one of the stretch."""
        index = self.index
        if self.streams is None or self.streams.index != index:
            self.streams = _Streams(index)
        return self.streams


class _Thread(local):
    """``depth``: calls around everything that this thread does. ``rng``, ``numpy_rng``: for use outside of calls."""

    call: Here | None = None
    depth: int = 0
    rng: random.Random | None = None
    numpy_rng: numpy.random.Generator | None = None


_thread = _Thread()
_task: ContextVar[Here | None] = ContextVar("lightwork_call", default=None)


def enter(index: int, seed: int, backend: str) -> None:
    """Marks the beginning of a call."""
    around = _thread.call
    if around is None or backend == COROUTINES:
        task = _task.get()
        depth = _thread.depth if task is None else task.depth
        if backend == COROUTINES:
            _task.set(Here(index, seed, backend, task, depth + 1))
            return
    else:
        depth = around.depth
    _thread.call = Here(index, seed, backend, around, depth + 1)


def leave() -> None:
    """Marks the end of the call that was entered last: what was before holds again."""
    call = _thread.call
    if call is not None:
        _thread.call = call.outer
        return
    task = _task.get()
    if task is not None:
        _task.set(task.outer)


class stretch:
    """Marks calls ``first``, ``first + 1``, … that follow one another in this thread; ``done`` grows by one with each.

    For loops that leave no room for ``enter`` and ``leave`` around every call.
    """

    def __init__(self, first: int, done: Sized, seed: int, backend: str) -> None:
        self._first, self._done, self._seed, self._backend = first, done, seed, backend

    def __enter__(self) -> Here:
        enter(self._first, self._seed, self._backend)
        call = _thread.call
        assert call is not None
        call.done = self._done
        return call

    def __exit__(self, *_: object) -> None:
        call = _thread.call
        if call is not None:
            _thread.call = call.outer


def descend(depth: int) -> None:
    """Says that ``depth`` calls enclose everything that this thread will do; for workers."""
    _thread.depth = depth


def index() -> int | None:
    """The index of the call that runs here, or None outside of one."""
    call = _current()
    return None if call is None else call.index


def seed() -> int | None:
    """The seed of the run that this call belongs to, or None outside of one."""
    call = _current()
    return None if call is None else call.seed


def backend() -> str | None:
    """The name of the backend that runs this call, or None outside of one."""
    call = _current()
    return None if call is None else call.backend


def depth() -> int:
    """How many calls of lightwork enclose this one, in this process or in those that it works for."""
    call = _current()
    return _thread.depth if call is None else call.depth


def inside_an_import() -> bool:
    """Whether this thread imports a module, for which other threads, and processes, would have to wait."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def watchable() -> bool:
    """Whether another thread may look after what this one does: not where it has others beside it, or holds them up."""
    return not depth() and not inside_an_import()


def mark_records() -> None:
    """From now on log records that a call in this process makes have its index as ``lightwork_index``, as those of
    worker processes have. Nothing is done where nobody has loaded ``logging``."""
    logging = sys.modules.get("logging")
    get = getattr(logging, "getLogRecordFactory", None)  # another thread may just import it
    make = get() if get is not None else None
    if logging is None or make is None or hasattr(make, "of_lightwork"):
        return

    def marked(*args: Any, **kwargs: Any) -> Any:
        record = make(*args, **kwargs)
        here = index()
        if here is not None:
            record.lightwork_index = here
        return record

    marked.of_lightwork = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(marked)


def rng() -> random.Random:
    """A random generator. Inside a call it is the call's own: the same stream for the same ``seed=`` and item,
    in every backend and with every number of workers. Outside of a call: unseeded, one a thread.
    """
    import random

    call = _current()
    if call is None:
        if _thread.rng is None:
            _thread.rng = random.Random()
        return _thread.rng
    streams = call.own_streams()
    if streams.rng is None:
        streams.rng = random.Random(_derive(call.seed, streams.index, b"random"))
    return streams.rng


def numpy_rng() -> numpy.random.Generator:
    """The NumPy generator of this call, or outside of one an unseeded one of this thread; see ``rng``.

    Streams of different items are independent by NumPy's own rule: ``SeedSequence(seed, spawn_key=(index,))``.
    """
    import numpy

    call = _current()
    if call is None:
        if _thread.numpy_rng is None:
            _thread.numpy_rng = numpy.random.default_rng()
        return _thread.numpy_rng
    streams = call.own_streams()
    if streams.numpy_rng is None:
        entropy = numpy.random.SeedSequence(entropy=abs(call.seed), spawn_key=(streams.index,))
        streams.numpy_rng = numpy.random.default_rng(entropy)
    return streams.numpy_rng


def entropy() -> int:
    """A seed for a run to which nobody gave one. Inside a call it is the call's own, a new one for each such run, so
    that the ``seed`` of the outermost run fixes all of them."""
    call = _current()
    if call is None:
        return int.from_bytes(os.urandom(8), "little")
    streams = call.own_streams()
    streams.runs += 1
    return _derive(call.seed, streams.index, b"run %d" % streams.runs) >> 192


def seed_globals() -> None:
    """Seeds ``random`` and, where it is imported, NumPy's global generator for the call that runs here."""
    call = _current()
    if call is None:
        return
    import random

    entropy = _derive(call.seed, call.index, b"globals")
    random.seed(entropy)
    generators = getattr(sys.modules.get("numpy"), "random", None)  # another thread may just import it
    if generators is not None:
        generators.seed([(entropy >> shift) & 0xFFFF_FFFF for shift in range(0, 256, 32)])


def _current() -> Here | None:
    return _thread.call or _task.get()


def _derive(seed: int, index: int, purpose: bytes) -> int:
    """256 bits that differ for every seed, item and purpose (BLAKE2b, RFC 7693)."""
    from hashlib import blake2b  # 5 ms, which a start of workers need not pay

    return int.from_bytes(blake2b(f"{seed}:{index}".encode(), digest_size=32, person=purpose).digest(), "little")
