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

BEGINS = 1.0
"""Seconds in which a thread certainly begins, where there is one."""

_unbegun: set[_thread.LockType] = set()
"""Of threads that have not begun: each holds its own until it has."""

_ended = False


def start_beside(run: Callable[[], None]) -> None:
    """Runs ``run`` in a thread of its own, in a copy of this one's context. Raises RuntimeError where there can be no
    more threads, none that may outlive its interpreter, or that has ended."""
    if _ended:
        raise RuntimeError("the interpreter ends")
    unbegun = _thread.allocate_lock()
    unbegun.acquire()
    _unbegun.add(unbegun)
    try:
        _thread.start_new_thread(_begin, (unbegun, copy_context(), run))
    except BaseException:
        _unbegun.discard(unbegun)
        raise


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
