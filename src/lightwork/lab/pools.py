"""Beyond the lesson: how many processes, and for how small a piece of work?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from lightwork import _machine
from lightwork.lab import _crew, _here
from lightwork.lab._estimates import above, below, count, measured, ratio
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict
from lightwork.lab.counting import A_GAIN, A_WHOLE_CORE

CORES = 2
"""The experiment keeps to so many cores where the system lets it, so that it need not start a process for
each."""


def measure_beyond_cores(settings: Settings) -> list[Figure]:
    cores = _machine.usable_cores()
    if cores > CORES and _here.keep_to(CORES):
        cores = CORES
    job: _crew.Job = ("cpu_bound", settings.count // 2 + 1)
    sizes = sorted({1, cores, cores * 2})
    results = _crew.turns(settings.repeats, *(partial(_crew.processes, [job] * size) for size in sizes))
    rates = {
        size: [size * job[1] / timing.work / 1e6 for timing in timings]
        for size, timings in zip(sizes, results, strict=True)
    }
    figures = [count("cores used", cores)]
    figures += [measured(f"{size} processes", rates[size], "million counts/s") for size in sizes]
    return [
        *figures,
        ratio("twice as many as cores / as many", rates[cores * 2], rates[cores]),
        measured("core each got, one for each", [t.cpu / t.work / cores for t in results[sizes.index(cores)]]),
    ]


def judge_beyond_cores(evidence: Evidence) -> Judgement:
    more = evidence["twice as many as cores / as many"]
    verdict = below(more, A_GAIN)
    share = evidence["core each got, one for each"]
    said = (
        f"With twice as many processes as cores ({evidence['cores used']}) the throughput was {more} that "
        "of one for each core"
    )
    if verdict is Verdict.DOES_NOT_HOLD and (share.high is None or share.high < A_WHOLE_CORE):
        # More processes then get a larger part of what others use too: that says nothing about the claim.
        busy = f"but each of the fewer ones got only {share} of a core; try again on a quieter machine."
        return Judgement(Verdict.NOT_ENOUGH, f"{said}, {busy}")
    reason = {
        Verdict.HOLDS: "no gain.",
        Verdict.DOES_NOT_HOLD: "a gain, although each of the fewer ones had a core.",
        Verdict.NOT_ENOUGH: f"too near to the limit of {A_GAIN}× to tell; repeat on a quieter machine.",
    }[verdict]
    return Judgement(verdict, f"{said}: {reason}")


def count_down(n: int) -> None:
    """One task: so many steps of counting."""
    while n > 0:
        n -= 1


TASK_STEPS = (100, 1_000, 10_000, 100_000)
"""Steps in a task: from some µs to some ms."""

BATCH = 32
MOST_TASKS = 300
SMALLER = 2.0
"""Batching helps clearly if tasks half as long, or shorter, still reach the same efficiency."""


def metg(lengths: Sequence[float], efficiencies: Sequence[float], level: float = 0.5) -> float:
    """The minimum effective task granularity: the task length, in seconds, from which on the efficiency is at
    least ``level`` of the best (Slaughter et al., Task Bench, SC20). Interpolated on a logarithmic scale of
    lengths; the shortest length measured if even that is efficient enough."""
    wanted = level * max(efficiencies)
    for i in range(len(lengths) - 1, -1, -1):
        if efficiencies[i] < wanted:
            part = (wanted - efficiencies[i]) / (efficiencies[i + 1] - efficiencies[i])
            low, high = math.log(lengths[i]), math.log(lengths[i + 1])
            return math.exp(low + part * (high - low))
    return lengths[0]


MOST_TURNS = 5
"""Differences of ten times and more, as here, need few turns to be sure of."""


def _turns(settings: Settings) -> int:
    return min(settings.repeats, MOST_TURNS)


def _pool() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(CORES, mp_context=_crew.context())
    list(pool.map(count_down, [50_000] * 8))  # its processes are there and have imported what they need
    return pool


def _loop(work: Sequence[int]) -> float:
    """Seconds for the tasks in a plain loop."""
    return _timed(lambda: [count_down(n) for n in work])  # type: ignore[func-returns-value]


def _mapped(pool: ProcessPoolExecutor, work: Sequence[int], size: int = 1) -> float:
    """Seconds for the tasks in the pool, sent so many at a time."""
    return _timed(lambda: list(pool.map(count_down, work, chunksize=size)))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_batching(settings: Settings) -> list[Figure]:
    per_step = min(_timed(lambda: count_down(100_000)) for _ in range(5)) / 100_000
    smallest: dict[int, list[float]] = {1: [], BATCH: []}
    at_small: dict[int, list[float]] = {1: [], BATCH: []}
    with _pool() as pool:
        for _ in range(_turns(settings)):
            efficiencies: dict[int, list[float]] = {1: [], BATCH: []}
            for steps in TASK_STEPS:
                tasks = max(16, min(MOST_TASKS, int(settings.window / 2 / (steps * per_step))))
                work = [steps] * tasks
                alone = _loop(work)
                for batch, found in efficiencies.items():
                    size = max(1, min(batch, tasks // CORES // 2))
                    took = _mapped(pool, work, size)
                    found.append(alone / CORES / took)
            lengths = [steps * per_step for steps in TASK_STEPS]
            peak = max(max(found) for found in efficiencies.values())
            for batch, found in efficiencies.items():
                smallest[batch].append(metg(lengths, [*found[:-1], max(found[-1], 0.5 * peak)]) * 1e6)
                at_small[batch].append(found[0])
    return [
        measured("METG one by one", smallest[1], "µs"),
        measured(f"METG in batches of {BATCH}", smallest[BATCH], "µs"),
        ratio("METG one by one / in batches", smallest[1], smallest[BATCH]),
        measured(f"efficiency at {TASK_STEPS[0] * per_step * 1e6:.0f} µs, one by one", at_small[1]),
        measured(f"efficiency at {TASK_STEPS[0] * per_step * 1e6:.0f} µs, in batches", at_small[BATCH]),
    ]


def judge_batching(evidence: Evidence) -> Judgement:
    smaller = evidence["METG one by one / in batches"]
    verdict = above(smaller, SMALLER)
    said = (
        f"Half of the best efficiency needs tasks of {evidence['METG one by one']} sent one by one, "
        f"of {evidence[f'METG in batches of {BATCH}']} in batches, {smaller} smaller"
    )
    reason = {
        Verdict.HOLDS: ".",
        Verdict.DOES_NOT_HOLD: ": batching helps little here.",
        Verdict.NOT_ENOUGH: f": too near to the limit of {SMALLER:g}× to tell; repeat on a quieter machine.",
    }[verdict]
    return Judgement(verdict, said + reason)


CLEARLY_SLOWER = 1.5
LOOP_ITEMS = 1_000


def measure_pool_loses(settings: Settings) -> list[Figure]:
    small, large = [10] * LOOP_ITEMS, [100_000] * 12
    times: dict[str, list[float]] = {"loop small": [], "pool small": [], "loop large": [], "pool large": []}
    with _pool() as pool:
        for _ in range(_turns(settings)):
            for name, work in (("small", small), ("large", large)):
                times[f"loop {name}"].append(_loop(work))
                times[f"pool {name}"].append(_mapped(pool, work))
    each = {
        name: [seconds / (LOOP_ITEMS if "small" in name else len(large)) * 1e6 for seconds in took]
        for name, took in times.items()
    }
    return [
        measured("small task in a loop", each["loop small"], "µs"),
        measured("small task in a pool", each["pool small"], "µs"),
        ratio("pool / loop, small tasks", times["pool small"], times["loop small"]),
        measured("large task in a loop", each["loop large"], "µs"),
        measured("large task in a pool", each["pool large"], "µs"),
        ratio("pool / loop, large tasks", times["pool large"], times["loop large"]),
    ]


def judge_pool_loses(evidence: Evidence) -> Judgement:
    small, large = evidence["pool / loop, small tasks"], evidence["pool / loop, large tasks"]
    verdict = above(small, CLEARLY_SLOWER)
    reason = {
        Verdict.HOLDS: "sending a small task costs more than doing it.",
        Verdict.DOES_NOT_HOLD: "the pool did not lose.",
        Verdict.NOT_ENOUGH: "too near to tell; repeat more often.",
    }[verdict]
    return Judgement(
        verdict, f"The pool took {small} the loop's time for small tasks, {large} for large ones: {reason}"
    )


EXPERIMENTS = (
    Experiment(
        "beyond-cores",
        "More processes than cores bring nothing more for counting.",
        lambda settings: (
            f"1, {CORES} and {2 * CORES} counting processes on {CORES} cores (fewer where "
            "there are fewer); "
            f"{settings.repeats} turns."
        ),
        measure_beyond_cores,
        judge_beyond_cores,
    ),
    Experiment(
        "batching",
        "Small tasks need to be sent in batches.",
        lambda settings: (
            f"Tasks of {TASK_STEPS[0]:,} to {TASK_STEPS[-1]:,} counts in a ProcessPoolExecutor, sent "
            f"one by one and {BATCH} at a "
            f"time, {_turns(settings)} turns; METG is the task length that reaches half of the best "
            "efficiency."
        ),
        measure_batching,
        judge_batching,
    ),
    Experiment(
        "pool-loses",
        "A process pool can lose to a plain loop.",
        lambda settings: (
            f"{LOOP_ITEMS:,} tasks of 10 counts, then 12 of 100,000, in a loop and in a "
            f"ProcessPoolExecutor; {settings.repeats} "
            "turns."
        ),
        measure_pool_loses,
        judge_pool_loses,
    ),
)
