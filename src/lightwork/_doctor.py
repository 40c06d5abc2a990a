"""What this machine offers to parallel work, and what would go wrong: rules over evidence.

A rule looks at the evidence and gives a Finding, None (nothing wrong) or Unknown (it cannot tell, and why). The
evidence is gathered once, by ``look``; the rules are pure, so that each can be tested with evidence made up for it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightwork._backends._registry import NAMES, backends
from lightwork._inventory import Machine, Pool, blas_threads, machine
from lightwork._record import asdict

FEW_FILES = 512
"""Open files below which many workers, each with two sockets and its pipes, may run out of descriptors."""

SMALL_SHARED = 256 * 2**20
"""Bytes in /dev/shm below which libraries that pass arrays through it (torch, joblib, multiprocessing) get stuck.
Containers have 64 MiB by default. lightwork itself passes memory without a name, and needs none of it."""

ROOM_FOR_A_WORKER = 300 * 2**20
"""Bytes that a worker with NumPy and some data needs; with less for each core, memory runs out before cores do."""

SETTINGS = ("LIGHTWORK_BACKEND", "LIGHTWORK_MAX_WORKERS", "LIGHTWORK_MEMORY", "LIGHTWORK_PORTABLE")

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@dataclass(frozen=True)
class Evidence:
    """What was seen. ``pools``: thread pools of numerical libraries, None where none could be looked at."""

    machine: Machine
    backends: Mapping[str, str | None]
    """Each backend's reason why it cannot run here; None where it can."""
    pools: tuple[Pool, ...] | None = None
    open_files: int | None = None
    shared_memory: int | None = None
    """Free bytes in /dev/shm."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something that would go wrong ("warning") or is good to know ("note"), and what to do about it."""

    rule: str
    level: Literal["warning", "note"]
    what: str
    remedy: str


@dataclass(frozen=True)
class Unknown:
    """A rule that cannot tell, and why."""

    rule: str
    why: str


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong with a machine. ``check`` is pure."""

    name: str
    check: Callable[[Evidence], tuple[Literal["warning", "note"], str, str] | str | None]
    """(level, what, remedy), or a text: why it cannot tell, or None: nothing wrong."""


@dataclass(frozen=True)
class Diagnosis:
    """The evidence and what all rules made of it."""

    evidence: Evidence
    findings: tuple[Finding, ...]
    unknown: tuple[Unknown, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; memory in bytes."""
        data: dict[str, Any] = asdict(self)
        data["evidence"]["machine"]["capacity"] = self.evidence.machine.capacity
        return data


def look() -> Evidence:
    """Looks at this machine, this Python and its environment. Imports NumPy where it is there, to see its threads."""
    return Evidence(
        machine=machine(),
        backends={name: info.unavailable for name, info in backends().items()},
        pools=_pools(),
        open_files=_open_files(),
        shared_memory=_shared_memory(),
        environment={
            name: value
            for name, value in os.environ.items()
            if name.startswith("LIGHTWORK_") or name in (*THREAD_SETTINGS, "PYTHONHASHSEED", "PYTHON_GIL")
        },
    )


def _pools() -> tuple[Pool, ...] | None:
    try:
        import numpy  # noqa: F401 - loading it loads its BLAS
    except ImportError:
        return None
    return tuple(blas_threads())


def _open_files() -> int | None:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _shared_memory() -> int | None:
    place = Path("/dev/shm")
    if not place.is_dir():
        return None
    free = os.statvfs(place)
    return free.f_bavail * free.f_frsize


def diagnose(evidence: Evidence) -> Diagnosis:
    """Asks every rule."""
    findings, unknown = [], []
    for rule in RULES:
        answer = rule.check(evidence)
        if isinstance(answer, str):
            unknown.append(Unknown(rule.name, answer))
        elif answer is not None:
            findings.append(Finding(rule.name, *answer))
    findings.sort(key=lambda finding: finding.level != "warning")
    return Diagnosis(evidence, tuple(findings), tuple(unknown))


def describe(evidence: Evidence) -> list[str]:
    """What there is, a line each."""
    lines = str(evidence.machine).splitlines()
    for name, reason in evidence.backends.items():
        lines.append(f"backend {name}: " + ("available" if reason is None else f"not available: {reason}"))
    if evidence.pools is None:
        lines.append("numerical libraries: NumPy is not installed")
    elif evidence.pools:
        named = ", ".join(f"{pool.library} with {pool.threads} threads" for pool in evidence.pools)
        lines.append(f"numerical libraries: {named}")
    else:
        lines.append("numerical libraries: none that keeps threads of its own")
    lines.append("open files: " + ("no limit" if evidence.open_files is None else f"{evidence.open_files:,} a process"))
    if evidence.shared_memory is not None:
        lines.append(f"/dev/shm: {evidence.shared_memory / 2**30:.1f} GiB free")
    settings = [f"{name}={value}" for name, value in sorted(evidence.environment.items())]
    lines.append("settings in effect: " + (", ".join(settings) or "none"))
    return lines


# --- the rules -------------------------------------------------------------------------------------------

_Answer = tuple[Literal["warning", "note"], str, str] | str | None


def _one_core(evidence: Evidence) -> _Answer:
    if evidence.machine.cores > 1:
        return None
    return (
        "warning",
        "There is one usable core: computing gains nothing from any backend here; only waiting does.",
        "Give the container or the job more cores, if computing is what takes the time.",
    )


def _fewer_than_counted(evidence: Evidence) -> _Answer:
    m = evidence.machine
    if m.cores >= m.cpu_count:
        return None
    limit = "a CPU quota" if m.quota is not None and m.quota < m.affinity else "affinity"
    return (
        "note",
        f"os.cpu_count() says {m.cpu_count}, but {limit} leaves {m.cores}. Programs that start a worker for each "
        f"counted core start {m.cpu_count} here.",
        f"lightwork starts {m.cores} by itself; tell other libraries (n_jobs={m.cores}, max_workers={m.cores}).",
    )


def _gil_turned_on(evidence: Evidence) -> _Answer:
    m = evidence.machine
    if not (m.free_threaded and m.gil):
        return None
    if evidence.environment.get("PYTHON_GIL") == "1":
        return (
            "warning",
            "This free-threaded Python runs with the GIL, because PYTHON_GIL=1.",
            "Unset PYTHON_GIL.",
        )
    return (
        "warning",
        "This free-threaded Python runs with the GIL: an imported extension module turned it on, "
        "so threads compute in turns.",
        "Run python -W error::RuntimeWarning -c 'import ...' with your imports to see which; take a newer one, "
        "or set PYTHON_GIL=0 if you know that it is safe.",
    )


def _library_threads(evidence: Evidence) -> _Answer:
    if evidence.pools is None:
        return "NumPy is not installed here, so no numerical library could be asked for its threads"
    busiest = max(evidence.pools, key=lambda pool: pool.threads, default=None)
    cores = evidence.machine.cores
    if busiest is None or busiest.threads <= 1 or cores == 1:
        return None
    return (
        "note",
        f"{busiest.library} starts {busiest.threads} threads in every process: {cores} workers would have "
        f"{cores * busiest.threads} threads on {cores} cores.",
        "lightwork keeps it to a worker's share of the cores. For other pools set OMP_NUM_THREADS=1 "
        "(OPENBLAS_NUM_THREADS, MKL_NUM_THREADS) where workers call it.",
    )


def _small_shared_memory(evidence: Evidence) -> _Answer:
    if evidence.shared_memory is None:
        return "there is no /dev/shm to look at"
    if evidence.shared_memory >= SMALL_SHARED:
        return None
    return (
        "note",
        f"/dev/shm has {evidence.shared_memory / 2**20:.0f} MiB free. lightwork does not need it, but libraries that "
        "pass arrays through it fail or hang when it is full.",
        "In a container: --shm-size=1g.",
    )


def _few_files(evidence: Evidence) -> _Answer:
    if evidence.open_files is None or evidence.open_files >= FEW_FILES:
        return None
    return (
        "warning",
        f"A process may have {evidence.open_files} files open; each worker needs several, and so does your function.",
        "Raise the limit: ulimit -n 4096.",
    )


def _little_memory(evidence: Evidence) -> _Answer:
    m = evidence.machine
    if m.memory_available is None:
        return "how much memory is free could not be found out"
    if m.memory_available >= m.cores * ROOM_FOR_A_WORKER:
        return None
    return (
        "warning",
        f"{m.memory_available / 2**20:.0f} MiB of memory are available for {m.cores} cores: processes that load "
        "large libraries may run out of it.",
        "Use threads where the function allows, or fewer workers: LIGHTWORK_MAX_WORKERS.",
    )


def _settings(evidence: Evidence) -> _Answer:
    for name in evidence.environment:
        if name.startswith("LIGHTWORK_") and name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, 1)
            return (
                "warning",
                f"{name} is no setting of lightwork.",
                f"Did you mean {near[0]}?" if near else "Unset it.",
            )
    wanted = evidence.environment.get("LIGHTWORK_BACKEND")
    if wanted and wanted not in (*NAMES, "auto"):
        near = difflib.get_close_matches(wanted, (*NAMES, "auto"), 1)
        return (
            "warning",
            f"LIGHTWORK_BACKEND={wanted} names no backend; every map without backend= will fail.",
            f"Did you mean {near[0]}?" if near else f"There are auto, {', '.join(NAMES)}.",
        )
    if wanted and (reason := evidence.backends.get(wanted)):
        return (
            "warning",
            f"LIGHTWORK_BACKEND={wanted} cannot run here: {reason}",
            "Unset it, or name another.",
        )
    workers = evidence.environment.get("LIGHTWORK_MAX_WORKERS")
    if workers and not (workers.isdecimal() and int(workers) > 0):
        return (
            "warning",
            f"LIGHTWORK_MAX_WORKERS={workers} is no number of workers; every map without max_workers= will fail.",
            f"Set a whole number above 0, such as {evidence.machine.cores}.",
        )
    if workers and int(workers) > evidence.machine.cores:
        return (
            "note",
            f"LIGHTWORK_MAX_WORKERS={workers}, and there are {evidence.machine.cores} usable cores: good for waiting, "
            "too many for computing.",
            "Unset it; lightwork then counts cores for computing, and measures for waiting.",
        )
    return None


def _no_processes(evidence: Evidence) -> _Answer:
    reason = evidence.backends.get("processes")
    if reason is None:
        return None
    return (
        "warning",
        f"Processes cannot run here: {reason}",
        "Until that is mended, Python code computes on one core.",
    )


def _string_hashes(evidence: Evidence) -> _Answer:
    if evidence.environment.get("PYTHONHASHSEED", "random") != "random":
        return None
    return (
        "note",
        "Strings hash differently in every new run of Python, so the order of sets of strings differs, too.",
        "Where results depend on that: sort, or set PYTHONHASHSEED=0.",
    )


RULES = (
    Rule("one core", _one_core),
    Rule("cores", _fewer_than_counted),
    Rule("GIL", _gil_turned_on),
    Rule("processes", _no_processes),
    Rule("library threads", _library_threads),
    Rule("open files", _few_files),
    Rule("memory", _little_memory),
    Rule("/dev/shm", _small_shared_memory),
    Rule("settings", _settings),
    Rule("string hashes", _string_hashes),
)
