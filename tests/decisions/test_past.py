"""What a remembered run is good for, as pure functions."""

from __future__ import annotations

import pytest

from lightwork._backends._registry import backend
from lightwork._demand import Demand
from lightwork._past import Past, begin, differs, seen_since
from lightwork._policy import Ask, Candidate, Policy

CANDIDATES = tuple(Candidate(name, backend(name).capabilities) for name in ("threads", "processes"))
POLICY = Policy(CANDIDATES, 2, True)

WAITS = Demand(wait=0.02, cpu=0.0001, gil=0.0001)
COUNTS = Demand(wait=0.0, cpu=0.02, gil=0.02)


def past(demand, gil_known=True, wire_known=True, refused=(), calls=200):
    return Past(demand, gil_known, wire_known, refused, "processes", 2, 90.0, calls)


@pytest.mark.parametrize(("demand", "chosen"), [(WAITS, "threads"), (COUNTS, "processes")])
def test_a_run_begins_with_what_the_remembered_demand_calls_for(demand, chosen):
    assert begin(POLICY, past(demand), 200, None, True).switch == chosen


def test_effects_are_asked_for_every_time():
    assert begin(POLICY, past(COUNTS), 200, None, False).ask is Ask.EFFECTS
    assert begin(POLICY, past(COUNTS), 200, "changes a global", True).switch is None


def test_too_few_calls_begin_in_the_plain_loop():
    assert begin(POLICY, past(COUNTS), 1, None, True).switch is None


def test_input_of_unknown_length_is_taken_to_be_as_long_as_before():
    assert begin(POLICY, past(COUNTS), None, None, True).switch == "processes"
    assert begin(POLICY, past(COUNTS, calls=1), None, None, True).switch is None


def test_what_was_not_found_out_then_is_found_out_in_the_plain_loop():
    verdict = begin(POLICY, past(COUNTS, gil_known=False), 200, None, True)
    assert verdict.switch is None and verdict.ask is Ask.NOTHING


def test_on_a_free_threaded_python_threads_need_not_know_what_travels():
    """Nobody finds that out where threads take over while the first call still runs."""
    free = Policy(CANDIDATES, 2, False)
    assert begin(free, past(COUNTS, gil_known=False, wire_known=False), 200, None, True).switch == "threads"
    assert begin(POLICY, past(COUNTS, wire_known=False), 200, None, True).switch is None


def test_a_backend_that_could_not_run_it_is_not_tried_again():
    refused = (("processes", "a result cannot be pickled"),)
    assert begin(POLICY, past(COUNTS, refused=refused), 200, None, True).switch is None


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_noise_is_no_difference(factor):
    assert differs(past(COUNTS), [0.02 * factor] * 3, [0.02 * factor] * 3) is None
    assert differs(past(WAITS), [0.02 * factor] * 3, [0.0001] * 3) is None


def test_one_slow_first_call_is_no_difference():
    assert differs(past(WAITS), [5.0, 0.02, 0.02], [0.0001] * 3) is None


def test_what_child_processes_compute_is_not_missed_in_the_threads_clocks():
    demand = Demand(wait=0.002, cpu=0.018, gil=0.0005, children=0.0175)
    assert differs(past(demand), [0.02] * 3, [0.0005] * 3) is None
    since = seen_since(demand, [0.04] * 3, [0.001] * 3)
    assert since.wall == pytest.approx(0.04) and since.children == pytest.approx(0.035)
    assert since.gil == pytest.approx(0.001) and since.wait == pytest.approx(0.004)


def test_other_calls_differ():
    assert "200 ms" in str(differs(past(WAITS), [0.2] * 3, [0.0001] * 3))
    assert "20.0 ms were remembered" in str(differs(past(COUNTS), [0.001] * 3, [0.001] * 3))
    assert "compute" in str(differs(past(WAITS), [0.02] * 3, [0.02] * 3))
    assert "wait" in str(differs(past(COUNTS), [0.02] * 3, [0.0001] * 3))


def test_the_demand_of_the_calls_seen_keeps_what_was_not_timed():
    before = Demand(wait=0.0, cpu=0.02, gil=0.01, wire_caller=0.001, bytes_out=100)
    now = seen_since(before, [0.04] * 3, [0.03] * 3)
    assert (now.cpu, now.gil, now.wire_caller, now.bytes_out) == (0.03, 0.015, 0.001, 100)
    assert now.wall == pytest.approx(0.04)
