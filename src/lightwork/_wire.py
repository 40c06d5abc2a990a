"""Bytes on the wire: what is pickled and how, and how frames travel over a stream socket.

Pickling. Plain pickle where what it writes means the same in another process; cloudpickle for what pickle
refuses and for all that refers to ``__main__``, because a worker's ``__main__`` is not the caller's. Large
contiguous buffers (NumPy arrays) stay out of the pickle (protocol 5, PEP 574): they are sent from where they
lie, and arrive in memory of their own, writable.

Frames. ``kind (1 byte) · whether the buffers lie in shared memory (1) · count of buffers (4) · length of the body
(8)``, the buffers' lengths (8 bytes each), the body, the buffers. Those in shared memory are not in the stream: pairs
of place and length stand in the place of the lengths. All little-endian.
"""

from __future__ import annotations

import select
import struct
import sys

from lightwork._lean import deque, pickle, socket
from lightwork._polling import Polling
from lightwork._record import Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from typing import Any


Bytes = bytes | bytearray | memoryview

OUT_OF_BAND = 64 * 1024
"""Buffers from this size on stay out of the pickle; below, one more copy is cheaper than one more part."""
CHUNK = 64 * 1024
JOIN = 256 * 1024
"""Parts are joined into one below this total, since a call with many parts costs more than the copy."""
MOST_PARTS = 512
"""In one ``sendmsg``; POSIX promises 16, Linux and macOS have 1,024."""

_HEADER = struct.Struct("<B?xxIQ")

# To a worker
HELLO, FUNCTION, DROP, BATCH, RETIRE, ROWS = range(1, 7)
# From a worker
READY, FAILED, RESULTS, OUTPUT, LOG, RESULT_ROW = range(16, 22)

_ATOMS = frozenset({int, float, bool, type(None), complex, bytes})
"""Types that refer to nothing: their pickles need no second look."""


class Frame(Slotted):
    """``placed``: the buffers lie in shared memory, to be copied before the sender takes the place for others."""

    __slots__ = ("body", "buffers", "kind", "placed")

    def __init__(
        self, kind: int, body: memoryview, buffers: list[bytearray] | list[memoryview], placed: bool = False
    ) -> None:
        self.kind = kind
        self.body = body
        self.buffers = buffers
        self.placed = placed

    @property
    def size(self) -> int:
        return len(self.body) + sum(map(len, self.buffers))


def dump(value: Any, out_of_band: int | None = OUT_OF_BAND, to_worker: bool = False) -> tuple[bytes, list[memoryview]]:
    """The value as a pickle and the buffers of at least ``out_of_band`` bytes that belong to it (None: none).

    ``to_worker``: functions sent by value join the globals of those that the worker has already.

    Raises whatever pickling the value raises.
    """
    if type(value) in _ATOMS:
        return pickle.dumps(value, 5), []
    buffers: list[memoryview] = []

    def stays_in(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if out_of_band is None or raw.nbytes < out_of_band:
            return True
        buffers.append(raw)
        return False

    try:
        data = pickle.dumps(value, 5, buffer_callback=stays_in)
    except Exception:  # noqa: BLE001 - objects raise anything from __reduce__; cloudpickle has the last word
        data = b"__main__"
    if b"__main__" not in data and not _by_value_in(data):
        return data, buffers
    buffers.clear()
    from lightwork import _by_value

    return _by_value.dumps(value, stays_in, to_worker), buffers


def _by_value_in(data: bytes) -> bool:
    """Whether the pickle names a module that cloudpickle was told to send by value."""
    cloudpickle = sys.modules.get("cloudpickle")
    return cloudpickle is not None and any(
        name.encode() in data for name in cloudpickle.list_registry_pickle_by_value()
    )


def load(data: Bytes, buffers: Sequence[Bytes] = ()) -> Any:
    """The value that ``dump`` took, in memory of its own."""
    return pickle.loads(data, buffers=buffers)


def load_own(data: Bytes, buffers: Sequence[bytearray | memoryview]) -> Any:
    """The same from buffers that may be shared memory: what lies there is copied.

    An empty ``data`` says that the pickle itself is the first buffer.
    """
    rest = iter(buffers)
    pickled = data if len(data) else next(rest)
    own = [bytearray(buffer) if type(buffer) is memoryview else buffer for buffer in rest]
    return pickle.loads(pickled, buffers=own)


def dump_apart(value: Any, to_worker: bool = False) -> tuple[bytes, list[memoryview]]:
    """What ``load_own`` takes: as ``dump``, but a large pickle is a buffer too."""
    data, buffers = dump(value, to_worker=to_worker)
    if len(data) >= OUT_OF_BAND:
        return b"", [memoryview(data), *buffers]
    return data, buffers


def frame(
    kind: int,
    body: Sequence[Bytes],
    buffers: Sequence[Bytes] = (),
    places: Sequence[tuple[int, int]] | None = None,
) -> list[Bytes]:
    """One frame as parts to be sent one after another. ``places``: where the buffers lie in shared memory."""
    length = sum(map(len, body))
    head = _HEADER.pack(kind, places is not None, len(places or buffers), length)
    if places is not None:
        head += struct.pack(f"<{2 * len(places)}Q", *(number for place in places for number in place))
        buffers = ()
    elif buffers:
        head += struct.pack(f"<{len(buffers)}Q", *map(len, buffers))
    if length <= JOIN:
        return [b"".join((head, *body)), *buffers]
    return [head, *body, *buffers]


def size(parts: Iterable[Bytes]) -> int:
    return sum(map(len, parts))


def receive(
    sock: socket.socket, flags: int = 0, shared: memoryview | None = None, polling: Polling | None = None
) -> Iterator[Frame | bool | None]:
    """Frames as they come. With MSG_DONTWAIT in ``flags`` also None, whenever there is nothing more for now, and False,
    where there was less than there was room for: so most likely there is nothing more, and to ask would take a while.

    ``shared``: the memory in which placed buffers lie; ``polling``: what to do before it is slept for more.

    Ends where the stream ends, also in the middle of a frame. ECONNRESET is no end: Linux reports it once
    when the peer died with unread bytes, *before* the rest of what the peer had sent.
    """
    chunk = memoryview(bytearray(CHUNK))
    at = end = resets = 0
    drained = False
    arrived = _arrived(sock) if polling is not None else None

    def fill(target: memoryview) -> Generator[bool | None, None, bool]:
        """Fills the target, from what was read ahead first. False: the stream ended before."""
        nonlocal at, end, resets, drained
        while len(target):
            if at < end:
                taken = min(end - at, len(target))
                target[:taken] = chunk[at : at + taken]
                target = target[taken:]
                at += taken
                continue
            if drained:
                drained = False
                if flags:
                    yield False
                elif polling is not None and arrived is not None:
                    polling.until(arrived)
            try:
                if len(target) >= CHUNK:
                    got = sock.recv_into(target, 0, flags)
                    target = target[got:]
                else:
                    at, got = 0, sock.recv_into(chunk, 0, flags)
                    end, drained = got, got < CHUNK
            except BlockingIOError:
                yield None
                continue
            except ConnectionResetError:
                resets += 1
                got = 1 if resets <= 2 else 0
            if not got:
                return False
        return True

    while True:
        head = bytearray(_HEADER.size)
        if not (yield from fill(memoryview(head))):
            return
        kind, placed, count, length = _HEADER.unpack(head)
        numbers: tuple[int, ...] = ()
        if count:
            table = bytearray(8 * (1 + placed) * count)
            if not (yield from fill(memoryview(table))):
                return
            numbers = struct.unpack(f"<{(1 + placed) * count}Q", table)
        body, buffers = bytearray(length), [] if placed else [bytearray(n) for n in numbers]
        for target in (body, *buffers):
            if not (yield from fill(memoryview(target))):
                return
        if placed:
            assert shared is not None
            places = zip(numbers[::2], numbers[1::2], strict=True)
            yield Frame(kind, memoryview(body), [shared[at : at + size] for at, size in places], True)
        else:
            yield Frame(kind, memoryview(body), buffers)


def _arrived(sock: socket.socket) -> Callable[[], object]:
    """Tells whether the socket has something to be read."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return lambda: poll.poll(0)


class Sender:
    """Sends frames over a socket without ever blocking; what the socket does not take yet is kept."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pending: deque[memoryview] = deque()

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def send(self, parts: Sequence[Bytes]) -> None:
        """Sends the parts of a frame as far as it goes.

        The rest is copied: it may lie in arrays of the caller, who is free to change them when this returns.
        """
        if len(parts) == 1 and not self._pending:
            # Most frames are one small part, which the socket takes whole.
            try:
                sent = self._sock.send(parts[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except (BrokenPipeError, ConnectionResetError):
                return  # the peer has died; its end of the stream says so to whoever reads
            if sent == len(parts[0]):
                return
            parts = [memoryview(parts[0]).cast("B")[sent:]]
        fresh = deque(memoryview(part).cast("B") for part in parts if len(part))
        if self._pending:
            self._pending.extend(_copied(fresh))
            return
        self._push(fresh)
        self._pending.extend(_copied(fresh))

    def flush(self) -> None:
        """Sends what is pending, as far as it goes; drops it where the peer is gone."""
        self._push(self._pending)

    def _push(self, parts: deque[memoryview]) -> None:
        while parts:
            try:
                sent = self._sock.sendmsg(_some(parts), (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                parts.clear()  # the peer has died; its end of the stream says so to whoever reads
                return
            _advance(parts, sent)


def send_all(sock: socket.socket, parts: Sequence[Bytes]) -> None:
    """Sends all parts, blocking as long as it takes. Raises BrokenPipeError where the peer is gone."""
    if len(parts) == 1:
        sock.sendall(parts[0])
        return
    rest = deque(memoryview(part).cast("B") for part in parts if len(part))
    while rest:
        _advance(rest, sock.sendmsg(_some(rest)))


def _some(parts: deque[memoryview]) -> list[memoryview]:
    return list(parts) if len(parts) <= MOST_PARTS else [parts[i] for i in range(MOST_PARTS)]


def _advance(parts: deque[memoryview], sent: int) -> None:
    while sent:
        first = parts[0]
        if sent < len(first):
            parts[0] = first[sent:]
            return
        sent -= len(first)
        parts.popleft()


def _copied(parts: Iterable[memoryview]) -> Iterator[memoryview]:
    return (memoryview(bytes(part)) for part in parts)
