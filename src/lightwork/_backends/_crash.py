"""Errors for those who catch ``BrokenProcessPool``. Loaded when there is one: it needs all of ``multiprocessing``."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

from lightwork.errors import UnpicklableError, WorkerCrashed


class WorkerProcessCrashed(WorkerCrashed, BrokenProcessPool):
    """``WorkerCrashed`` for those who catch ``BrokenProcessPool``. Unlike there, the executor goes on."""


class NotRebuilt(UnpicklableError, BrokenProcessPool):
    """What was sent could not be unpickled, which breaks the standard library's pool. Here the executor goes on."""
