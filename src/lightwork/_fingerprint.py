"""Whether a call changed its argument: the argument's pickle before and after, in a few bytes.

Evidence, not proof: of large buffers only samples are looked at, and what does not pickle is not looked at.
"""

from __future__ import annotations

from lightwork._gate import of_a_signal
from lightwork._lean import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


MOST = 1 << 20
"""Bytes of pickle after which an argument is too large to be looked at."""

SAMPLES = 64
"""Places at which a large buffer is looked at, each of ``SAMPLE`` bytes."""

SAMPLE = 4096

_ATOMS = (int, float, str, bytes, bool, complex, type(None))


def immutable(value: Any) -> bool:
    """Whether a call certainly cannot change it."""
    return type(value) in _ATOMS


class _TooLarge(Exception):
    """Ends the pickling."""


class _Sum:
    """A file that keeps a checksum of what is written to it."""

    def __init__(self) -> None:
        self.size = self.sum = 0

    def write(self, part: Any) -> int:
        from zlib import crc32

        view = memoryview(part).cast("B")
        self.size += len(view)
        if self.size > MOST:
            raise _TooLarge
        self.sum = crc32(view, self.sum)
        return len(view)

    def buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """Takes a buffer out of the pickle, with a checksum of it or of samples."""
        from zlib import crc32

        view = buffer.raw()
        if len(view) <= SAMPLES * SAMPLE:
            self.sum = crc32(view, self.sum)
        else:
            step = (len(view) - SAMPLE) // (SAMPLES - 1)
            for place in range(SAMPLES):
                self.sum = crc32(view[place * step : place * step + SAMPLE], self.sum)
        return False


def fingerprint(value: Any) -> int | None:
    """A checksum that differs where ``value`` was changed; None where it cannot change or cannot be looked at."""
    if immutable(value):
        return None
    total = _Sum()
    try:
        pickle.Pickler(total, 5, buffer_callback=total.buffer).dump(value)
    except BaseException as error:
        if of_a_signal(error):
            raise
        return None
    return total.sum
