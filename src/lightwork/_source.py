"""The caller's input: drawn in helpings, in the thread that drives the run."""

from __future__ import annotations

import itertools

from lightwork._at_hand import Begun, length
from lightwork._gate import outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from lightwork._calls import Style
    from lightwork._clock import Clock


FAST_PULL = 0.001
"""Seconds: input that comes faster than this is drawn in doubling helpings, slower input one at a time."""


class Source:
    """The caller's input, advanced only inside ``pull``, in the thread that steps."""

    def __init__(self, iterables: Sequence[Iterable[Any]], style: Style, strict: bool = False) -> None:
        self.style = style
        only = iterables[0] if len(iterables) == 1 else None
        self._begun = only if isinstance(only, Begun) else None
        self.total = self._begun.total if self._begun is not None else length(iterables)
        self.error: BaseException | None = None
        self.ended = False
        self._helping = 1 << 16 if all(type(one) in _READY for one in iterables) else 1
        # What is there already needs no drawing: batches are slices of it.
        there = type(only) in (list, tuple, range) and self.total is not None
        self.whole: Sequence[Any] | None = only if there else None  # type: ignore[assignment]
        self._items: Iterator[Any]
        if self._begun is not None:
            self._items = self._begun.rest
        else:
            self._items = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=strict)
        self._strict = strict and len(iterables) > 1
        self.drawn, self.drawing, self.took = 0, 0.0, 0.0
        """Items that were drawn, seconds that this took, and those of the last time."""

    def let_go(self) -> None:
        """The map is over: nothing will be drawn."""
        self.whole, self._begun, self._items, self.error = None, None, iter(()), None

    def pull(self, room: int, clock: Clock) -> Sequence[Any]:
        """The next items, at most ``room`` but for those that are there; sets ``ended``, and ``error`` where the input
        raised."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            drawn, begun.drawn = begun.drawn, []  # the caller's list of iterables has it to the end
            return self._count(drawn, begun.took)
        wanted = min(room, self._helping)
        began = clock.now()
        items: list[Any] = []
        try:
            with outside():
                # ``extend`` keeps what came before the input raised.
                items.extend(itertools.islice(self._items, wanted))
        except Exception as error:  # noqa: BLE001 - the caller's iterator; raised again in its place
            self.error = _said_of_the_callers(error) if self._strict and type(error) is ValueError else error
            self.ended = True
            return items
        self.ended = len(items) < wanted
        return self._count(items, clock.now() - began)

    def _count(self, items: Sequence[Any], took: float) -> Sequence[Any]:
        self.took = took
        self.drawn, self.drawing = self.drawn + len(items), self.drawing + took
        self._helping = self._helping * 2 if took < FAST_PULL else max(1, self._helping // 4)
        return items


def _said_of_the_callers(error: ValueError) -> ValueError:
    """What ``zip`` says of its arguments' lengths, said of the caller's."""
    import re

    uneven = re.fullmatch(r"zip\(\) argument (\d+) is (shorter|longer) than argument(s?) ([\d-]+)", str(error))
    return ValueError("strict=True: iterable {} is {} than iterable{} {}".format(*uneven.groups())) if uneven else error


_READY = (list, tuple, range, dict, set, frozenset, str, bytes, bytearray)
"""Containers whose items are there: drawing from them never waits."""
