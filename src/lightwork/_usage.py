"""What a piece of work took from the machine: CPU seconds and memory, of this process and all that it started."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from lightwork._clock import SystemClock
from lightwork._machine import daemon_threads

SAMPLE_EVERY = 0.02
"""Seconds between two looks at memory; a look that itself is slow (many processes) is made more rarely."""


def own_cpu_seconds() -> float:
    """CPU seconds used so far by this process and its ended children. Takes about a microsecond."""
    import resource

    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    return total


def descendants_cpu_seconds() -> float:
    """CPU seconds used so far by all live descendants and those that these have waited for. Takes milliseconds.

    A difference of two such sums means something while none of the descendants at the first look has ended.
    """
    import psutil

    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue  # it ended meanwhile: whoever waited for it has its time now
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


class PeakMemory:
    """Watches memory while a ``with`` block runs. ``bytes`` is the highest sum seen, less the sum at the start.

    Shared pages are left out where the system tells them apart: else a gigabyte that four workers share would
    count five times. Where no thread can be started there is a look before and after, and none in between.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._start = 0
        self._watched = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lightwork-memory", daemon=daemon_threads())

    def __enter__(self) -> Self:
        self._start = memory()
        try:
            self._thread.start()
        except RuntimeError:
            self._watched = False
        except BaseException:  # a signal's handler has raised, and it may have begun
            self._stop.set()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._watched:
            self._thread.join()
        self.bytes = max(self.bytes, memory() - self._start)

    def _watch(self) -> None:
        pause = SAMPLE_EVERY
        while not self._stop.wait(pause):
            began = SystemClock.now()
            self.bytes = max(self.bytes, memory() - self._start)
            pause = max(SAMPLE_EVERY, 10 * (SystemClock.now() - began))


def memory() -> int:
    """Bytes of resident memory, shared pages left out where known, of this process and its descendants."""
    import psutil

    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            info = process.memory_info()
        except psutil.Error:
            continue  # it ended between the listing and the look
        total += int(info.rss) - int(getattr(info, "shared", 0))
    return total
