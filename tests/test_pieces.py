"""Large bytes and texts, by themselves or deep within: they travel uncopied and arrive as what they were."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lightwork as lw
from lightwork import _pickling, _wire
from lightwork._pieces import LARGE, Pieces, Sink, frames_of
from tests.backends import jobs

LENGTHS = (0, 1, LARGE - 1, LARGE, LARGE + 1, 300_000)

texts = st.sampled_from(LENGTHS).flatmap(
    lambda length: st.sampled_from(
        [b"x" * length, bytearray(b"y" * length), "z" * length, "\xe9" * length, "\ud800" * length, b"\x95" * length]
    )
)
values = st.recursive(
    texts | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@dataclass
class Page:
    text: object


def through(value):
    data, buffers = _pickling.dump_apart(value)
    return _pickling.load_own(data, [bytearray(b"".join(_wire.parts_of(buffer))) for buffer in buffers])


@settings(max_examples=100, deadline=None)
@given(values)
def test_what_arrives_is_what_was_sent(value):
    for each in (value, value, Page(value), Page(value)):  # the second time in pieces, where the first was large
        back = through(each)
        assert back == each and type(back) is type(each)
    assert pickle.loads(_pickling.dump(value)[0]) == value


def test_large_bytes_are_not_copied():
    large = b"x" * LARGE
    for _ in range(2):
        _, (pieces,) = _pickling.dump_apart([1, large, "tail"])
    assert any(part is large for part in pieces.parts)
    assert len(pieces) == sum(map(len, pieces.parts)) == len(pieces.joined())


@pytest.mark.parametrize("order", ["C", "F"])
def test_buffers_that_stay_in_the_pickle(order):
    numpy = pytest.importorskip("numpy")
    array = numpy.asarray(numpy.arange(60_000.0).reshape(200, 300), order=order)

    class Local:
        pass

    for value in (array, [array], [array, Local()]):
        _pickling.dump_apart(value)
        data, buffers = _pickling.dump(value, None)
        back = _pickling.load(data)
        assert not buffers and ((back if value is array else back[0]) == array).all()


def in_pieces(value):
    sink = Sink()
    pickle.Pickler(sink, 5).dump(value)
    pieces = sink.pickled()
    assert isinstance(pieces, Pieces)
    return pieces


@pytest.mark.parametrize("at", [0, 2, 15_000, 30_000])
def test_names_are_looked_for_everywhere_but_in_large_bytes(at):
    names = [f"name {number}" for number in range(30_000)]
    value = [*names[:at], b"__main__" * LARGE, "__main__" * LARGE, *names[at:], "the end"]
    pieces = in_pieces(value)
    said = b"".join(frames_of(pieces))
    assert all(name.encode() in said for name in [*names, "the end"])
    assert len(said) < 20 * len(value) and not _pickling.by_value(pieces)
    for where in (0, at, len(value)):
        assert _pickling.by_value(in_pieces([*value[:where], "__main__", *value[where:]]))


def test_a_bytearray_keeps_its_size_until_it_is_sent():
    large = bytearray(LARGE)
    for _ in range(2):
        _, (pieces,) = _pickling.dump_apart([large])
    with pytest.raises(BufferError):
        large.append(1)
    del pieces
    large.append(1)


LARGE_ONES = [
    b"a" * 5_000_000,
    "b" * 5_000_000,
    "\xe9" * 1_000_000,
    bytearray(b"c" * 5_000_000),
    [b"d" * 200_000, {"e": "f" * 200_000}],
    b"small",
    (bytearray(b"g" * LARGE), b"h" * LARGE, None),
]


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_large_items_and_results_of_a_map(backend):
    for chunksize in (1, 3, None):
        results = lw.map(jobs.same, LARGE_ONES, backend=backend, max_workers=2, chunksize=chunksize)
        assert results == LARGE_ONES
        assert list(map(type, results)) == list(map(type, LARGE_ONES))


def test_what_is_sent_by_value_may_hold_large_bytes():
    class Local:
        def __init__(self, held):
            self.held = held

    results = lw.map(lambda item: Local(item.held + b"!"), [Local(b"x" * 200_000)] * 4, backend="processes")
    assert [each.held for each in results] == [b"x" * 200_000 + b"!"] * 4


def test_a_bytearray_that_arrives_is_the_function_s_own():
    sent = [bytearray(100_000) for _ in range(4)]
    assert lw.map(jobs.extended, sent, backend="processes", max_workers=2) == [100_001] * 4
    assert sent == [bytearray(100_000)] * 4


@pytest.mark.parametrize("kind", [bytes, bytearray, list])
def test_large_items_are_there_again_after_a_worker_s_death(kind, tmp_path):
    items = [(str(tmp_path / str(number)), kind(bytes([number]) * 300_000)) for number in range(4)]
    results = lw.map(
        jobs.die_the_first_time, items, backend="processes", max_workers=2, retries=1, retry_on=(lw.WorkerCrashed,)
    )
    assert results == [item[1] for item in items]
