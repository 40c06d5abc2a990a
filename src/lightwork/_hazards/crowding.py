"""Rules on too many at once: workers within workers, threads of numerical libraries, forks of a process with threads;
and on too little to do."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Iterator
from typing import Any

from lightwork import _inventory, _machine
from lightwork._finding import COSTS, FAILS, GOOD_TO_KNOW, UNKNOWN, Finding
from lightwork._hazards.subject import Subject, Use
from lightwork._loaded import loaded

_POOLS = {
    "multiprocessing": {"Pool", "Process"},
    "concurrent": {"ProcessPoolExecutor", "ThreadPoolExecutor", "InterpreterPoolExecutor"},
    "joblib": {"Parallel"},
    "loky": {"get_reusable_executor", "ProcessPoolExecutor"},
    "mpire": {"WorkerPool"},
    "pebble": {"ProcessPool", "ThreadPool"},
    "pathos": {"ProcessPool", "ParallelPool", "ThreadPool"},
    "ray": {"init", "remote"},
    "dask": {"compute"},
}
_OWN = {"map", "imap", "imap_unordered", "starmap", "gather", "Executor", "compare"}

_FORKING = {"multiprocessing": {"Pool", "Process"}, "concurrent": {"ProcessPoolExecutor"}}

_LINEAR_ALGEBRA = {
    *("dot", "matmul", "tensordot", "vdot", "inner", "einsum", "svd", "eig", "eigh", "eigvals", "eigvalsh", "solve"),
    *("inv", "pinv", "lstsq", "cholesky", "qr", "det", "cov", "corrcoef"),
}


def nested_workers(subject: Subject) -> Iterator[Finding]:
    """A function that starts workers of its own, in each of many workers."""
    if not subject.parallel:
        return
    cores = _machine.usable_cores()
    told: set[str] = set()
    for use in subject.uses:
        last = use.dotted.rpartition(".")[2]
        if use.package == "lightwork" and last in _OWN and "lightwork" not in told:
            told.add("lightwork")
            yield Finding(
                "nested-workers",
                GOOD_TO_KNOW,
                "Each call itself calls lightwork. That is safe: inside a parallel call lightwork "
                "knows of the outer one, and computes with one core.",
                use.where,
                "Nothing need be done. Where the outer map has few items, let the inner one be the parallel one.",
                subject.parallel,
            )
        elif last in _POOLS.get(use.package, ()) and last not in told:
            told.add(last)
            yield Finding(
                "nested-workers",
                COSTS,
                f"Each call starts workers of its own ({last} of {_library(use)}). With one for each core, {cores} "
                f"calls at a time have {cores * cores} on {cores} {'core' if cores == 1 else 'cores'}, and every call "
                "pays for their start.",
                use.where,
                f"Make the function do one thing and let the outer map share the work out, or give {last} one worker.",
                subject.parallel,
            )


def _library(use: Use) -> str:
    return "concurrent.futures" if use.package == "concurrent" else use.package


def library_threads(subject: Subject) -> Iterator[Finding]:
    """Linear algebra that computes in threads of its own, in each of many workers."""
    use = _linear_algebra(subject)
    cores = _machine.usable_cores()
    if use is None or not subject.parallel or cores == 1:
        return
    busiest = max(_inventory.blas_threads(), key=lambda pool: pool.threads, default=None)
    if busiest is None:
        yield Finding(
            "library-threads",
            UNKNOWN,
            f"{use.dotted} may compute in threads of a numerical library, but none is loaded in this process yet.",
            use.where,
            "Import what the function uses before you call check.",
            subject.parallel,
        )
    elif busiest.threads > 1:
        yield Finding(
            "library-threads",
            COSTS,
            f"{use.dotted} computes in {busiest.threads} threads of {busiest.library} where the arrays are large: "
            f"{cores} workers would have {cores * busiest.threads} of them on {cores} cores, which slows all of them.",
            use.where,
            "Set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 before Python starts, or call the function in a plain "
            "loop and leave the cores to the library.",
            subject.parallel,
        )


def _linear_algebra(subject: Subject) -> Use | None:
    if "numpy" not in sys.modules:
        return None
    for use in subject.uses:
        if use.package in ("numpy", "scipy") and use.dotted.rpartition(".")[2] in _LINEAR_ALGEBRA:
            return use
        if use.package == "sklearn":
            return use
    for function in subject.functions:
        code = function.__code__
        for step in dis.get_instructions(code):
            if step.opname == "BINARY_OP" and step.argrepr.startswith("@"):
                line = step.positions.lineno if step.positions else code.co_firstlineno
                return Use("@", "The operator @", None, f"{code.co_filename}:{line}")
    return None


def unsafe_fork(subject: Subject) -> Iterator[Finding]:
    """A fork copies one thread and the locks of all: a child may wait for ever for one that nobody holds."""
    use = next((use for use in subject.uses if _forks(use)), None)
    if use is not None and subject.sharing:
        yield Finding(
            "unsafe-fork",
            FAILS,
            f"Each call forks this process ({use.dotted}). In a worker thread that is a fork of a process with "
            "threads: the child has the locks of all of them and only one of the threads, and may wait for ever.",
            use.where,
            'Use backend="processes", or start the children by "spawn": multiprocessing.get_context("spawn").',
            subject.sharing,
        )
        return
    others = [thread.name for thread in threading.enumerate() if _counts(thread)]
    if others and "fork" in _machine.start_methods() and (use is not None or _fork_is_default()):
        named = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        yield Finding(
            "unsafe-fork",
            GOOD_TO_KNOW,
            f"This process has other threads ({named}). lightwork never forks it, so its processes are safe; "
            "multiprocessing.Pool and ProcessPoolExecutor do fork on this Python, and may hang for ever then.",
            "",
            'For those libraries: multiprocessing.get_context("forkserver") or "spawn", or start them before threads.',
            subject.pickling,
        )


def _forks(use: Use) -> bool:
    last = use.dotted.rpartition(".")[2]
    if use.dotted in ("os.fork", "posix.fork", "os.forkpty", "posix.forkpty", "pty.fork"):
        return True
    return last in _FORKING.get(use.package, ()) and _fork_is_default()


def _fork_is_default() -> bool:
    """Whether multiprocessing forks where nobody says otherwise."""
    ask = loaded("multiprocessing", "get_start_method")
    chosen = None if ask is None else ask(allow_none=True)
    return bool((chosen or _machine.default_start_method()) == "fork")


def _counts(thread: threading.Thread) -> bool:
    return thread is not threading.main_thread() and not thread.name.startswith("lightwork")


def too_little(subject: Subject, profile: Any) -> Iterator[Finding]:
    """Work that is over before it could be shared out. Only a measurement tells."""
    backends = tuple(subject.backends)
    if profile is None:
        yield Finding(
            "too-little-work",
            UNKNOWN,
            "Whether there is enough work to share out shows only when the function is called, which check never does.",
            "",
            "lw.probe(fn, items) calls it and measures; lw.check(fn, items, profile=that) then knows.",
            backends,
        )
        return
    serial = profile.predict("serial")
    others = [one for one in profile.predictions if one.backend in subject.parallel]
    best = min(others, key=lambda one: one.seconds, default=None)
    if best is None or serial.seconds > 1.1 * best.seconds:
        return
    from lightwork._demand import seconds

    which = "a call takes" if profile.calls is None else f"all {profile.calls:,} calls take"
    yield Finding(
        "too-little-work",
        COSTS,
        f"In a plain loop {which} {seconds(serial.seconds)}; the best other backend, {best.backend}, is predicted to "
        f"take {seconds(best.seconds)}: {best.reason}.",
        "",
        "Leave it a loop; or give each call more to do, or more items.",
        subject.parallel,
    )
