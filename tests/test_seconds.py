"""Options that take seconds refuse what is no number of them, and say which one it was."""

from __future__ import annotations

import math

import pytest

import lightwork as lw


@pytest.mark.parametrize("option", ["retry_delay", "call_timeout", "stall_timeout"])
@pytest.mark.parametrize(
    "value",
    [10**400, 10**5000, -(10**5000), math.nan, -1, "1"],
    ids=["large", "larger", "less", "nan", "negative", "a text"],
)
@pytest.mark.timeout(30)
def test_what_is_no_number_of_seconds_is_refused_by_name(option, value):
    for use in (lambda: lw.map(abs, [1], **{option: value}), lambda: lw.Executor(1, **{option: value})):
        with pytest.raises(ValueError, match=f"^{option} must be a number of seconds"):
            use()


@pytest.mark.timeout(30)
def test_a_probe_s_budget_is_a_number_of_seconds_too():
    for value in (10**400, math.nan, 0):
        with pytest.raises(ValueError, match=r"^budget must be a number of seconds above 0"):
            lw.probe(abs, [1], budget=value)


@pytest.mark.timeout(30)
def test_a_lock_is_not_waited_for_for_no_number_of_seconds():
    with pytest.raises(ValueError, match="non-negative"):
        lw.Lock().acquire(timeout=math.nan)


@pytest.mark.timeout(60)
def test_for_ever_is_a_time():
    assert lw.map(abs, [-1, 2], retry_delay=math.inf, stall_timeout=math.inf, backend="threads") == [1, 2]
