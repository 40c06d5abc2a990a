"""Arguments that workers use where the caller has put them: theirs as long as they refer to any of it."""

from __future__ import annotations

import mmap
import os
import sys

import pytest

import lightwork as lw
from lightwork._backends._lent import LEND, MOST, Lent
from lightwork._platform import portable
from tests.backends import jobs

numpy = pytest.importorskip("numpy")
pytest.importorskip("_ctypes")
linux = pytest.mark.skipif(sys.platform != "linux" or portable(), reason="there is no shared memory for arguments")

SIZE = 40 * mmap.PAGESIZE


@pytest.fixture
def places():
    """The memory as its sender has it, and what lends it in the receiver's mapping."""
    descriptor = os.memfd_create("test")
    os.ftruncate(descriptor, 8 * LEND)
    with mmap.mmap(descriptor, 8 * LEND) as memory:
        yield memory, Lent(mmap.mmap(descriptor, 8 * LEND), descriptor)
    os.close(descriptor)


def is_copied(lent, view):
    return lent.own(view) is not view


@linux
def test_a_batch_ends_when_nothing_of_it_is_in_use(places):
    _, lent = places
    arrays = [numpy.frombuffer(lent.own(lent.view(at, SIZE)), numpy.uint8) for at in (0, 2 * SIZE)]
    del arrays
    assert not lent.end(1) and lent.free() == []
    arrays = [numpy.frombuffer(lent.own(lent.view(at, SIZE)), numpy.uint8) for at in (0, 2 * SIZE)]
    kept = arrays.pop()[100:101]
    del arrays
    assert lent.end(2), "a slice of it is there"
    view = lent.view(4 * SIZE, SIZE)
    assert lent.end(3) and lent.free() == []
    del view
    assert lent.free() == [3]
    del kept
    assert lent.free() == [2] and lent.free() == [], "each is told once"


@linux
def test_who_keeps_much_gets_copies(places):
    memory, lent = places
    kept = [lent.own(lent.view(0, LEND + 1))]
    assert lent.end(1)
    memory[LEND + 4096] = 7
    copy = lent.own(lent.view(LEND + 4096, SIZE))
    memory[LEND + 4096] = 8
    assert copy[0] == 7 and not lent.end(2), "the place is free: the function has a copy"
    kept.clear()
    assert lent.free() == [1]
    assert not is_copied(lent, lent.view(0, SIZE))
    for number in range(MOST + 1):
        kept.append(lent.view(number * SIZE, 10))
        assert lent.end(number + 3)
    assert is_copied(lent, lent.view(0, SIZE))


@linux
def test_what_a_fork_sees_is_its_own_from_then_on(places):
    memory, lent = places
    memory[: 3 * SIZE] = b"a" * 3 * SIZE
    mine = lent.view(SIZE + 64, 1000)
    lent.make_private()
    mine[0] = ord("b")
    assert memory[: 3 * SIZE] == b"a" * 3 * SIZE, "others do not see what is written there"
    assert bytes(mine) == b"b" + b"a" * 999
    del mine
    assert lent.end(1) and lent.free() == [], "the place is never given back"
    assert is_copied(lent, lent.view(0, SIZE)), "who forks will do so again"


def test_kept_arguments_stay_as_they_were():
    with lw.Executor(2, backend="processes") as executor:
        arrays = [numpy.full(10_000 * (1 + number % 50), float(number)) for number in range(300)]
        for wrong in executor.map(jobs.keep_a_part, arrays):
            assert not wrong


def test_an_argument_that_was_changed_comes_back_changed():
    arrays = [numpy.full(100_000, float(number)) for number in range(40)]
    with lw.Executor(2, backend="processes") as executor:
        for number, result in enumerate(executor.map(jobs.doubled_in_place, arrays)):
            assert (result == 2 * number).all() and result.flags.writeable
    assert all((array == number).all() for number, array in enumerate(arrays)), "the caller's own are untouched"


@pytest.mark.parametrize("form", ["first", "again"])
def test_a_forked_process_has_its_own_arguments(form):
    arrays = [numpy.full(100_000, float(number)) for number in range(20 if form == "again" else 2)]
    with lw.Executor(1, backend="processes") as executor:
        for number, (child, here) in enumerate(executor.map(jobs.changed_by_a_fork, arrays)):
            assert child == (number, -1.0) and here == number
        results = list(executor.map(jobs.doubled_in_place, arrays))
    assert all((result == 2 * number).all() for number, result in enumerate(results))


def test_a_forked_process_keeps_its_arguments():
    """The worker gives a place back when it needs it no more; its child may still read there."""
    arrays = [numpy.full(100_000, float(number)) for number in range(30)]
    with lw.Executor(1, backend="processes") as executor:
        executor.submit(jobs.total, arrays[0]).result()  # what comes before a worker is ready goes through its socket
        read, pid = executor.submit(jobs.forked_reader, arrays[7]).result()
        list(executor.map(jobs.doubled_in_place, arrays))
        assert executor.submit(jobs.asked, read, pid).result() == 7.0


def test_a_killed_attempt_leaves_the_caller_s_argument_alone(tmp_path):
    arrays = [numpy.full(100_000, float(number)) for number in range(6)]
    calls = [(array, str(tmp_path / str(number))) for number, array in enumerate(arrays)]
    results = lw.starmap(
        jobs.doubled_then_killed_once,
        calls,
        backend="processes",
        max_workers=2,
        retries=1,
        retry_on=(lw.WorkerCrashed,),
    )
    assert [result[0] for result in results] == [2.0 * number for number in range(6)]
    assert all((array == number).all() for number, array in enumerate(arrays))
