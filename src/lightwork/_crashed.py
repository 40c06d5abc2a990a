"""The error for a call whose worker died. Loaded when there is one: ``concurrent.futures`` brings ``logging`` along,
which would take a third of a worker's start."""

from __future__ import annotations

from concurrent.futures._base import BrokenExecutor

from lightwork._root import LightworkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class WorkerCrashed(LightworkError, BrokenExecutor):
    """A worker died while it ran this call. Only this call is affected.

    Attributes: ``index`` of the call, ``pid`` of the worker, ``signal`` (a number, or None),
    ``exitcode`` (or None), ``reason`` (a phrase such as "killed by SIGSEGV").
    """

    def __init__(
        self,
        index: int | None = None,
        pid: int | None = None,
        signal: int | None = None,
        exitcode: int | None = None,
        reason: str = "died",
    ) -> None:
        where = "a worker" if index is None else f"the worker that ran item {index}"
        super().__init__(f"{where} {reason}" + (f" (pid {pid})" if pid is not None else ""))
        self.index, self.pid, self.signal, self.exitcode, self.reason = index, pid, signal, exitcode, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.index, self.pid, self.signal, self.exitcode, self.reason)


WorkerCrashed.__module__ = __name__.replace("_crashed", "errors")
