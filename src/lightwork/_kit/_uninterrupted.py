"""Functions at whose entry no signal is handled.

CPython handles signals where a Python function begins, before its first block: a KeyboardInterrupt there leaves a
``release`` that has not done anything yet, and no ``try`` of its own can help. The instruction that looks for signals,
RESUME, has an argument that says why it stands there; behind an ``await`` or ``yield from`` it does not look, since the
coroutine that was waited for has just done so. With that argument a function begins without a look. The next one is
where its first call of something written in C has come back.
"""

from __future__ import annotations

import opcode
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_AT_START, _AFTER_YIELD_FROM = 0, 2


def uninterrupted(function: F) -> F:
    """The function, changed so that it begins without handling signals; as it is where its code looks otherwise."""
    code: Any = function.__code__
    resume = opcode.opmap.get("RESUME")
    instructions = code.co_code
    for at in range(0, len(instructions), 2):
        if instructions[at] == resume:
            if instructions[at + 1] == _AT_START:
                changed = instructions[: at + 1] + bytes([_AFTER_YIELD_FROM]) + instructions[at + 2 :]
                function.__code__ = code.replace(co_code=changed)
            break
    return function


@uninterrupted
def insist(do: Callable[[list[bool]], object]) -> None:
    """Calls ``do(done)``, and once more where it was interrupted before it had added to ``done``."""
    done: list[bool] = []
    try:
        do(done)
    except BaseException:
        if not done:  # interrupted, or refused, as it will be again
            with suppress(Exception):
                do(done)
        raise
