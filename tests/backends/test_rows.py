"""Rows and the arena: what comes out is what went in, and a death in the middle of a row costs one call."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lightwork as lw
from lightwork._backends import _rows
from lightwork._backends._arena import ALIGNED, Arena
from lightwork._backends._ledger import Ledger
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
        assert row.begin(position, items[position])
        ledger.words[0] = position
        first, position = position, position + 1
        if position < len(items):
            position, value, problem = row.fill(lambda item: item, items, position, len(items), 0, [])
            assert problem is None
            assert value is _rows.NOTHING or value is items[position]
        raw = bytes(ledger.memory[_rows.OUTBOX : row.end(position)])
        read = _rows.read(row.kind, position - first, raw)
        found = _rows.rescue(ledger, position)
        assert found is not None and found[0] == first and list(map(repr, found[1])) == list(map(repr, read))
        got += read
        ledger.words[1] = ledger.words[3] = 0
    assert len(got) == len(values) and all(map(same, got, values))


@given(st.lists(ATOMS | OTHERS, max_size=30))
def test_plain_items_are_one_pickle(items):
    assert pickle.loads(_rows.dump(items)) == items


@pytest.mark.parametrize("odd", [object(), np.arange(3), len, int, struct.Struct("<I"), range])
def test_what_has_a_class_of_its_own_is_not_plain(odd):
    assert _rows.dump([1, [odd]]) is None


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
    for i, array in enumerate(arrays):
        assert (array == i).all()
    for round_ in results:
        for i, array in enumerate(round_):
            assert (array == i + 1).all()
            array[0] = -1


def test_large_strings_and_bytes():
    items = [b"x" * 300_000, "é" * 300_000, ("a" * 200_000, 1), [b"b" * 90_000] * 3]
    assert lw.map(identity, items, backend="processes", max_workers=2) == items
    big = [[np.arange(50_000), "s" * 100_000]]
    ((array, string),) = lw.map(identity, big, backend="processes", max_workers=1)
    assert (array == big[0][0]).all() and string == big[0][1]
