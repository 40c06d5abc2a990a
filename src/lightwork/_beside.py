"""Threads that look on: nobody waits until one has begun but the interpreter's end.

``threading`` waits for each thread that it starts, which costs a short map more than its calls. But until Python 3.14 a
thread that gets its first core when its interpreter has ended reads memory that was freed, and the program dies after
its last line (https://github.com/python/cpython/issues/124878).
"""

from __future__ import annotations

import _thread
import atexit
import os
from contextvars import copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any

BEGINS = 1.0
"""Seconds in which a thread certainly begins, where there is one."""

_unbegun: set[_thread.LockType] = set()
"""Of threads that have not begun: each holds its own until it has."""

_ended = False

IN_MAIN: bool = getattr(_thread, "_is_main_interpreter", lambda: True)()
"""Whether this is the main interpreter, as far as can be asked: from Python 3.12 on."""


def start_beside(run: Callable[[], None]) -> None:
    """Runs ``run`` in a thread of its own, in a copy of this one's context. Raises RuntimeError where there can be no
    more threads, none that may outlive its interpreter, or that has ended."""
    if _ended:
        raise RuntimeError("the interpreter ends")
    context, unbegun = copy_context(), _thread.allocate_lock()
    unbegun.acquire()
    _unbegun.add(unbegun)
    try:
        start = _thread.start_new_thread if IN_MAIN else _start_to_be_awaited
        start(_begin, (unbegun, context, run))
    except RuntimeError:  # not a Ctrl-C, which strikes when it has been started
        _unbegun.discard(unbegun)
        raise


def _start_to_be_awaited(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """For a sub-interpreter: until Python 3.14 the whole program dies where one ends before all of its threads have."""
    from lightwork._machine import daemon_threads

    if not daemon_threads():
        raise RuntimeError("no thread may outlive this interpreter")
    import threading

    threading.Thread(target=function, args=arguments, daemon=False).start()


def _begin(unbegun: _thread.LockType, context: Context, run: Callable[[], None]) -> None:
    _unbegun.discard(unbegun)
    unbegun.release()
    context.run(run)


@atexit.register
def _await_beginnings() -> None:
    global _ended
    _ended = True
    for unbegun in list(_unbegun):
        unbegun.acquire(timeout=BEGINS)


if hasattr(os, "register_at_fork"):  # elsewhere nothing forks
    os.register_at_fork(after_in_child=_unbegun.clear)  # those threads are its parent's
