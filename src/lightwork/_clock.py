"""The only place where lightwork reads the time, so that every decision can be tested without it."""

from __future__ import annotations

import _thread
import time

from lightwork._typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Protocol):
    """Seconds from an arbitrary start; only differences mean something."""

    def now(self) -> float: ...


process_cpu = time.process_time
"""CPU seconds of all threads of this process."""

thread_cpu = time.thread_time
"""CPU seconds that the calling thread has used."""


class SystemClock:
    """The machine's monotonic clock. On Linux and macOS one scale serves all processes of a machine."""

    now = staticmethod(time.perf_counter)


def since_boot() -> float:
    """Seconds since this machine began, on which scale Linux says when processes did; elsewhere 0."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else 0.0


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the clock forward; raises ValueError for a negative step."""
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds}")
        self._now += seconds


def thread_cpu_clock(thread: int) -> Callable[[], float]:
    """A clock of the CPU seconds that a thread, by its ``ident``, has used, which other threads may read too; where
    there is none, the process's."""
    if hasattr(time, "pthread_getcpuclockid"):
        number = time.pthread_getcpuclockid(thread)
        return lambda: time.clock_gettime(number)
    return process_cpu


def cpu_of(thread: int) -> float | None:
    """CPU seconds that a thread of this process, by its native id, has used; None where it has ended. On Linux: the
    clock's number is what ``pthread_getcpuclockid`` makes there of an ``ident``, which threads that no Python has
    started do not have."""
    try:
        return time.clock_gettime((~thread << 3) | 6)
    except OSError:
        return None


class OwnCpu:
    """CPU seconds of one thread, which says when it ``begins`` and ``ends``: others may read them at any time. Where
    nobody can read another thread's clock: the process's."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read: Callable[[], float] = lambda: 0.0

    def begins(self) -> None:
        self._read = thread_cpu_clock(_thread.get_ident())

    def ends(self) -> None:
        if self._read is not process_cpu:
            spent = thread_cpu()
            self._read = lambda: spent

    def __call__(self) -> float:
        try:
            return self._read()
        except OSError:  # it has ended meanwhile, and left word
            return self._read()


def alone(lasted: float, cpu: float, delay: float, rival: float) -> float:
    """Seconds that something would have taken which ``lasted`` so long, had nobody been beside it.

    It computed for ``cpu`` seconds and was ready for ``delay`` seconds while others had the cores: that is neither its
    waiting nor its computing. Another thread of this process had the GIL, or a core, or waited for it, for ``rival``
    seconds: those count as far as this one computed, for who waits for something else is not kept by that.
    """
    lasted = max(cpu, lasted - delay)
    return max(cpu, lasted - rival * cpu / max(lasted - rival, cpu, 1e-9))
