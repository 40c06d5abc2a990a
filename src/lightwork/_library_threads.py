"""Threads that numerical libraries (BLAS, OpenMP) start for themselves, kept to a worker's share of the cores.

A library reads its variables (``OMP_NUM_THREADS`` & co) when it is loaded. A worker process loads it after its start,
so there these are set; in the caller's own process it is loaded already, so while calls run in threads there,
threadpoolctl turns it down, and up again. What the user has set wins: a variable in the environment, or a limit that
was set with threadpoolctl. Nothing is imported where no numerical library is loaded.
"""

from __future__ import annotations

import os
import sys

from lightwork._lean import Lock, local
from lightwork._machine import affinity, usable_cores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


FOR_ALL = "OMP_NUM_THREADS"
"""What the other libraries go by where theirs is not set."""
VARIABLES = {
    "openmp": FOR_ALL,
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
    "accelerate": "VECLIB_MAXIMUM_THREADS",
    "numexpr": "NUMEXPR_NUM_THREADS",
}
"""By library, in threadpoolctl's names where it knows it."""
LOADERS = frozenset({"numpy", "torch", "threadpoolctl", "mkl", "numexpr", "faiss"})
"""Modules without which no numerical library is loaded: SciPy, scikit-learn, Numba, pandas and others import NumPy."""
MOST_BUILT_IN = (64, 128)
"""What OpenBLAS is commonly built for at most: on a larger machine it begins with so many, which nobody has set."""


class _Thread(local):
    """``cores``: this thread's share of them, where it is a worker; ``told``: what OpenMP was told in it, and which."""

    cores: int | None = None
    told: tuple[int, list[Any]] | None = None


_thread = _Thread()
_cores: int | None = None
"""This process's share, where it is a worker."""
_ours: dict[str, str] = {}
"""What this worker's environment has from us."""


# shares


def share(workers: int) -> int:
    """Threads that a library may use in each of ``workers`` that a run started here has: at least one."""
    mine = _thread.cores or _cores or usable_cores()
    return max(1, mine // max(1, workers))


def become_worker(threads: int) -> None:
    """This thread is a worker with so many cores for itself, and for the runs that are started in it."""
    _thread.cores = threads


# a worker of its own


def users_environment() -> dict[str, str]:
    """The environment as the user wants it in workers: without what came from us, with what threadpoolctl was told."""
    environ = dict(os.environ)
    for name, value in _ours.items():
        if environ.get(name) == value:
            del environ[name]
    if FOR_ALL not in environ and "threadpoolctl" in sys.modules:
        with _lock:
            for library in _libraries():
                variable = VARIABLES.get(library.internal_api)
                threads = _as_the_user_has_it(library)
                if variable is not None and variable not in environ and not _by_default(library, threads):
                    environ[variable] = str(threads)
    return environ


def become_process(threads: int, own_process: bool) -> None:
    """This interpreter is a worker's, with so many cores. With ``own_process``, libraries that it loads will know."""
    global _cores, _ours
    _cores = threads
    if own_process and FOR_ALL not in os.environ:
        _ours = {name: str(threads) for name in VARIABLES.values() if name not in os.environ}
        os.environ.update(_ours)
        if threads > 1 and any(name in sys.modules for name in LOADERS):
            _tell_stocked(threads)


def _tell_stocked(threads: int) -> None:
    """Libraries that were loaded before this process was anybody's have been told to use one thread."""
    for library in _libraries():
        if VARIABLES.get(library.internal_api) in _ours:
            _tell(library, threads)
            _first_seen[library.filepath] = threads


# the caller's own process


_lock = Lock()
_held: list[int] = []
"""Threads a library may use, for each stretch of calls that runs now."""
_lowered: dict[str, tuple[Any, int, int]] = {}
"""Libraries that were turned down: each with how many threads it had, and has."""
_found: tuple[int, list[Any]] = (0, [])
"""How many modules there were when the libraries were looked for, and these."""
_first_seen: dict[str, int] = {}
"""With how many threads each library began, where nobody could have changed that before."""


class kept_to:
    """While any of these is entered, libraries that this process has loaded use at most so many threads a call.

    To be entered by the thread that makes the calls: OpenMP keeps a number for each thread.
    """

    def __init__(self, threads: int | None) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        if self._threads is not None:
            with _lock:
                _held.append(self._threads)
                if any(name in sys.modules for name in LOADERS):  # other threads import meanwhile
                    _turn_down(self._threads)

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            with _lock:
                _held.remove(self._threads)
                if not _held:
                    _turn_up()


def _turn_down(threads: int) -> None:
    libraries = _libraries()
    if FOR_ALL in os.environ and FOR_ALL not in _ours:
        return
    least = min(_held)
    for library in libraries:
        if library.user_api == "openmp":
            if _thread.told != (threads, libraries) and library.num_threads > threads and not _users(library):
                _tell(library, threads)
            continue
        known = _lowered.get(library.filepath)
        if known is None:
            before = library.num_threads
            if before > least and not _users(library):
                _tell(library, least)
                _lowered[library.filepath] = library, before, least
        elif known[2] != least and library.num_threads == known[2]:
            _tell(library, min(least, known[1]))
            _lowered[library.filepath] = library, known[1], min(least, known[1])
    _thread.told = threads, libraries


def _turn_up() -> None:
    while _lowered:
        library, before, lowered = _lowered.popitem()[1]
        if library.num_threads == lowered:  # else somebody has set it meanwhile
            _tell(library, before)


def _tell(library: Any, threads: int) -> None:
    """threadpoolctl (3.8) takes OpenBLAS's number from one thread only, the first that tells one, until that is
    forgotten. Here it is told by whichever worker begins first or ends last, under ``_lock``."""
    forget = getattr(library, "clear_controlling_thread", None)
    if forget is not None:
        forget(force=True)
    library.set_num_threads(threads)
    if forget is not None:
        forget(force=True)


def _users(library: Any) -> bool:
    """Whether the user has said how many threads the library is to have."""
    name = VARIABLES.get(library.internal_api, FOR_ALL)
    return (name in os.environ and name not in _ours) or not _by_default(library, _as_the_user_has_it(library))


def _as_the_user_has_it(library: Any) -> int:
    known = _lowered.get(library.filepath)
    return known[1] if known is not None and library.num_threads == known[2] else int(library.num_threads)


def _by_default(library: Any, threads: int) -> bool:
    """Whether a library has so many threads by itself, rather than because threadpoolctl was told to."""
    if library.filepath in _first_seen:
        return _first_seen[library.filepath] == threads
    cores = affinity()
    usual = {cores, os.cpu_count(), *(most for most in MOST_BUILT_IN if most < cores)}
    if library.internal_api == "mkl":
        usual.add(cores // 2)  # it leaves hyper-threads alone
    ours = _ours.get(VARIABLES.get(library.internal_api, FOR_ALL))
    return threads in usual or str(threads) == ours


def _libraries() -> list[Any]:
    """Those that are loaded now, as threadpoolctl's controllers."""
    global _found
    modules = len(sys.modules)
    if _found[0] == modules:
        return _found[1]
    untouched = "threadpoolctl" not in sys.modules
    libraries: list[Any] = []
    try:
        from threadpoolctl import ThreadpoolController

        libraries = ThreadpoolController().lib_controllers
    except Exception:  # noqa: BLE001 - warnings that are errors, files that went: calls go on as they would without it
        untouched = False
    for library in libraries if untouched else ():
        _first_seen[library.filepath] = library.num_threads
    _found = len(sys.modules), libraries
    return libraries


def _after_fork() -> None:
    """In a fork: the calls that ran go on in its parent alone. Libraries are not to be called here yet; the next
    calls of a run turn them up when they end."""
    global _lock
    _lock = Lock()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)
