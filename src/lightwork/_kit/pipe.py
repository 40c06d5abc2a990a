"""Pipe: two ends that send each other messages, over a queue each way, and a socket that tells when an end is gone."""

from __future__ import annotations

import queue
import select
from types import TracebackType
from typing import Any, NoReturn

from lightwork import _descriptors
from lightwork._handles import Handle
from lightwork._kit.queues import Queue, ShutDown
from lightwork._lean import local

AHEAD = 1000
"""Messages that a sender may be ahead, at most."""
_ONLY_RECEIVES = "write-only end needed: this one only receives"
_ONLY_SENDS = "read-only end needed: this one only sends"


class _Way(Queue):
    """One direction."""

    def _in_a_loop(self) -> str:
        return "in a coroutine write `await connection.async_recv()` or `async_send(obj)`"


class _HangUp(local):
    """Asks the kernel whether the other end is gone. One for each thread: of one, two threads may not ask at once."""

    def __init__(self, descriptor: int) -> None:
        asking = select.poll()
        asking.register(descriptor, 0)
        self.poll = asking.poll


class Connection:
    """One end; methods and meanings of ``multiprocessing.connection.Connection``, but there is no file number.

    An end is gone when everybody who had it has closed it or died: the kernel tells by a socket that all of them hold.
    """

    def __init__(self, incoming: Queue | None, outgoing: Queue | None, tether: Handle) -> None:
        self._incoming, self._outgoing, self._tether = incoming, outgoing, tether
        self._closed = False
        self._hang_up = _HangUp(tether.descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._closed:
            self._refuse("")
        return Connection, (self._incoming, self._outgoing, self._tether)

    @property
    def closed(self) -> bool:
        """Whether this process has closed it."""
        return self._closed

    @property
    def readable(self) -> bool:
        """Whether it can receive."""
        return self._incoming is not None

    @property
    def writable(self) -> bool:
        """Whether it can send."""
        return self._outgoing is not None

    def send(self, obj: Any) -> None:
        """Sends a message; waits while the other end is far behind. BrokenPipeError where the other end is gone."""
        outgoing = self._outgoing or self._refuse(_ONLY_RECEIVES)
        while not self._hang_up.poll(0):
            try:
                return outgoing.put(obj, False)
            except queue.Full:
                outgoing._await_room(self._gone)
        raise BrokenPipeError("the other end of this pipe is gone")

    async def async_send(self, obj: Any) -> None:
        """The same in a coroutine."""
        from lightwork._kit._coroutines import in_a_thread

        outgoing = self._outgoing or self._refuse(_ONLY_RECEIVES)
        while not self._gone():
            try:
                return outgoing.put(obj, False)
            except queue.Full:
                await in_a_thread(lambda gone: outgoing._await_room(lambda: gone() or self._gone()))
        raise BrokenPipeError("the other end of this pipe is gone")

    def recv(self) -> Any:
        """The next message; waits for it. EOFError where the other end is gone and nothing is left."""
        incoming, gone = self._incoming or self._refuse(_ONLY_SENDS), False
        while True:
            try:
                return incoming.get(False)
            except queue.Empty:
                if gone:
                    raise EOFError("the other end of this pipe is gone") from None
            except ShutDown:
                raise EOFError("the other end of this pipe was closed") from None
            gone = self._gone()  # what was sent before the end is received before it
            if not gone:
                incoming._await_message(None, self._gone)

    async def async_recv(self) -> Any:
        """The same in a coroutine. Cancelled, it has received nothing."""
        from lightwork._kit._coroutines import in_a_thread

        incoming = self._incoming or self._refuse(_ONLY_SENDS)
        while True:
            gone = incoming.empty() and self._gone()
            try:
                return incoming.get(False)
            except queue.Empty:
                if gone:
                    raise EOFError("the other end of this pipe is gone") from None
                await in_a_thread(lambda gone: incoming._await_message(None, lambda: gone() or self._gone()))
            except ShutDown:
                raise EOFError("the other end of this pipe was closed") from None

    def send_bytes(self, buffer: Any, offset: int = 0, size: int | None = None) -> None:
        """Sends the bytes of a buffer, from ``offset`` on, ``size`` of them."""
        view = memoryview(buffer).cast("B")
        if offset < 0 or offset > len(view):
            raise ValueError("offset is negative" if offset < 0 else "buffer length < offset")
        if size is not None and (size < 0 or offset + size > len(view)):
            raise ValueError("size is negative" if size < 0 else "buffer length < offset + size")
        self.send(bytes(view[offset : None if size is None else offset + size]))

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """The next message, which must be bytes."""
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        data = self.recv()
        if not isinstance(data, bytes):
            raise OSError(f"a message of bytes was expected; a {type(data).__name__} came")
        if maxlength is not None and len(data) > maxlength:
            self.close()
            raise OSError("bad message length")
        return data

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether something can be received, or the end is there; waits up to ``timeout`` seconds for it."""
        incoming = self._incoming or self._refuse(_ONLY_SENDS)
        return incoming._await_message(timeout, self._gone)

    def close(self) -> None:
        """Lets go of this end."""
        if not self._closed:
            self._closed = True
            incoming, outgoing = self._incoming, self._outgoing
            del self._hang_up, self._tether  # the kernel tells the other end, if nobody else holds this one
            self._incoming = self._outgoing = None
            for each in (incoming, outgoing):
                if each is not None:
                    each._stir()

    def _refuse(self, problem: str) -> NoReturn:
        raise OSError("handle is closed" if self._closed else problem)

    def _gone(self) -> bool:
        """Whether nobody holds the other end any more."""
        return bool(self._hang_up.poll(0))

    def __enter__(self) -> Connection:
        if self._closed:
            self._refuse("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<lightwork.Connection {'closed' if self._closed else self._tether.key.hex()[:8]}>"


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Two connected ends, for threads, processes and sub-interpreters.

    Without ``duplex`` the first one receives and the second one sends. Messages are pickled; large arrays lie in shared
    memory and are received where they lie.
    """
    one, other = (Handle(each.detach()) for each in _descriptors.connected())
    forth = _Way(AHEAD)
    back = _Way(AHEAD) if duplex else None
    return Connection(forth, back, one), Connection(back, forth, other)
