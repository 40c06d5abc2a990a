"""What it takes to carry a result to another process, known at once: nothing is loaded for it, nothing of the user's is
run, and it takes a tenth of a millisecond.

A call that makes lists of tuples takes about as long as to write these down and to read them. Then no process helps,
and of a short map it is not even worth asking.
"""

from __future__ import annotations

import marshal
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CONTAINERS = (list, tuple, dict, set, frozenset)
_TEXTS = (str, bytes, bytearray)

LEAST, PART, MOST = 500, 25, 200
"""Things that a container has at least, to be looked at; a 25th of them is, and 200 at most."""

WITHIN, TEXT = 4000, 64
"""Things that those have in them, at most; so many characters or bytes count as one."""


def carriage(result: Any, clock: Callable[[], float]) -> tuple[float, float]:
    """Seconds to write a container down, and to read it; none of what is something else, or is not plain throughout,
    and may be carried in another way, and of what would take long to look at."""
    kind = type(result)
    if kind not in _CONTAINERS or (many := len(result)) < LEAST:
        return 0.0, 0.0
    try:
        some = [*islice(result.items() if kind is dict else result, min(many // PART, MOST))]
        if not _small(some):
            return 0.0, 0.0
        began = clock()
        written = marshal.dumps(some)
        between = clock()
        marshal.loads(written)
    except (ValueError, RuntimeError, MemoryError):
        # It holds what is not plain; another thread changes it; there is no room for a copy. A set of two complex nan,
        # which have no order, is told as lack of memory, too.
        return 0.0, 0.0
    times = many / len(some)
    return times * (between - began), times * (clock() - between)


def _small(things: Any) -> bool:
    """Whether they, and all that is in them, are soon looked at."""
    left = WITHIN
    within: list[Any] = [things]
    while within:
        thing = within.pop()
        kind = type(thing)
        if kind in _CONTAINERS:
            left -= len(thing)
            if left < 0:
                return False
            within += [*thing, *thing.values()] if kind is dict else thing
        elif kind in _TEXTS:
            left -= len(thing) // TEXT
    return left >= 0
