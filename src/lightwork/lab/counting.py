"""Claims about counting: work that needs a core all the time."""

from __future__ import annotations

from lightwork.lab import _crew
from lightwork.lab._compared import compared
from lightwork.lab._estimates import above, below, every, measured
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict
from lightwork.lab.waiting import judge_sum, once_and_twice

A_GAIN = 1.2
"""A speed-up of less than a fifth by two threads is no gain that anybody would write threads for."""

ALMOST_TWICE = 1.5
"""Almost by the number of cores, for two processes: nearer to 2 than to 1."""

A_WHOLE_CORE = 0.85
"""A process that counts and gets less than this part of a core shares it with other programs."""

WATCHED = 4_000_000
"""Steps in the run that is drawn: enough for a dozen turns of 5 ms, few enough for a picture."""


def measure_cpu_serial(settings: Settings) -> list[Figure]:
    return once_and_twice(("cpu_bound", settings.count), settings)


def measure_cpu_threads(settings: Settings) -> list[Figure]:
    figures = compared(_crew.threads, "in two threads", ("cpu_bound", settings.count), settings)
    _crew.fresh_record()
    _crew.threads([("cpu_bound_watched", min(settings.count, WATCHED))] * 2)
    return figures


def judge_cpu_threads(evidence: Evidence) -> Judgement:
    gain, share, here = evidence["speed-up"], evidence["core each got"], evidence.here
    verdict = below(gain, A_GAIN)
    loss = ", even a loss" if gain.high is not None and gain.high < 1 else ""
    if verdict is Verdict.NOT_ENOUGH:
        reason = f"too near to the limit of {A_GAIN}× to tell; count further or repeat more often."
    elif verdict is Verdict.DOES_NOT_HOLD and here.gil:
        reason = "a gain that the GIL should not allow; something else slowed down the calls before."
    elif verdict is Verdict.DOES_NOT_HOLD:
        reason = "a gain, since this free-threaded build has no GIL that lets only one of them count."
    elif here.gil:
        reason = f"no gain{loss}: only one thread at a time has the GIL."
    elif here.cores < 2:
        reason = f"no gain{loss}: there is no second core."
    elif share.high is None or share.high < A_WHOLE_CORE:
        verdict = Verdict.NOT_ENOUGH
        reason = f"each got only {share} of a core, other programs the rest; try again on a quieter machine."
    else:
        reason = f"no gain{loss}, although both had a core: this build's threads hinder each other."
    return Judgement(verdict, f"Two threads were {gain} as fast as one call after another: {reason}")


def measure_cpu_processes(settings: Settings) -> list[Figure]:
    job: _crew.Job = ("cpu_bound", settings.count)
    return compared(_crew.processes, "in two processes", job, settings, by_work=True)


def judge_cpu_processes(evidence: Evidence) -> Judgement:
    return judge_parallel(evidence, "Two processes")


def judge_parallel(evidence: Evidence, workers: str) -> Judgement:
    """Whether two workers were almost twice as fast, and if not, what kept them from it."""
    gain, share = evidence["speed-up"], evidence["core each got"]
    inflated = evidence["CPU time beside each other / alone"]
    verdict = above(gain, ALMOST_TWICE)
    if verdict is Verdict.HOLDS:
        reason = "almost the two cores' worth."
    elif evidence.here.cores < 2:
        reason = "there is only one core."
    elif share.high is None or share.high < A_WHOLE_CORE:
        verdict = Verdict.NOT_ENOUGH
        reason = f"each got only {share} of a core, other programs the rest; try again on a quieter machine."
    elif verdict is Verdict.DOES_NOT_HOLD:
        reason = (
            f"both had a core, but the same work took {inflated} the CPU time: the cores share what they count with."
        )
    else:
        reason = f"too near to the limit of {ALMOST_TWICE}× to tell; count further or repeat more often."
    return Judgement(verdict, f"{workers} were {gain} as fast as one call after another: {reason}")


BOTH_OVERLAP = 0.5
"""Between the longer of the two calls (0) and their sum (1): nearer to the longer."""


def measure_overlap(settings: Settings) -> list[Figure]:
    wait: _crew.Job = ("io_bound", settings.sleep)
    work: _crew.Job = ("cpu_bound", settings.count)
    waits, works, both = _crew.turns(
        settings.repeats,
        lambda: _crew.one_after_another([wait]),
        lambda: _crew.one_after_another([work]),
        lambda: _crew.threads([wait, work]),
    )
    positions = []
    for one, other, together in zip(waits, works, both, strict=True):
        longer, total = max(one.whole, other.whole), one.whole + other.whole
        positions.append((together.whole - longer) / (total - longer))
    return [
        measured("waiting alone", [t.whole for t in waits], "s"),
        measured("counting alone", [t.whole for t in works], "s"),
        measured("both, in two threads", [t.whole for t in both], "s"),
        measured("from the longer (0) to the sum (1)", positions),
    ]


def judge_overlap(evidence: Evidence) -> Judgement:
    position = evidence["from the longer (0) to the sum (1)"]
    verdict = below(position, BOTH_OVERLAP)
    reason = {
        Verdict.HOLDS: "one thread counted while the other waited.",
        Verdict.DOES_NOT_HOLD: "the counting did not use the time of the waiting.",
        Verdict.NOT_ENOUGH: "too near to the middle to tell; take longer lengths or repeat more often.",
    }[verdict]
    return Judgement(
        verdict,
        f"On the way from the longer of both (0) to their sum (1), two threads took {position}: {reason}",
    )


ONE_CORE = 1.25
"""One core's worth of CPU: the counting thread, and something for the switching."""


def measure_one_core(settings: Settings) -> list[Figure]:
    jobs: list[_crew.Job] = [("cpu_bound", settings.count)] * 2
    threads, processes = _crew.turns(settings.repeats, lambda: _crew.threads(jobs), lambda: _crew.processes(jobs))
    return [
        measured("cores used by two threads", [t.cpu / t.work for t in threads]),
        measured("cores used by two processes", [t.cpu / t.work for t in processes]),
    ]


def judge_one_core(evidence: Evidence) -> Judgement:
    threads, processes = evidence["cores used by two threads"], evidence["cores used by two processes"]
    used = f"CPU time per time: two threads used {threads} cores, two processes {processes}"
    of_threads, of_processes = below(threads, ONE_CORE), above(processes, ALMOST_TWICE)
    if of_threads is Verdict.DOES_NOT_HOLD:
        why = (
            "this is a free-threaded build." if not evidence.here.gil else "the threads did not share one core's worth."
        )
        return Judgement(Verdict.DOES_NOT_HOLD, f"{used}: {why}")
    if evidence.here.cores < 2:
        return Judgement(Verdict.DOES_NOT_HOLD, f"{used}: there is only one core to use.")
    if of_processes is Verdict.DOES_NOT_HOLD:
        # A counting process always wants a core. With two to have, only others can have kept it from one.
        return Judgement(Verdict.NOT_ENOUGH, f"{used}: other programs had the rest; try again on a quieter machine.")
    verdict = every(of_threads, of_processes)
    tail = "." if verdict is Verdict.HOLDS else ": too near to the limits to tell; count further or repeat more often."
    return Judgement(verdict, used + tail)


def _counts(settings: Settings) -> str:
    return f"cpu_bound({settings.count:,})"


EXPERIMENTS = (
    Experiment(
        "cpu-serial",
        "Counting twice, one after another, takes the sum of both times.",
        lambda settings: f"{_counts(settings)} once, then twice one after another; {settings.repeats} turns of both.",
        measure_cpu_serial,
        judge_sum,
    ),
    Experiment(
        "cpu-threads",
        "Threads bring no gain to counting; it may take even longer.",
        lambda settings: (
            f"{_counts(settings)} twice one after another, then in two threads; {settings.repeats} "
            "turns of both. "
            "The picture shows one more run in which the threads looked at the clock every half millisecond."
        ),
        measure_cpu_threads,
        judge_cpu_threads,
    ),
    Experiment(
        "cpu-processes",
        "Two processes speed counting up by almost the number of cores.",
        lambda settings: (
            f"{_counts(settings)} twice one after another, then in two processes; {settings.repeats} "
            "turns of both. "
            "The processes' starting is told apart, as it does not grow with the length of the work."
        ),
        measure_cpu_processes,
        judge_cpu_processes,
    ),
    Experiment(
        "overlap",
        "Threads can use the CPU while other threads are waiting.",
        lambda settings: (
            f"io_bound({settings.sleep:g}) and {_counts(settings)}, each alone, then both in two threads; "
            f"{settings.repeats} turns."
        ),
        measure_overlap,
        judge_overlap,
    ),
    Experiment(
        "one-core",
        "The threads of one process share one core's worth of CPU; processes use all cores.",
        lambda settings: (
            f"{_counts(settings)} in two threads and in two processes; CPU time divided by time; "
            f"{settings.repeats} turns."
        ),
        measure_one_core,
        judge_one_core,
    ),
)
