"""What there is here, told: this machine and this Python as one record (``lw.machine()``)."""

from __future__ import annotations

import os

from lightwork import _machine
from lightwork._machine import folders, parse_memory_limit, read
from lightwork._record import Record


class Machine(Record, frozen=True):
    """What there is here. Memory in bytes; None where a limit does not exist or cannot be found out."""

    cores: int
    """Cores that computing work can use: by affinity and quota, at least 1."""
    affinity: int
    """Cores that this process may run on."""
    cpu_count: int
    """Logical cores of the machine, whoever may use them."""
    quota: float | None
    """Cores' worth of CPU time that the control group grants (1.5: 150 ms in each 100 ms), or None."""
    memory_total: int | None
    memory_limit: int | None
    """What the control group allows, where that is less than the machine has."""
    memory_available: int | None
    """What can be taken now without swapping and within the limit."""
    python: str
    implementation: str
    gil: bool
    """The GIL is enabled now."""
    free_threaded: bool
    """The build can run without the GIL (an import may still have turned it on: see ``gil``)."""
    start_methods: tuple[str, ...]
    """Ways to start a process, as ``multiprocessing`` names them."""
    interpreters: str | None
    """None: sub-interpreters can be used. Otherwise the reason why not."""
    platform: str

    @property
    def capacity(self) -> float:
        """Cores' worth of CPU time that can be had for long: ``cores``, or the quota where that is less."""
        return float(self.affinity) if self.quota is None else min(float(self.affinity), self.quota)

    def __str__(self) -> str:
        limits = [f"{self.cpu_count} in the machine", f"{self.affinity} by affinity"]
        limits.append("no quota" if self.quota is None else f"a quota of {self.quota:g}")
        gil = "with the GIL" if self.gil else "without the GIL"
        build = "free-threaded build, " if self.free_threaded else ""
        lines = [
            f"{self.cores} usable {'core' if self.cores == 1 else 'cores'} ({', '.join(limits)})",
            f"memory: {_size(self.memory_available)} available of {_size(self.memory_total)}"
            + ("" if self.memory_limit is None else f", limited to {_size(self.memory_limit)}"),
            f"{self.implementation} {self.python} on {self.platform} ({build}{gil})",
            f"processes start by: {', '.join(self.start_methods)}",
            "sub-interpreters: " + ("yes" if self.interpreters is None else self.interpreters),
        ]
        return "\n".join(lines)

    __repr__ = __str__


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**30:.1f} GiB"


def parse_fields(text: str) -> dict[str, int]:
    """The numbers of a file such as /proc/meminfo or memory.stat by name, in bytes where it says kB."""
    fields: dict[str, int] = {}
    for line in text.splitlines():
        words = line.replace(":", " ").split()
        if len(words) >= 2 and words[1].isdigit():
            fields[words[0]] = int(words[1]) * (1024 if words[2:] == ["kB"] else 1)
    return fields


def _memory(proc: str = "/proc") -> tuple[int | None, int | None, int | None]:
    """(total, limit, available) in bytes."""
    fields = parse_fields(read(f"{proc}/meminfo") or "")
    if not fields:
        import psutil  # systems without /proc: macOS

        memory = psutil.virtual_memory()
        return memory.total, None, memory.available
    total, available = fields.get("MemTotal"), fields.get("MemAvailable")
    tightest: int | None = None
    for folder, version2 in folders("memory", proc):
        most, now = ("max", "current") if version2 else ("limit_in_bytes", "usage_in_bytes")
        limit = parse_memory_limit(read(f"{folder}/memory.{most}") or "")
        if limit is None or (total is not None and limit >= total):
            continue
        tightest = limit if tightest is None else min(tightest, limit)
        used = parse_memory_limit(read(f"{folder}/memory.{now}") or "")
        stat = parse_fields(read(f"{folder}/memory.stat") or "")
        # File pages not in use are counted as used, but are given back on demand.
        cached = stat.get("inactive_file", 0) if version2 else stat.get("total_inactive_file", 0)
        room = max(0, limit - max(0, (used or 0) - cached))
        available = room if available is None else min(available, room)
    return total, tightest, available


class Pool(Record, frozen=True):
    """Threads that a numerical library keeps for itself: its name ("openblas"), how many, and its file."""

    library: str
    threads: int
    path: str


def blas_threads() -> list[Pool]:
    """The thread pools of BLAS and OpenMP libraries that this process has loaded so far. Loads none."""
    from threadpoolctl import threadpool_info

    return [Pool(pool["internal_api"], pool["num_threads"], pool["filepath"]) for pool in threadpool_info()]


_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy"}


def machine() -> Machine:
    """Looks at this machine and this Python, as of now (takes 1 to 3 ms)."""
    may, quota = _machine.affinity(), _machine.cpu_quota()
    total, limit, available = _memory()
    return Machine(
        cores=_machine.usable(may, quota),
        affinity=may,
        cpu_count=os.cpu_count() or may,
        quota=quota,
        memory_total=total,
        memory_limit=limit,
        memory_available=available,
        python=_machine.version(),
        implementation=_IMPLEMENTATIONS.get(_machine.implementation(), _machine.implementation()),
        gil=_machine.gil_enabled(),
        free_threaded=_machine.free_threaded_build(),
        start_methods=_machine.start_methods(),
        interpreters=_machine.interpreters_missing(),
        platform=_machine.platform(),
    )
