"""probe: what it measures, what it says, and how little it takes."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import threading
import time

import pytest

import lightwork as lw
from lightwork._backends._registry import backend
from lightwork._machine import gil_enabled, interpreters_missing
from lightwork.probing import probe


def napping(x):
    time.sleep(0.002)
    return x


def computing(x):
    return sum(i * i for i in range(5000))


async def awaiting(x):
    await asyncio.sleep(0.002)


seen = []


def remembering(x):
    seen.append(x)


def test_waiting_work_goes_to_threads():
    profile = probe(napping, range(100), budget=0.1)
    assert profile.calls == 100
    assert profile.demand.wall > 0.0015 and profile.demand.cpu_share < 0.6
    assert profile.best.backend == "threads"
    assert profile.predict("serial").seconds > profile.predict("threads", 10).seconds


def test_computing_work():
    profile = probe(computing, range(10), budget=0.1)
    assert profile.demand.cpu_share > 0.5
    if gil_enabled():
        assert profile.demand.gil_share > 0.5
        assert profile.predict("threads", 2).binding in ("the GIL", "start-up")


def test_coroutine_functions():
    profile = probe(awaiting, range(50), budget=0.05)
    assert profile.coroutine
    assert {one.backend for one in profile.predictions} == {"serial", "asyncio"}
    assert profile.best.backend == "asyncio"


def test_what_it_changes_keeps_it_serial():
    profile = probe(remembering, [1, 2, 3], budget=0.01)
    assert profile.best.backend == "serial"
    assert profile.effects[0].name == "seen"
    assert 'changes the global "seen"' in profile.advice


def test_what_cannot_be_sent_keeps_it_here():
    lock = threading.Lock()

    def locked(x):
        with lock:
            time.sleep(0.001)

    profile = probe(locked, range(100), budget=0.02)
    assert "lock" in profile.refused
    assert "processes" not in {one.backend for one in profile.predictions}
    assert "lock" in profile.why_not("processes")


def test_several_iterables_and_the_shortest():
    assert probe(pow, [2, 3, 4], itertools.repeat(2), budget=0.01).calls == 3
    assert probe(pow, [2, 3, 4], [1, 2], budget=0.01).calls == 2


def test_an_iterator_gives_no_more_than_is_needed():
    taken = []
    endless = (taken.append(i) or i for i in itertools.count())
    profile = probe(computing, endless, budget=0.02)
    assert profile.calls is None and len(taken) <= 32
    taken.clear()
    probe(napping, endless, budget=0.0001)
    assert len(taken) == 1


def test_one_long_call_is_enough():
    calls = []

    def long(x):
        calls.append(x)
        time.sleep(0.05)

    probe(long, [1, 2, 3], budget=0.01)
    assert calls == [1]


def test_what_an_earlier_map_has_started_starts_sooner():
    lw.map(napping, range(4), backend="processes")
    ready = probe(napping, range(100), budget=0.05)
    cold = dataclasses.replace(ready, begun={})
    gain = cold.predict("processes", 2).seconds - ready.predict("processes", 2).seconds
    assert gain > 0.5 * backend("processes").capabilities.startup
    assert cold.predict("threads", 2) == ready.predict("threads", 2)


@pytest.mark.parametrize("fn", [3, None, "len"])
def test_not_a_function(fn):
    with pytest.raises(TypeError, match=repr(fn)):
        probe(fn, [1])


def test_no_items():
    for nothing in ([], iter(())):
        with pytest.raises(ValueError, match="no items"):
            probe(len, nothing)
    with pytest.raises(ValueError, match="needs items"):
        probe(len)
    with pytest.raises(TypeError, match="takes iterables after the function, and was given 5"):
        probe(len, 5)
    for budget in (float("nan"), "1"):
        with pytest.raises(ValueError, match="budget"):
            probe(len, ["a"], budget=budget)
    with pytest.raises(ValueError, match="budget"):
        probe(len, ["a"], budget=0)


def test_a_failing_call_names_its_item():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError) as caught:
        probe(lambda x: 1 / x, [2, 1, 0], budget=0.05)
    assert "item 2" in caught.value.__notes__[0]
    assert threading.active_count() == before


def test_an_unknown_backend():
    profile = probe(computing, [1], budget=0.01)
    with pytest.raises(ValueError, match="threads"):
        profile.predict("thread")


def test_the_table_fits_a_terminal():
    text = str(probe(computing, range(1000), budget=0.02))
    assert all(len(line) <= 80 for line in text.splitlines())
    for name in ("serial", "threads", "processes", "interpreters", "asyncio"):
        assert name in text
    assert ("3.14" in text) or interpreters_missing() is None


def test_the_text_is_the_repr_and_as_wide_as_asked():
    profile = probe(napping, range(1000), budget=0.02)
    assert repr(profile) == str(profile) == profile.text(80)
    for width in (60, 70, 120):
        assert all(len(line) <= width for line in profile.text(width).splitlines())
    assert profile._repr_html_().startswith("<pre>napping")


def test_json():
    profile = probe(computing, range(10), budget=0.02)
    data = json.loads(json.dumps(profile.to_json()))
    assert data["calls"] == 10 and data["demand"]["wall"] > 0
    assert data["predictions"][0]["backend"] == profile.best.backend
    assert "asyncio" in data["not_possible"]


def test_it_is_frozen():
    with pytest.raises(AttributeError):
        probe(len, ["a"], budget=0.01).calls = 3
