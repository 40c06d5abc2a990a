"""compare: fair runs, honest verdicts, a reason that a beginner understands."""

import asyncio
import itertools
import json
import math
import statistics
import threading
import time
from dataclasses import dataclass

import pytest

from lightwork import _measuring
from lightwork._reasons import Facts, advice, reason
from lightwork._sameness import Same, first_difference, same
from lightwork._stats import Interval
from lightwork._verdicts import Measured, judge
from lightwork.comparing import Row, compare

FAST = ["serial", "threads"]


@pytest.fixture(autouse=True)
def no_probe(monkeypatch, request):
    """The probe measures; what it measures is tested where it lives. One test here uses the real one."""
    if "predictions" not in request.node.name:
        monkeypatch.setattr(_measuring.Session, "probe", lambda self, entries: None)


def square(x):
    return x * x


def nap(x):
    time.sleep(0.01)
    return x


async def await_nap(x):
    await asyncio.sleep(0.01)
    return x


def here(x):
    return threading.current_thread() is threading.main_thread()


def unlucky_thread(x):
    if threading.current_thread() is not threading.main_thread():
        raise OSError("only in the main thread")
    return x


counter = itertools.count()


def noisy(x):
    return next(counter)


def grow(x):
    x.append(1)
    return len(x)


def test_all_backends_are_in_the_table_and_agree():
    found = compare(square, range(20), rounds=2)
    assert [row.backend for row in found.rows] == ["serial", "threads", "processes", "interpreters"]
    assert found.agree and found.items == 20 and found.rounds == 2
    for row in found.rows:
        if row.ran:
            assert len(row.times) == 2 and row.first > 0 and row.memory >= 0 and row.workers >= 1
            assert row.time.low <= row.time.value <= row.time.high
            assert row.results == ("reference" if row.backend == "serial" else "same")
        else:
            assert row.reason and row.verdict == "unavailable"
    assert found["serial"].speedup == Interval(1.0, 1.0, 1.0)
    assert found["processes"].ran
    with pytest.raises(KeyError, match="serial"):
        found["nope"]


def test_waiting_work_is_won_by_threads_for_the_right_reason():
    found = compare(nap, range(30), backends=FAST, max_workers=10, rounds=2)
    assert found.winner == "threads"
    assert found["threads"].speedup.value > 1
    assert "mostly waits" in found.reason and "times faster than a plain loop" in found.reason
    assert found["threads"].workers == 10
    assert "slower" in found["serial"].verdict


def test_tiny_work_is_won_by_the_plain_loop():
    found = compare(square, range(10), backends=FAST, rounds=2)
    assert found.winner == "serial"
    assert found.reason.startswith("A plain loop wins")


def test_coroutine_functions_run_on_a_loop_against_one_after_another():
    found = compare(await_nap, range(20), rounds=2)
    assert [row.backend for row in found.rows] == ["serial", "asyncio"]
    assert found.winner == "asyncio" and found.agree

    async def from_inside():
        return compare(await_nap, range(3), rounds=1)

    assert asyncio.run(from_inside()).agree


def test_backends_that_do_not_suit_the_function_say_so():
    found = compare(await_nap, range(3), backends=["serial", "threads"], rounds=1)
    assert "coroutine" in found["threads"].reason
    found = compare(square, range(3), backends=["serial", "asyncio"], rounds=1)
    assert "async def" in found["asyncio"].reason


def test_several_iterables_become_arguments():
    assert compare(pow, [2, 3, 4], [5, 2, 9, 9], backends=FAST, rounds=1).items == 3


def test_different_results_are_a_loud_finding_and_never_win():
    found = compare(here, range(4), backends=FAST, rounds=1)
    assert not found.agree and found["threads"].results == "different"
    assert any("DIFFERENT RESULTS" in text and "item 0" in text for text in found.findings)
    assert found.winner == "serial" and found["threads"].verdict == "other results!"
    assert "DIFFERENT RESULTS" in str(found)


def test_a_function_that_never_repeats_itself_is_not_blamed_on_a_backend():
    found = compare(noisy, range(4), backends=FAST, rounds=1)
    assert found.agree and found["threads"].results == "unknown"
    assert any("Even a plain loop gives different results" in text for text in found.findings)


def test_every_run_gets_fresh_copies_and_changed_arguments_are_told():
    items = [[], [], []]
    found = compare(grow, items, backends=FAST, rounds=3)
    assert items == [[], [], []], "the caller's items are never touched"
    assert found.agree, "each run saw empty lists"
    assert any("changes its arguments" in text for text in found.findings)


def test_items_that_cannot_be_copied_are_used_again_and_it_is_said():
    locks = [threading.Lock() for _ in range(3)]
    found = compare(lambda lock: lock.locked(), locks, backends=FAST, rounds=1)
    assert any("3 items could not be copied" in note for note in found.notes)


def test_a_failure_in_the_plain_loop_is_the_callers():
    with pytest.raises(ZeroDivisionError) as caught:
        compare(lambda x: 1 / x, [2, 1, 0], rounds=1)
    assert any("item 2" in note for note in caught.value.__notes__)


def test_a_failure_in_one_backend_is_its_rows_reason():
    found = compare(unlucky_thread, range(3), backends=FAST, rounds=1)
    assert not found["threads"].ran and "OSError: only in the main thread" in found["threads"].reason
    assert "nothing to compare" in found.reason


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="rounds"):
        compare(square, [1], rounds=0)
    with pytest.raises(ValueError, match="Did you mean 'threads'"):
        compare(square, [1], backends=["thraeds"])
    with pytest.raises(ValueError, match="empty"):
        compare(square, [1], backends=[])
    with pytest.raises(TypeError, match="items after"):
        compare(square)


def test_wrong_arguments_are_told_as_map_tells_them():
    for call, words in [
        (lambda: compare(5, [1]), "function first"),
        (lambda: compare(square, 5), "must be iterable"),
        (lambda: compare(square, [1], workers=4), "Did you mean max_workers"),
        (lambda: compare(square, [1], rounds=1.5), "whole number"),
    ]:
        with pytest.raises(TypeError, match=words):
            call()


@pytest.mark.parametrize("items", [range(10**12), range(10**30), itertools.count()])
def test_endless_and_huge_input_is_refused(items):
    with pytest.raises(ValueError, match="islice"):
        compare(square, items)


def test_a_wrong_environment_variable_is_named(monkeypatch):
    monkeypatch.setenv("LIGHTWORK_MAX_WORKERS", "0")
    with pytest.raises(ValueError, match="LIGHTWORK_MAX_WORKERS"):
        compare(square, [1])


total = 0


def adds(x):
    global total
    total += x
    time.sleep(0.01)


def test_a_function_that_changes_a_global_is_not_advised_to_run_elsewhere():
    found = compare(adds, range(8), backends=FAST, rounds=1)
    assert any('changes the global "total"' in text and "calling thread" in text for text in found.findings)
    assert not any("lightwork.map" in text for text in found.advice)


def test_predictions_for_coroutines_inside_a_running_loop():
    async def from_inside():
        return compare(await_nap, range(3), rounds=1)

    assert asyncio.run(from_inside())["serial"].predicted > 0


def test_no_items_and_one_item():
    assert compare(square, [], backends=FAST, rounds=1).winner == "serial"
    assert "one item" in compare(nap, [1], backends=FAST, rounds=1).reason


def test_long_work_runs_fewer_rounds_and_says_so(monkeypatch):
    monkeypatch.setattr(_measuring, "BUDGET", 0.05)
    found = compare(nap, range(6), backends=["serial"], rounds=5)
    assert found.rounds == 0 and found["serial"].times == ()
    assert found["serial"].time.value == found["serial"].first
    assert any("ran once only" in note for note in found.notes)
    monkeypatch.setattr(_measuring, "BUDGET", 0.8)  # three rounds where a busy machine takes four times as long
    found = compare(nap, range(6), backends=["serial"], rounds=50)
    assert 1 <= found.rounds < 50 and any("of 50 rounds" in note for note in found.notes)


def test_progress_counts_runs():
    seen = []
    compare(square, range(3), backends=FAST, rounds=2, progress=seen.append)
    assert seen[0].done == 0 and seen[0].total == 6
    assert seen[-1].finished and seen[-1].done == 6
    assert not any(one.finished for one in seen[:-1])


def test_json_is_plain_data():
    data = json.loads(json.dumps(compare(square, range(3), rounds=1).to_json()))
    assert data["agree"] is True and data["rows"][0]["backend"] == "serial"
    assert data["rows"][0]["time"]["value"] > 0


def test_predictions_stand_beside_the_measurements():
    found = compare(nap, range(10), backends=FAST, max_workers=5, rounds=1)
    assert found["serial"].predicted == pytest.approx(0.1, rel=1.0)
    assert found["threads"].predicted < found["serial"].predicted
    assert found["serial"].off == pytest.approx(found["serial"].time.value / found["serial"].predicted)
    text = str(found)
    assert "predicted, measured" in text and "The model was" in text
    middle, largest, backend = found.wrong
    assert 1 <= middle <= largest and backend in FAST
    assert found.to_json()["model"]["largest"] == largest and found.to_json()["rows"][0]["off"] > 0
    assert found.demand["wait"] > found.demand["cpu"]


# verdicts, from figures made up


def measured(backend, *seconds, workers=2, **more):
    return Measured(backend, workers, list(seconds), [1.0], seconds[0], 0, "same", **more)


def test_equally_fast_backends_are_named_and_the_simplest_wins():
    rows, winner, tied = judge(
        [
            measured("serial", 2.0, 2.01, 2.02),
            measured("processes", 1.0, 1.02, 0.99),
            measured("threads", 1.01, 1.0, 1.03),
        ]
    )
    assert winner.backend == "threads" and tied == ("processes",)
    assert [row.verdict for row in rows] == ["2.0× slower", "as fast as threads", "fastest"]
    assert rows[1].efficiency == pytest.approx(1.0, rel=0.1)


def test_clear_differences_are_not_called_equal():
    rows, winner, tied = judge([measured("serial", 1.0, 1.01, 1.02), measured("threads", 1.2, 1.21, 1.22)])
    assert winner.backend == "serial" and not tied and rows[1].verdict == "1.2× slower"


def test_times_that_vary_too_much_leave_a_question_mark():
    rows, winner, tied = judge([measured("threads", 1.0, 2.0, 3.0), measured("processes", 1.5, 2.5, 3.5)])
    assert winner.backend == "threads" and not tied and rows[1].verdict == "1.2× slower?"


def test_single_runs_need_a_wider_margin():
    _, winner, tied = judge([measured("serial", 1.05, workers=1), measured("threads", 1.0)])
    assert winner.backend == "serial" and tied == ("threads",)


def test_without_serial_there_is_no_speedup():
    rows, winner, _ = judge([measured("threads", 1.0, 1.0), measured("processes", 0.5, 0.5)])
    assert winner.backend == "processes" and all(row.speedup is None for row in rows)


# reasons


def a_row(backend, seconds, speedup=None, **more):
    gain = None if speedup is None else Interval(speedup, speedup, speedup)
    return Row(
        backend,
        2,
        (seconds,) * 3,
        seconds,
        Interval(seconds, seconds, seconds),
        gain,
        0.9,
        1.0,
        0,
        "same",
        **more,
    )


def facts(wait=0.0, cpu=0.0, gil=None, wire=0.0, cores=2, gil_enabled=True, items=100):
    return Facts(wait, cpu, gil, wire, cores, gil_enabled, items)


@pytest.mark.parametrize(
    ("winner", "known", "words"),
    [
        ("processes", facts(cpu=0.01, gil=0.01), "only processes let two cores compute at once"),
        ("interpreters", facts(cpu=0.01, gil=0.01), "each with a GIL of its own"),
        ("threads", facts(wait=0.01, cpu=0.0001), "mostly waits (99 % of the time)"),
        ("threads", facts(cpu=0.01, gil=0.0), "lets go of the GIL"),
        ("threads", facts(cpu=0.01, gil=0.01, gil_enabled=False), "no GIL"),
        ("asyncio", facts(wait=0.01), "mostly waits"),
    ],
)
def test_the_reason_names_what_binds(winner, known, words):
    rows = [a_row("serial", 1.0, 1.0), a_row(winner, 0.5, 2.0)]
    sentence = reason(rows[1], rows, known, ())
    assert words in sentence and "2.0 times faster than a plain loop" in sentence and sentence.endswith(".")


@pytest.mark.parametrize(
    ("seconds", "known", "words"),
    [
        (0.001, facts(cpu=1e-5, gil=1e-5), "less than it costs to start workers"),
        (1.0, facts(cpu=0.01, gil=0.01, cores=1), "one core only"),
        (1.0, facts(cpu=0.01, gil=0.01, wire=0.01), "sending its data"),
        (1.0, facts(cpu=0.01, gil=0.01), "threads must take turns"),
        (1.0, facts(cpu=0.01, gil=0.01, items=1), "one item only"),
    ],
)
def test_the_reason_for_a_plain_loop(seconds, known, words):
    rows = [a_row("serial", seconds, 1.0), a_row("processes", 2 * seconds, 0.5)]
    assert words in reason(rows[0], rows, known, ())


def test_advice_speaks_of_data_that_costs_too_much():
    winner = a_row("processes", 0.5, 1.5)
    found = advice(winner, facts(cpu=0.01, gil=0.01, wire=0.005), "m:parse")
    assert any("send less" in text for text in found) and any("lightwork.map(parse, items)" in text for text in found)


# sameness


@dataclass
class Point:
    x: float
    y: float


class Opaque:
    __slots__ = ()


class Holder:
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (math.nan, math.nan, Same.SAME),
        (0.1 + 0.2, 0.3, Same.CLOSE),
        (1.0, 1.1, Same.DIFFERENT),
        ({"a": [1, (2.0,)]}, {"a": [1, (2.0,)]}, Same.SAME),
        ({"a": 1}, {"b": 1}, Same.DIFFERENT),
        ([1, 2], [1], Same.DIFFERENT),
        ({1, 2}, {2, 1}, Same.SAME),
        (Point(1.0, math.nan), Point(1.0, math.nan), Same.SAME),
        (Holder([1]), Holder([1]), Same.SAME),
        (Holder([1]), Holder([2]), Same.DIFFERENT),
        (Opaque(), Opaque(), Same.UNKNOWN),
        (ValueError("a"), ValueError("a"), Same.SAME),
        (1, "1", Same.DIFFERENT),
        (True, 1, Same.SAME),
        (None, 0, Same.DIFFERENT),
    ],
)
def test_values_are_compared_as_people_mean_it(one, other, expected):
    assert same(one, other) is expected


def test_arrays_are_compared_element_by_element():
    np = pytest.importorskip("numpy")
    assert same(np.array([1.0, np.nan]), np.array([1.0, np.nan])) is Same.SAME
    assert same(np.array([0.1 + 0.2]), np.array([0.3])) is Same.CLOSE
    assert same(np.array([1, 2]), np.array([1, 3])) is Same.DIFFERENT
    assert same(np.array([1, 2]), np.array([1, 2, 3])) is Same.DIFFERENT
    assert same([np.array(["a"])], [np.array(["a"])]) is Same.SAME


def test_a_list_that_holds_itself_ends():
    one, other = [], []
    one.append(one)
    other.append(other)
    assert same(one, other) is Same.UNKNOWN


def test_the_first_difference_is_found():
    assert first_difference([1, 2, 3], [1, 5, 4]) == (Same.DIFFERENT, 1)
    assert first_difference([1, 2], [1, 2]) == (Same.SAME, None)
    assert first_difference([1, 2], [1]) == (Same.DIFFERENT, 1)


def test_where_no_thread_can_be_started(monkeypatch):
    """Memory is looked at before and after, and not in between."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found = compare(abs, range(-10, 0), backends=["serial", "processes"], rounds=1)
    assert [row.backend for row in found.rows] == ["serial", "processes"]
    assert "can't start" not in str(found)


def of_a_sorted_list(number):
    return sum(range(200 * (300 - number)))


def test_predictions_are_of_all_items_not_of_the_first_ones():
    """The first of these take twice as long as the mean."""
    found = compare(of_a_sorted_list, range(300), backends=FAST, max_workers=2, rounds=1)
    assert found["serial"].off == pytest.approx(1.0, rel=0.01)


def test_a_few_items_are_taken_from_everywhere():
    items = [(number,) for number in range(200)]
    spread = _measuring._spread(items)
    assert sorted(spread) == items
    for first in (8, 32, 50):
        assert statistics.mean(number for (number,) in spread[:first]) == pytest.approx(100, rel=0.1)
