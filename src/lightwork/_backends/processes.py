"""Calls in processes of their own: true parallel Python on every build, and calls that can be killed.

The caller's process is never forked and its main module never imported. Workers are forked by a *starter* (see
``_starter``) that each caller's process starts once and keeps; ``RemoteCrew`` talks to them.
"""

from __future__ import annotations

import os
import sys

from lightwork import _platform
from lightwork._backends._spawning import begun, hasten, relax, tidy
from lightwork._backends.base import Backend, Capabilities, Crew
from lightwork._lean import socket
from lightwork._turns import Punctual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._calls import Terms
    from lightwork._crashed import WorkerCrashed

_CREW = "lightwork._backends._remote"
"""What drives the workers, and loads 20 modules."""


class ProcessBackend(Backend):
    """Worker processes on this machine."""

    name = "processes"
    capabilities = Capabilities(
        shares_memory=False,
        needs_pickling=True,
        can_kill=True,
        parallel_python=True,
        coroutines=False,
        local=True,
        in_caller=False,
        startup=0.060,
        startup_each=0.004,
        per_call=0.000_120,
        per_item=3e-7,
        can_revoke=True,
        memory=15_000_000,
        can_show_stacks=True,
        can_limit_memory=_platform.can_limit_memory(),
    )

    def unavailable(self) -> str | None:
        if not sys.executable:
            return "this program does not know its Python interpreter (sys.executable is empty); use threads"
        if not hasattr(socket, "AF_UNIX") or not hasattr(os, "posix_spawn"):
            return "it needs a POSIX system (Linux, macOS); use threads"
        return None

    def crash_error(self) -> type[WorkerCrashed]:
        from lightwork._backends._crash import WorkerProcessCrashed

        return WorkerProcessCrashed

    def hasten(self, fn: object, sample: object = None, likely: bool = False) -> None:
        if self.unavailable() is None:
            hasten(fn, sample=sample, likely=likely)

    def begun(self) -> float:
        return begun()

    def relax(self, fn: object) -> None:
        relax(fn)

    def tidy(self) -> None:
        tidy()

    def open(self, terms: Terms) -> Crew:
        # Not before: a map that goes to threads considers processes, too, and the starter boots meanwhile.
        if _CREW not in sys.modules:
            with Punctual():  # the caller's thread may be inside a call that computes
                __import__(_CREW)
        from lightwork._backends._process_launcher import ProcessLauncher
        from lightwork._backends._remote import RemoteCrew

        return RemoteCrew(terms, self.name, ProcessLauncher(terms.call_timeout, bare=terms.initializer is not None))
