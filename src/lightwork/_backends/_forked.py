"""A process that a call has forked, and that comes back from the call: it is no worker, and makes none of its calls."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def end_fork(problem: BaseException | None) -> NoReturn:
    """Ends a process that a call has forked and that came back from the call, whose result is its parent's to give: as
    a program ends, with ``problem``, or the exit code that it names."""
    code = 0
    if isinstance(problem, SystemExit):
        code = problem.code if isinstance(problem.code, int) else int(problem.code is not None)
    elif problem is not None and problem.__traceback__ is not None and problem.__traceback__.tb_next is not None:
        # One that was raised here itself says only that there is no place for the result.
        code = 1
        sys.excepthook(type(problem), problem, problem.__traceback__.tb_next)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)
