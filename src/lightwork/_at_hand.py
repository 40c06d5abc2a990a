"""Input whose items are there, as a list. A map of such knows from the beginning how much there is to do.

Many iterators only look as if nobody knew: those over a list, a directory, the items of a dictionary that fulfil a
condition. Drawing all that they have takes less than a look at whether they have much.
"""

from __future__ import annotations

from itertools import chain, islice

from lightwork._clock import SystemClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any


AT_ONCE = 0.001
"""Seconds for which items are drawn that may turn out to be all."""

MANY, SOON, HELPING = 1000, 0.005, 64
"""Items that have come by then where they come so fast that it goes on for so many seconds in all, by so many at a
time: a file's lines, say. To load what else there is to be done with them takes twice as long."""

_NONE: dict[None, None] = {}
_CONTAINERS = (
    *(dict, set, frozenset, str, bytes, bytearray),
    *(type(_NONE.keys()), type(_NONE.values()), type(_NONE.items())),
)
"""Of which a list is soon made."""


def at_hand(iterables: Sequence[Iterable[Any]]) -> Iterable[Any]:
    """The items, or the tuples of one item of each: a sequence of all of them where they come at once, else what gives
    them one after another. An item that does not come is waited for, though others are there."""
    only = iterables[0]
    if len(iterables) == 1:
        kind = type(only)
        if kind in (list, tuple, range):
            return only
        if kind in _CONTAINERS:
            return list(only)
    begun = Begun(iterables)
    return begun.drawn if begun.draw() else begun


class Begun:
    """The items of iterables, of which some are ``drawn`` already, which ``took`` so many seconds, and the ``rest``:
    ``total`` in all, if that is known. To be gone through once."""

    __slots__ = ("drawn", "rest", "took", "total")

    def __init__(self, iterables: Sequence[Iterable[Any]]) -> None:
        self.total = length(iterables)
        self.drawn: list[Any] = []
        self.took = 0.0
        # The shortest ends a map.
        self.rest: Iterator[Any] = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables)  # noqa: B905

    def __iter__(self) -> Iterator[Any]:
        return chain(self.drawn, self.rest)

    def draw(self) -> bool:
        """Draws what comes at once; returns whether that is all."""
        now, drawn = SystemClock.now, self.drawn
        began = now()
        until = began + AT_ONCE
        try:
            for item in self.rest:
                drawn.append(item)
                if now() >= until:
                    break
            else:
                return True
            until = began + SOON if len(drawn) >= MANY else 0.0
            while now() < until:
                before = len(drawn)
                drawn.extend(islice(self.rest, HELPING))  # which keeps what came before the input raised
                if len(drawn) - before < HELPING:
                    return True
        except BaseException as error:  # noqa: BLE001 - the caller's iterator, or a Ctrl-C: raised again in its place
            self.rest = _raising([error])
            if not isinstance(error, Exception):
                self.drawn = []  # it ends the map: nobody waits for the calls that came before it
            drawn = []  # its traceback has this frame, and is not to keep the items
        self.took = now() - began
        return False


def length(iterables: Sequence[Iterable[Any]]) -> int | None:
    """How many items there are, one of each iterable; None where nobody can tell: an iterator's, or that of a range
    with more items than can be counted."""
    lengths = []
    for iterable in iterables:
        try:
            lengths.append(len(iterable))  # type: ignore[arg-type]
        except (TypeError, OverflowError):
            return None
    return min(lengths) if lengths else 0


def _raising(error: list[BaseException]) -> Iterator[Any]:
    """Raises that when it is asked for an item, and keeps nothing of it."""
    yield from ()
    raise error.pop()
