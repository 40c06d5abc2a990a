"""Claims about waiting, and about the form of the log."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack

from lightwork import _machine
from lightwork.lab import _crew, _work
from lightwork.lab._compared import Way, compared
from lightwork.lab._estimates import below, between, count, equal, every, measured, ratio
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict

LINE = re.compile(r"\d+:[\w-]+\.[\w-]+ ---> \S.*")
"""The lesson's form. (Its cpu_bound writes ``process:thread`` in its last line; the dot is taken for
both.)"""

SHORT_WAIT, SHORT_COUNT = 0.02, 50_000
"""For the form of a line the length of the work does not matter."""

A_SUM = (1.5, 2.5)
"""Two calls take the sum if the time is nearer to twice one call than to once or three times."""

SHORTER = 0.75
"""Significantly shorter: below the middle between full overlap (0.5 of the sum) and none (1)."""


def measure_log(_settings: Settings) -> list[Figure]:
    both: list[_crew.Job] = [("io_bound", SHORT_WAIT), ("cpu_bound", SHORT_COUNT)]
    crews: list[Way] = [_crew.one_after_another, _crew.threads, _crew.processes, _crew.coroutines]
    _crew.fresh_record()
    with ExitStack() as closing:
        if _machine.interpreters_missing() is None:
            crews.append(closing.enter_context(_crew.Interpreters(len(both))))
        for crew in crews:
            crew(both)
    lines = [line for line in _recorded() if not line.startswith(_work.SPAN_MARK)]
    names = [line.partition(" ")[0] for line in lines]
    return [
        count("ways to run", len(crews)),
        count("lines expected", len(crews) * 4),
        count("lines", len(lines)),
        count("lines in the form", sum(LINE.fullmatch(line) is not None for line in lines)),
        count("process ids", len({name.partition(":")[0] for name in names})),
        count("different threads", len(set(names))),
    ]


def _recorded() -> list[str]:
    size = os.fstat(_work.RECORD).st_size
    return os.pread(_work.RECORD, size, 0).decode().splitlines()


def judge_log(evidence: Evidence) -> Judgement:
    expected = evidence["lines expected"].value
    verdict = every(equal(evidence["lines"], expected), equal(evidence["lines in the form"], expected))
    return Judgement(
        verdict,
        f"{evidence['lines in the form']} of {expected:.0f} expected lines name process id, process "
        "and thread; "
        f"they tell {evidence['process ids']} processes and {evidence['different threads']} threads apart.",
    )


def measure_io_serial(settings: Settings) -> list[Figure]:
    return once_and_twice(("io_bound", settings.sleep), settings)


def once_and_twice(job: _crew.Job, settings: Settings) -> list[Figure]:
    once, twice = _crew.turns(
        settings.repeats,
        lambda: _crew.one_after_another([job]),
        lambda: _crew.one_after_another([job, job]),
    )
    ones, twos = [t.whole for t in once], [t.whole for t in twice]
    return [
        measured("one call", ones, "s"),
        measured("two calls", twos, "s"),
        ratio("two calls / one call", twos, ones),
    ]


def judge_sum(evidence: Evidence) -> Judgement:
    ways = evidence["two calls / one call"]
    verdict = between(ways, *A_SUM)
    reason = {
        Verdict.HOLDS: "which is nearer to twice than to once or three times.",
        Verdict.DOES_NOT_HOLD: "which is not the sum: something else decided how long the calls took.",
        Verdict.NOT_ENOUGH: ("which leaves open whether it is the sum; repeat more often, or on a quieter machine."),
    }[verdict]
    return Judgement(verdict, f"Two calls took {ways} the time of one, {reason}")


def measure_io_threads(settings: Settings) -> list[Figure]:
    return compared(_crew.threads, "in two threads", ("io_bound", settings.sleep), settings, waits=True)


def judge_io_threads(evidence: Evidence) -> Judgement:
    share = evidence["share of the sum"]
    verdict = below(share, SHORTER)
    reason = {
        Verdict.HOLDS: "the waits overlapped.",
        Verdict.DOES_NOT_HOLD: "the waits did not overlap.",
        Verdict.NOT_ENOUGH: f"too near to the limit of {SHORTER} to tell; wait longer or repeat more often.",
    }[verdict]
    return Judgement(verdict, f"The threads took {share} the time of one call after another: {reason}")


EXPERIMENTS = (
    Experiment(
        "log",
        "A line of the log names process id, process and thread: 1234:MainProcess.Thread-1 ---> Start sleeping...",
        lambda _: (
            "One io_bound and one cpu_bound call in every way there is here: one after another, in "
            "threads, in processes, "
            "as coroutines and, from Python 3.14, in sub-interpreters. Every worker writes its lines "
            "into one file."
        ),
        measure_log,
        judge_log,
    ),
    Experiment(
        "io-serial",
        "Two calls that wait, one after another, take the sum of their times.",
        lambda settings: (
            f"io_bound({settings.sleep:g}) once, then twice one after another; {settings.repeats} turns of both."
        ),
        measure_io_serial,
        judge_sum,
    ),
    Experiment(
        "io-threads",
        "With two threads the waiting overlaps, and the time is significantly shorter.",
        lambda settings: (
            f"io_bound({settings.sleep:g}) twice one after another, then in two threads; "
            f"{settings.repeats} turns of both."
        ),
        measure_io_threads,
        judge_io_threads,
    ),
)
