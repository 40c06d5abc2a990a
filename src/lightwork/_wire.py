"""Frames: how bytes and descriptors travel over a stream socket.

``kind (1 byte) · whether the buffers lie in shared memory (1) · count of descriptors (2) · count of buffers
(4) · length of the body (8)``, the buffers' lengths (8 bytes each), the body, the buffers. Those in shared memory are
not in the stream: pairs of place and length stand in the place of the lengths. All little-endian.

Descriptors (see ``_handles``) come before the frame that needs them, with a DESCRIPTORS frame for each message of them.
"""

from __future__ import annotations

import errno
import os
import select
import time

from lightwork._handles import Arrived, Handle
from lightwork._lean import deque, socket, struct
from lightwork._pieces import Buffer, Bytes, parts_of
from lightwork._polling import Polling
from lightwork._record import Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence


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
READY, FAILED, RESULTS, OUTPUT, LOG, RESULT_ROW, FREE, UNREAD, CLOSING = range(16, 25)


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

    def message(self) -> tuple[list[bytes], list[tuple[int, int, bytes]]]:
        descriptors = struct.pack(f"{len(self.handles)}i", *(handle.descriptor for handle in self.handles))
        return [self._head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]

    def send(self, sock: socket.socket, flags: int) -> int:
        return sock.sendmsg(*self.message(), flags)


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
    """Sends all parts, blocking as long as it takes. Raises BrokenPipeError where the peer is gone.

    What a signal's handler raises meanwhile (a timeout of the function's own that strikes while it prints) comes out
    when all is sent: behind half a frame nobody would find the next one.
    """
    counts: list[int] = []
    struck: BaseException | None = None
    while True:
        try:
            # C code alone between sending and knowing how much: no signal is handled there.
            if not counts and len(parts) == 1 and type(parts[0]) is bytes:
                counts.extend(map(sock.send, parts))  # type: ignore[arg-type]
                if counts[0] == len(parts[0]):
                    break
            while rest := _beyond(parts, sum(counts)):
                message = rest[0].message() if type(rest[0]) is Passing else (_some(rest), ())
                counts.extend(map(sock.sendmsg, *zip(message, strict=False)))
            break
        except BaseException as problem:
            from lightwork._gate import of_a_signal

            if isinstance(problem, OSError) and not of_a_signal(problem):
                if not isinstance(problem, BlockingIOError) and problem.errno != errno.ETOOMANYREFS:
                    raise
                time.sleep(JAM)
            else:
                struck = problem
    if struck is not None:
        raise struck


def _beyond(parts: Sequence[Part], sent: int) -> deque[memoryview | Passing]:
    """What is left of the parts when so many bytes of them were sent."""
    rest = deque(_flat(part) for part in parts if len(part))
    _advance(rest, sent)
    return rest


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
