"""Whether the caller's thread was faster after all: the decision as a pure function, and on simulated machines."""

from __future__ import annotations

import random

import pytest

from lightwork._way_back import FORGETS, WayBack
from lightwork.testing import SimulatedMachine, Workload, simulate

pytestmark = pytest.mark.timeout(60)


class Played:
    """A map of calls of these ``costs``, in seconds alone, of which the caller's thread makes the first ``known``, and
    ``workers`` the others: each takes ``crowding`` times as long beside others as alone."""

    def __init__(self, costs, crowding, workers=2, known=10):
        self.trials, self.tried, self.home, self.regretted = [], 0.0, False, False
        back = WayBack(known, sum(costs[:known]) / known, computes=False)
        now, here, there = 0.0, known, 0
        for done in range(known, len(costs)):
            cost, left = costs[done], len(costs) - done
            if back.trying or back.home:
                now, here = now + cost, here + 1
                if back.home:
                    back.note(1, cost, 0.0)
                    if back.regrets(now, here):
                        self.regretted = True
                        return
                    continue
                self.tried += cost
                judgement = back.judge(now, here)
                if judgement == "faster":
                    self.home = True
                    back.come_home(now, here)
                elif judgement is not None:
                    back.stay_away(now)
                continue
            now, there = now + cost * crowding / workers, there + 1
            back.note(1, cost * crowding, 0.0)
            if back.doubtful(now, there, workers, left):
                self.trials.append(now)
                back.workers = workers
                back.begin_trial(now, here)
                assert back.judge(now, here) is None
        self.seconds = now


@pytest.mark.parametrize("workers", [2, 4, 32])
def test_workers_that_are_worth_it_are_left_alone(workers):
    assert not Played([0.002] * 2000, crowding=1.0, workers=workers).trials


@pytest.mark.parametrize("workers", [2, 4, 32])
def test_calls_that_keep_each_other_from_going_on_come_home(workers):
    draws = random.Random(3)
    played = Played([0.002 * draws.uniform(0.8, 1.2) for _ in range(1000)], crowding=1.5 * workers, workers=workers)
    assert played.home and len(played.trials) == 1 and not played.regretted


@pytest.mark.parametrize("seed", range(60))
def test_work_that_grows_or_shrinks_steadily_is_left_to_workers_that_speed_it_up(seed):
    draws = random.Random(seed)
    calls, times = draws.randrange(100, 3000), draws.choice([0.02, 0.1, 0.5, 2.0, 10.0, 50.0])
    costs = [0.002 * times ** (number / calls) for number in range(calls)]
    workers = draws.choice([2, 3, 8])
    played = Played(costs, crowding=draws.uniform(1.0, 0.75 * workers), workers=workers)
    assert not played.home
    assert played.tried <= 0.15 * played.seconds


def test_calls_that_differ_much_are_no_evidence():
    """Of a Pareto law that has hardly a mean; two workers are twice as fast."""
    home = 0
    for seed in range(300):
        draws = random.Random(seed)
        home += Played([min(0.001 * draws.paretovariate(1.3), 0.1) for _ in range(400)], crowding=1.0).home
    assert home <= 6


def test_each_trial_in_vain_makes_the_next_one_wait():
    """Two workers together are as fast as one alone, again and again."""
    played = Played([0.002] * 20_000, crowding=2.0)
    assert not played.home and len(played.trials) >= 2
    for one, after in zip(played.trials, played.trials[1:], strict=False):
        assert after >= FORGETS * one
    assert played.tried < 0.15 * played.seconds


def test_what_was_compared_wrongly_is_taken_back_once():
    """Calls were short by chance while they were tried."""
    costs = [0.002] * 10 + [0.005] * 27 + [0.001] * 60 + [0.005] * 300
    played = Played(costs, crowding=1.0)
    assert played.home and played.regretted


def test_short_work_is_not_tried():
    assert not Played([0.005] * 40, crowding=2.5).trials


@pytest.mark.parametrize("cores", [2, 4, 16])
def test_simulated_calls_that_contend_in_threads_go_to_processes(cores):
    work = Workload([0.0] * 400, [0.004] * 400, gil=0.0, crowding=2.0 * cores)
    run = simulate(work, SimulatedMachine(cores=cores, gil=False))
    assert any(decision.startswith("changed over again") for decision in run.decisions), run
    assert run.calls["processes"] > 250
    assert run.seconds < 0.65 * work.seconds


@pytest.mark.parametrize("cores", [2, 4, 16])
def test_simulated_calls_that_wait_later_go_to_threads_though_others_contended_there(cores):
    work = Workload([0.0] * 400 + [0.05] * 600, [0.004] * 400 + [0.0] * 600, gil=0.0, crowding=2.0 * cores)
    run = simulate(work, SimulatedMachine(cores=cores, gil=False))
    assert run.calls["processes"] > 150, run
    assert run.calls["threads"] > 400, run


@pytest.mark.parametrize("cores", [2, 4, 16])
def test_simulated_calls_that_contend_and_are_dear_to_send_go_back_to_the_loop(cores):
    work = Workload([0.0] * 400, [0.004] * 400, gil=0.0, crowding=2.0 * cores, wire=0.004)
    run = simulate(work, SimulatedMachine(cores=cores, gil=False))
    assert any("came back to the calling thread" in decision for decision in run.decisions), run
    assert run.calls["serial"] > 300
    assert run.seconds < 1.3 * work.seconds


@pytest.mark.parametrize("shape", ["growing", "heavy-tailed", "giants first"])
def test_simulated_calls_that_differ_stay_with_the_workers(shape):
    draws = random.Random(5)
    costs = {
        "growing": [0.0005 * number for number in range(1, 200)],
        "heavy-tailed": [min(0.004 * draws.paretovariate(1.3), 0.4) for _ in range(300)],
        "giants first": [0.002] * 8 + [0.2] * 4 + [0.002] * 200,
    }[shape]
    work = Workload([0.0] * len(costs), costs, gil=0.0)
    run = simulate(work, SimulatedMachine(cores=4, gil=False))
    assert not any("came back" in decision for decision in run.decisions), run
    assert run.seconds < 0.45 * work.seconds


def spell(back, now, calls, lasted, ended):
    """So many more calls end in so many seconds; returns whether the caller's thread is worth trying then."""
    back.note(ended, lasted, 0.0)
    return back.doubtful(now + lasted, calls + ended, 2, 1000)


def with_workers():
    """Calls of 2 ms, which two workers have taken over just now."""
    back = WayBack(10, 0.002, computes=False)
    assert not back.doubtful(0.0, 2, 2, 1000)
    return back


def test_one_spell_in_which_the_machine_stood_still_starts_no_trial():
    back = with_workers()
    assert not spell(back, 0.0, 2, 6.0, 12)
    assert not spell(back, 6.0, 14, 0.5, 500)
    assert not spell(back, 6.5, 514, 6.0, 12)
    assert spell(back, 12.5, 526, 6.0, 12), "but two in a row do"


def test_time_in_which_nobody_took_results_is_not_the_workers():
    back = with_workers()
    for turn in range(4):
        back.pause(6.0)
        assert not spell(back, 6.02 * turn + 6.0, 2 + 20 * turn, 0.02, 20)


def test_one_giant_in_the_callers_thread_does_not_send_the_calls_away():
    back = with_workers()
    back.there, back.workers_ended = 400.0, 20
    back.come_home(0.0, 0)
    back.note(20, 5.0, 0.0)
    assert not back.regrets(5.0, 20)
    back.note(20, 0.04, 0.0)
    assert not back.regrets(5.04, 40)
