"""What the workers of ``kinds.py`` run and what is mapped there: importable by every peer's workers."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple


def same(item: Any) -> Any:
    """Nothing but give back what came in: what remains is the peer's own cost."""
    return item


@dataclass
class Reading:
    number: int
    value: float
    unit: str


class Place(NamedTuple):
    row: int
    column: int
    label: str


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def kinds() -> dict[str, list[Any]]:
    """Items by their kind."""
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    found: dict[str, list[Any]] = {
        "integers": list(range(100_000)),
        "texts of 50": [f"{number:050d}" for number in range(100_000)],
        "triples": [(number, number / 2, str(number)) for number in range(40_000)],
        "dicts of 5": [{"a": n, "b": str(n), "c": n / 2, "d": None, "e": [n]} for n in range(40_000)],
        "sets": [{number, number + 1} for number in range(40_000)],
        "dataclasses": [Reading(number, number / 2, str(number)) for number in range(40_000)],
        "named tuples": [Place(number, number + 1, str(number)) for number in range(40_000)],
        "enumerations": [Colour.RED, Colour.BLUE] * 20_000,
        "dates": [begin + datetime.timedelta(seconds=number) for number in range(40_000)],
        "decimals": [decimal.Decimal(number) / 7 for number in range(40_000)],
        "uuids": [uuid.UUID(int=number) for number in range(20_000)],
        "lists of 1,000 floats": [[number / 2] * 1000 for number in range(400)],
        "bytes of 10 kB": [bytes([number % 256]) * 10_000 for number in range(4000)],
    }
    try:
        import numpy as np
    except ImportError:
        return found
    found["NumPy's floats"] = list(np.arange(40_000.0))
    found["arrays of 1 kB"] = [np.full(128, float(number)) for number in range(10_000)]
    found["arrays of 64 kB"] = [np.full(8192, float(number)) for number in range(1000)]
    return found
