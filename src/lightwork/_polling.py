"""A moment of looking again and again before one sleeps.

To wake a sleeping thread takes 30 µs and more, on both sides of the hand-over, and longer than what is waited for often
lasts: two processes that block on each other's messages need 72 µs for a round trip, 6 µs when each polls first. But
who polls takes a core from somebody: so it is done for a moment only, and only where it succeeded lately.
"""

from __future__ import annotations

from lightwork._clock import SystemClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

MOMENT = 0.000_25
"""Seconds of polling at most: what the other side needs for its part of a round trip, also on a slow machine. With half
of that workers fell asleep between two calls where a core was slow, and to wake them made all slower still."""

MOST_SKIPPED = 63
"""Waits without polling after one that was in vain, at most: so what is wasted is 4 µs a wait."""


class Polling:
    """Polls before waits of one kind, as long as that pays: mostly somebody would have slept and did not have to. On a
    machine whose cores are all taken that is not so: what is waited for is there at once, or late."""

    __slots__ = ("_left", "_skipped", "allowed")

    def __init__(self, allowed: bool = True) -> None:
        self.allowed = allowed
        """Whether there is a core to spare."""
        self._skipped = self._left = 0

    def until(self, look: Callable[[], T]) -> T | None:
        """Calls ``look`` until it returns something true, and returns that; None if nothing came within the moment."""
        if not self.allowed:
            return None
        if self._left:
            self._left -= 1
            return None
        if seen := look():
            return seen  # it was there already: nobody would have slept
        now = SystemClock.now
        end = now() + MOMENT
        while now() < end:
            if seen := look():
                self._skipped //= 2
                return seen
        self._left = self._skipped = min(2 * self._skipped + 1, MOST_SKIPPED)
        return None
