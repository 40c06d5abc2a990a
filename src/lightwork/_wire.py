"""Bytes on the wire: what is pickled and how, and how frames travel over a stream socket.

Pickling. Plain pickle where what it writes means the same in another process; cloudpickle for what pickle
refuses and for all that refers to ``__main__``, because a worker's ``__main__`` is not the caller's. Large
contiguous buffers (NumPy arrays) stay out of the pickle (protocol 5, PEP 574): they are sent from where they
lie, and arrive in memory of their own, writable.

Frames. ``kind (1 byte) · whether the buffers lie in shared memory (1) · count of descriptors (2) · count of buffers
(4) · length of the body (8)``, the buffers' lengths (8 bytes each), the body, the buffers. Those in shared memory are
not in the stream: pairs of place and length stand in the place of the lengths. All little-endian.

Descriptors (see ``_handles``) come before the frame that needs them, with a DESCRIPTORS frame for each message of them.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import time

from lightwork._handles import Arrived, Collecting, Handle, Unpacking
from lightwork._lean import deque, pickle, socket, struct
from lightwork._pieces import LARGE, Buffer, Bytes, Pieces, Sink, frames_of, parts_of
from lightwork._polling import Polling
from lightwork._record import Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from typing import Any

    from lightwork._by_code import Names


OUT_OF_BAND = LARGE
"""Buffers from this size on stay out of the pickle; below, one more copy is cheaper than one more part."""
CHUNK = 64 * 1024
JOIN = 256 * 1024
"""Parts are joined into one below this total, since a call with many parts costs more than the copy."""
MOST_PARTS = 512
"""In one ``sendmsg``; POSIX promises 16, Linux and macOS have 1,024."""

MOST_DESCRIPTORS = 250
"""In one message; Linux takes 253."""
_CONTROL = socket.CMSG_SPACE(4 * MOST_DESCRIPTORS) if hasattr(socket, "CMSG_SPACE") else 0
_CLOSED_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
JAM = 0.01
"""Seconds after which a worker tries again to send descriptors, when too many of this user are on their way; the kernel
tells nobody when that is over."""

_HEADER = struct.Struct("<B?HIQ")

# To a worker
HELLO, FUNCTION, DROP, BATCH, RETIRE, ROWS = range(1, 7)
# Both ways
DESCRIPTORS = 64
# From a worker
READY, FAILED, RESULTS, OUTPUT, LOG, RESULT_ROW, FREE, UNREAD = range(16, 24)

_MAIN = b"\x8c\x08__main__"
"""A pickle that refers to what is in ``__main__`` has this text by itself, not within a longer one."""

_large: set[int] = set()
"""Types, by their ids, of which the last value's pickle was large: the next is pickled in pieces, for which small ones
would take 2 µs longer."""
_TEXTS = frozenset({bytes, bytearray, str})
"""Types whose pickles are known to be large before."""

_ATOMS = frozenset({int, float, bool, type(None), complex, bytes})
"""Types that refer to nothing: their pickles need no second look."""


class Frame(Slotted):
    """``placed``: the buffers lie in shared memory, which is the sender's again when it is told so.

    ``handles``: descriptors that came for what is pickled here. ``last``: that nothing has come behind it, most likely,
    where nobody waits for more.
    """

    __slots__ = ("body", "buffers", "handles", "kind", "last", "placed")

    def __init__(
        self,
        kind: int,
        body: memoryview,
        buffers: list[bytearray] | list[memoryview],
        placed: bool = False,
        handles: Arrived | None = None,
        last: bool = False,
    ) -> None:
        self.last = last
        self.kind = kind
        self.body = body
        self.buffers = buffers
        self.placed = placed
        self.handles = handles

    @property
    def size(self) -> int:
        return len(self.body) + sum(map(len, self.buffers))


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
    except Exception:  # noqa: BLE001 - objects raise anything from __reduce__; cloudpickle has the last word
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
    except Exception:  # noqa: BLE001 - as above
        return None
    if data is None or any(_MAIN in frame or _by_value_in(frame) for frame in frames_of(data)):
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
    return any(b"__main__" in frame or _by_value_in(frame) for frame in frames_of(data))


def _by_value_in(data: bytes) -> bool:
    """Whether the pickle names a module that cloudpickle was told to send by value."""
    # One that another thread just imports was told nothing yet.
    told = getattr(sys.modules.get("cloudpickle"), "list_registry_pickle_by_value", None)
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


def small_frame(kind: int, head: bytes, body: Bytes) -> list[Part]:
    """One frame with no buffers, all of whose few bytes go in one part."""
    return [b"".join((_HEADER.pack(kind, False, 0, 0, len(head) + len(body)), head, body))]


def frame(
    kind: int,
    body: Sequence[Bytes],
    buffers: Sequence[Buffer] = (),
    places: Sequence[tuple[int, int]] | None = None,
    handles: Iterable[Handle] = (),
) -> list[Part]:
    """One frame as parts to be sent one after another. ``places``: where the buffers lie in shared memory."""
    if handles:
        every = tuple(handles)
        passing = [Passing(every[at : at + MOST_DESCRIPTORS]) for at in range(0, len(every), MOST_DESCRIPTORS)]
        return [*passing, *_frame(kind, body, buffers, places, len(every))]
    return _frame(kind, body, buffers, places, 0)


def _frame(
    kind: int,
    body: Sequence[Bytes],
    buffers: Sequence[Buffer],
    places: Sequence[tuple[int, int]] | None,
    descriptors: int,
) -> list[Part]:
    length = sum(map(len, body))
    head = _HEADER.pack(kind, places is not None, descriptors, len(places or buffers), length)
    if places is not None:
        head += struct.pack(f"<{2 * len(places)}Q", *(number for place in places for number in place))
        buffers = ()
    elif buffers:
        head += struct.pack(f"<{len(buffers)}Q", *map(len, buffers))
    rest = [part for buffer in buffers for part in parts_of(buffer)]
    if length <= JOIN:
        return [b"".join((head, *body)), *rest]
    return [head, *body, *rest]


def size(parts: Sequence[Part]) -> int:
    return len(parts[0]) if len(parts) == 1 else sum(map(len, parts))


class Passing:
    """A part of a frame: descriptors, which travel beside the bytes. Keeps their handles until they are sent."""

    __slots__ = ("_head", "handles")

    def __init__(self, handles: Sequence[Handle]) -> None:
        self.handles = handles
        self._head = _HEADER.pack(DESCRIPTORS, False, len(handles), 0, 0)

    def __len__(self) -> int:
        return len(self._head)

    def send(self, sock: socket.socket, flags: int) -> int:
        descriptors = struct.pack(f"{len(self.handles)}i", *(handle.descriptor for handle in self.handles))
        return sock.sendmsg([self._head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)], flags)


Part = Bytes | Passing


def receive(
    sock: socket.socket,
    flags: int = 0,
    view: Callable[[int, int], memoryview] | None = None,
    polling: Polling | None = None,
) -> Iterator[Frame | bool | None]:
    """Frames as they come. With MSG_DONTWAIT in ``flags`` also None, whenever there is nothing more for now, and False,
    where there was less than there was room for: so most likely there is nothing more, and to ask would take a while.
    Mostly the frame that came ``last`` says so itself.

    ``view``: gives a placed buffer from its place and size; ``polling``: what to do before it is slept for more.

    Ends where the stream ends, also in the middle of a frame. ECONNRESET is no end: Linux reports it once
    when the peer died with unread bytes, *before* the rest of what the peer had sent.
    """
    chunk = memoryview(bytearray(CHUNK))
    ahead = [chunk]
    at = end = resets = 0
    drained = False
    arrived = _arrived(sock) if polling is not None else None
    held: deque[list[int]] = deque()
    """Descriptors, as many as one message brought, whose DESCRIPTORS frame was not looked at yet."""
    due: list[int | None] = []
    """Descriptors that belong to the next frame."""
    never_inherited = flags | _CLOSED_ON_EXEC

    def more(into: memoryview | None) -> int | None:
        """Reads into the target, or ahead; returns how many bytes, 0 where the stream has ended, None where there are
        none for now."""
        nonlocal at, end, resets, drained
        if drained:
            drained = False
            if polling is not None and arrived is not None:
                polling.until(arrived)
        while True:
            try:
                if into is not None:
                    return sock.recv_into(into, 0, flags)
                # Only here: DESCRIPTORS frames are never read into a frame's own memory.
                got, control, _, _ = sock.recvmsg_into(ahead, _CONTROL, never_inherited)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                resets += 1
                if resets > 2:
                    return 0
            else:
                at, end, drained = 0, got, got < CHUNK
                if control:
                    held.append(_descriptors(control))
                return got

    def fill(target: memoryview) -> Generator[bool | None, None, bool]:
        """Fills the target, from what was read ahead first. False: the stream ended before."""
        nonlocal at
        while len(target):
            if at < end:
                taken = min(end - at, len(target))
                target[:taken] = chunk[at : at + taken]
                target = target[taken:]
                at += taken
                continue
            if drained and flags:
                yield False
            large = len(target) >= CHUNK
            got = more(target if large else None)
            if got is None:
                yield None
            elif not got:
                return False
            elif large:
                target = target[got:]
        return True

    while True:
        if at == end:
            if drained and flags:
                yield False
            got = more(None)
            if got is None:
                yield None
                continue
            if not got:
                break
        if end - at >= _HEADER.size:
            # Most frames were read ahead as a whole, and are nothing but a body.
            kind, placed, descriptors, count, length = _HEADER.unpack_from(chunk, at)
            start = at + _HEADER.size
            if start + length <= end and not (count or descriptors):
                at = start + length
                last = drained and at == end and flags != 0
                drained = drained and not last
                yield Frame(kind, memoryview(bytearray(chunk[start:at])), [], last=last)
                continue
        head = bytearray(_HEADER.size)
        if not (yield from fill(memoryview(head))):
            break
        kind, placed, descriptors, count, length = _HEADER.unpack(head)
        if kind == DESCRIPTORS:
            came = held.popleft() if held else []
            due += [*came, *[None] * (descriptors - len(came))]
            continue
        numbers: tuple[int, ...] = ()
        if count:
            table = bytearray(8 * (1 + placed) * count)
            if not (yield from fill(memoryview(table))):
                break
            numbers = struct.unpack(f"<{(1 + placed) * count}Q", table)
        body, buffers = bytearray(length), [] if placed else [bytearray(n) for n in numbers]
        handles = None
        if descriptors:
            handles, due = Arrived(due), []
        for part in (body, *buffers):
            if not (yield from fill(memoryview(part))):
                return
        if placed:
            assert view is not None
            yield Frame(kind, memoryview(body), list(map(view, numbers[::2], numbers[1::2])), True, handles)
        else:
            yield Frame(kind, memoryview(body), buffers, False, handles)
    Arrived([*due, *(each for came in held for each in came)])  # which closes them


def _descriptors(control: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors in ancillary data; they are not inherited by other programs."""
    found: list[int] = []
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
    if not _CLOSED_ON_EXEC:
        for descriptor in found:
            os.set_inheritable(descriptor, False)
    return found


def _arrived(sock: socket.socket) -> Callable[[], object]:
    """Tells whether the socket has something to be read."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return lambda: poll.poll(0)


class Sender:
    """Sends frames over a socket without ever blocking; what the socket does not take yet is kept."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pending: deque[memoryview | Passing] = deque()

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def send(self, parts: Sequence[Part]) -> bool:
        """Sends the parts of a frame as far as it goes; whether nothing is left.

        The rest is copied: it may lie in arrays of the caller, who is free to change them when this returns.
        """
        if len(parts) == 1 and not self._pending and not isinstance(part := parts[0], Passing):
            # Most frames are one small part, which the socket takes whole.
            try:
                sent = self._sock.send(part, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except (BrokenPipeError, ConnectionResetError):
                return True  # the peer has died; its end of the stream says so to whoever reads
            if sent == len(part):
                return True
            parts = [memoryview(part).cast("B")[sent:]]
        fresh = deque(_flat(part) for part in parts if len(part))
        if not self._pending:
            self._push(fresh)
        self._pending.extend(_copied(fresh))
        return not self._pending

    def flush(self) -> None:
        """Sends what is pending, as far as it goes; drops it where the peer is gone."""
        self._push(self._pending)

    def _push(self, parts: deque[memoryview | Passing]) -> None:
        while parts:
            try:
                sent = _send(self._sock, parts, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                parts.clear()  # the peer has died; its end of the stream says so to whoever reads
                return
            _advance(parts, sent)


def send_all(sock: socket.socket, parts: Sequence[Part]) -> None:
    """Sends all parts, blocking as long as it takes. Raises BrokenPipeError where the peer is gone."""
    if len(parts) == 1 and not isinstance(parts[0], Passing):
        sock.sendall(parts[0])
        return
    rest = deque(_flat(part) for part in parts if len(part))
    while rest:
        try:
            _advance(rest, _send(sock, rest, 0))
        except BlockingIOError:
            time.sleep(JAM)


def _send(sock: socket.socket, parts: deque[memoryview | Passing], flags: int) -> int:
    """Sends the first parts. Raises BlockingIOError also while too many descriptors are on their way."""
    first = parts[0]
    if type(first) is not Passing:
        return sock.sendmsg(_some(parts), (), flags)
    try:
        return first.send(sock, flags)
    except OSError as problem:
        if problem.errno == errno.ETOOMANYREFS:
            raise BlockingIOError(problem.errno, problem.strerror) from None
        raise


def _flat(part: Part) -> memoryview | Passing:
    return part if type(part) is Passing else memoryview(part).cast("B")  # type: ignore[arg-type]


def _some(parts: deque[memoryview | Passing]) -> list[memoryview]:
    """As many of the first parts as go in one message: bytes only."""
    some: list[memoryview] = []
    for part in parts:
        if type(part) is Passing or len(some) == MOST_PARTS:
            break
        some.append(part)  # type: ignore[arg-type]
    return some


def _advance(parts: deque[memoryview | Passing], sent: int) -> None:
    while sent:
        first = parts[0]
        if sent < len(first):
            assert type(first) is not Passing
            parts[0] = first[sent:]  # type: ignore[index]
            return
        sent -= len(first)
        parts.popleft()


def _copied(parts: Iterable[memoryview | Passing]) -> Iterator[memoryview | Passing]:
    return (part if type(part) is Passing else memoryview(bytes(part)) for part in parts)  # type: ignore[arg-type]
