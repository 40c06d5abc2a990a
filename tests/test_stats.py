"""Middle values and their uncertainty, beside the standard library's and NumPy's."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightwork import _stats

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(numbers)
def test_median_is_the_library_s(values):
    assert _stats.median(values) == pytest.approx(statistics.median(values))


@given(numbers, st.floats(0, 1))
def test_quantile_is_numpy_s(values, q):
    numpy = pytest.importorskip("numpy")
    assert _stats.quantile(values, q) == pytest.approx(numpy.quantile(values, q), abs=1e-6)


@given(numbers)
def test_the_mad_is_within_the_range(values):
    assert 0 <= _stats.mad(values) <= max(values) - min(values) + 1e-9


def test_an_outlier_moves_neither_median_nor_mad():
    assert _stats.median([1, 2, 3, 4, 1000]) == 3
    assert _stats.mad([1, 2, 3, 4, 1000]) == 1
    assert _stats.relative_mad([1, 2, 3, 4, 1000]) == pytest.approx(1 / 3)
    assert _stats.relative_mad([0, 0, 0]) == 0


def test_ewma_follows():
    assert _stats.ewma([5]) == 5
    assert _stats.ewma([0, 10], weight=0.3) == pytest.approx(3)
    assert _stats.ewma([1, 2, 3], weight=1) == 3


@pytest.mark.parametrize("fn", [_stats.median, _stats.mad, _stats.ewma, _stats.median_interval])
def test_no_values(fn):
    with pytest.raises(ValueError):
        fn([])


def test_wrong_arguments():
    with pytest.raises(ValueError):
        _stats.quantile([1], 1.5)
    with pytest.raises(ValueError):
        _stats.ewma([1], weight=0)
    with pytest.raises(ValueError):
        _stats.ratio_interval([1.0], [0.0])
    with pytest.raises(ValueError):
        _stats.median_interval([1.0], confidence=1.0)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=10))
def test_an_interval_holds_its_estimate(values):
    interval = _stats.median_interval(values)
    assert min(values) <= interval.low <= interval.value <= interval.high <= max(values)


def test_the_same_every_time():
    values = [random.Random(1).random() for _ in range(20)]
    assert _stats.median_interval(values) == _stats.median_interval(values)
    assert _stats.ratio_interval(values, values[::-1]) == _stats.ratio_interval(values, values[::-1])


def test_coverage_of_the_true_median():
    source = random.Random(7)
    hits = 0
    for seed in range(60):
        interval = _stats.median_interval([source.gauss(10, 2) for _ in range(15)], seed=seed)
        hits += interval.low <= 10 <= interval.high
    assert hits >= 50  # 57 expected


def test_a_clear_speed_up_is_told_from_none():
    slow, fast = [2.0, 2.1, 1.9, 2.05], [1.0, 1.1, 0.95, 1.02]
    faster = _stats.ratio_interval(slow, fast)
    same = _stats.ratio_interval(slow, slow)
    assert faster.low > 1.5 and same.low <= 1 <= same.high
    assert not faster.overlaps(same) and same.overlaps(same)
