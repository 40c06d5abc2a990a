"""What calls have child processes compute. In the caller's thread that looks like waiting; but more of them at a time
than there are cores would only share these."""

from __future__ import annotations

import math
import os

from lightwork._clock import SystemClock, process_cpu, since_boot
from lightwork._loaded import loaded
from lightwork._machine import children_cpu, first_bytes, usable_cores

MOST = 32
"""Processes that are looked at, the youngest first: a look takes 50 µs for each."""

FRESH = 0.002
"""Seconds for which a look is good."""

TIMES = 3
"""Looks until no process has ended meanwhile, at most."""

TICK = 0.02
"""Seconds by which a process may be younger than the kernel's ticks say."""

UNTOLD = 0.004
"""Seconds that a process may have run since the kernel last reckoned up what it has used, as it mostly does 250 times a
second, and when somebody else gets the core."""


class Offspring:
    """Children that the thread of this native id has begun ``since`` then, a time of the system clock, and theirs.

    Those that it had before are no call's, nor are this package's.
    """

    __slots__ = ("_before", "_began", "_born", "_ended", "_gone", "_looked", "_old", "_share", "_thread")

    def __init__(self, thread: int, since: float | None = None) -> None:
        self._thread = str(thread)
        now = SystemClock.now()
        self._began = now if since is None else since
        self._born = since_boot() - (now - self._began)
        self._looked = -math.inf
        self._old: dict[str, float] = {}
        """Those that are no call's: CPU seconds of each when it was last seen."""
        self._gone = 0.0
        """The same of those of them that have ended."""
        self._share = 0.0
        self._ended = children_cpu()
        self._before = 0.0 if since is not None else self._used(self._thread)

    def share(self) -> float:
        """CPU seconds of theirs in each second until now; where they stand in line for a core, that counts as well."""
        now = SystemClock.now()
        if now - self._looked >= FRESH:
            used = max(0.0, self._used(self._thread) - self._before)
            self._looked, self._share = now, min(used / (now - self._began), float(usable_cores()))
        return self._share

    def family_cpu(self) -> float:
        """CPU seconds of this process and of children that any of its threads has begun since."""
        return process_cpu() + self._used(*_tasks("self"))

    def _used(self, *threads: str) -> float:
        """By children that were waited for since, and, where the kernel says, by those alive that these threads have
        begun."""
        for _ in range(TIMES):
            ended, living = children_cpu(), self._used_by_living(threads)
            if children_cpu() == ended:
                break  # else one may have been among the living, and among those that ended, or neither
        return ended - self._ended - self._gone + living

    def _used_by_living(self, threads: tuple[str, ...]) -> float:
        for one in list(self._old):
            if stat := _stat(one):
                self._old[one] = _own_ticks(stat) + _waited_for(stat)
            else:
                self._gone += self._old.pop(one)
        own = loaded("lightwork._platform", "spawned") or ()
        used, left = 0.0, [(one, True) for thread in threads for one in _children("self", thread)][-MOST:]
        for _ in range(MOST):
            if not left:
                break
            one, eldest = left.pop()
            if one in self._old or not (stat := _stat(one)):
                continue
            if eldest and (int(one) in own or int(stat[_BEGAN]) / _tick() + TICK < self._born):
                self._old[one] = _own_ticks(stat) + _waited_for(stat)
                continue
            tasks = _tasks(one)
            used += max(_own_ticks(stat), sum(_ran(one, task) for task in tasks)) + _waited_for(stat)
            if stat[_STATE] == b"R":
                used += UNTOLD
            left += [(child, False) for task in tasks for child in _children(one, task)]
        return used


_STATE, _USED, _CHILDREN_USED, _BEGAN = 0, slice(11, 13), slice(13, 15), 19
"""Of the fields of ``stat`` that come after a program's name: see ``man proc_pid_stat``."""


def _tick() -> int:
    """How many of the kernel's ticks make a second."""
    return os.sysconf("SC_CLK_TCK")


def _stat(process: str) -> list[bytes]:
    """Nothing where it has ended, or the kernel does not say."""
    return first_bytes(f"/proc/{process}/stat").rpartition(b") ")[2].split()


def _own_ticks(stat: list[bytes]) -> float:
    """CPU seconds of all its threads, in ticks of 10 ms."""
    return sum(map(int, stat[_USED])) / _tick()


def _waited_for(stat: list[bytes]) -> float:
    """CPU seconds of the children that it has waited for."""
    return sum(map(int, stat[_CHILDREN_USED])) / _tick()


def _ran(process: str, task: str) -> float:
    """Seconds for which a thread that lives had a core, or stood in line for one."""
    return sum(map(int, first_bytes(f"/proc/{process}/task/{task}/schedstat").split()[:2])) / 1e9


def _tasks(process: str) -> list[str]:
    """Its threads; none where it has ended, or the kernel does not say."""
    try:
        return os.listdir(f"/proc/{process}/task")  # noqa: PTH208 - pathlib takes 8 ms to import
    except OSError:
        return []


def _children(process: str, task: str) -> list[str]:
    """From the eldest on."""
    told = first_bytes(f"/proc/{process}/task/{task}/children")
    return told[: told.rfind(b" ") + 1].decode().split()  # what is cut off is another one's number
