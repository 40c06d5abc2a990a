"""What calls have child processes compute. In the caller's thread that looks like waiting; but more of them at a time
than there are cores would only share these."""

from __future__ import annotations

import os

from lightwork._clock import SystemClock, process_cpu
from lightwork._machine import children_cpu, first_bytes

MOST = 256
"""Processes that are looked at."""

TIMES = 3
"""Looks until no process has ended meanwhile, at most."""


class Offspring:
    """Of the calls that the thread of this native id makes, from now on."""

    __slots__ = ("_before", "_since", "_thread")

    def __init__(self, thread: int) -> None:
        self._thread, self._since = thread, SystemClock.now()
        self._before = _used(thread)

    def share(self) -> float:
        """CPU seconds of child processes in each second until now."""
        lasted = SystemClock.now() - self._since
        return max(0.0, _used(self._thread) - self._before) / lasted if lasted > 0 else 0.0


def family_cpu() -> float:
    """CPU seconds of this process and its child processes."""
    return process_cpu() + _used(*_tasks("self"))


def _used(*threads: str | int) -> float:
    """CPU seconds of the children that this process has waited for, and, where the kernel says, of those alive that
    these threads began, and of theirs."""
    ended = children_cpu()
    for _ in range(TIMES):
        before, living = ended, _used_by_living(threads)
        if (ended := children_cpu()) == before:
            break  # else one may have been among the living, and among those that ended, or neither
    return ended + living


def _used_by_living(threads: tuple[str | int, ...]) -> float:
    used, looked_at = 0.0, 0
    left = [child for thread in threads for child in _children("self", thread)]
    while left and looked_at < MOST:
        one, looked_at = left.pop(), looked_at + 1
        tasks = _tasks(one)
        used += _used_by(one, tasks)
        left += [child for task in tasks for child in _children(one, task)]
    return used


def _tasks(process: str) -> list[str]:
    """Its threads; none where it has ended, or the kernel does not say."""
    try:
        return os.listdir(f"/proc/{process}/task")  # noqa: PTH208 - pathlib takes 8 ms to import
    except OSError:
        return []


def _children(process: str, task: str | int) -> list[str]:
    return first_bytes(f"/proc/{process}/task/{task}/children").decode().split()


def _used_by(process: str, tasks: list[str]) -> float:
    """CPU seconds of a process: those of threads that live are known to the nanosecond, all in ticks of 10 ms."""
    try:
        living = sum(int(first_bytes(f"/proc/{process}/task/{task}/schedstat").split()[0]) for task in tasks) / 1e9
        ticks = first_bytes(f"/proc/{process}/stat").rpartition(b") ")[2].split()[11:13]
    except (ValueError, IndexError):  # it has ended
        return 0.0
    return max(living, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))
