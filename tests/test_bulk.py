"""What is told at once of how much there is to carry in a result."""

from __future__ import annotations

import time

import pytest

import lightwork as lw
from lightwork._bulk import carriage
from lightwork._worth import too_bulky


def ticking():
    times = iter(range(100))
    return lambda: float(next(times))


@pytest.mark.parametrize(
    "result", [[(n, str(n)) for n in range(5_000)], {n: n for n in range(5_000)}, set(range(5_000)), (1.5,) * 5_000]
)
def test_a_container_of_plain_things_is_timed_by_a_part_of_it(result):
    down, up = carriage(result, ticking())
    assert (down, up) == (25.0, 25.0)


NO_ORDER = {complex("nan"), complex("nan")}
"""Of which ``marshal`` says that there is no memory for it."""


@pytest.mark.parametrize(
    "result",
    [None, 3, "text" * 10_000, b"x" * 10_000, [1, 2], [object()] * 5_000, range(5_000), [[object()], NO_ORDER] * 5_000],
)
def test_what_is_small_or_not_plain_throughout_is_not_judged(result):
    assert carriage(result, ticking()) == (0.0, 0.0)
    assert not too_bulky(1e-3, 0.0, 0.0, 2)


def test_a_result_that_cannot_be_written_down_fails_no_call():
    def rows(_):
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass
        return [NO_ORDER] * 600

    assert [len(found) for found in lw.map(rows, range(50))] == [600] * 50


def test_nothing_is_run_of_the_user_s():
    class Told(list):
        def __iter__(self):
            raise AssertionError("a class of one's own was run")

    class Item:
        def __reduce__(self):
            raise AssertionError("an item's own code was run")

    assert carriage(Told(range(5_000)), ticking()) == (0.0, 0.0)
    assert carriage([Item()] * 5_000, ticking()) == (0.0, 0.0)


def test_what_would_take_long_to_look_at_is_not_looked_at():
    table, text = [*range(100_000)], "x" * 1_000_000
    for result in ([table] * 600, [{"of": table}] * 600, [text] * 600, {n: (n, [table]) for n in range(600)}):
        assert carriage(result, ticking()) == (0.0, 0.0)
    loop: list[object] = []
    loop.append(loop)
    assert carriage([loop] * 600, ticking()) == (0.0, 0.0)


def test_the_more_cores_the_more_results_are_worth_carrying():
    assert too_bulky(1e-3, 5e-4, 5e-4, 2)
    assert not too_bulky(1e-3, 5e-4, 5e-4, 8)
    assert not too_bulky(1e-3, 1e-4, 1e-4, 2)
    assert too_bulky(1e-3, 1e-4, 9e-4, 64)
