"""What this machine has, as far as this process may use it. Platform and version questions are asked here.

``os.cpu_count()`` is not the truth: a process may be pinned to some of the cores (affinity, which shows a
container's cpuset as well), and a control group may grant it less CPU time than its cores could give (a
quota). The same holds for memory. This module reads all of these. Parsing is done by pure functions of text;
only the functions at the end touch the system.

    /proc/self/cgroup ──┐
    /proc/self/mountinfo ┴─▶ folders of this process's groups, leaf to root ─▶ the tightest limit on the way

Sources: the kernel's documentation, ``admin-guide/cgroup-v2`` (cpu.max, memory.max) and
``scheduler/sched-bwc`` (cpu.cfs_quota_us, cpu.cfs_period_us); proc(5) for the two files.
"""

from __future__ import annotations

import math
import os
import sys
from itertools import islice

from lightwork._lean import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


_DEFAULT_PERIOD = 100_000  # µs; the kernel's own default, for a cpu.max that names a quota alone
LOOKED_AT = 64
"""Threads of a process of which it is asked whether they are busy: each takes 10 µs."""

_NO_LIMIT = 1 << 60  # bytes; version 1 groups write "no limit" as a number near 2**63, rounded to pages


# --- parsing: pure functions of text


def parse_cpu_max(text: str) -> float | None:
    """Cores granted by a version 2 ``cpu.max`` ("max 100000", "150000 100000"); None for no limit."""
    words = text.split()
    if not words or words[0] == "max":
        return None
    return _ratio(words[0], words[1] if len(words) > 1 else str(_DEFAULT_PERIOD))


def parse_cfs_quota(quota: str, period: str) -> float | None:
    """Cores granted by version 1's ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``; None for no limit (-1)."""
    return _ratio(quota.strip(), period.strip() or str(_DEFAULT_PERIOD))


def _ratio(quota: str, period: str) -> float | None:
    try:
        granted, length = int(quota), int(period)
    except ValueError:
        return None
    return granted / length if granted > 0 and length > 0 else None


def parse_memory_limit(text: str) -> int | None:
    """Bytes allowed by ``memory.max`` or ``memory.limit_in_bytes``; None for no or no sound limit."""
    try:
        limit = int(text)
    except ValueError:
        return None
    return limit if 0 < limit < _NO_LIMIT else None


def parse_groups(text: str) -> dict[str, str]:
    """/proc/self/cgroup: the path of this process's group by controller; version 2 under the name ""."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                groups[controller] = parts[2]
    return groups


def parse_mounts(text: str) -> dict[str, tuple[str, str]]:
    """/proc/self/mountinfo: (group at the root, mount point) by controller; version 2 under ""."""
    mounts: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if not separator or len(fields) < 5 or len(tail) < 3:
            continue
        where = (_unescape(fields[3]), _unescape(fields[4]))
        if tail[0] == "cgroup2":
            mounts.setdefault("", where)
        elif tail[0] == "cgroup":
            for controller in tail[2].split(","):
                mounts.setdefault(controller, where)
    return mounts


def _unescape(path: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path


def group_folders(path: str, root: str, mount: str) -> Iterator[str]:
    """The folders of a group and of its ancestors, leaf first, as far as the mount shows them.

    In a container the mount often shows only the container's own group: ``root`` is then that group's path,
    and a ``path`` outside of it means that the mount point itself is the best there is.
    """
    group, top = ([part for part in each.split("/") if part not in ("", ".")] for each in (path, root))
    inside = group[len(top) :] if group[: len(top)] == top and ".." not in group else []
    for depth in range(len(inside), -1, -1):
        yield "/".join([mount.rstrip("/"), *inside[:depth]]) or "/"


# --- reading the system


def read(path: str) -> str | None:
    """What a file of the system says; None where there is none."""
    try:
        # Bare calls: ``read_text`` takes three times as long, and the first workers wait for these files.
        file = os.open(path, os.O_RDONLY)
        try:
            return b"".join(iter(lambda: os.read(file, 1 << 16), b"")).decode()
        finally:
            os.close(file)
    except (OSError, UnicodeDecodeError):
        return None  # the file exists on some systems only


@cache
def _groups_and_mounts(proc: str) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    return parse_groups(read(f"{proc}/self/cgroup") or ""), parse_mounts(read(f"{proc}/self/mountinfo") or "")


def folders(controller: str, proc: str) -> Iterator[tuple[str, bool]]:
    """The folders that may limit this process, with whether they are of version 2."""
    groups, mounts = _groups_and_mounts(proc)
    for name in (controller, ""):
        if name in mounts:
            for folder in group_folders(groups.get(name, "/"), *mounts[name]):
                yield folder, name == ""


def cpu_quota(proc: str = "/proc") -> float | None:
    """Cores' worth of CPU time granted by the tightest of this process's control groups, or None."""
    found = []
    for folder, version2 in folders("cpu", proc):
        if version2:
            found.append(parse_cpu_max(read(f"{folder}/cpu.max") or ""))
        else:
            quota, period = read(f"{folder}/cpu.cfs_quota_us"), read(f"{folder}/cpu.cfs_period_us")
            found.append(parse_cfs_quota(quota or "", period or ""))
    return min((quota for quota in found if quota is not None), default=None)


@cache
def _memory_groups(proc: str) -> tuple[tuple[int, str, str, bytes], ...]:
    """This process's groups that limit memory: the limit, the files with the usage and the statistics, and the name
    there of the file pages that are not in use."""
    found = []
    for folder, version2 in folders("memory", proc):
        most, now = ("max", "current") if version2 else ("limit_in_bytes", "usage_in_bytes")
        limit = parse_memory_limit(read(f"{folder}/memory.{most}") or "")
        if limit is not None:
            cached = b"\ninactive_file " if version2 else b"\ntotal_inactive_file "
            found.append((limit, f"{folder}/memory.{now}", f"{folder}/memory.stat", cached))
    return tuple(found)


def available_memory(proc: str = "/proc") -> int | None:
    """Bytes that can be taken now without swapping and within the control group's limits; None where nobody says.

    Limits are those of the first look. The bare calls are for speed: this is asked before workers are started.
    """
    available = _number_after(b"\nMemAvailable:", first_bytes(f"{proc}/meminfo"))
    if available is None:
        return None
    available *= 1024
    for limit, now, stat, cached in _memory_groups(proc):
        try:
            used = int(first_bytes(now))
        except ValueError:
            continue
        used -= _number_after(cached, b"\n" + first_bytes(stat)) or 0
        available = min(available, max(0, limit - max(0, used)))
    return available


def first_bytes(path: str) -> bytes:
    """The first pages of a file; empty where there is none."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            return os.read(file, 1 << 14)
        finally:
            os.close(file)
    except OSError:
        return b""


def _number_after(name: bytes, text: bytes) -> int | None:
    _, found, rest = text.partition(name)
    return int(rest.split(None, 1)[0]) if found else None


@cache
def _cached_quota() -> float | None:
    return cpu_quota()


def affinity() -> int:
    """Cores that this process may run on, as of now (2 µs)."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1  # minds PYTHON_CPU_COUNT and -X cpu_count too
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1  # macOS has no affinity


def usable_cores() -> int:
    """Cores that computing work can use, as of now: the affinity, and the quota as it was when first read.

    A quota of 1.5 counts as 2 cores: with one worker a third of the grant would be lost, with two the kernel
    pauses both now and then, and all of it is used. (The JVM and Go's GOMAXPROCS round up as well.)
    """
    return usable(affinity(), _cached_quota())


def usable(cores: int, quota: float | None) -> int:
    """Cores that computing work can use, of those that it may run on."""
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def gil_enabled() -> bool:
    """Whether the GIL is on now. On a free-threaded build an import may have turned it on."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def free_threaded_build() -> bool:
    """Whether this Python was built to run without the GIL."""
    return "t" in getattr(sys, "abiflags", "") or "free-threading" in sys.version


def daemon_threads() -> bool:
    """Whether this interpreter may start daemon threads. Sub-interpreters with a GIL of their own may not."""
    import _thread

    return bool(getattr(_thread, "daemon_threads_allowed", lambda: True)())  # asked since Python 3.12


def starts_threads_at_end() -> bool:
    """Whether this interpreter starts threads while it waits, at its end, for those that there are. Python 3.12 does
    not."""
    return sys.version_info[:2] != (3, 12)


def at_end(hook: Callable[[], None]) -> None:
    """Has ``hook`` called at this interpreter's end, before that waits for threads and calls ``atexit``'s functions.

    The last that was registered comes first. Once the end has begun, it is called with ``atexit``'s functions.
    """
    import threading

    try:
        threading._register_atexit(hook)  # type: ignore[attr-defined]  # what concurrent.futures uses for this
    except RuntimeError:
        import atexit

        atexit.register(hook)


def at_fork(hook: Callable[[], None]) -> None:
    """Has ``hook`` called first of all in each child that Python code forks, where there is such a thing as a fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=hook)


def start_methods() -> tuple[str, ...]:
    """What ``multiprocessing.get_all_start_methods()`` says, without importing it."""
    if sys.platform == "win32":
        return ("spawn",)
    return ("fork", "forkserver", "spawn")


def default_start_method() -> str:
    """How ``multiprocessing`` starts a process where nobody has chosen, without importing it."""
    if sys.platform in ("win32", "darwin"):
        return "spawn"
    return "forkserver" if sys.version_info >= (3, 14) else "fork"


def interpreters_missing() -> str | None:
    """None if sub-interpreters can be used from Python, else the reason and the remedy."""
    if sys.version_info < (3, 14):
        return f"they need Python 3.14 or later (this is {version()})"
    from importlib.util import find_spec

    if find_spec("concurrent.interpreters") is None:
        return "this build of Python has no concurrent.interpreters"
    return None


def voluntary_switches() -> int | None:
    """How often the calling thread has given up its core to wait for something; None where nobody counts."""
    if sys.platform != "linux":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def python_version() -> str:
    """This interpreter's version: "3.13.5"."""
    import platform

    return platform.python_version()


def system() -> str:
    """The operating system's name: "Linux", "Darwin"."""
    import platform

    return platform.system()


def run_delay(thread: int | None = None) -> float | None:
    """Seconds that this thread, or the one of this ``native_id``, has been ready to run and had no core, because others
    had them; None where the kernel does not say. Linux: the second field of ``schedstat``, in nanoseconds."""
    where = "/proc/thread-self" if thread is None else f"/proc/self/task/{thread}"
    try:
        # Bare calls: a file object takes three times as long, which the shortest maps would notice.
        file = os.open(f"{where}/schedstat", os.O_RDONLY)
        try:
            return int(os.read(file, 100).split()[1]) / 1e9
        finally:
            os.close(file)
    except (OSError, ValueError, IndexError):
        return None


def running(besides: Collection[int]) -> Iterator[int]:
    """Of this process's threads but those with these native ids: which have a core, or wait for one, just now. Where
    the kernel does not say (other systems than Linux): none."""
    try:
        for name in islice(os.listdir("/proc/self/task"), LOOKED_AT):
            thread = int(name)
            if thread not in besides and runs(thread):
                yield thread
    except OSError:
        return


def runs(thread: int) -> bool:
    """Whether this process's thread of that native id is one of these."""
    return first_bytes(f"/proc/self/task/{thread}/stat").rpartition(b") ")[2][:1] == b"R"


def crowded(*own: int) -> bool:
    """Whether other threads of this process than these have all cores but one just now, where there are several."""
    spare = usable_cores() - 1
    return spare > 0 and len(list(islice(running(own), spare))) == spare


def children_cpu() -> float:
    """CPU seconds of this process's child processes that ended and were waited for."""
    if sys.platform == "win32":
        return 0.0
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def version() -> str:
    """This interpreter's release, whatever it is a preview of: "3.13.5"."""
    return ".".join(map(str, sys.version_info[:3]))


def implementation() -> str:
    """The name of this Python: "cpython"."""
    return sys.implementation.name


def platform() -> str:
    """What this Python was built for: "linux", "darwin"."""
    return sys.platform
