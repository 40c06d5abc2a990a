"""Input whose items are there, as a list. A map of such knows from the beginning how much there is to do.

Many iterators only look as if nobody knew: those over a list, a directory, the items of a dictionary that fulfil a
condition. Drawing all that they have takes less than a look at whether they have much.
"""

from __future__ import annotations

import time
from itertools import chain, islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


AT_ONCE = 0.001
"""Seconds for which items are drawn that may turn out to be all."""

_NONE: dict[None, None] = {}
_CONTAINERS = (
    *(dict, set, frozenset, str, bytes, bytearray),
    *(type(_NONE.keys()), type(_NONE.values()), type(_NONE.items())),
)
"""Of which a list is soon made."""


def at_hand(iterable: Iterable[Any]) -> Iterable[Any]:
    """A sequence of all its items where these come at once, else what gives the same items."""
    kind = type(iterable)
    if kind in (list, tuple, range):
        return iterable
    if kind in _CONTAINERS:
        return list(iterable)
    began = time.perf_counter()
    drawn: list[Any] = []
    rest, helping, took = iter(iterable), 1, 0.0
    try:
        while took < AT_ONCE:
            # ``extend`` keeps what came before the input raised.
            drawn.extend(islice(rest, helping))
            if len(drawn) < 2 * helping - 1:
                return drawn
            helping *= 2
            took = time.perf_counter() - began
    except BaseException as error:  # noqa: BLE001 - the caller's iterator, or a Ctrl-C: raised again in its place
        rest = _raising(error)
    return Begun(iterable, drawn, rest, took)


class Begun:
    """What an ``iterable`` gives, of which these items were ``drawn`` already, which ``took`` so many seconds. To be
    iterated over once."""

    __slots__ = ("_whole", "drawn", "rest", "took")

    def __init__(self, whole: Iterable[Any], drawn: list[Any], rest: Iterator[Any], took: float) -> None:
        self._whole, self.drawn, self.rest, self.took = whole, drawn, rest, took

    def __len__(self) -> int:
        return len(self._whole)  # type: ignore[arg-type] # a TypeError where it has none, as it should be

    def __iter__(self) -> Iterator[Any]:
        return chain(self.drawn, self.rest)


def _raising(error: BaseException) -> Iterator[Any]:
    """Raises that when it is asked for an item."""
    yield from ()
    raise error
