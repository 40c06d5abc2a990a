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

ENOUGH = 1
"""Collections before which none is made to learn what one takes: it costs as much as they did at most."""


class Pauses:
    """Collections since ``before``, which is what ``gc.get_stats`` gave. ``seconds`` and ``cpu``: of the one that was
    made to be timed."""

    __slots__ = ("_before", "cpu", "seconds")

    def __init__(self, before: Stats) -> None:
        self.seconds = self.cpu = 0.0
        self.begin(before)

    def begin(self, before: Stats) -> None:
        """Those until then were no part of the calls that count."""
        self._before = _collections(before)

    def share(self, lasted: float) -> float:
        """The part of ``lasted`` seconds of calls that went by in collections."""
        count = _collections(gc.get_stats()) - self._before
        if count < ENOUGH or not gc.isenabled():
            return 0.0
        if not self.cpu:
            began, cpu = time.perf_counter(), time.thread_time()
            gc.collect(0)
            self.seconds, self.cpu = time.perf_counter() - began, time.thread_time() - cpu
            self._before += 1
        return min(1.0, count * self.cpu / lasted)


def _collections(stats: Stats) -> int:
    return sum(generation["collections"] for generation in stats)
