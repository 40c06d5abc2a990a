"""lightwork: many hands make light work.

    import lightwork as lw

    results = lw.map(fn, items)        # as fast as this machine can; results.report says what ran where and why
    print(lw.compare(fn, items))       # threads, processes or a plain loop: which wins, and why

Everything is loaded when it is first used: importing this package costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know this name; importing it from typing would be most of the import's cost
if TYPE_CHECKING:
    from lightwork import _lazy_signatures, _signatures
    from lightwork._backends._registry import backends
    from lightwork._config import config
    from lightwork._context import numpy_rng, rng
    from lightwork._inventory import Machine, machine
    from lightwork._kit.barrier import Barrier
    from lightwork._kit.condition import Condition
    from lightwork._kit.event import Event
    from lightwork._kit.locks import Lock, RLock
    from lightwork._kit.pipe import Pipe
    from lightwork._kit.queues import Queue
    from lightwork._kit.semaphore import Semaphore
    from lightwork._kit.sharing import share
    from lightwork._options import Options
    from lightwork._per_worker import per_worker
    from lightwork._report import Report
    from lightwork._trace import Progress
    from lightwork.amapping import aimap, amap
    from lightwork.checking import Finding, Findings, check
    from lightwork.comparing import Comparison, compare
    from lightwork.errors import (
        BackendUnavailable,
        CalledWhileImporting,
        CallTimeout,
        Deadlock,
        DeadlockWarning,
        Failure,
        HolderDied,
        Interrupted,
        InvalidTarget,
        LightworkError,
        RemoteError,
        UnpicklableError,
        WorkerCrashed,
    )
    from lightwork.executor import Executor
    from lightwork.mapping import Results, gather, partial, starmap
    from lightwork.probing import Profile, probe

    map: _signatures.Eager
    imap: _lazy_signatures.Lazy
    imap_unordered: _lazy_signatures.Lazy

_HOMES = {
    "_context": ("numpy_rng", "rng"),
    "_kit.barrier": ("Barrier",),
    "_kit.condition": ("Condition",),
    "_kit.event": ("Event",),
    "_kit.checked": ("Lock", "RLock"),
    "_kit.pipe": ("Pipe",),
    "_kit.queues": ("Queue",),
    "_kit.semaphore": ("Semaphore",),
    "_kit.sharing": ("share",),
    "_inventory": ("Machine", "machine"),
    "_config": ("config",),
    "_options": ("Options",),
    "_report": ("Report",),
    "_trace": ("Progress",),
    "amapping": ("aimap", "amap"),
    "_backends._registry": ("backends",),
    "checking": ("Finding", "Findings", "check"),
    "comparing": ("Comparison", "compare"),
    "errors": (
        "BackendUnavailable",
        "CallTimeout",
        "CalledWhileImporting",
        "Deadlock",
        "DeadlockWarning",
        "Failure",
        "HolderDied",
        "Interrupted",
        "InvalidTarget",
        "LightworkError",
        "RemoteError",
        "UnpicklableError",
        "WorkerCrashed",
    ),
    "executor": ("Executor",),
    "mapping": ("Results", "gather", "imap", "imap_unordered", "map", "partial", "starmap"),
    "_per_worker": ("per_worker",),
    "probing": ("Profile", "probe"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BackendUnavailable",
    "Barrier",
    "CallTimeout",
    "CalledWhileImporting",
    "Comparison",
    "Condition",
    "Deadlock",
    "DeadlockWarning",
    "Event",
    "Executor",
    "Failure",
    "Finding",
    "Findings",
    "HolderDied",
    "Interrupted",
    "InvalidTarget",
    "LightworkError",
    "Lock",
    "Machine",
    "Options",
    "Pipe",
    "Profile",
    "Progress",
    "Queue",
    "RLock",
    "RemoteError",
    "Report",
    "Results",
    "Semaphore",
    "UnpicklableError",
    "WorkerCrashed",
    "aimap",
    "amap",
    "backends",
    "check",
    "compare",
    "config",
    "gather",
    "imap",
    "imap_unordered",
    "machine",
    "map",
    "numpy_rng",
    "partial",
    "per_worker",
    "probe",
    "rng",
    "share",
    "starmap",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'lightwork' has no attribute {name!r}")
    value = getattr(__import__(f"lightwork.{home}", fromlist=(name,)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
