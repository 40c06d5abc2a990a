"""Who holds something: a process by its pid and when it began, because pids come again; a thread; a task of a loop. And
whether there is anybody else."""

from __future__ import annotations

import os
import signal
import sys
import threading

from lightwork import _machine, _platform
from lightwork._beside import IN_MAIN

HOUSEKEEPERS = {"lightwork-canary", "lightwork-memory", "lightwork-output"}
"""Threads of lightwork's that run nothing of the user's."""


class _Me:
    token = 0
    forks = 0
    """How often this process, or those that it was forked from, have forked."""


me = _Me()
"""``me.token`` names this process: pid << 32 | the lower bits of the time at which it began. Never 0."""


def _refresh() -> None:
    pid = os.getpid()
    me.token = pid << 32 | (_platform.process_began(pid) or 0) & 0xFFFF_FFFF


def _about_to_fork() -> None:
    me.forks += 1


_refresh()
_machine.at_fork(_refresh)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_about_to_fork)


def is_alive(token: int) -> bool:
    """Whether the process runs (20 µs). A zombie does not."""
    if token == me.token:
        return True
    began = _platform.process_began(token >> 32)
    return began is not None and began & 0xFFFF_FFFF == token & 0xFFFF_FFFF


def is_alone() -> bool:
    """Whether nothing happens in Python in this process but what the calling thread does: no other thread has anything
    to do with it, and no signal has a handler. (A library's own threads, of a BLAS say, would have to come to Python
    first; a process with NumPy should not lose the error for that.) Of other interpreters nobody tells."""
    if not IN_MAIN:
        return False
    idents = {thread.ident for thread in threading.enumerate() if thread.name in HOUSEKEEPERS}
    if len(sys._current_frames().keys() - idents) > 1:
        return False
    handlers = (signal.getsignal(each) for each in signal.valid_signals())
    return not any(callable(each) and each is not signal.default_int_handler for each in handlers)


def pid_of(token: int) -> int:
    return token >> 32
