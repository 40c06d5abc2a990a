"""Rows and the arena: what comes out is what went in, and a death in the middle of a row costs one call."""

from __future__ import annotations

import array
import collections
import copy
import copyreg
import enum
import mmap
import os
import pickle
import re
import signal
import struct
import sys
import types
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lightwork as lw
from lightwork._backends import _plain, _rows
from lightwork._backends._arena import ALIGNED, Arena
from lightwork._backends._ledger import TELLS, Ledger
from lightwork.errors import Failure

ATOMS = (
    st.integers()
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
OTHERS = st.tuples(st.integers()) | st.lists(st.text(max_size=3), max_size=3)


def same(value, other):
    return type(value) is type(other) and value == other and repr(value) == repr(other)


@given(st.lists(ATOMS | st.complex_numbers(allow_nan=False), min_size=1, max_size=60), st.integers(0, 5))
def test_a_row_gives_back_what_was_put_in(values, start):
    ledger = Ledger()
    row = _rows.Row(ledger)
    first = position = start
    got = []
    items = [None] * start + values
    while position < len(items):
        assert row.begin(position, items[position], len(items))
        ledger.words[0] = position
        first, position = position, position + 1
        if position < len(items):
            position, value, problem = row.fill(lambda item: item, items, position, len(items), 0, [])
            assert problem is None
            assert value is _rows.NOTHING or value is items[position]
        raw = bytes(ledger.memory[_rows.OUTBOX : row.end(position)])
        read, problems = _rows.read(row.kind, position - first, raw)
        found = _rows.rescue(ledger, position)
        assert found is not None and found[0] == first and list(map(repr, found[1][0])) == list(map(repr, read))
        assert not problems and not found[1][1]
        got += read
        ledger.words[1] = ledger.words[3] = 0
    assert len(got) == len(values) and all(map(same, got, values))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([int, float, bool, type(None), str, np.float32]), st.integers(1, 12)),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 7),
)
def test_what_a_killed_worker_was_at_is_told_whatever_its_row_is_made_of(stretches, stretch):
    """In each call, and behind it, the ledger tells of that call and of the results before it."""
    ledger = Ledger()
    row = _rows.Row(ledger)
    items = [make(number) if make is not type(None) else None for make, number in stretches for _ in range(number)]
    slot = 5 << 32
    first = position = 0

    def look(at):
        assert ledger.running == (5, at)
        assert row.running in (None, at)
        if at > first:
            found = _rows.rescue(ledger, at)
            assert found is not None and found[0] == first and len(found[1][0]) == at - first
            assert all(map(same, found[1][0], items[first:at]))
        return items[at]

    while position < len(items):
        first = position
        ledger.words[0] = slot | position
        assert row.begin(position, look(position), len(items))
        position += 1
        value = _rows.NOTHING
        while position < len(items) and value is _rows.NOTHING:
            end = min(len(items), position + stretch + 1)
            position, value, problem = row.fill(look, range(len(items)), position, end, slot, [])
            assert problem is None and row.running is None
            found = _rows.rescue(ledger, ledger.running[1])
            assert found is not None and len(found[1][0]) == position - first
            assert ledger.running[1] == position - (value is _rows.NOTHING)
        ledger.words[1] = ledger.words[3] = 0
        ledger.words[2] += 1


def test_a_row_that_is_full_tells_so():
    ledger = Ledger()
    row = _rows.Row(ledger)
    assert row.begin(0, 0, 1 << 20)
    end, value, problem = row.fill(int, range(1 << 20), 1, 1 << 20, 0, [])
    assert end == row.capacity and value is _rows.NOTHING and problem is None
    ledger.words[3] |= TELLS  # as if it were killed before it could say that it has come to the end
    assert ledger.running == (0, end)
    found = _rows.rescue(ledger, end)
    assert found is not None and found[1][0] == list(range(end))


@given(st.lists(ATOMS | OTHERS, max_size=30))
def test_plain_items_are_one_pickle(items):
    assert pickle.loads(_rows.dump(items)) == items


class Script:
    """As a script's own: not found by its name elsewhere."""


Script.__module__ = "__main__"


class Restored:
    def __setstate__(self, state):
        raise AssertionError("for its own call alone")


class Made(int):
    def __new__(cls, value):
        return super().__new__(cls, value)


class Watched:
    def __getattr__(self, name):
        raise AttributeError(name)


class Registered:
    pass


copyreg.pickle(Registered, lambda one: (Registered, ()))


def local():
    class Local:
        pass

    return Local()


NOT_PLAIN = [len, struct.Struct("<I"), range, ValueError(1), Script(), Restored(), Made(1), Watched(), Registered()]
NOT_PLAIN += [local(), np.zeros(10_000), np.ma.zeros(3), collections.defaultdict(lambda: 1), re.compile("a")]


@pytest.mark.parametrize("odd", NOT_PLAIN, ids=lambda odd: type(odd).__name__)
def test_what_has_ways_of_its_own_to_be_pickled_is_not_plain(odd):
    assert _rows.dump([1, [odd]]) is None
    assert _plain.OneByOne().dump([odd]) is None


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: float
    y: float = 0.5


@dataclass(frozen=True)
class Frozen:
    text: str
    inner: object = None


@dataclass(slots=True)
class Slotted:
    number: int


class Usual:
    def __init__(self):
        self.kept = [1, "two"]

    def __eq__(self, other):
        return type(other) is Usual and other.kept == self.kept

    def __repr__(self):
        return f"Usual({self.kept})"


PLAIN = [
    *[Colour.RED, Point(1), Frozen("a", Slotted(3)), Slotted(2), Usual(), (1, [2, {3: {4, frozenset({5})}}]), 2**70],
    *[Decimal("0.10"), Fraction(1, 3), UUID(int=5), PurePosixPath("/a/b"), Path("c"), array.array("d", [1.5])],
    *[date(2020, 1, 2), datetime(2020, 1, 2, 3, 4, 5, 6, UTC), timedelta(1, 2, 3), bytearray(b"x"), 1 + 2j, "\udc80"],
    *[
        collections.Counter("aab"),
        collections.OrderedDict(a=1),
        collections.deque([1], 3),
        collections.defaultdict(list),
    ],
    *[
        np.float64(0.1),
        np.float32(0.1),
        np.int64(2**62),
        np.int32(-5),
        np.bool_(True),
        np.uint8(7),
        np.datetime64(3, "D"),
    ],
    *[
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.ones((2, 3))),
        np.array(["a", None, (1,)], object),
        np.array(2),
    ],
    *[np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]), np.float64("nan"), np.longdouble(1) / 3, np.complex64(1j)],
]


def exact(value, other):
    return type(value) is type(other) and repr(value) == repr(other)


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_what_is_data_is_plain(value):
    assert exact(pickle.loads(_rows.dump([value, value]))[1], value)
    one = _plain.OneByOne()
    three = one.dump(value) + one.dump([value]) + one.dump(value)
    together, apart = _plain.read(three), _plain._read_each(memoryview(three))
    for values, problems in (together, apart):
        assert not problems and len(values) == 3 and all(map(exact, values, (value, [value], value)))
    (again,), problems = _plain.read(one.begin() + one.dump(value))
    assert not problems and exact(again, value)


@given(st.lists(ATOMS | OTHERS | st.dictionaries(ATOMS, OTHERS, max_size=3), max_size=30), st.data())
def test_plain_values_can_be_cut_off_behind_any(values, data):
    one = _plain.OneByOne()
    pickles = list(map(one.dump, values))
    end = data.draw(st.integers(0, len(values)))
    assert _plain.read(b"".join(pickles[:end])) == (values[:end], {})
    assert _plain._read_each(memoryview(b"".join(pickles))) == (values, {})


@pytest.mark.parametrize("backend", ["processes", "interpreters"])
def test_plain_values_of_all_kinds_come_back_as_they_are(backend):
    everywhere = [value for value in PLAIN if type(value).__module__ not in ("numpy", __name__)]
    values = 50 * (PLAIN if backend == "processes" else everywhere)
    try:
        results = lw.map(copy.copy, values, backend=backend, max_workers=2)
    except lw.BackendUnavailable as problem:
        pytest.skip(str(problem))
    assert all(map(exact, results, values))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int32], ids=lambda kind: kind.__name__)
def test_rows_of_numbers_of_numpy(kind):
    values = list(np.arange(-5000, 5000).astype(kind) / kind(1))
    results = lw.map(kind, values, backend="processes", max_workers=2)
    assert all(map(exact, results, map(kind, values)))


def the_same_list(x, held=[]):
    held.append(x)
    return held


def test_a_result_that_goes_on_changing_is_what_it_was_when_it_was_returned():
    results = lw.map(the_same_list, range(3000), backend="processes", max_workers=1, chunksize=100)
    assert results == [list(range(n + 1)) for n in range(3000)]


def of_a_module_that_is_only_there(x):
    """Gives back an instance of a class that the caller cannot import."""
    import sys
    import types

    if x % 7 != 3:
        return [x]
    if "only_there" not in sys.modules:
        module = sys.modules["only_there"] = types.ModuleType("only_there")
        exec("class Thing: pass", vars(module))
    return [sys.modules["only_there"].Thing()]


def test_a_result_of_a_class_that_is_not_here_harms_its_own_call_alone():
    results = lw.map(of_a_module_that_is_only_there, range(1000), backend="processes", max_workers=2, errors="return")
    for x, result in enumerate(results):
        if x % 7 == 3:
            assert isinstance(result, Failure) and "only_there" in str(result.exception)
        else:
            assert result == [x]


def test_an_item_of_a_class_that_is_not_there_harms_its_own_call_alone(monkeypatch):
    here = types.ModuleType("only_here")
    exec("class Thing: pass", vars(here))
    monkeypatch.setitem(sys.modules, "only_here", here)
    items = [[here.Thing()] if x % 7 == 3 else x for x in range(1000)]
    results = lw.map(identity, items, backend="processes", max_workers=2, errors="return")
    for x, result in enumerate(results):
        if x % 7 == 3:
            assert isinstance(result, Failure) and "only_here" in str(result.exception)
        else:
            assert result == x
    with lw.Executor(1, backend="processes") as executor:
        lost, found = executor.submit(identity, here.Thing()), executor.submit(identity, 5)
        assert "only_here" in str(lost.exception()) and found.result() == 5


def identity(x):
    return x


def odd_one(x):
    return [x] if x % 1000 == 7 else 2**70 if x % 1000 == 8 else float(x) if x % 1000 > 500 else x


def text(x):
    return str(x) if x % 3 else None


def nothing(x):
    return None


def truth(x):
    return x % 3 == 0


def turn_about(x):
    return x if x % 2 else float(x)


@pytest.mark.parametrize("fn", [identity, odd_one, text, float, nothing, truth, turn_about])
def test_results_of_every_kind_come_back_as_they_are(fn):
    n = 30_000
    results = lw.map(fn, range(n), backend="processes", max_workers=2)
    assert list(map(repr, results)) == list(map(repr, map(fn, range(n))))


def test_results_of_mixed_types_are_not_a_row_each():
    results = lw.map(turn_about, range(30_000), backend="processes", max_workers=2)
    assert len(results.report.spans) < 3000


def kill_at(x):
    if x == 10_000:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def kill_at_text(x):
    kill_at(x)
    return str(x)


def kill_at_list(x):
    kill_at(x)
    return [x]


def kill_at_nothing(x):
    kill_at(x)


@pytest.mark.parametrize("chunksize", [None, 1])
@pytest.mark.parametrize("fn", [kill_at, kill_at_text, kill_at_list, kill_at_nothing])
def test_a_kill_in_the_middle_of_a_row_costs_one_call(fn, chunksize):
    n = 20_000
    results = lw.map(fn, range(n), backend="processes", max_workers=2, errors="return", chunksize=chunksize)
    assert isinstance(results[10_000], Failure) and isinstance(results[10_000].exception, lw.WorkerCrashed)
    assert len(results.failures) == 1
    expected = {kill_at: lambda x: x, kill_at_text: str, kill_at_list: lambda x: [x], kill_at_nothing: nothing}[fn]
    assert all(results[x] == expected(x) for x in range(n) if x != 10_000)


def fail_often(x):
    if x % 7 == 3:
        raise ValueError(x)
    return x


def test_failures_between_the_values_of_a_row():
    results = lw.map(fail_often, range(7000), backend="processes", max_workers=2, errors="return")
    assert [failure.index for failure in results.failures] == list(range(3, 7000, 7))
    assert all(results[x] == x for x in range(7000) if x % 7 != 3)


# the arena


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 5 * ALIGNED), st.booleans()), max_size=40))
def test_places_never_overlap_and_free_ones_are_used_again(steps):
    memory = mmap.mmap(-1, 16 * ALIGNED)
    arena = Arena(memory, 2 * ALIGNED, 12 * ALIGNED)
    taken = {}
    for number, (size, gives_back) in enumerate(steps):
        if gives_back and taken:
            arena.free(taken.pop(min(taken))[0][0])
        parts = [bytes([number % 251]) * size, b"end"]
        places = arena.put(parts)
        if places is None:
            assert taken  # an empty arena has room for any of these
            continue
        assert all(at >= 2 * ALIGNED and at + length <= 14 * ALIGNED for at, length in places)
        taken[number] = places
        for name, kept in taken.items():
            assert memory[kept[0][0] : kept[0][0] + kept[0][1]] == bytes([name % 251]) * kept[0][1]
    arena.close()
    memory.close()


def successor(array):
    array += 1
    return array


def test_large_arrays_are_private_and_writable_on_both_sides():
    arrays = [np.full(100_000, float(i)) for i in range(12)]
    results = []
    with lw.Executor(backend="processes", max_workers=2) as executor:
        for _ in range(5):
            results.append(list(executor.map(successor, arrays)))
    for i, each in enumerate(arrays):
        assert (each == i).all()
    for round_ in results:
        for i, each in enumerate(round_):
            assert (each == i + 1).all()
            each[0] = -1


def test_large_strings_and_bytes():
    items = [b"x" * 300_000, "é" * 300_000, ("a" * 200_000, 1), [b"b" * 90_000] * 3]
    assert lw.map(identity, items, backend="processes", max_workers=2) == items
    big = [[np.arange(50_000), "s" * 100_000]]
    ((array, string),) = lw.map(identity, big, backend="processes", max_workers=1)
    assert (array == big[0][0]).all() and string == big[0][1]
