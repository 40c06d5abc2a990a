"""How many calls threads may have at a time, as long as it is not known whether they compute. Pure arithmetic."""

from __future__ import annotations

from lightwork._record import Slotted

AT_ONCE = 8
"""Calls that threads are given before it is looked whether they compute."""

CONTENDED = 0.002
"""Seconds for which the GIL is not to be had where several threads compute: these give it away every 5 ms. Calls that
begin to wait have done with it in 0.05 ms each."""

AGAIN = 0.05
"""Seconds after which it is looked again, where no call has ended: a busy machine keeps the GIL from who looks, too."""


class Pace(Slotted):
    """How many calls threads may have at a time, when their number is for lightwork to find.

    Hundreds that wait are welcome. Of those that compute each one more keeps all the others from the GIL for longer,
    the caller's thread too, which hands out, and cannot be taken back. Which they are is seen by how soon the GIL is
    to be had once some have begun.
    """

    __slots__ = ("most",)

    def __init__(self) -> None:
        self.most = 1 << 30

    def room(self, busy: int) -> int:
        """Calls that may be given before the next look, when threads have ``busy`` ones."""
        return max(0, min(AT_ONCE, self.most - busy))

    def looked(self, busy: int, late: float) -> None:
        """The GIL was to be had after ``late`` seconds."""
        self.most = max(AT_ONCE, busy) if late > CONTENDED else max(AT_ONCE, 2 * self.most)
        self.most = min(self.most, 1 << 30)
