"""Large copies by two threads: all bytes arrive, whatever happens, and no thread is left."""

from __future__ import annotations

import _thread
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lightwork as lw
from lightwork._backends import _copying
from lightwork._backends._copying import ANEW, PAYS, PIECE, RECENT, Copying
from tests.backends import jobs

numpy = pytest.importorskip("numpy")

SIZES = (0, 1, PIECE - 1, PIECE, PIECE + 1, PAYS, PAYS + 4097)


def patterned(size, seed):
    return numpy.random.default_rng(seed).bytes(size)


@pytest.fixture
def starts(monkeypatch):
    """How often a thread was started."""
    count = []
    original = _copying.start_new_thread

    def start(*arguments):
        count.append(1)
        return original(*arguments)

    monkeypatch.setattr(_copying, "start_new_thread", start)
    return count


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(SIZES), max_size=6))
def test_every_byte_is_copied_and_nothing_beside(sizes):
    sources = [patterned(size, seed) for seed, size in enumerate(sizes)]
    memory = memoryview(bytearray(sum(sizes) + len(sizes) + 1))
    at, pairs = 1, []
    for source in sources:
        pairs.append((memory[at : at + len(source)], source))
        at += len(source) + 1
    Copying()(pairs)
    assert memory.tobytes() == b"\0" + b"".join(source + b"\0" for source in sources)


@pytest.mark.parametrize("source", [bytes, bytearray, lambda data: memoryview(data).toreadonly()])
def test_two_threads_copy_all_kinds_of_memory(source, starts):
    data = patterned(PAYS, 1)
    target = bytearray(PAYS)
    Copying()([(memoryview(target), source(data))])
    assert target == data and starts


@pytest.mark.parametrize(("allowed", "size"), [(False, PAYS), (True, PAYS - 1)])
def test_one_thread_copies_what_is_small_or_where_there_is_one_core(allowed, size, starts):
    target, data = bytearray(size), patterned(size, 2)
    Copying(allowed)([(memoryview(target), data)])
    assert target == data and not starts


def test_one_thread_copies_where_no_other_can_be_started(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_copying, "start_new_thread", refuse)
    target, data = bytearray(PAYS), patterned(PAYS, 3)
    Copying()([(memoryview(target), data)])
    assert target == data


@pytest.mark.parametrize("module", [None, types.ModuleType("numpy")], ids=["without NumPy", "while it is imported"])
def test_one_thread_copies_without_numpy(module, monkeypatch, starts):
    monkeypatch.setitem(_copying.sys.modules, "numpy", module)
    target, data = bytearray(PAYS), bytes(range(256)) * (PAYS // 256)
    Copying()([(memoryview(target), data)])
    assert target == data and not starts


def test_the_faster_way_is_taken_and_the_other_one_tried_now_and_then(monkeypatch):
    now, made, seconds = [0.0], [], {"two": 1.0, "one": 2.0}

    def takes(way):
        def copy(*_):
            made.append(way)
            now[0] += seconds[way]

        return copy

    monkeypatch.setattr(_copying.SystemClock, "now", staticmethod(lambda: now[0]))
    monkeypatch.setattr(_copying, "_together", takes("two"))
    monkeypatch.setattr(_copying, "alone", takes("one"))
    copying, pairs = Copying(), [(memoryview(bytearray(PAYS)), bytes(PAYS))]
    for _ in range(8 * ANEW):
        copying(pairs)
    assert made[:2] == ["two", "one"] and made.count("one") == 1 + 8
    seconds["two"] = 3.0  # others have the cores now
    made.clear()
    for _ in range(8 * ANEW):
        copying(pairs)
    assert made.count("two") <= RECENT + 8
    seconds["two"] = 1.0  # and not any more
    made.clear()
    for _ in range(8 * ANEW):
        copying(pairs)
    assert made.count("one") <= ANEW + 8


def test_no_thread_outlives_its_copy_even_if_that_is_interrupted(starts):
    here, threads = _thread.get_ident(), _thread._count()

    def copyto(target, source):
        if _thread.get_ident() == here:
            raise KeyboardInterrupt
        numpy.copyto(target, source)

    interrupting = types.SimpleNamespace(frombuffer=numpy.frombuffer, uint8=numpy.uint8, copyto=copyto)
    memory = bytearray(PAYS)
    with pytest.raises(KeyboardInterrupt):
        _copying._together([(memoryview(memory), bytes(PAYS))], interrupting)
    assert starts
    for _ in range(1000):
        if _thread._count() == threads:  # the last steps of a thread come after it has said that it is done
            break
        _copying.alone([(memoryview(memory), bytes(PAYS))])
    assert _thread._count() == threads
    memory += b"nobody holds it any more"


def arrays():
    numbers = numpy.arange(PAYS // 8 + 5, dtype=float)
    fields = numpy.zeros(PAYS // 16 + 1, dtype=[("a", "i4"), ("b", "f8"), ("c", "S4")])
    fields["b"] = numpy.arange(len(fields))
    frozen = numpy.arange(PAYS, dtype=numpy.uint8)
    frozen.flags.writeable = False
    wide = numpy.arange(PAYS // 4, dtype=numpy.int32).reshape(4, -1)
    return {
        "plain": numbers,
        "Fortran": numpy.asfortranarray(wide),
        "every third": numbers[::3],
        "backwards": numbers[::-1],
        "columns": wide[:, 5:-5],
        "structured": fields,
        "read-only": frozen,
        "broadcast": numpy.broadcast_to(numbers[:10], (PAYS // 80 + 1, 10)),
        "empty": numbers[:0],
        "no dimension": numpy.array(7.5),
        "many": [numbers + each for each in range(3)] + [frozen, numbers[:3]],
    }


@pytest.mark.parametrize("kind", arrays())
def test_arrays_of_all_kinds_cross_both_ways(kind):
    sent = arrays()[kind]
    for back in lw.map(jobs.same, [sent] * 3, backend="processes", max_workers=2):
        for one, other in zip(*(each if kind == "many" else [each] for each in (sent, back)), strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape and (one == other).all()
            assert one.flags.f_contiguous == other.flags.f_contiguous or not one.flags.forc
