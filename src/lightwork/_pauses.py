"""What of the calls' time is none that threads can share: collections of garbage, for which a build without a GIL stops
them all.

Python tells how many there were (``gc.get_count`` is not asked: there it keeps the thread that asks from collecting),
but not how long they took. One more tells that: each goes through all objects. ``gc.callbacks`` would do it for each of
them, but that list is gone through without a lock.
"""

from __future__ import annotations

import gc
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Stats = list[dict[str, Any]]

MARGIN = 1.5
"""Times as long as the one that was timed the others may have taken: what they go through was in the caches of one and
not of the other, and other programs want the memory. Where that is all of the calls' time there is little to share."""


class Pauses:
    """Collections since ``before``, which is what ``gc.get_stats`` gave. ``seconds`` and ``cpu``: of the one that was
    made to be timed."""

    __slots__ = ("_before", "at", "cpu", "seconds")

    def __init__(self, before: Stats) -> None:
        self.seconds = self.cpu = 0.0
        self.at: float | None = None
        """When that was."""
        self.begin(before)

    def begin(self, before: Stats) -> None:
        """Those until then were no part of the calls that count."""
        self._before = _collections(before)

    def share(self, computed: float) -> float:
        """The part of calls that have ``computed`` for so many seconds that collections may have taken.

        Not of the time on the clock: on a crowded machine that says how long they stood in line for a core.
        """
        count = _collections(gc.get_stats()) - self._before
        if not count or not gc.isenabled():
            return 0.0
        if self.at is None:
            self.at, cpu = time.perf_counter(), time.thread_time()
            gc.collect(0)
            self.seconds, self.cpu = time.perf_counter() - self.at, time.thread_time() - cpu
            self._before += 1
        return min(1.0, MARGIN * count * self.cpu / computed) if computed > 0 else 0.0


def _collections(stats: Stats) -> int:
    return sum(generation["collections"] for generation in stats)
