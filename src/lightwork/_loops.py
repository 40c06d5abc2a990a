"""The plain loop, in the form that this interpreter is fastest at, so that little is lost to one written by hand."""

from __future__ import annotations

import sys
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import CodeType
    from typing import Any

_FUNCTION = type(lambda: None)
_CODE = type((lambda: None).__code__)

GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether this interpreter had one when this was loaded. ``_machine.gil_enabled`` tells it of now."""


def inline(fn: Callable[..., Any]) -> bool:
    """Whether ``fn`` is called faster from a loop in Python than by ``map``.

    The interpreter calls Python functions from bytecode without leaving it; ``map`` suits C functions, and builds
    without the GIL, where a list's append takes a lock each time.
    """
    return type(fn) is _FUNCTION and GIL


def self_contained(fn: Callable[..., Any]) -> bool:
    """Whether a Python function has nothing but its argument and its constants: no names, closures or defaults.

    Its calls go on as they begin. What it is given can do anything, though, if it is a function, or of a class of its
    own: append to the list that is mapped, too.
    """
    return not (fn.__code__.co_freevars or fn.__defaults__ or fn.__kwdefaults__ or _names(fn.__code__))


def _names(code: CodeType) -> bool:
    """Whether it has names of others, itself or in a function that it makes."""
    if code.co_names:
        return True
    for inner in code.co_consts:  # noqa: SIM110 - a generator takes three times as long
        if type(inner) is _CODE and _names(inner):
            return True
    return False


def loop(fn: Callable[..., Any], items: Iterable[Any], results: list[Any]) -> None:
    """Appends what ``fn`` gives for each item."""
    for item in items:
        results.append(fn(item))


SLICE = 4096
"""Items that are sliced off at once, at most: so many lie in the same fresh memory each time."""


def stretch(items: Sequence[Any], left: Iterator[Any], at: int, size: int, sliced: bool = False) -> Iterable[Any]:
    """The next items, from position ``at``, where ``left`` stands unless they are always ``sliced``; no more of them
    should the list become longer.

    A slice of a range takes nothing. ``islice`` takes 4 ns an item, a short slice of a list 1 and a long one 5. A loop
    over ``left`` would take none, and go on as long as anything appends to the list.
    """
    if sliced or type(items) is range:
        return items[at : at + size]
    return islice(left, size)
