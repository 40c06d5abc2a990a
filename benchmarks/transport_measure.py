"""Measures one figure of one peer in this process and prints it as one line of JSON.

``transport.py`` starts it, once for each figure, so that no peer's threads, processes or memory disturb another's:

    python benchmarks/transport_measure.py COLUMN PEER
"""

from __future__ import annotations

import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from transport_calls import noop, spin, successor, touch
from transport_peers import PEERS, WORKERS, Fn, Map, Peer

CALLS = 5_000
"""Round trips that are timed at most; with the slow ones it is what fits into ``ENOUGH``."""

ENOUGH = 1.0
"""Seconds that one series takes at most, about."""

MOST = 200_000
"""Items of the longest map of no-ops."""

REPEATS = 5
"""Maps of which the median is taken."""

WORK = 0.25
"""Seconds of work, on one core, in each map that METG is searched with."""

SHORTEST = 2e-8
"""Seconds: what ``spin`` is asked for at least; with the call itself it takes about ten times as long."""

RESOLUTION = 1.08
"""METG is known when what is too short and what is long enough differ by this factor."""

ATTEMPTS = 6
"""Maps that are tried before calls are too short for METG."""

ARRAYS = 32
"""Arrays in one map, no two of them the same nor seen before: joblib, for one, knows an array again."""

NUMBERS = 1_000_000
"""Numbers in an array, 8 bytes each."""


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that it took, and what it returned; the collector of cycles stays out, as in ``timeit``."""
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        result = function()
        return time.perf_counter() - began, result
    finally:
        gc.enable()


def seconds(map_: Map, fn: Fn, items: Sequence[Any]) -> float:
    """Seconds for one map; a map of no-ops must have given the items back."""
    took, results = timed(lambda: map_(fn, items))
    if len(results) != len(items) or (fn is noop and results != list(items)):
        raise RuntimeError("wrong results")
    return took


def round_trip(peer: Peer) -> dict[str, float]:
    """Seconds from submitting one call until its result is there, back to back: the median."""

    def series(most: int, enough: float) -> list[float]:
        took: list[float] = []
        end = time.perf_counter() + enough
        while len(took) < most and (began := time.perf_counter()) < end:
            peer.call(noop, 0)
            took.append(time.perf_counter() - began)
        return took

    series(500, ENOUGH / 4)
    _, took = timed(lambda: series(CALLS, ENOUGH))
    low, middle, high = statistics.quantiles(took, n=4)
    return {"value": middle, "quartile": low, "third_quartile": high, "calls": len(took)}


def cost_of_noop(map_: Map, repeats: int = REPEATS) -> dict[str, float]:
    """Seconds for each item of a map of no-ops: the median over maps that are as long as ``ENOUGH`` allows."""
    items = 200
    seconds(map_, noop, range(items))  # starts the workers
    while items < MOST and seconds(map_, noop, range(items)) < ENOUGH / 8:
        items = min(4 * items, MOST)
    each = [seconds(map_, noop, range(items)) / items for _ in range(repeats)]
    return {"value": statistics.median(each), "lowest": min(each), "items": items}


def length_of(nominal: float) -> float:
    """Seconds that ``spin(nominal)`` really takes in a plain loop, its own call included."""
    times = max(3, int(0.02 / nominal))
    each = []
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(times):
            spin(nominal)
        each.append((time.perf_counter() - began) / times)
    return min(each)


def metg(map_: Map) -> dict[str, float]:
    """The minimum effective task granularity at 50 % efficiency (Slaughter et al., SC20), in seconds.

    That is the shortest call with which W workers still reach half of W-fold speed. The amount of work is fixed
    (shorter calls are more calls), its length on one core is measured in a plain loop, and the length of a call is
    bisected between one that is too short and one that is long enough. A length is too short when none of
    ``ATTEMPTS`` maps reaches it: what else the machine does can only slow them down, and one wrong turn would spoil
    the search.
    """

    def suffices(nominal: float) -> tuple[bool, float]:
        length = length_of(nominal)
        items = [nominal] * max(2 * WORKERS, round(WORK / length))
        half_speed = len(items) * length / WORKERS / 0.5
        return any(seconds(map_, spin, items) <= half_speed for _ in range(ATTEMPTS)), length

    noops = cost_of_noop(map_, 1)["value"]
    nominal = max(noops, SHORTEST)
    seconds(map_, spin, [nominal] * max(2 * WORKERS, int(WORK / nominal / 10)))  # warms up
    short = long = 0.0  # what spin is asked for: too short, long enough
    low = high = 0.0  # how long it then takes
    while not (short and long) or high / low > RESOLUTION:
        enough, length = suffices(nominal)
        if enough:
            long, high = nominal, length
            if nominal <= SHORTEST:
                return {"value": high, "at_most": True}
        else:
            short, low = nominal, length
        if not long:
            nominal *= 2
        elif not short:
            nominal = max(nominal / 2, SHORTEST)
        elif long / short < 1.001:
            break  # the lengths differ by chance alone
        else:
            nominal = math.sqrt(short * long)
    return {"value": math.sqrt(low * high)}


def arrays(peer: Peer, fn: Fn, right: Callable[[Any, int], bool]) -> dict[str, float]:
    """Seconds for each array of a map over ``ARRAYS`` new ones: the median over maps."""
    import numpy as np

    each = []
    first = 0
    for _ in range(1 + REPEATS):  # the first warms up
        items = [np.full(NUMBERS, float(first + number)) for number in range(ARRAYS)]
        took, results = timed(lambda items=items: (peer.kept or peer.map)(fn, items))
        if not all(right(result, first + number) for number, result in enumerate(results)):
            raise RuntimeError("wrong results")
        each.append(took / ARRAYS)
        first += ARRAYS
        del items, results
    return {"value": statistics.median(each[1:]), "lowest": min(each[1:]), "first": each[0]}


def array_in(peer: Peer) -> dict[str, float]:
    return arrays(peer, touch, lambda total, number: total == number * len(range(0, NUMBERS, 512)))


def array_in_and_out(peer: Peer) -> dict[str, float]:
    return arrays(peer, successor, lambda array, number: array[0] == array[-1] == number + 1)


MEASURES: dict[str, Callable[[Peer], dict[str, float]]] = {
    "trip": round_trip,
    "noop": lambda peer: cost_of_noop(peer.map),
    "metg": lambda peer: metg(peer.map),
    "metg1": lambda peer: metg(peer.each),
    "in": array_in,
    "inout": array_in_and_out,
}


def main(column: str, name: str) -> None:
    with PEERS[name].open() as peer:
        found = MEASURES[column](peer)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
