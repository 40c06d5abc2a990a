"""Promise 8: an argument is as writable above a size as below it; a write in a worker never reaches the caller."""

from __future__ import annotations

import pytest

import lightwork as lw
from tests.promises import jobs

numpy = pytest.importorskip("numpy")


@pytest.mark.parametrize("length", [10, 1_000, 10_000, 200_000, 2_000_000])
def test_arrays_of_all_sizes(length):
    arrays = [numpy.full(length, float(x)) for x in range(6)]
    assert lw.map(jobs.overwrite, arrays, backend="processes", max_workers=2) == [float(x) for x in range(6)]
    assert all((array == x).all() for x, array in enumerate(arrays))


@pytest.mark.parametrize("length", [10, 2_000_000])
def test_one_array_as_every_argument_and_results_too(length):
    array = numpy.zeros(length)
    assert lw.map(jobs.overwrite, [array] * 6, backend="processes", max_workers=2) == [0.0] * 6, "each has its own copy"
    assert not array.any()
    results = lw.map(numpy.copy, [array] * 3, backend="processes", max_workers=2)
    results[0][:] = 7
    assert not results[1].any() and not array.any()


def test_a_constant_of_the_function_is_the_worker_s_own():
    array = numpy.zeros(300_000)

    def fn(x):
        array[x] = 1
        return array.flags.writeable

    assert lw.map(fn, range(10), backend="processes", max_workers=2) == [True] * 10
    assert not array.any()
