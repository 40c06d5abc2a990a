"""What the first calls say of those to come."""

from __future__ import annotations

from itertools import accumulate

import pytest

from lightwork._loops import GIL
from lightwork._worth import is_dear, is_slow, pace, says_little, settles, shareable, soon_over


def expected(*lasted: float) -> float:
    """Of calls that took so long, one after another, and each timed by itself."""
    ends = [0.0, *accumulate(lasted)]
    began = [(max(0, place), ends[max(0, place)]) for place in range(len(lasted) - 3, len(lasted))]
    return pace(lasted[-1], ends[-1] / len(lasted), *began)


@pytest.mark.parametrize(
    ("lasted", "each"),
    [
        ([1.0], 1.0),
        ([1.0, 1.0, 1.0, 1.0], 1.0),
        ([9.0, 1.0], 1.0),  # the first one paid for something
        ([1.0, 1.0, 1.0, 1.0, 6.0], 2.0),  # a giant counts as far as it is part of the mean
        ([1.0, 1.0, 1.0, 6.0, 1.0], 1.0),
        ([1.0, 1.0, 5.0, 5.0], 3.0),  # two may be chance
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 7.0),  # they grow: the mean is behind
        ([9.0, 8.0, 7.0, 6.0], 6.0),
    ],
)
def test_what_calls_to_come_will_take(lasted, each):
    assert expected(*lasted) == pytest.approx(each)


def test_what_stops_all_threads_is_nothing_to_share():
    assert shareable(4.0, 4.0, 0.75) == 1.0
    assert shareable(1.0, 4.0, 0.5) == 1.0, "the latest ones were hit by none"
    assert shareable(8.0, 4.0, 0.25) == 6.0, "calls that grow grow as a whole"
    assert shareable(4.0, 4.0, 0.0) == 4.0


def test_one_short_first_call_of_many_says_little():
    assert says_little(0.005, 60)
    assert not says_little(0.005, 5), "another one would be a large part of all"
    assert not says_little(0.5, 60), "what is left is worth asking about, even if it is a tenth of that"


def test_the_more_are_left_the_less_a_first_call_says():
    assert says_little(0.06, 240)
    assert not says_little(0.06, 120)


def test_a_first_call_of_many_may_pay_for_more_than_a_whole_short_map_takes():
    assert says_little(0.03, 32)
    assert not says_little(0.03, 31), "another one would be a large part of all"


def test_a_first_call_is_none_of_those_to_come_where_the_next_one_of_many_is_over_far_sooner():
    assert is_slow(0.025, 0.001, 58)
    assert not is_slow(0.025, 0.01, 58), "so much do calls differ"
    assert not is_slow(0.025, 0.001, 8), "of few calls a giant is a large part"


def test_many_calls_that_still_become_quicker_are_not_judged_yet():
    assert settles(0.0025, 58, (0, 0.0), (1, 0.004))
    assert not settles(0.0039, 58, (0, 0.0), (1, 0.004)), "so much is chance"
    assert not settles(0.0025, 8, (0, 0.0), (1, 0.004)), "another one would be a large part of all"
    assert not settles(0.004, 58, (0, 0.0), (0, 0.0)), "there was none before it"


def test_a_call_that_will_soon_be_over_is_waited_for_where_there_is_a_gil():
    assert soon_over(0.005, 0.006) == (pytest.approx(0.004) if GIL else 0.0)
    assert not soon_over(0.010, 0.006), "it has become another one"
    assert not soon_over(0.005, 0.060), "what could be loaded meanwhile is more"
    assert not soon_over(0.005, 0.0), "nobody knows how long the first one takes"


def test_a_worker_that_has_to_make_what_is_there_is_dear_where_little_is_left():
    assert is_dear(cold=0.1, ahead=0.4)
    assert not is_dear(cold=0.1, ahead=10.0)
    assert not is_dear(cold=-0.1, ahead=0.4), "workers are quicker"
