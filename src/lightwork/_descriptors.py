"""Descriptors of our own, which never stand where the standard streams do: sockets, and what they carry.

A message is sent so that its end is known, and descriptors go beside bytes. All of it is plain POSIX.
"""

from __future__ import annotations

import fcntl
import os

from lightwork._lean import Struct, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


FIRST = 3
"""Descriptors below are the standard streams'. Where the program has closed one of them, nothing of ours may have its
number: workers have what is there as their stdout and stderr, and they, and what they start, print into that."""


def apart(descriptor: int) -> int:
    """The descriptor, or another one in its place, which is none of the standard streams'."""
    if descriptor >= FIRST:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST)
    finally:
        os.close(descriptor)


def connected() -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected, and wait as long as it takes: whatever ``socket.setdefaulttimeout`` says, which
    programs set for servers that do not answer."""
    one, other = (
        each if each.fileno() >= FIRST else socket.socket(fileno=apart(each.detach())) for each in socket.socketpair()
    )
    one.settimeout(None)
    other.settimeout(None)
    return one, other


def adopted(descriptor: int) -> socket.socket:
    """The socket of a descriptor, which it takes over; it too waits as long as it takes."""
    sock = socket.socket(fileno=apart(descriptor))
    sock.settimeout(None)
    return sock


LENGTH = 4
"""Bytes before a message, in which it says how long it is."""


def send_message(sock: socket.socket, data: bytes) -> None:
    """Sends the bytes so that their end is known. Raises OSError."""
    sock.sendall(len(data).to_bytes(LENGTH, "little") + data)


def receive_message(sock: socket.socket) -> bytes:
    """The next message; waits for it. EOFError where none will come."""
    return _exactly(sock, int.from_bytes(_exactly(sock, LENGTH), "little"))


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        some = sock.recv(size - len(data))
        if not some:
            raise EOFError
        data += some
    return data


def unread(sock: socket.socket) -> bool:
    """Whether the other end has not read yet all that was sent to it; False where the system does not tell."""
    import termios

    try:
        return any(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
    except OSError:
        return False


def send_descriptors(sock: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    """Sends the bytes and, beside them, descriptors. Raises OSError."""
    packed = Struct(f"{len(descriptors)}i").pack(*descriptors)
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)])


def receive_descriptors(sock: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """At most so many bytes and descriptors, which nothing that is started inherits. Never waits: BlockingIOError."""
    one = Struct("i")
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(most * one.size), socket.MSG_DONTWAIT)
    found = []
    for level, kind, packed in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found += [descriptor for (descriptor,) in one.iter_unpack(packed[: len(packed) // one.size * one.size])]
    for descriptor in found:
        os.set_inheritable(descriptor, False)
    return data, found


def closed_streams() -> list[int]:
    """The numbers of standard streams that the program has closed."""
    closed = []
    for number in range(FIRST):
        try:
            os.fstat(number)
        except OSError:
            closed.append(number)
    return closed


def fill_streams() -> None:
    """Has ``os.devnull`` stand where the program has closed a standard stream, for good.

    A sub-interpreter takes what has such a number for its stream, be it a folder that an import is reading: then it
    fails to start. What children are given stays as it was: nothing.
    """
    for number in closed_streams():
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:  # another thread was quicker: it has this number, or a lower one was free again
            os.close(opened)
