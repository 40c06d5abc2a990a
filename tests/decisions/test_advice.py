"""Where a run's time went, and what would make it faster: rules over reports that are made up here."""

from __future__ import annotations

import time

import pytest

import lightwork as lw
from lightwork._account import account
from lightwork._advice import advice
from lightwork._attendance import EACH, EVERY, Attendance, Gauge
from lightwork._demand import Demand
from lightwork._finding import COSTS, GOOD_TO_KNOW, UNKNOWN
from lightwork._report import Report
from lightwork._trace import Decision, Lane, Span

COUNTS = Demand(wait=0.0, cpu=0.01, gil=0.01)
WAITS = Demand(wait=0.02, cpu=0.0001, gil=0.0001)


def ran(backend, calls, seconds, *lanes, **more):
    """A report whose main lane comes last."""
    return Report(backend, lanes[-1].workers, calls, seconds, lanes, **more)


def found(report, cores=2, gil=True):
    """The findings by rule."""
    return {one.rule: one for one in advice(report, cores, gil)}


def counting_threads(**more):
    lane = Lane("threads", 2, 100, busy=2.0, cpu=1.0)
    return ran("threads", 100, 1.05, lane, demand=COUNTS, **more)


# where the time went


def test_nothing_of_a_workers_time_is_lost_or_told_twice():
    processes = Lane("processes", 2, 90, busy=1.0, cpu=0.95, starting=0.1, idle=0.2, sending=0.05)
    report = ran("processes", 100, 0.7, Lane("serial", 1, 10, 0.1, 0.1), processes, demand=COUNTS, gil_known=True)
    told = account(report, gil=True)
    assert told.whole == pytest.approx(0.1 + 1.0 + 0.1 + 0.2 + 0.05)
    assert told.computing == pytest.approx(1.05) and told.held == pytest.approx(1.05)
    assert told.in_line == pytest.approx(0.05) and told.waiting == 0
    assert (told.starting, told.idle, told.serialising) == (0.1, 0.2, 0.05)


def test_what_a_worker_does_to_arguments_and_results_is_no_computing():
    demand = Demand(wait=0.0, cpu=0.01, gil=0.01, wire_caller=0.001, wire_worker=0.002)
    lane = Lane("processes", 2, 100, busy=1.2, cpu=1.2, sending=0.1)
    told = account(ran("processes", 100, 0.7, lane, demand=demand, wire_known=True), gil=True)
    assert told.serialising == pytest.approx(0.1 + 0.2) and told.computing == pytest.approx(1.0)


def test_what_child_processes_compute_is_no_waiting_and_not_under_the_gil():
    demand = Demand(wait=0.0, cpu=0.01, gil=0.0002, children=0.0098)  # seen when the first one had just begun
    lanes = Lane("serial", 1, 1, 0.05, 0.0002), Lane("threads", 2, 20, 1.1, 0.004)
    told = account(ran("threads", 21, 0.6, *lanes, demand=demand, gil_known=True), gil=True)
    assert told.computing == pytest.approx(21 * 0.05) and told.waiting == 0
    assert told.held == pytest.approx(0.02 * told.computing) and told.in_line == pytest.approx(0.1)


def test_calls_that_wait_by_themselves_do_not_stand_in_line():
    told = account(ran("threads", 100, 0.1, Lane("threads", 50, 100, 2.1, 0.01), demand=WAITS), gil=True)
    assert told.in_line == 0 and told.waiting == pytest.approx(2.09)
    told = account(counting_threads(), gil=True)
    assert told.in_line == pytest.approx(1.0) and told.waiting == 0


def test_half_waiting_calls_wait_in_proportion_to_their_computing():
    half = Demand(wait=0.01, cpu=0.01, gil=0.01)
    told = account(ran("threads", 100, 1.0, Lane("threads", 4, 100, busy=4.0, cpu=1.0), demand=half), gil=True)
    assert told.waiting == pytest.approx(1.0) and told.in_line == pytest.approx(2.0)


def test_all_calls_are_believed_more_than_the_beginning_of_the_first():
    """Of a call that first waits and then computes only the wait was seen when the choice was made."""
    began = Demand(wait=0.005, cpu=0.0001, gil=0.0001)
    told = account(ran("threads", 60, 0.3, Lane("threads", 50, 60, busy=9.0, cpu=0.28), demand=began), gil=True)
    assert told.computing == pytest.approx(0.28) and told.in_line > 7


def test_what_others_compute_for_a_call_is_no_waiting():
    """A program that a call starts shows in the demand, not on the thread's clock."""
    starts = Demand(wait=0.002, cpu=0.05, gil=0.0)
    told = account(ran("threads", 20, 0.6, Lane("threads", 2, 20, busy=1.1, cpu=0.02), demand=starts), gil=True)
    assert told.computing == pytest.approx(1.0) and told.waiting + told.in_line == pytest.approx(0.1)


def test_where_nobody_listened_the_gil_is_not_spoken_of():
    lane = Lane("processes", 2, 100, 1.0, 1.0)
    assert account(ran("processes", 100, 0.5, lane), gil=True).held is None
    assert account(ran("processes", 100, 0.5, lane), gil=False).held == 0.0


def test_attendance():
    there = Attendance()
    there.start(1, 10.0)
    there.start(2, 10.0)
    there.ready(1, 0.5)  # the word of it may come whenever it will
    assert there.until(12.0) == (pytest.approx(0.5 + 2.0), pytest.approx(1.5))
    there.ready(2, 0.6)
    there.gone(1, 11.0)
    assert there.until(12.0) == (pytest.approx(1.1), pytest.approx(0.5 + 1.4))


def test_what_is_done_often_is_measured_now_and_then():
    gauge, measured = Gauge(), 0
    for _ in range(EACH + 100 * EVERY):
        if gauge.due():
            gauge.add(1.0)
            measured += 1
    assert gauge.seconds == EACH + 100 * EVERY and measured == EACH + 100


# what would make it faster


def test_threads_that_take_turns_for_the_gil():
    told = found(counting_threads(gil_known=True))
    assert told["gil"].verdict == COSTS
    assert "100 % of a call holds the GIL: threads cannot pass 1.0 times" in told["gil"].what
    assert "2 processes would be 1.8 times as fast" in told["gil"].what
    assert 'backend="processes"' in told["gil"].remedy
    assert "gil" not in found(counting_threads(gil_known=True), cores=1), "one core gives processes nothing"
    assert "gil" not in found(counting_threads(), gil=False)


def test_the_share_that_holds_the_gil_is_the_measured_one():
    demand = Demand(wait=0.0018, cpu=0.0082, gil=0.0082)
    told = found(ran("threads", 200, 1.7, Lane("threads", 2, 200, 3.3, 1.64), demand=demand, gil_known=True))
    assert "82 % of a call holds the GIL: threads cannot pass 1.2 times" in told["gil"].what


@pytest.mark.parametrize("gil", [0.0, 0.0041])
def test_a_share_that_leaves_room_for_a_thread_on_each_core_is_no_reason(gil):
    demand = Demand(wait=0.0018, cpu=0.0082, gil=gil)
    one = ran("threads", 200, 2.0, Lane("threads", 1, 200, 2.0, 1.64), demand=demand, gil_known=True)
    assert "gil" not in found(one)


def test_a_named_backend_is_judged_by_what_its_workers_clocks_say():
    told = found(ran("threads", 100, 1.05, Lane("threads", 6, 100, busy=5.5, cpu=1.0)))
    assert "6 threads computed for 1.00 s in 1.05 s" in told["gil"].what
    told = found(ran("threads", 100, 0.55, Lane("threads", 6, 100, busy=3.0, cpu=1.0)))
    assert list(told) == ["not-measured"], "two cores were in use, so it was not the GIL"


def test_without_evidence_there_is_no_advice():
    told = found(ran("processes", 100, 0.6, Lane("processes", 2, 100, 1.1, 1.1)))
    assert [one.verdict for one in told.values()] == [UNKNOWN]
    assert "lw.compare" in told["not-measured"].remedy
    assert advice(ran("threads", 100, 0.01, Lane("threads", 2, 100, 0.02, 0.01)), 2, True) == (), "too short"
    assert advice(Report("serial", 0, 0, 1.0), 2, True) == ()


def test_arguments_that_cost_as_much_as_the_work():
    demand = Demand(0.0, 0.02, 0.02, wire_caller=0.007, wire_worker=0.007, bytes_out=8_000_000, bytes_back=20)
    stayed = ran("serial", 100, 2.0, Lane("serial", 1, 100, 2.0, 2.0), demand=demand, wire_known=True)
    told = found(stayed)["wire"]
    assert "The arguments (8.0 MB a call) cost 14.0 ms a call" in told.what and "too much for processes" in told.what
    assert "2 processes would be 1.9 times as fast" in told.what and "lw.share(array)" in told.remedy
    lane = Lane("processes", 2, 100, busy=2.9, cpu=2.9, sending=0.8)
    told = found(ran("processes", 100, 1.7, lane, demand=demand, wire_known=True))["wire"]
    assert "The arguments (8.0 MB a call) cost 15.0 ms a call" in told.what
    back = Demand(0.0, 0.02, 0.02, wire_caller=0.007, wire_worker=0.007, bytes_out=20, bytes_back=8_000_000)
    told = found(ran("processes", 100, 1.7, lane, demand=back, wire_known=True))["wire"]
    assert "The results (8.0 MB a call)" in told.what and "writable=True" in told.remedy


def test_small_things_that_travel_are_nobodys_fault():
    lane = Lane("processes", 2, 20_000, busy=0.5, cpu=0.5, sending=0.3)
    assert "wire" not in found(ran("processes", 20_000, 0.4, lane, demand=Demand(0, 2e-5, 2e-5), wire_known=True))


def test_what_keeps_a_function_in_the_calling_thread():
    stays = 'changes the global "TOTAL" (line 3 of work.py)'
    told = found(ran("serial", 100, 1.0, Lane("serial", 1, 100, 1.0, 1.0), demand=COUNTS, stays=stays))
    assert stays in told["shared-state"].what and "2 processes would be 1.8 times as fast" in told["shared-state"].what
    told = found(ran("serial", 100, 2.0, Lane("serial", 1, 100, 2.0, 0.01), demand=WAITS, stays=stays))
    assert "100 threads would be" in told["shared-state"].what
    why = (("processes", "the function cannot be pickled: cannot pickle '_thread.lock' object"),)
    told = found(ran("serial", 100, 1.0, Lane("serial", 1, 100, 1.0, 1.0), demand=COUNTS, refused=why))
    assert "cannot pickle '_thread.lock' object" in told["refused"].what and "lw.check" in told["refused"].remedy
    why = (("processes", f"the function {stays}"),)
    told = found(ran("serial", 100, 1.0, Lane("serial", 1, 100, 1.0, 1.0), demand=COUNTS, refused=why))
    assert stays in told["refused"].what and "return what it finds" in told["refused"].remedy


def test_waits_that_are_too_few_at_a_time():
    told = found(ran("threads", 100, 0.5, Lane("threads", 4, 100, busy=2.0, cpu=0.01)))
    assert "4 could wait at once. 100 threads would be" in told["more-workers"].what
    told = found(ran("processes", 100, 1.0, Lane("processes", 2, 100, busy=2.0, cpu=0.01)))
    assert "threads would be" in told["more-workers"].what
    told = found(ran("threads", 1000, 0.2, Lane("threads", 128, 1000, busy=20.0, cpu=0.1), demand=WAITS))
    assert told["more-workers"].verdict == GOOD_TO_KNOW and "async def" in told["more-workers"].remedy


def test_no_more_are_advised_than_the_system_allowed():
    refused = (Decision(0.1, "went on with 4 threads", "no more could be started: can't start new thread", fewer=True),)
    told = found(ran("threads", 100, 0.5, Lane("threads", 4, 100, busy=2.0, cpu=0.01), decisions=refused))
    assert "more-workers" not in told


def test_a_start_that_nothing_was_done_in():
    lane = Lane("processes", 2, 10, busy=0.1, cpu=0.1, starting=0.2)
    told = found(ran("processes", 10, 0.2, lane, startup=0.12))
    assert "120 ms of the 200 ms" in told["start-up"].what
    busy_meanwhile = Lane("serial", 1, 5, 0.1, 0.1)
    assert "start-up" not in found(ran("processes", 15, 0.2, busy_meanwhile, lane, startup=0.12, demand=COUNTS))


def test_one_call_that_all_have_to_wait_for():
    lane = Lane("processes", 2, 40, busy=0.8, cpu=0.8, idle=0.4)
    spans = (Span("processes", 1, 0, 39, 0.0, 0.3, 0.3), Span("processes", 2, 39, 1, 0.1, 0.5, 0.5))
    told = found(ran("processes", 40, 0.6, lane, spans=spans, demand=Demand(0, 0.02, 0.02)))["straggler"]
    assert "Item 39 took 500 ms of the 600 ms, and began at 100 ms" in told.what and "first" in told.remedy
    in_line = (Span("threads", 2, 39, 1, 0.1, 0.5, 0.01),)
    assert "straggler" not in found(ran("threads", 40, 0.6, lane, spans=in_line, demand=Demand(0, 0.02, 0.02)))


def test_items_that_do_not_share_out():
    lane = Lane("processes", 3, 3, busy=3.0, cpu=3.0, idle=0.1)
    told = found(ran("processes", 3, 1.1, lane, demand=Demand(0, 1.0, 1.0)), cores=8)["few-items"]
    assert "3 calls keep 3 of 8 cores busy at most" in told.what
    told = found(ran("processes", 3, 2.1, lane, demand=Demand(0, 1.0, 1.0)), cores=2)["few-items"]
    assert "3 calls do not share out among 2 cores" in told.what
    assert "few-items" not in found(ran("processes", 4, 2.1, lane, demand=Demand(0, 1.0, 1.0)), cores=2)


def test_an_input_without_a_length_and_calls_that_are_too_small():
    serial, processes = Lane("serial", 1, 50, 0.5, 0.5), Lane("processes", 2, 60, 0.6, 0.6)
    late = (Decision(0.5, "changed over to 2 processes", "of what was seen"),)
    report = ran("processes", 110, 0.9, serial, processes, demand=COUNTS, decisions=late, counted=False)
    assert "changed over to 2 processes only after 500 ms" in found(report)["no-length"].what
    tiny = ran("serial", 10**7, 1.0, Lane("serial", 1, 10**7, 1.0, 1.0), demand=Demand(0.0, 1e-7, 1e-7))
    assert "One call takes 100 ns" in found(tiny)["small-calls"].what


def test_cores_that_others_have():
    lane = Lane("processes", 2, 100, busy=1.6, cpu=1.0)
    assert "600 ms" in found(ran("processes", 100, 0.9, lane, demand=COUNTS, gil_known=True))["no-core"].what


def test_where_all_is_well_it_says_what_binds():
    lane = Lane("processes", 2, 100, busy=1.0, cpu=1.0)
    told = found(ran("processes", 100, 0.55, lane, demand=COUNTS, gil_known=True))
    assert list(told) == ["bound"] and told["bound"].verdict == GOOD_TO_KNOW
    assert "4 cores would be 1.8 times as fast" in told["bound"].what


# through the public API


def nap(x):
    time.sleep(0.01)
    return x


@pytest.mark.parametrize("backend", ["threads", "processes", "serial"])
def test_the_account_of_a_real_run_adds_up(backend):
    report = lw.map(nap, range(20), backend=backend, max_workers=1 if backend == "serial" else 2).report
    told = report.account
    assert told.waiting >= 0.19 and told.whole >= 0.9 * report.seconds
    assert (told.starting + told.idle > 0) == (backend != "serial")
    assert (told.serialising > 0) == (backend == "processes")
    text = str(report)
    assert "where the time went" in text and "waiting" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_real_run_says_what_would_help():
    report = lw.map(nap, range(40), backend="threads", max_workers=2).report
    assert "more-workers" in {one.rule for one in report.advice}
    assert "→" in str(report) and isinstance(report.advice[0], lw.Finding)


TOTAL = 0


def add(x):
    global TOTAL
    TOTAL += x
    time.sleep(0.01)


def test_a_real_run_says_what_its_side_effect_costs():
    report = lw.map(add, range(20)).report
    assert "shared-state" in {one.rule for one in report.advice}
    assert str(report).count("changes the global") == 2, "the decision, and what follows from it"
