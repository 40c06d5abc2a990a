"""How many workers memory has room for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightwork._headroom import RESERVE, affordable

GB = 10**9


@pytest.mark.parametrize(
    ("wanted", "alive", "each", "spare", "result"),
    [
        (8, 0, 15_000_000, 20 * GB, 8),  # plenty
        (8, 0, GB, 3 * GB, 3),  # three fit
        (8, 0, GB, GB // 2, 1),  # not even one does: the work must be done all the same
        (8, 3, GB, 2 * GB, 5),  # those that are there have theirs already
        (8, 3, GB, 0, 3),  # no more
        (8, 5, GB, -1, 4),  # the reserve is touched: one fewer
        (8, 5, GB, -3 * GB, 2),
        (8, 2, GB, -9 * GB, 1),
    ],
)
def test_affordable(wanted, alive, each, spare, result):
    assert affordable(wanted, alive, each, RESERVE + spare) == result


def test_where_nobody_says_nothing_is_capped():
    assert affordable(8, 0, GB, None) == 8


@given(
    wanted=st.integers(1, 500),
    alive=st.integers(0, 500),
    each=st.integers(0, 10**12),
    available=st.integers(0, 10**13),
)
def test_never_none_never_more_than_wanted(wanted, alive, each, available):
    assert 1 <= affordable(wanted, alive, each, available) <= wanted
    more = affordable(wanted, alive, each, available + GB)
    assert more >= affordable(wanted, alive, each, available)
