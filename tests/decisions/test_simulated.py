"""The real decisions on simulated machines: 2,160 points, the same each time, and how far from the best choice."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest

from lightwork._world import World
from lightwork.testing import ManualClock, SimulatedMachine, Workload, best_fixed, fixed, simulate

CORES = (1, 2, 3, 4, 8, 16, 64, 256, 1024)
CALLS = (4, 16, 64)
LENGTHS = (0.001, 0.01, 0.1, 1.0)
KINDS = {"waits": (1.0, 1.0), "computes": (0.0, 1.0), "computes without the GIL": (0.0, 0.02), "does both": (0.6, 1.0)}
SHAPES = ("even", "heavy-tailed", "growing", "giant first", "giant last")
LONG = 0.25
"""Seconds of the best choice from which on it is the measure; below, the plain loop is."""


def lengths(shape: str, calls: int, mean: float) -> list[float]:
    if shape == "even":
        return [mean] * calls
    if shape == "heavy-tailed":
        draws = random.Random(7)
        drawn = [min(draws.paretovariate(1.4), 50.0) for _ in range(calls)]
    elif shape == "growing":
        drawn = [1.0 + number for number in range(calls)]
    else:
        drawn = [1.0] * calls
        drawn[0 if shape == "giant first" else -1] = 0.5 * calls
    return [mean * calls * one / sum(drawn) for one in drawn]


def workload(kind: str, shape: str, calls: int, length: float) -> Workload:
    waiting, gil = KINDS[kind]
    each = lengths(shape, calls, length)
    return Workload([waiting * one for one in each], [(1 - waiting) * one for one in each], gil)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


@pytest.mark.timeout(180)
def test_the_regret_over_the_whole_grid():
    long, short, worst = {kind: [] for kind in KINDS}, [], []
    for kind, shape, calls, length, cores in itertools.product(KINDS, SHAPES, CALLS, LENGTHS, CORES):
        work, machine = workload(kind, shape, calls, length), SimulatedMachine(cores=cores)
        took, (best, least) = simulate(work, machine).seconds, best_fixed(work, machine)
        if least >= LONG:
            long[kind].append(took / least)
            worst.append((took / least, f"{calls} calls of {length:g} s, {kind}, {shape}, {cores} cores: {best}"))
        else:
            short.append(took / work.seconds)
    assert sum(map(len, long.values())) + len(short) >= 2000
    print(f"\nRegret where the best takes {LONG} s or more:")
    for kind, values in long.items():
        parts = ", ".join(f"{part:.0%} {percentile(values, part):.2f}" for part in (0.5, 0.75, 0.9, 0.95, 0.99))
        mean = statistics.geometric_mean(values)
        print(f"  {kind}: {len(values)} points, geometric mean {mean:.3f}, {parts}, worst {max(values):.2f}")
    above = sum(value > 1.1 for value in short)
    print(
        f"{len(short)} shorter ones, over the plain loop: {above} over 1.1, worst {max(short):.2f}. The worst of all:"
    )
    for regret, where in sorted(worst, reverse=True)[:6]:
        print(f"  {regret:.2f}  {where}")
    clear = [value for kind in long if kind != "does both" for value in long[kind]]
    assert statistics.geometric_mean(clear) <= 1.05
    assert percentile(clear, 0.9) <= 1.20
    assert max(clear) <= 1.9
    assert above <= 0.02 * len(short)
    # Calls of which nothing but a wait has been seen when all of them are handed out, and that then compute under
    # the GIL, are not foreseen.
    assert statistics.geometric_mean(long["does both"]) <= 1.5


def test_the_same_numbers_every_time():
    work, machine = workload("does both", "heavy-tailed", 64, 0.01), SimulatedMachine(cores=8)
    assert simulate(work, machine) == simulate(work, machine)


def test_waits_overlap_and_computing_does_not_exceed_the_cores():
    waits = Workload([0.05] * 100, [0.0] * 100)
    assert simulate(waits, SimulatedMachine(cores=1)).seconds < 0.3
    computes = Workload([0.0] * 100, [0.05] * 100)
    took = simulate(computes, SimulatedMachine(cores=4)).seconds
    assert 5.0 / 4 < took < 5.0 / 3


def test_threads_share_one_gil_and_processes_do_not():
    computes, machine = Workload([0.0] * 40, [0.05] * 40), SimulatedMachine(cores=4)
    assert fixed(computes, machine, "threads", 4).seconds >= 2.0
    assert fixed(computes, machine, "processes", 4).seconds < 1.0
    assert fixed(computes, SimulatedMachine(cores=4, gil=False), "threads", 4).seconds < 0.8


def test_work_that_turns_from_computing_to_waiting_is_followed():
    work = Workload([0.0] * 100 + [0.05] * 200, [0.02] * 100 + [0.0] * 200)
    told = simulate(work, SimulatedMachine(cores=2))
    assert set(told.calls) == {"serial", "processes", "threads"}
    assert told.seconds < 0.6 * fixed(work, SimulatedMachine(cores=2), "processes", 2).seconds


def test_work_that_turns_from_waiting_to_computing_is_followed():
    work = Workload([0.02] * 60 + [0.0] * 600, [0.0] * 60 + [0.005] * 600)
    told = simulate(work, SimulatedMachine(cores=2))
    assert set(told.calls) == {"serial", "processes", "threads"}
    assert told.seconds < best_fixed(work, SimulatedMachine(cores=2))[1]


@pytest.mark.parametrize(("wait", "computing"), [(0.02, 0.0015), (0.02, 0.001), (0.1, 0.004)])
def test_calls_that_fill_the_gil_of_their_threads_but_wait_too_stay_there(wait, computing):
    """In two processes hardly any of them would wait at a time."""
    work = Workload([wait] * 1000, [computing] * 1000)
    told = simulate(work, SimulatedMachine(cores=2))
    assert told.seconds < 1.1 * best_fixed(work, SimulatedMachine(cores=2))[1]
    assert told.calls["processes"] < 50


def test_a_core_is_free_for_others_while_threads_stand_in_line_for_the_gil():
    machine, work = SimulatedMachine(cores=2), Workload([0.0] * 8, [0.1] * 8)
    world = World(work, machine)
    for _ in range(4):
        world.compute(0.0, 0.1, shares_gil=True)
    assert world.compute(0.0, 0.1, shares_gil=False) == pytest.approx(0.1)


@pytest.mark.parametrize("cores", [2, 4, 16])
@pytest.mark.parametrize("importing", [0.1, 0.3, 1.0, 10.0])
@pytest.mark.parametrize(("calls", "length"), [(8, 0.01), (60, 0.01), (400, 0.01), (8, 0.1), (8, 1.0), (60, 0.1)])
def test_an_import_that_takes_long_in_workers_is_not_waited_for(cores, importing, calls, length):
    """The caller goes on, or begins again when workers are overdue, and makes the last calls too."""
    work = Workload([0.0] * calls, [length] * calls)
    took = simulate(work, SimulatedMachine(cores=cores, importing=importing)).seconds
    without = simulate(work, SimulatedMachine(cores=cores)).seconds
    assert took < 1.05 * min(work.seconds + 2 * length + 0.2, without + importing + length)


@pytest.mark.parametrize("cores", [2, 4])
def test_the_core_that_the_caller_leaves_to_workers_is_another_one_s_at_once(cores):
    work = Workload([0.0] * 100, [5.0] * 100)
    told = simulate(work, SimulatedMachine(cores=cores, importing=1.0))
    assert told.calls["serial"] == 2, "it goes on until a worker has ended its first call"
    # Each has imported what it takes; nobody has waited for another one's call.
    assert told.seconds < 500.0 / cores + 1.0 + 0.2


def test_a_worker_that_ended_its_first_call_soon_after_another_one_is_not_taken_to_have_needed_all_of_the_next():
    work = Workload([0.0] * 16, [1.0] * 16)
    told = simulate(work, SimulatedMachine(cores=2, importing=0.1))
    # The worker is past its first call a tenth of one after the caller's thread, which hears of it when it is back from
    # its second one: from then on nobody is to be taken to have needed all of that.
    assert told.calls["serial"] == 2, told


def test_it_is_told_that_the_caller_goes_on_beside_its_workers_and_that_they_made_no_call():
    work = Workload([0.0] * 16, [1.0] * 16)
    told = simulate(work, SimulatedMachine(cores=2, importing=3.0))
    assert told.calls["serial"] > told.calls["processes"] > 0, told
    [changed, went_on] = told.decisions
    assert changed.startswith("changed over to 2 processes: ")
    assert went_on.startswith("went on in the calling thread, beside 1 process: a worker's first call ended 3.0"), told
    told = simulate(work, SimulatedMachine(cores=2, importing=60.0))
    assert "processes" not in {backend for backend, calls in told.calls.items() if calls}, told
    [_, made_all] = told.decisions
    assert made_all.startswith("made all calls in the calling thread: they were over before a worker"), told


def test_a_pool_of_one_thread_is_a_loop():
    work = Workload([0.01] * 20, [0.0] * 20)
    assert fixed(work, SimulatedMachine(), "threads", 1).seconds == pytest.approx(0.2, rel=0.02)


def test_the_manual_clock_is_public():
    clock = ManualClock()
    clock.advance(2.5)
    assert clock.now() == 2.5


@pytest.mark.parametrize("cores", [2, 4, 16])
@pytest.mark.parametrize(("pause", "length"), [(0.004, 0.02), (0.05, 0.2), (0.1, 0.2), (0.001, 0.006), (0.5, 0.1)])
def test_what_a_slow_input_gives_is_computed_while_it_gives_more(pause, length, cores):
    """How long it is going to be is not known: what was chosen for few calls is looked at again when there are more."""
    calls = 300
    work = Workload([0.0] * calls, [length] * calls, input=pause)
    least = max(calls * pause + length, calls * length / cores)
    assert simulate(work, SimulatedMachine(cores=cores)).seconds <= 1.2 * least + 0.15
