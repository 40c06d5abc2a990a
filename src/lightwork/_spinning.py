"""Threads that spin: they compute, though nobody has them do so.

Those of a BLAS wait for work in a loop, each on a core of its own, for up to 0.1 s after NumPy was imported or last had
something for them. Beside calls that wait this is not these calls' computing.
"""

from __future__ import annotations

from lightwork._clock import SystemClock, cpu_of
from lightwork._machine import running, runs

FRESH = 0.005
"""Seconds for which it is taken for granted that they go on: a look takes 10 µs for each."""


class Spinning:
    """A clock of the CPU seconds of such threads: of those which were at it when this was made, and had used more than
    the ``lasted`` seconds since the first call began, as long as they go on without a pause. ``own``: native ids of
    threads that are none of them. Where the kernel does not say (other systems than Linux): 0."""

    __slots__ = ("_looked", "_sum", "_used")

    def __init__(self, lasted: float, *own: int) -> None:
        self._sum = 0.0
        self._used: dict[int, float] = {}
        self._looked = SystemClock.now()
        for thread in running(own):
            if (used := cpu_of(thread)) is not None and used > lasted:
                self._used[thread] = used

    def __call__(self) -> float:
        if self._used and (now := SystemClock.now()) - self._looked > FRESH:
            self._looked = now
            for thread in list(self._used):
                if not runs(thread):
                    self._used.pop(thread, None)
        for thread, before in list(self._used.items()):
            if (used := cpu_of(thread)) is None:
                self._used.pop(thread, None)  # it has ended
            else:
                self._sum, self._used[thread] = self._sum + used - before, used
        return self._sum
