"""Pickles in pieces, so that what is large in them need not be copied more often than to where it goes.

A pickle is one row of bytes, and to write it as one means to copy all that it contains: to fresh pages, which take five
times as long as the copy itself, and again as it grows. But picklers that write to a file hand large bytes over as they
are. So the file is a list, and what comes of it are the parts that have to stand one behind the other.
"""

from __future__ import annotations

from lightwork._lean import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

Bytes = bytes | bytearray | memoryview

LARGE = 64 * 1024
"""Bytes from which on picklers write bytes and texts by themselves: in C and in Python, since protocol 4."""
_FRAME = b"\x95"
"""So begins a part that is not large bytes or a text and yet long. (Those may begin so, too.)"""


class Pieces:
    """A pickle, ``parts`` of which are bytes of whoever was pickled. ``len`` tells how long they are together."""

    __slots__ = ("_size", "parts")

    def __init__(self, parts: Sequence[Bytes]) -> None:
        # The others are bytearrays, which keep the size that the pickle names as long as there is a view of them, and
        # buffers that were to stay in the pickle.
        self.parts = [part if type(part) is bytes else pickle.PickleBuffer(part).raw() for part in parts]
        self._size = sum(map(len, self.parts))

    def __len__(self) -> int:
        return self._size

    def joined(self) -> bytes:
        return b"".join(self.parts)


Buffer = Bytes | Pieces


class Sink(list[Bytes]):
    """A file for a pickler of protocol 5 to write to."""

    __slots__ = ()
    write = list.append

    def pickled(self) -> bytes | Pieces:
        return self[0] if len(self) == 1 else Pieces(self)  # type: ignore[return-value] # alone it is the pickler's own


def parts_of(buffer: Buffer) -> Sequence[Bytes]:
    """What has to stand one behind the other."""
    return buffer.parts if isinstance(buffer, Pieces) else (buffer,)


def frames_of(pickled: bytes | Pieces) -> Sequence[bytes]:
    """The parts of a pickle in which names stand: all but its large bytes and texts."""
    if not isinstance(pickled, Pieces):
        return (pickled,)
    first, *rest = pickled.parts  # the first is the pickler's own, however long
    return [first, *(part for part in rest if type(part) is bytes and (len(part) < LARGE or part[:1] == _FRAME))]  # type: ignore[list-item]
