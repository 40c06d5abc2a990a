"""Who switches between tasks: the interpreter for threads, the operating system for processes.

The interpreter has a dial, ``sys.setswitchinterval``. If it does the switching, turning the dial changes how
often the kernel sees a counting thread wait: for its turn, as it has nothing else to wait for. Processes,
each with an interpreter of its own, should not feel it: if they stop counting, then because the system took
their core away.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from lightwork.lab import _crew, _here
from lightwork.lab._estimates import above, below, count, every, measured, ratio
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict

OFTEN, SELDOM = 0.001, 0.02
"""Two positions of the dial, in seconds: twenty times apart, both well above what one switch costs."""

FEELS_THE_DIAL = 3.0
"""More than three times the switches at the shorter interval: far from 20 (all by the dial), far from 1
(none)."""

CHUNK = 20_000


def measure(settings: Settings) -> list[Figure]:
    threads_often: list[float] = []
    threads_seldom: list[float] = []
    processes_often: list[float] = []
    processes_seldom: list[float] = []
    taken_away: list[float] = []
    cores: set[int] = set()
    usual = sys.getswitchinterval()
    for _ in range(settings.repeats):
        for interval, of_threads, of_processes in (
            (OFTEN, threads_often, processes_often),
            (SELDOM, threads_seldom, processes_seldom),
        ):
            of_threads.append(_switches_of_threads(interval, settings.window))
            waits, taken, ran_on = _switches_of_processes(interval, settings.window)
            of_processes.append(waits)
            taken_away.append(taken)
            cores |= ran_on
    _crew.fresh_record()
    _crew.threads([("cpu_bound_watched", min(settings.count, 4_000_000))] * 2)
    figures = [
        count("switch interval of this Python", usual * 1000, "ms"),
        measured("threads' switches at 1 ms", threads_often, "/s"),
        measured("threads' switches at 20 ms", threads_seldom, "/s"),
        ratio("threads: switches at 1 ms / at 20 ms", threads_often, threads_seldom),
        measured("processes' switches at 1 ms", processes_often, "/s"),
        measured("processes' switches at 20 ms", processes_seldom, "/s"),
        ratio("processes: switches at 1 ms / at 20 ms", processes_often, processes_seldom),
        measured("a process's core taken by the system", taken_away, "/s"),
    ]
    return [*figures, count("cores that the processes ran on", len(cores))] if cores else figures


@contextmanager
def _dial(interval: float) -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _kernel_switches() -> tuple[int, int]:
    """How often this process's threads gave their core up, to wait for something, and how often it was taken
    away."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw, usage.ru_nivcsw


def _count_until(end: float) -> None:
    while time.perf_counter() < end:
        n = CHUNK
        while n > 0:
            n -= 1


def _switches_of_threads(interval: float, seconds: float) -> float:
    """Waits a second of two threads that count: they have nothing to wait for but each other's turn to
    end."""
    with _dial(interval):
        before, began = _kernel_switches(), time.perf_counter()
        crew = [threading.Thread(target=_count_until, args=(began + seconds,)) for _ in range(2)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        # One is added here and below, so that who never waited has a rate to divide by.
        return (_kernel_switches()[0] - before[0] + 1) / (time.perf_counter() - began)


def _switches_of_processes(interval: float, seconds: float) -> tuple[float, float, set[int]]:
    """Waits a second, and times a second that the core was taken away, of each of two processes that count;
    and the cores that they were seen on."""
    with _crew.child_processes([_count_in_process] * 2, interval, seconds) as pipes:
        waits, taken, seen = zip(*(pipe.recv() for pipe in pipes), strict=True)
    return sum(waits) / 2, sum(taken) / 2, set().union(*seen)


def _count_in_process(pipe: Connection, interval: float, seconds: float) -> None:
    cores = set()
    with _dial(interval):
        before, began = _kernel_switches(), time.perf_counter()
        for part in range(1, 6):
            _count_until(began + seconds * part / 5)
            cores.add(_here.core_of(threading.get_native_id()))
        after, took = _kernel_switches(), time.perf_counter() - began
    pipe.send(((after[0] - before[0] + 1) / took, (after[1] - before[1]) / took, cores - {None}))


def judge(evidence: Evidence) -> Judgement:
    threads = evidence["threads: switches at 1 ms / at 20 ms"]
    processes = evidence["processes: switches at 1 ms / at 20 ms"]
    of_threads, of_processes = above(threads, FEELS_THE_DIAL), below(processes, FEELS_THE_DIAL)
    told = (
        f"With the interpreter's interval at 1 ms instead of 20, threads switched {threads} as often, "
        f"processes {processes}"
    )
    if of_threads is Verdict.DOES_NOT_HOLD:
        why = (
            "a free-threaded build has no turns to give: the operating system switches its threads too."
            if not evidence.here.gil
            else "the threads did not feel the interpreter's interval."
        )
        return Judgement(Verdict.DOES_NOT_HOLD, f"{told}: {why}")
    verdict = every(of_threads, of_processes)
    reason = {
        Verdict.HOLDS: "the interpreter switches threads, and processes do not feel it.",
        Verdict.DOES_NOT_HOLD: "processes were interrupted differently too: other programs were at work.",
        Verdict.NOT_ENOUGH: (f"too near to the limit of {FEELS_THE_DIAL:g}× to tell; repeat on a quieter machine."),
    }[verdict]
    return Judgement(verdict, f"{told}: {reason}")


EXPERIMENTS = (
    Experiment(
        "switching",
        "The interpreter switches between threads; the operating system switches between processes.",
        lambda settings: (
            f"Two threads, then two processes, counted for {settings.window:g} s with the "
            "interpreter's switch interval at 1 ms "
            f"and at 20 ms, {settings.repeats} turns; the kernel's count of context switches (getrusage). "
            "The picture shows two threads with the usual interval."
        ),
        measure,
        judge,
    ),
)
