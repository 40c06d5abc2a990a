"""The policy and the growth of threads, as pure functions of what was seen."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lightwork as lw
from lightwork._backends._registry import backend
from lightwork._backends.threads import ThreadBackend
from lightwork._batching import Batching
from lightwork._demand import Demand
from lightwork._growth import Growth
from lightwork._lanes import Lane, Worker
from lightwork._live import Live
from lightwork._pace import Pace
from lightwork._policy import SHORT_CALL, Ask, Candidate, Policy, Seen
from lightwork._record import replace

CANDIDATES = tuple(Candidate(name, backend(name).capabilities) for name in ("threads", "processes"))


def seen(demand, total=1000, done=1, effects=None, gil_known=True, wire_known=True, effects_known=True):
    return Seen(0.01, done, total, demand, gil_known, wire_known, effects, effects_known)


def policy(cores=2, gil=True, max_workers=None):
    return Policy(CANDIDATES, cores, gil, max_workers)


WAITS = Demand(wait=0.02, cpu=0.0001, gil=0.0001)
COUNTS = Demand(wait=0.0, cpu=0.02, gil=0.02)
HASHES = Demand(wait=0.0, cpu=0.02, gil=0.0005)
TINY = Demand(wait=0.0, cpu=1e-7, gil=1e-7)


@pytest.mark.parametrize(("demand", "chosen"), [(WAITS, "threads"), (COUNTS, "processes"), (HASHES, "threads")])
def test_each_kind_of_work_goes_where_it_belongs(demand, chosen):
    verdict = policy().advise(seen(demand))
    assert verdict.switch == chosen
    assert verdict.workers >= 2
    assert verdict.why


def test_an_input_without_a_length_is_waited_for_in_as_many_threads_as_are_of_use():
    """None is started without a call; two calls that were made say nothing of how many there are."""
    verdict = policy().advise(seen(WAITS, total=None, done=2))
    assert verdict.switch == "threads" and verdict.workers == policy().advise(seen(WAITS, total=10**6)).workers
    assert policy(max_workers=3).advise(seen(WAITS, total=None, done=2)).workers == 3
    assert policy(gil=False).advise(seen(COUNTS, total=None, done=20)).workers == 2


def test_without_a_gil_threads_compute():
    assert policy(gil=False).advise(seen(COUNTS)).switch == "threads"


def test_tiny_calls_stay():
    assert policy().advise(seen(TINY, total=10**6)).switch is None


def test_few_short_calls_stay():
    verdict = policy().advise(seen(COUNTS, total=1))
    assert verdict.switch is None


@pytest.mark.parametrize("wall", [0.0005, 0.003, 0.02])
@pytest.mark.parametrize("asked", [0.085, 0.1, 0.12, 0.15])
def test_more_of_an_input_without_a_length_is_chosen_for_as_soon_as_that_pays(wall, asked):
    """The more of it has come, the more is taken to follow: the next look is when that would be enough."""
    demand = Demand(wait=0.0, cpu=wall, gil=wall)

    def advised(elapsed):
        done = max(1, int(elapsed / wall))
        return policy().advise(Seen(elapsed, done, None, demand, True, True, None, True))

    soonest = next(at / 1000 for at in range(1, 10_000) if advised(at / 1000).switch)
    at = asked
    while not (verdict := advised(at)).switch:
        assert verdict.again > at
        at = verdict.again
    assert at < max(asked + wall, 1.2 * soonest + wall)


def test_what_has_come_of_an_input_without_a_length_will_be_called_with():
    demand = Demand(wait=0.0, cpu=0.005, gil=0.005)
    now = Seen(0.03, 6, None, demand, True, True, None, True)
    assert policy().advise(now).switch is None
    assert policy().advise(replace(now, drawn=200)).switch == "processes"


@pytest.mark.parametrize("left", [0.085, 0.1, 0.16])
def test_what_has_been_starting_meanwhile_need_not_be_waited_for(left):
    """A start that is mostly over pays for much less than one that has yet to be made."""
    demand = Demand(wait=0.0, cpu=0.001, gil=0.001)
    now = Seen(0.04, 20, 20 + round(left / 0.001), demand, True, True, None, True)
    begun = Seen(0.04, 20, now.total, demand, True, True, None, True, begun=(("threads", 0.0), ("processes", 0.04)))
    assert policy().advise(now).switch is None
    assert policy().advise(begun).switch == "processes"


def test_a_start_that_is_over_is_still_no_gift():
    """Workers are forked yet, however long ago what forks them was started."""
    demand = Demand(wait=0.0, cpu=0.001, gil=0.001)
    for left in (6, 20):
        long_ago = Seen(0.04, 20, 20 + left, demand, True, True, None, True, begun=(("processes", 100.0),))
        assert policy().advise(long_ago).switch is None


def test_where_child_processes_compute_the_gil_is_not_asked_about_and_there_are_as_many_threads_as_cores():
    demand = Demand(wait=0.0005, cpu=0.0095, gil=0.0005, children=0.009)
    verdict = policy(4).advise(seen(demand, gil_known=False))
    assert (verdict.switch, verdict.workers) == ("threads", 4)
    assert "child processes compute" in verdict.why
    assert policy(4).advise(seen(demand, total=9, gil_known=False)).switch == "threads"  # which start at once
    half = Demand(wait=0.005, cpu=0.005, gil=0.0005, children=0.0045)
    assert 8 <= policy(4).advise(seen(half, gil_known=False)).workers <= 14


def test_one_core_gains_nothing_from_computing_elsewhere():
    assert policy(cores=1).advise(seen(COUNTS)).switch is None
    assert policy(cores=1).advise(seen(WAITS)).switch == "threads"


def test_it_asks_before_it_answers_and_only_what_matters():
    assert policy().advise(seen(COUNTS, effects_known=False)).ask is Ask.EFFECTS
    assert policy().advise(seen(COUNTS, gil_known=False)).ask is Ask.GIL
    assert policy().advise(seen(COUNTS, wire_known=False)).ask is Ask.WIRE
    assert policy().advise(seen(WAITS, gil_known=False, wire_known=False)).switch == "threads"
    assert policy(gil=False).advise(seen(COUNTS, gil_known=False)).switch == "threads"
    assert policy().advise(seen(TINY, total=100, effects_known=False)).ask is Ask.NOTHING


def test_how_long_sending_takes_is_not_asked_where_it_makes_no_difference():
    numpy = Demand(wait=0.0, cpu=0.01, gil=0.0)
    assert policy().advise(seen(numpy, wire_known=False)).switch == "threads"
    assert policy().advise(seen(COUNTS, total=26, done=20, wire_known=False)).ask is Ask.NOTHING  # done before a start


whatever_calls_ask = given(
    wait=st.floats(0, 1),
    cpu=st.floats(1e-6, 1),
    share=st.floats(0, 1),
    wire=st.floats(0, 1),
    left=st.none() | st.integers(1, 10**5),
    cores=st.integers(1, 64),
)


@whatever_calls_ask
def test_an_answer_without_that_is_the_one_that_it_would_have_led_to(wait, cpu, share, wire, left, cores):
    demand = Demand(wait=wait, cpu=cpu, gil=cpu * share)
    total = None if left is None else 20 + left
    verdict = policy(cores).advise(seen(demand, total, wire_known=False))
    if verdict.ask is Ask.NOTHING:
        known = policy(cores).advise(seen(replace(demand, wire_caller=wire, wire_worker=wire), total))
        assert (verdict.switch, verdict.workers) == (known.switch, known.workers)


def test_the_gil_is_not_asked_for_where_threads_are_best_though_all_is_under_it():
    mostly = Demand(wait=0.004, cpu=0.001, gil=0.0)
    verdict = policy().advise(seen(mostly, gil_known=False, wire_known=False))
    assert (verdict.ask, verdict.switch) == (Ask.NOTHING, "threads")


@whatever_calls_ask
def test_an_answer_without_that_goes_to_whom_it_would_have_led_to(wait, cpu, share, wire, left, cores):
    demand = Demand(wait=wait, cpu=cpu)
    total = None if left is None else 20 + left
    verdict = policy(cores).advise(seen(demand, total, gil_known=False, wire_known=False))
    if verdict.ask is Ask.NOTHING and wait + cpu < SHORT_CALL:
        known = replace(demand, gil=cpu * share, wire_caller=wire, wire_worker=wire)
        assert policy(cores).advise(seen(known, total)).switch == verdict.switch


def test_effects_keep_it_in_the_calling_thread():
    verdict = policy().advise(seen(COUNTS, effects="changes the global 'n' (line 3)"))
    assert verdict.switch is None and verdict.again is None
    assert "line 3" in verdict.why


def test_a_refused_backend_is_not_chosen_and_said():
    refused = policy().refuse("processes", "a lock does not pickle")
    assert refused.advise(seen(COUNTS)).switch is None
    verdict = refused.refuse("threads", "no").advise(seen(COUNTS))
    assert "a lock does not pickle" in verdict.why


def test_a_dear_wire_keeps_it_at_home():
    demand = Demand(wait=0.0, cpu=0.001, gil=0.001, wire_caller=0.01, wire_worker=0.01)
    assert policy().advise(seen(demand)).switch is None


def test_max_workers_is_obeyed():
    assert policy(max_workers=3).advise(seen(WAITS)).workers == 3


@given(
    wait=st.floats(0, 10),
    cpu=st.floats(1e-9, 10),
    share=st.floats(0, 1),
    total=st.none() | st.integers(1, 10**6),
    done=st.integers(1, 100),
    cores=st.integers(1, 256),
)
def test_a_change_over_is_always_predicted_to_pay(wait, cpu, share, total, done, cores):
    demand = Demand(wait=wait, cpu=cpu, gil=cpu * share)
    total = None if total is None else max(total, done)
    verdict = policy(cores).advise(seen(demand, total, done))
    if verdict.switch:
        serial = verdict.predictions[0]
        chosen = next(p for p in verdict.predictions if p.backend == verdict.switch)
        assert chosen.seconds < serial.seconds
        assert verdict.workers >= 1


def test_only_what_clearly_waits_and_computes_has_more_processes_than_cores():
    def workers(wait, cpu):
        return policy(2).workers("processes", Demand(wait, cpu, gil=cpu), 1000)

    assert workers(0.0, 0.01) == workers(0.001, 0.01) == workers(0.003, 0.007) == 2
    assert workers(0.005, 0.005) == 4
    assert workers(0.009, 0.001) == 2
    assert policy(2).affordable("processes", Demand(0.005, 0.005, gil=0.005), 1000, 10.0) == 2


class Fed:
    """A growth that is fed with calls of ``each`` seconds, ``parallel(n)`` of which overlap on n threads."""

    def __init__(self, *args):
        self.growth = Growth(*args)
        self.now = self.busy = self.cpu = 0.0
        self.calls = 0

    def feed(self, each, cpu_share, parallel, rounds=2000):
        growth = self.growth
        for _ in range(rounds):
            lasts = each * growth.workers / parallel(growth.workers)
            self.calls += growth.workers
            self.now += lasts
            self.busy += lasts * growth.workers  # calls that are in each other's way are in them for longer
            self.cpu += each * cpu_share * growth.workers
            growth.observe(self.now, self.calls, self.busy, self.cpu)
        return growth.workers


def grow(each, cpu_share, parallel, ceiling=1.0, limit=128):
    return Fed(ceiling, limit, 2).feed(each, cpu_share, parallel)


def test_waiting_grows_to_the_limit():
    assert grow(0.02, 0.001, lambda n: n) == 128


def test_what_batches_tell_late_is_no_end_of_growth():
    """Eight threads make four calls of 10 ms at a time: few of these are told first, then all others at once."""
    growth = Growth(1.0, 128, 2)
    growth.observe(0.010, 2, 0.02, 0.0, batch=4)
    growth.observe(0.015, 8, 0.08, 0.0, batch=4)
    assert growth.observe(0.055, 16, 0.16, 0.0, batch=4) == 8
    growth.observe(0.096, 24, 0.24, 0.0, batch=4)
    assert growth.observe(0.097, 48, 0.48, 0.0, batch=4) == 32


@pytest.mark.parametrize(("cpu", "sated"), [(0.002, False), (0.095, True)])
def test_threads_that_have_all_of_the_gil_do_not_wait_for_what_comes_in(cpu, sated):
    """However long each call then seems to wait."""
    growth = Growth(1.0, 128, 20)
    assert not growth.sated
    growth.observe(0.1, 40, 2.0, cpu)
    assert growth.sated is sated


def test_threads_that_wait_are_more_before_a_call_has_ended():
    growth = Growth(1.0, 128, 2, 2, 6)
    growth.look(0.0, True, 1.0)
    assert growth.due == pytest.approx(0.01)
    growth.look(0.008, True, 1.0)
    assert growth.workers == 2
    growth.look(0.01, True, 1.0005)
    assert growth.workers == 6 and growth.due is None


def test_threads_that_compute_are_as_many_as_cores_until_they_are_seen_to_wait():
    growth = Growth(1.0, 128, 2, 2, 6)
    growth.look(0.0, True, 0.0)
    growth.look(0.01, True, 0.009)
    growth.look(0.03, True, 0.028)
    assert growth.workers == 2 and growth.due == pytest.approx(0.07)
    growth.look(0.07, True, 0.028)
    assert growth.workers == 6


def test_threads_are_not_more_where_no_call_waits_for_one():
    growth = Growth(1.0, 128, 2, 2, 6)
    growth.look(0.0, True, 0.0)
    growth.look(0.01, False, 0.0)
    assert growth.workers == 2 and growth.due is None
    growth.look(1.0, True, 0.0)
    assert growth.workers == 2 and growth.due == pytest.approx(1.01)


def test_threads_that_are_known_not_to_have_waited_for_cores_wait_for_something_else():
    growth = Growth(1.0, 128, 2, 2, 6)
    growth.both = False
    growth.look(0.0, True, 0.0, 0.0)
    growth.look(0.01, True, 0.001, 0.009)  # others have the cores
    assert growth.workers == 2
    growth.look(0.03, True, 0.002, 0.010)
    assert growth.workers == 6


def test_where_children_compute_no_more_threads_are_of_use_though_these_only_wait():
    growth = Growth(2.0, 128, 2, 0, 64)
    growth.family = True
    used = iter(0.038 * turn for turn in range(1, 100))  # both cores, nearly
    growth.look(0.0, True, 0.0, 0.0)
    growth.look(0.02, True, 0.0, 0.0)  # the kernel has not said yet
    for turn in range(1, 9):
        growth.look(0.02 * turn, True, 0.038 * turn, 0.0)
        growth.observe(0.02 * turn, 2 * turn, 0.04 * turn, 0.0001 * turn, lambda: 0.0, lambda: next(used))
    assert growth.workers == 2


def test_threads_that_others_keep_from_the_cores_are_no_waiting_ones():
    def workers(delay):
        growth = Growth(2.0, 128, 2)
        growth.both = False
        most = 2
        for turn in range(1, 9):  # two calls of 10 ms each time, a fifth of them on a core
            growth.observe(0.01 * turn, 2 * turn, 0.02 * turn, 0.004 * turn, lambda at=turn: delay(at))
            most = max(most, growth.workers)
        return most

    assert workers(lambda turn: 0.014 * turn) == 2
    assert workers(lambda turn: 0.0) > 2
    assert workers(lambda turn: 0.1 if turn < 4 else 0.1 + 0.0001 * turn) > 2


def test_threads_that_had_no_core_at_all_are_not_more():
    growth = Growth(2.0, 128, 3, 0)
    growth.observe(0.18, 20, 0.2, 0.15, lambda: 0.1)
    assert growth.observe(0.23, 26, 0.25, 0.15, lambda: 0.25) == 3


def test_threads_in_each_others_way_are_as_few_again():
    def parallel(threads):
        return 3.0 if threads < 6 else 12.0 / threads  # a lock: the more want it, the longer it changes hands

    fed = Fed(2.0, 128, 3)
    took = [fed.feed(0.001, 0.3, parallel, rounds=1) for _ in range(1000)]
    assert max(took) > 6, "more were tried"
    assert took.count(3) > 900, "and seldom again"


def test_those_that_were_in_each_others_way_are_more_when_the_calls_only_wait():
    fed = Fed(2.0, 128, 3)
    while not fed.feed(0.001, 0.3, lambda n: 3.0 if n < 6 else 12.0 / n, rounds=1) > 6:
        pass
    assert fed.feed(0.001, 0.3, lambda n: 3.0 if n < 6 else 12.0 / n, rounds=10) == 3
    assert fed.feed(0.5, 0.001, lambda n: n, rounds=8) == 128


def test_threads_whose_calls_became_longer_by_themselves_stay_as_many():
    fed = Fed(1.0, 128, 2)
    while fed.growth.workers < 8:
        fed.feed(0.02, 0.001, lambda n: n, rounds=1)
    assert fed.feed(0.4, 0.001, lambda n: n, rounds=10) >= 8


def test_as_many_as_a_server_serves_are_more_when_others_are_asked():
    fed = Fed(1.0, 128, 2)
    assert fed.feed(0.02, 0.001, lambda n: min(n, 10)) <= 32
    assert fed.feed(0.5, 0.001, lambda n: n, rounds=20) == 128


def test_as_many_as_a_server_serves_are_not_tried_again_and_again():
    fed = Fed(1.0, 128, 2)
    fed.feed(0.02, 0.001, lambda n: min(n, 10), rounds=50)
    settled = fed.growth.workers
    took = {fed.feed(0.02 + 0.01 * (at % 2), 0.001, lambda n: min(n, 10), rounds=1) for at in range(500)}
    assert took == {settled}


def test_calls_told_together_with_such_as_took_no_time_are_no_measure_of_those_that_wait():
    """Two threads made thousands of calls that take nothing; then all wait for 10 ms."""
    growth = Growth(1.0, 128, 2)
    growth.observe(0.0010, 10, 0.0002, 0.0002, batch=8)
    growth.observe(0.0025, 5967, 0.0018, 0.0014, batch=900)
    assert growth.observe(0.0531, 6009, 0.1028, 0.0016, batch=230) == 8, "32 of these 42 took nothing"
    now, calls, busy = 0.0531, 6009, 0.1028
    for _ in range(3):
        threads = growth.workers
        now, calls, busy = now + 0.0101, calls + threads, busy + 0.0101 * threads
        assert growth.observe(now, calls, busy, 0.002) >= threads
    assert growth.workers == 128


def test_where_fewer_are_not_as_quick_there_are_more_again_and_yet_more():
    growth = Growth(1.0, 128, 2)
    growth.observe(0.01, 2, 0.02, 0.0)
    assert growth.observe(0.02, 4, 0.04, 0.0) == 8
    assert growth.observe(0.42, 12, 3.24, 0.0) == 2, "calls have become longer, or eight are too many"
    assert growth.observe(3.62, 28, 9.64, 0.0) == 8, "two are not as quick"
    assert growth.observe(4.02, 36, 12.84, 0.0) == 32


def test_whether_fewer_are_as_quick_is_known_once_they_no_longer_can_be():
    growth = Growth(1.0, 128, 2)
    growth.observe(0.01, 2, 0.02, 0.0)
    assert growth.observe(0.02, 4, 0.04, 0.0) == 8
    assert growth.observe(0.42, 12, 3.24, 0.0) == 2, "calls have become longer, or eight are too many"
    assert growth.observe(1.32, 14, 5.04, 0.0) == 2, "the other 14 could be quicker"
    assert growth.observe(1.42, 15, 6.04, 0.0) == 8, "in that time eight would have ended 20"


def test_threads_that_were_just_starting_are_not_judged():
    growth = Growth(1.0, 128, 6)
    growth.observe(0.003, 6, 0.018, 0.0)
    assert growth.observe(0.006, 12, 0.036, 0.0) == 24
    assert growth.observe(0.027, 36, 0.108, 0.0) == 24, "most of the 24 came late"
    assert growth.observe(0.030, 60, 0.180, 0.0) > 24


def test_what_threads_that_are_given_up_still_end_says_nothing_of_those_that_are_left():
    growth = Growth(1.0, 128, 2)
    growth.observe(0.01, 2, 0.02, 0.0)
    assert growth.observe(0.02, 4, 0.04, 0.0) == 8
    assert growth.observe(0.42, 12, 3.24, 0.0) == 2, "calls have become longer, or eight are too many"
    assert growth.observe(0.43, 28, 9.64, 0.0) == 2, "those are of the eight"
    assert growth.observe(3.63, 44, 16.04, 0.0) == 8, "two are not as quick"


def test_what_workers_that_have_gone_had_waited_for_cores_does_not_make_others_idle():
    growth = Growth(2.0, 128, 8, 2, 64)
    growth.look(0.0, True, 0.0, 6.0)
    growth.look(0.01, True, 0.02, 1.0)
    growth.look(0.02, True, 0.04, 1.0)
    growth.look(0.03, True, 0.06, 1.0)
    assert growth.workers == 8


def test_nobody_is_woken_for_a_look_that_is_due_no_more():
    lane = Lane(Batching(1e-4), 1, lambda _: None, False, True)
    for number in range(32):
        lane.workers[number] = Worker()
    lane.want(32)
    crew = SimpleNamespace(delay=lambda: 0.0)
    growth = Growth(1.0, 128, 32, 2, 64)
    live = Live(ThreadBackend(), crew, lane, growth)
    for turn in range(1, 4):
        lane.calls, lane.busy = 32 * turn, 0.064 * turn
        live.grown(growth, 0.002 * turn, 1000, lambda: 0.0)
    assert growth.workers > 64
    live.grown(growth, 0.02, 1000, lambda: 0.0)
    assert growth.due is None


def test_as_many_threads_as_keep_the_cores_busy_are_tried_at_once_at_most():
    growth = Growth(2.0, 128, 3, 0, 64)
    growth.look(0.0, True, 0.0, 0.0, 0, 100)
    growth.look(0.01, True, 0.006, 0.0, 4, 100)  # three use a third of the cores
    assert 9 <= growth.workers <= 12
    growth.look(0.011, True, 0.006, 0.0, 4, 100)
    growth.look(0.031, True, 0.006, 0.0, 4, 100)
    assert growth.workers == 64, "nobody computes any more"


def test_no_threads_are_added_for_calls_that_are_soon_over():
    growth = Growth(2.0, 128, 3, 0, 64)
    growth.look(0.0, True, 0.0, 0.0, 0, 100)
    growth.look(0.01, True, 0.002, 0.0, 36, 40)
    assert growth.workers == 3


def test_threads_that_go_on_with_their_batches_count_as_busy():
    def workers(process_cpu):
        growth = Growth(2.0, 128, 8)
        growth.observe(0.02, 8, 0.08, 0.03, lambda: 0.0, lambda: 0.03)
        return growth.observe(0.06, 16, 0.16, 0.06, lambda: 0.0, lambda: process_cpu)

    assert workers(0.06) > 8
    assert workers(0.105) == 8


def test_computing_does_not_grow():
    assert grow(0.02, 0.95, lambda n: 1.0) == 2


def test_growth_ends_where_a_server_saturates():
    assert grow(0.02, 0.001, lambda n: min(n, 10)) <= 32


def test_computing_threads_are_cut_to_the_cores_and_come_back_when_the_calls_wait():
    fed = Fed(1.0, 128, 6, 2)
    assert fed.feed(0.02, 1.0, lambda n: min(n, 2.0)) == 2
    assert fed.feed(0.02, 0.001, lambda n: n, rounds=1) >= 6


def test_threads_that_wait_a_little_too_are_not_cut_for_long():
    # Each call computes for 40 % of its time: five threads fill two cores, two threads do not.
    assert Fed(1.0, 128, 6, 2).feed(0.02, 0.4, lambda n: min(n, 5.0)) == 6


def test_computing_under_the_gil_crowds_no_cores():
    assert Fed(1.0, 128, 6, 2).feed(0.02, 1.0, lambda n: 1.0) == 6


def test_short_calls_do_not_grow():
    assert grow(1e-5, 0.01, lambda n: n) == 2


def test_the_shortest_maps_know_what_handing_a_call_over_costs_at_least():
    from lightwork._worth import HANDED

    assert min(info.capabilities.per_item for name, info in lw.backends().items() if name != "serial") == HANDED


def hand_out(pace: Pace, calls: int, late: Callable[[int], float], busy: int = 0) -> int:
    """How many calls threads have once ``calls`` more were to be handed out; ``late``: the GIL, with so many busy."""
    while calls:
        room = min(pace.room(busy), calls)
        busy, calls = busy + room, calls - room
        if not calls or not room:
            break
        pace.looked(busy, late(busy))
    return busy


def test_threads_that_wait_get_all_calls_at_once():
    assert hand_out(Pace(), 128, lambda busy: 1e-4) == 128


def test_threads_that_compute_get_no_more_than_it_took_to_see_that():
    pace = Pace()
    assert hand_out(pace, 128, lambda busy: 0.005) == 8
    # One has ended: another one takes its place, and that is all.
    assert hand_out(pace, 127, lambda busy: 0.005, busy=7) == 8


def test_threads_that_wait_again_get_more_again():
    pace = Pace()
    hand_out(pace, 128, lambda busy: 0.005)
    assert hand_out(pace, 128, lambda busy: 1e-4) == 128


def test_where_many_wait_already_and_the_gil_is_full_they_stay_as_many():
    pace = Pace()
    pace.looked(100, 0.01)
    assert pace.room(99) == 1 and pace.room(100) == pace.room(120) == 0


def test_threads_that_are_many_by_another_way_are_not_looked_at_any_more():
    growth = Growth(1.0, 128, 2, 2, 6)
    growth.look(0.0, True, 0.0)
    assert growth.due is not None
    growth.workers = 8
    growth.look(0.02, True, 0.0)
    assert growth.workers == 8 and growth.due is None


def test_calls_that_do_both_have_as_many_threads_as_keep_the_cores_busy():
    def parallel(threads):
        return min(threads, 4.0)  # half of a call's time on one of two cores

    assert 5 <= grow(0.01, 0.5, parallel, ceiling=2.0) <= 10
    assert grow(0.01, 0.9, parallel, ceiling=2.0) == 2
    known = Fed(2.0, 128, 2)
    known.growth.both = False
    assert known.feed(0.01, 0.5, parallel) == 2


def test_threads_that_computed_are_more_when_the_calls_begin_to_wait():
    fed = Fed(2.0, 128, 2)
    assert fed.feed(0.01, 0.95, lambda n: min(n, 2.0), rounds=20) == 2
    assert fed.feed(0.02, 0.001, lambda n: n, rounds=10) == 128


def test_there_are_threads_to_spare_for_calls_that_wait_now_and_then():
    def workers(wait, cpu, calls=1000):
        return policy(2, gil=False).workers("threads", Demand(wait, cpu), calls)

    assert workers(0.0, 0.01) == workers(0.0015, 0.0085) - 1 == 2
    assert workers(0.0005, 0.0095) == 2, "others had a core that it wanted"
    assert workers(0.005, 0.005) == 6
    assert workers(0.018, 0.002) == 28
    assert workers(0.005, 0.005, calls=5) == 5
    assert workers(1.0, 0.0) == 128
