"""The error for a call whose worker process died. Loaded when one did: it needs all of ``multiprocessing``."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

from lightwork.errors import WorkerCrashed


class WorkerProcessCrashed(WorkerCrashed, BrokenProcessPool):
    """``WorkerCrashed`` for those who catch ``BrokenProcessPool``. Unlike there, the executor goes on."""
