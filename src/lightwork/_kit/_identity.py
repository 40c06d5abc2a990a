"""Who holds something: a process by its pid and when it began, because pids come again; a thread; a task of a loop."""

from __future__ import annotations

import os
import sys
from typing import Any

from lightwork import _machine, _platform


class _Me:
    token = 0


me = _Me()
"""``me.token`` names this process: pid << 32 | the lower bits of the time at which it began. Never 0."""


def _refresh() -> None:
    pid = os.getpid()
    me.token = pid << 32 | (_platform.process_began(pid) or 0) & 0xFFFF_FFFF


_refresh()
_machine.at_fork(_refresh)


def is_alive(token: int) -> bool:
    """Whether the process runs (20 µs). A zombie does not."""
    if token == me.token:
        return True
    began = _platform.process_began(token >> 32)
    return began is not None and began & 0xFFFF_FFFF == token & 0xFFFF_FFFF


def running_loop() -> Any:
    """The event loop that runs in this thread, if one does. Nothing is imported for it."""
    look = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)  # another thread may just import it
    return None if look is None else look()


def pid_of(token: int) -> int:
    return token >> 32
