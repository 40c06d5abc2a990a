"""Pickling for another process: what is pickled and how.

Plain pickle where what it writes means the same there; cloudpickle for what pickle refuses and for all that refers to
``__main__``, because a worker's ``__main__`` is not the caller's. Large contiguous buffers (NumPy arrays) stay out of
the pickle (protocol 5, PEP 574): they are sent from where they lie, and arrive in memory of their own, writable.
"""

from __future__ import annotations

from lightwork._gate import of_a_signal
from lightwork._handles import Arrived, Collecting, Handle, Unpacking
from lightwork._lean import pickle
from lightwork._loaded import loaded
from lightwork._pieces import LARGE, Buffer, Bytes, Pieces, Sink, frames_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._by_code import Names


OUT_OF_BAND = LARGE
"""Buffers from this size on stay out of the pickle; below, one more copy is cheaper than one more part."""

_MAIN = b"\x8c\x08__main__"
"""A pickle that refers to what is in ``__main__`` has this text by itself, not within a longer one."""
_CHILDS_MAIN = b"\x8c\x0b__mp_main__"
"""The same where ``multiprocessing`` has spawned this process."""

_large: set[int] = set()
"""Types, by their ids, of which the last value's pickle was large: the next is pickled in pieces, for which small ones
would take 2 µs longer."""
_TEXTS = frozenset({bytes, bytearray, str})
"""Types whose pickles are known to be large before."""

_ATOMS = frozenset({int, float, bool, type(None), complex, bytes})
"""Types that refer to nothing: their pickles need no second look."""

reducers: dict[type, Callable[[Any], Any]] = {}
"""How things of these very types are pickled for a wire: what ``__reduce__`` returns, or NotImplemented for as always.
Empty until this process holds shared memory."""


def dump(
    value: Any,
    out_of_band: int | None = OUT_OF_BAND,
    to_worker: bool = False,
    handles: dict[Handle, int] | None = None,
    names: Names | None = None,
) -> tuple[bytes, list[memoryview]]:
    """The value as a pickle and the buffers of at least ``out_of_band`` bytes that belong to it (None: none).

    ``to_worker``: functions sent by value join the globals of those that the worker has already. ``handles``: takes
    the handles in it, which must go with it; without it there must be none. ``names``: of classes that the receiver
    has, so that they need not go along.

    Raises whatever pickling the value raises.
    """
    data, buffers = _dump(value, out_of_band, to_worker, handles, names)
    return data.joined() if type(data) is Pieces else data, buffers  # type: ignore[return-value]


def _dump(
    value: Any, out_of_band: int | None, to_worker: bool, handles: dict[Handle, int] | None, names: Names | None
) -> tuple[bytes | Pieces, list[memoryview]]:
    if type(value) in _ATOMS:
        return pickle.dumps(value, 5) if id(type(value)) not in _large else _dump_in_pieces(value, None), []
    if handles is None:
        return _dump_any(value, out_of_band, to_worker, None, names)
    with Collecting(handles):
        return _dump_any(value, out_of_band, to_worker, handles, names)


def _dump_any(
    value: Any, out_of_band: int | None, to_worker: bool, handles: dict[Handle, int] | None, names: Names | None
) -> tuple[bytes | Pieces, list[memoryview]]:
    buffers: list[memoryview] = []
    met = len(handles) if handles is not None else 0

    def stays_in(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if out_of_band is None or raw.nbytes < out_of_band:
            return True
        buffers.append(raw)
        return False

    data: bytes | Pieces
    try:
        if reducers and handles is not None:
            data = _dump_reduced(value, stays_in)
        elif id(type(value)) in _large:
            data = _dump_in_pieces(value, stays_in)
        else:
            data = pickle.dumps(value, 5, buffer_callback=stays_in)
    except Exception as problem:
        if of_a_signal(problem):
            raise
        # Objects raise anything from __reduce__; cloudpickle has the last word.
        data = b"__main__"
    if not by_value(data):
        return data, buffers
    reduced = reducers if handles is not None else {}

    def again() -> None:
        buffers.clear()
        while handles is not None and len(handles) > met:
            handles.popitem()

    again()
    if (to_worker or names) and (plain := _plainly(value, stays_in, reduced, names, to_worker)) is not None:
        return plain, buffers
    again()
    from lightwork import _by_value

    return _by_value.dumps(value, stays_in, to_worker, reduced, names), buffers


def _plainly(
    value: Any,
    buffer_callback: Callable[[pickle.PickleBuffer], Any],
    reducers: dict[type, Callable[[Any], Any]],
    names: Names | None,
    to_worker: bool,
) -> bytes | Pieces | None:
    """The value with plain functions by value, for a worker, and known classes by name; None where that takes
    cloudpickle."""
    from lightwork import _by_code

    try:
        data = _by_code.dumps(value, buffer_callback, reducers, names, to_worker)
    except Exception as problem:
        if of_a_signal(problem):
            raise
        return None  # as above
    if data is None or any(_MAIN in frame or _CHILDS_MAIN in frame or _by_value_in(frame) for frame in frames_of(data)):
        return None
    return data


def _dump_reduced(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any]) -> bytes | Pieces:
    sink = Sink()
    _Reducing(sink, 5, buffer_callback=buffer_callback).dump(value)
    return sink.pickled()


def _dump_in_pieces(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None) -> bytes | Pieces:
    sink = Sink()
    pickle.Pickler(sink, 5, buffer_callback=buffer_callback).dump(value)
    return sink.pickled()


class _Reducing(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        reducer = reducers.get(type(thing))
        return NotImplemented if reducer is None else reducer(thing)


def by_value(data: bytes | Pieces) -> bool:
    """Whether a pickle names what other processes would not find under that name, so that it goes by value."""
    # The end of both of its names (see ``_by_code``).
    return any(b"_main__" in frame or _by_value_in(frame) for frame in frames_of(data))


def _by_value_in(data: bytes) -> bool:
    """Whether the pickle names a module that cloudpickle was told to send by value."""
    told = loaded("cloudpickle", "list_registry_pickle_by_value")
    return told is not None and any(name.encode() in data for name in told())


def load(data: Bytes, buffers: Sequence[Bytes] = (), handles: Arrived | None = None) -> Any:
    """The value that ``dump`` took, in memory of its own."""
    if handles is None:
        return pickle.loads(data, buffers=buffers)
    with Unpacking(handles):
        return pickle.loads(data, buffers=buffers)


def load_own(
    data: Bytes,
    buffers: Sequence[bytearray | memoryview],
    handles: Arrived | None = None,
    copied: Callable[[memoryview], Bytes] = bytearray,
) -> Any:
    """The same from buffers that may be shared memory: what lies there is ``copied``.

    An empty ``data`` says that the pickle itself is the first buffer.
    """
    rest = iter(buffers)
    pickled = data if len(data) else next(rest)
    own = [copied(buffer) if type(buffer) is memoryview else buffer for buffer in rest]
    return load(pickled, own, handles)


def dump_apart(
    value: Any, to_worker: bool = False, handles: dict[Handle, int] | None = None, names: Names | None = None
) -> tuple[bytes, Sequence[Buffer]]:
    """What ``load_own`` takes: as ``dump``, but a large pickle is a buffer too."""
    kind = type(value)
    if kind in _TEXTS and len(value) >= OUT_OF_BAND:
        _large.add(id(kind))
    data, buffers = _dump(value, OUT_OF_BAND, to_worker, handles, names)
    if len(data) >= OUT_OF_BAND:
        _large.add(id(kind))
        return b"", [data, *buffers]
    if id(kind) in _large:
        _large.discard(id(kind))
    return data, buffers  # type: ignore[return-value] # pieces are large
