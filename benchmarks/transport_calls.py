"""The functions that the workers of ``transport.py`` and ``growth.py`` run: importable by every peer's workers.

Nothing is imported here but the clock: what a worker imports to find a function would count as the peer's own time.
"""

from __future__ import annotations

from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def noop(item: object) -> object:
    """Nothing but give back what came in, so that it can be checked: what remains is the peer's own cost."""
    return item


def spin(seconds: float) -> None:
    """Keeps a core busy for so long."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def touch(array: Any) -> float:
    """Reads one number of each page of an array of 8-byte numbers: none of them may stay behind for later."""
    return float(array[::512].sum())


def successor(array: Any) -> Any:
    """A new array of the same size: in and out again, with all that NumPy itself needs to make one."""
    return array + 1.0
