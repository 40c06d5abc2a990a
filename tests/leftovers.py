"""What a test may not leave behind: workers, descriptors, names in shared memory. And how to wait for an end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Until ``condition()`` is true; fails the test after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        threading.Event().wait(0.002)


def children(pid: int) -> list[psutil.Process]:
    """Those of a process; where the kernel lists them, without a look at every process that there is."""
    tasks = Path(f"/proc/{pid}/task")
    found = []
    try:
        if not tasks.is_dir():
            return psutil.Process(pid).children()
        listed = [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    except (OSError, psutil.NoSuchProcess):
        return []
    for child in listed:
        try:
            found.append(psutil.Process(int(child)))
        except psutil.NoSuchProcess:
            continue
    return found


def starters() -> list[psutil.Process]:
    """The starter of this process, if it has one now."""
    return [child for child in children(os.getpid()) if "_starter" in " ".join(_command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def workers() -> list[psutil.Process]:
    """The workers of this process that are alive, without those that the starter has forked ahead."""
    return [child for starter in starters() for child in children(starter.pid) if alive(child.pid) and begun(child.pid)]


def begun(pid: int) -> bool:
    """Whether a fork of the starter is somebody's worker: then it has a process group of its own."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def shared_memory() -> set[str]:
    """Names in /dev/shm."""
    home = Path("/dev/shm")
    return {entry.name for entry in home.iterdir()} if home.is_dir() else set()


def leaked(before: set[str]) -> set[str]:
    """Names in /dev/shm that are new and that no process holds: what other programs use is theirs."""
    new = shared_memory() - before
    for process in psutil.process_iter() if new else ():
        try:
            held = Path(f"/proc/{process.pid}/maps").read_text()
        except OSError:
            continue
        new = {name for name in new if f"/dev/shm/{name}" not in held}
    return new


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd").iterdir()))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No worker outlives the test."""
    yield
    wait_for(lambda: not workers(), 5)


def pid_in(path: Path) -> int:
    """Waits for a process to write its id into a file."""
    wait_for(lambda: path.exists() and path.read_text())
    return int(path.read_text())
