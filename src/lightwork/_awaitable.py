"""Which functions are called to be awaited."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COROUTINE = 0x80  # inspect.CO_COROUTINE

_FUNCTION = type(lambda: None)


def is_coroutine_function(fn: Any) -> bool:
    """Whether calling ``fn`` gives a coroutine; looks through ``functools.partial``, methods and ``__call__``."""
    if type(fn) is _FUNCTION:
        return fn.__code__.co_flags & _COROUTINE != 0
    # Where nobody has loaded it, or another thread is just about to, there is none of these.
    partial = getattr(sys.modules.get("functools"), "partial", ())
    while isinstance(fn, partial):
        fn = fn.func
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    if code is None and not isinstance(fn, type):
        code = getattr(type(fn).__dict__.get("__call__"), "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)
