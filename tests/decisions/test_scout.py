"""What a run decides while the caller's thread is inside a call: no thread and no waiting, the clock stands still."""

from __future__ import annotations

import threading
import time

import pytest

import lightwork as lw
from lightwork._calls import Batch, Outcomes, Turn
from lightwork._demand import Demand
from tests.decisions.test_policy import COUNTS, WAITS, policy, seen


def turn(end: int) -> Turn:
    return Turn(1, Batch(0, abs, "one", 0, range(end)), Outcomes(0, 0, []))


def test_what_has_begun_is_never_taken_away():
    mine = turn(10)
    assert mine.begin(0, 3) == (3, 10)
    assert mine.cut() == 3
    assert mine.begin(3, 5) == (0, 3)


def test_nothing_is_cut_from_a_batch_that_has_all_begun():
    mine = turn(4)
    assert mine.begin(0, 8) == (4, 4)
    assert mine.cut() == 4


def test_without_evidence_that_results_travel_nothing_goes_to_processes():
    without = seen(COUNTS).__class__(0.01, 0, 4, COUNTS, True, True, None, True, travels=False)
    verdict = policy().advise(without)
    assert verdict.switch is None and verdict.again is not None
    waits = seen(WAITS).__class__(0.01, 0, 4, Demand(wait=0.4, cpu=0.0), True, True, None, True, travels=False)
    assert policy().advise(waits).switch == "threads"


def test_a_scout_that_was_rung_for_twice_ends():
    """Once to load something, once to end, before it has heard the first."""
    from lightwork._scout import Scout

    loaded, go = threading.Event(), threading.Event()

    def load() -> None:
        loaded.set()
        assert go.wait(10)

    scout = Scout(load=load)
    assert not scout.load()
    assert loaded.wait(10)
    scout.loading = False
    scout.load()  # rings while the scout is busy
    scout.dismiss()
    scout.dismiss()
    go.set()
    assert scout.load()


def test_what_a_run_is_shown_is_how_long_the_batch_has_lasted_when_the_run_is_there():
    """It may take longer to be made than the batch had lasted before."""
    from lightwork._clock import ManualClock
    from lightwork._scout import LOOK, Scout

    clock, seen, looked = ManualClock(), [], threading.Event()

    class Shown:
        def look_in(self, turn, lasted, cpu):
            seen.append(lasted)
            looked.set()

        def overtake(self, events):
            raise AssertionError("nobody has told anything")

        def wake(self):
            looked.set()

    def begin(turn, lasted, cpu):
        clock.advance(10.0)
        return Shown()

    scout = Scout(begin, clock=clock)
    with scout(turn(1)):
        clock.advance(2 * LOOK)
        assert looked.wait(10)
    scout.dismiss()
    assert seen and seen[0] > 5.0


@pytest.mark.timeout(30)
def test_four_long_waits_overlap_from_the_first_one_on():
    together = threading.Barrier(4)

    def meet(_):
        together.wait(20)
        return True

    assert lw.map(meet, range(4)) == [True] * 4


@pytest.mark.timeout(30)
def test_a_result_that_cannot_travel_is_no_failure_of_a_long_first_call():
    """Nothing says what this returns: so the rest waits for the first call to end, and then stays."""

    def make(_):
        end = time.thread_time() + 0.15
        while time.thread_time() < end:
            pass
        return threading.Lock()

    assert len(lw.map(make, range(3))) == 3


@pytest.mark.timeout(30)
def test_the_first_error_of_others_is_raised_when_the_caller_is_back():
    def fail(item):
        time.sleep(0.1)
        if item:
            raise ValueError(item)
        time.sleep(0.2)
        return item

    with pytest.raises(ValueError):
        lw.map(fail, range(3))


@pytest.mark.timeout(30)
def test_what_the_callers_thread_has_filled_is_looked_at_there():
    mine = threading.local()
    mine.n = 5

    def read(item):
        time.sleep(0.05)
        return mine.n + item

    results = lw.map(read, range(6))
    assert results == list(range(5, 11))
    assert "mine" in str(results.report)


@pytest.mark.timeout(60)
def test_every_call_is_made_once_however_long_each_takes():
    made = []

    def note(item):
        time.sleep(0.03 if item % 7 == 0 else 0.001)
        made.append(item)  # list.append is atomic
        return item

    assert lw.map(note, range(100), backend=("serial", "threads")) == list(range(100))
    assert sorted(made) == list(range(100))
