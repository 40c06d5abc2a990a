"""share: memory that every worker sees, sent by handle and never by copy.

What is shared is copied once into memory without a name (``memfd``, sealed so that it cannot shrink under a view), and
given back as what it was: a plain ``numpy.ndarray``, a ``memoryview``, a DataFrame over that memory. While lightwork
pickles for a wire it asks of each array where its memory lies; one that lies in shared memory, a slice too, goes as a
handle and a place. Everybody else's pickling copies it as any other array.

The memory goes when the last view of it has gone in the last process.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from lightwork import _pickling, _platform
from lightwork._handles import Handle
from lightwork._loaded import loaded

T = TypeVar("T")
if TYPE_CHECKING:
    from array import array

    BytesLike = bytes | bytearray | memoryview | array[Any] | mmap.mmap

ALIGNED = 64
CHUNK = 64 << 20
"""Bytes written at once: Ctrl-C is heard between two."""


class Lease:
    """A stretch of shared memory that this process has mapped. It is known as long as a view of it lives."""

    def __init__(self, handle: Handle, size: int, writable: bool) -> None:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        memory = _platform.mapped(handle.descriptor, size, access)
        self.handle, self.size, self.writable = handle, size, writable
        self.start = _address(memory)
        self.memory = weakref.ref(memory)
        handle.face = self.memory
        self._first_view = memory
        with _changing:
            bisect.insort(_leases, (self.start, id(self), self))
        weakref.finalize(memory, _end, self).atexit = False
        _learn()

    def hand_out(self) -> mmap.mmap:
        """The memory, for its first view; from now on nothing but views keeps it."""
        memory = self._first_view
        del self._first_view
        return memory

    def place(self) -> tuple[Handle, int, bool]:
        return self.handle, self.size, self.writable


_leases: list[tuple[int, int, Lease]] = []
"""By address."""
_changing = threading.Lock()


def _end(lease: Lease) -> None:
    with _changing:
        _leases.remove((lease.start, id(lease), lease))


def _at(address: int) -> Lease | None:
    """The lease in which an address lies."""
    with _changing:
        index = bisect.bisect_right(_leases, (address, sys.maxsize)) - 1
        if index < 0:
            return None
        lease = _leases[index][2]
    return lease if address < lease.start + lease.size else None


def _mapped(handle: Handle, size: int, writable: bool) -> mmap.mmap:
    """The memory of a handle: mapped once in a process."""
    found = handle.face()
    if found is None:
        found = Lease(handle, size, writable).hand_out()
    return found  # type: ignore[no-any-return]


if TYPE_CHECKING:

    @overload
    def share(thing: BytesLike, *, writable: bool = False) -> memoryview: ...
    @overload
    def share(thing: T, *, writable: bool = False) -> T: ...


def share(thing: Any, *, writable: bool = False) -> Any:
    """A copy of ``thing`` in memory that every worker sees: sent by handle, in microseconds, whatever its size.

    ``thing``: a NumPy array of any dtype without objects, something bytes-like (gives a memoryview of the same format
    and shape), or whatever keeps its data in buffers that pickle's protocol 5 knows (a DataFrame of numbers, an Arrow
    table). Slices of what is returned are sent by handle too; copies and results of arithmetic are ordinary arrays.

    ``writable``: everybody may write, and everybody sees it; use an ``lw.Lock``. Otherwise writing raises, as to any
    read-only array.

    Raises TypeError for what has no such memory.
    """
    if isinstance(thing, loaded("numpy", "ndarray", ())):
        import numpy  # another thread may just do so: this waits for its end

        if type(thing) not in (numpy.ndarray, numpy.memmap):
            raise TypeError(
                f"a {type(thing).__name__} is more than its memory, and that of it would be lost: share "
                "numpy.asarray(...) of it (of a masked array its data and its mask)"
            )
        return _share_array(numpy, thing, writable)
    if not isinstance(thing, loaded("numpy", "generic", ())):
        try:
            raw = memoryview(thing)
        except TypeError:
            pass
        else:
            return _share_bytes(raw, writable)
    return _share_buffers(thing, writable)


def _share_bytes(raw: memoryview, writable: bool) -> memoryview:
    form = raw.format.removeprefix("<" if sys.byteorder == "little" else ">").removeprefix("@")
    try:
        memoryview(bytes(raw.itemsize)).cast(form)  # type: ignore[call-overload]
    except ValueError:
        raise TypeError(
            f"a memoryview of format {raw.format!r} cannot be made over other memory; share a NumPy array, or cast it "
            "to bytes"
        ) from None
    memory = _filled([raw if raw.c_contiguous else memoryview(raw.tobytes())], writable)
    view = memoryview(memory)[: raw.nbytes]
    if form == "B" and raw.ndim == 1:
        return view
    # What has a length of 0 has no shape that a cast would take.
    shape: Any = (raw.shape,) if raw.nbytes and raw.ndim else ()
    return view.cast(form, *shape)  # type: ignore[call-overload, no-any-return]


def _share_array(numpy: Any, array: Any, writable: bool) -> Any:
    if array.dtype.hasobject:
        raise TypeError(
            f"an array of dtype {array.dtype} holds references to Python objects, which mean nothing in another "
            "process; share an array of numbers, or of text with a fixed width (dtype 'U' or 'S')"
        )
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    if array.flags.c_contiguous or order == "F":
        # As bytes: not every dtype has a buffer format.
        flat = array.reshape(-1, order=order).view(numpy.uint8) if array.nbytes else array.reshape(-1)[:0]
        memory = _filled([memoryview(flat) if array.nbytes else memoryview(b"")], writable)
    else:
        memory = _filled([], writable, lambda whole: numpy.copyto(_over(numpy, array, whole, "C"), array), array.nbytes)
    return _over(numpy, array, memory, order)


def _over(numpy: Any, like: Any, memory: Any, order: str) -> Any:
    return numpy.ndarray(like.shape, like.dtype, memory, order=order)


def _share_buffers(thing: Any, writable: bool) -> Any:
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickled = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    except Exception as problem:
        raise TypeError(f"a {type(thing).__name__} cannot be shared: {problem}") from problem
    views = [buffer.raw() for buffer in buffers]
    if not views:
        raise TypeError(
            f"a {type(thing).__name__} keeps no data in plain memory that could be shared; share NumPy arrays, "
            "bytes-like objects, or what is made of them"
        )
    memory = memoryview(_filled(views, writable))
    places, at = [], 0
    for view in views:
        places.append(memory[at : at + view.nbytes])
        at += view.nbytes + -view.nbytes % ALIGNED
    return pickle.loads(pickled, buffers=places)


def _filled(views: Sequence[memoryview], writable: bool, fill: Any = None, size: int = 0) -> mmap.mmap:
    """New shared memory that holds the views one after another, or what ``fill`` puts into its ``size`` bytes.

    Written, not touched: each page that is touched for the first time costs a fault.
    """
    size = max(1, size, sum(view.nbytes + -view.nbytes % ALIGNED for view in views))
    handle = Handle(_platform.anonymous_memory(size, size))
    at = 0
    for view in views:
        flat = view.cast("B") if view.nbytes else view
        for begin in range(0, view.nbytes, CHUNK):
            part = flat[begin : begin + CHUNK]
            while len(part):
                written = os.pwrite(handle.descriptor, part, at)
                part, at = part[written:], at + written
        at += -view.nbytes % ALIGNED
    if fill is not None:
        fill(_platform.mapped(handle.descriptor, size))
    _platform.seal(handle.descriptor, writable)
    return _mapped(handle, size, writable)


# crossing


def _learn() -> None:
    """Has the wire ask of arrays where their memory lies, once there is any that is shared."""
    _pickling.reducers[memoryview] = _reduce_view
    if (array := loaded("numpy", "ndarray")) is not None:
        _pickling.reducers[array] = _reduce_array
    if (buffer := loaded("pyarrow.lib", "Buffer")) is not None:
        _pickling.reducers[buffer] = _reduce_arrow


def _reduce_array(array: Any) -> Any:
    address = array.__array_interface__["data"][0]
    lease = _at(address) if array.size and not array.dtype.hasobject else None
    if lease is None:
        return NotImplemented
    layout = (array.dtype, array.shape, array.strides, address - lease.start, array.flags.writeable)
    return _array, (*lease.place(), *layout)


def _array(
    handle: Handle, size: int, writable: bool, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool
) -> Any:
    import numpy

    array = numpy.ndarray(shape, dtype, _mapped(handle, size, writable), offset, strides)
    if array.flags.writeable and not writeable:
        array.flags.writeable = False
    return array


def _reduce_view(view: memoryview) -> Any:
    if not view.nbytes and view.ndim == 1:
        return _nothing, (view.format,)
    address = _address(view) if view.nbytes and view.c_contiguous else 0
    lease = _at(address)
    if lease is None:
        return NotImplemented
    return _view, (*lease.place(), address - lease.start, view.nbytes, view.format, view.shape, view.readonly)


def _nothing(form: str) -> memoryview:
    return memoryview(b"").cast(form)  # type: ignore[call-overload, no-any-return]


def _view(
    handle: Handle, size: int, writable: bool, offset: int, length: int, form: str, shape: Any, readonly: bool
) -> memoryview:
    view = memoryview(_mapped(handle, size, writable))[offset : offset + length]
    if form != "B" or len(shape) != 1:
        view = view.cast(form, shape)  # type: ignore[call-overload]
    return view.toreadonly() if readonly else view


def _reduce_arrow(buffer: Any) -> Any:
    lease = _at(buffer.address) if buffer.size and buffer.is_cpu else None
    if lease is None:
        return NotImplemented
    return _arrow, (*lease.place(), buffer.address - lease.start, buffer.size)


def _arrow(handle: Handle, size: int, writable: bool, offset: int, length: int) -> Any:
    import pyarrow

    return pyarrow.py_buffer(memoryview(_mapped(handle, size, writable))[offset : offset + length])


class _Buffer(ctypes.Structure):
    """Python's ``Py_buffer``."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("format", "shape", "strides", "suboffsets", "internal")),
    )


_FULL_READ_ONLY = 0x0100 | 0x0010 | 0x0008 | 0x0004


def _address(thing: Any) -> int:
    """Where the memory of a buffer begins; also of one that is read-only, which ctypes alone does not tell."""
    found = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(thing), ctypes.byref(found), _FULL_READ_ONLY)
    try:
        return int(found.buf or 0)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(found))
