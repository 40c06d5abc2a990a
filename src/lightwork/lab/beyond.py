"""Beyond the lesson: other ways in which Python does several things at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

from lightwork import _machine
from lightwork.lab import _crew
from lightwork.lab._compared import compared
from lightwork.lab._estimates import above, below, count, every, measured, ratio
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict
from lightwork.lab.counting import A_GAIN, ALMOST_TWICE, judge_parallel
from lightwork.lab.waiting import SHORTER


def _prefixed(prefix: str, figures: list[Figure]) -> list[Figure]:
    return [replace(figure, name=f"{prefix}: {figure.name}") for figure in figures]


def _part(evidence: Evidence, prefix: str) -> Evidence:
    start = f"{prefix}: "
    figures = (f for f in evidence.figures if f.name.startswith(start))
    return Evidence(evidence.here, tuple(replace(f, name=f.name.removeprefix(start)) for f in figures))


C_CODE = {"sha256": ("hash_bound", 700), "zlib": ("zip_bound", 100)}
"""What is computed in C, and about how many MiB a second one core manages: it sets the length, and nothing
else."""


def measure_gil_release(settings: Settings) -> list[Figure]:
    figures = []
    for name, (job, rate) in C_CODE.items():
        length = max(4, int(settings.window * rate))
        figures += _prefixed(name, compared(_crew.threads, "in two threads", (job, length), settings))
    return figures


def judge_gil_release(evidence: Evidence) -> Judgement:
    parts = [judge_parallel(_part(evidence, name), f"With {name}, two threads") for name in C_CODE]
    return Judgement(every(*(part.verdict for part in parts)), " ".join(part.because for part in parts))


def measure_interpreters(settings: Settings) -> list[Figure]:
    if _machine.interpreters_missing() is not None:
        return []
    job: _crew.Job = ("cpu_bound", settings.count)
    with _crew.Interpreters(2) as crew:
        figures = compared(crew, "in two interpreters", job, settings)
        return [*figures, Figure("start of both, with their imports", crew.started, "s")]


def judge_interpreters(evidence: Evidence) -> Judgement:
    if not evidence.figures:
        return Judgement(
            Verdict.DOES_NOT_HOLD,
            f"Python {evidence.here.python} has no module concurrent.interpreters; Python 3.14 and later have.",
        )
    return judge_parallel(evidence, "Two interpreters")


COMPARE_THREADS = """
import json, sys, threading, time
count, repeats = int(sys.argv[1]), int(sys.argv[2])
def cpu_bound(n):
    while n > 0:
        n -= 1
serial, threads, cores = [], [], []
for _ in range(repeats):
    began = time.perf_counter()
    cpu_bound(count); cpu_bound(count)
    serial.append(time.perf_counter() - began)
    crew = [threading.Thread(target=cpu_bound, args=(count,)) for _ in range(2)]
    began, cpu = time.perf_counter(), time.process_time()
    for t in crew: t.start()
    for t in crew: t.join()
    threads.append(time.perf_counter() - began)
    cores.append((time.process_time() - cpu) / threads[-1])
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
print(json.dumps([gil, serial, threads, cores]))
"""
"""Run by an interpreter that need not have lightwork installed."""

TWO_CORES = 1.7
"""Two counting threads that get less than this together share their cores with other programs."""

FREE_THREADED_NAMES = tuple(f"python3.{minor}t" for minor in range(20, 12, -1))


def _both_builds() -> list[list[str]]:
    """Commands that start this Python with the GIL and one without, as far as there are."""
    if not _machine.gil_enabled():
        return [[sys.executable, "-X", "gil=0"], [sys.executable, "-X", "gil=1"]]
    found = filter(None, map(shutil.which, FREE_THREADED_NAMES))
    return [[sys.executable], *[[path] for path in list(found)[:1]]]


def measure_free_threading(settings: Settings) -> list[Figure]:
    figures: list[Figure] = []
    for command in _both_builds():
        arguments = [str(settings.count), str(settings.repeats)]
        done = subprocess.run([*command, "-c", COMPARE_THREADS, *arguments], capture_output=True, text=True, check=True)
        gil, serial, threads, cores = json.loads(done.stdout)
        name = "with the GIL" if gil else "without the GIL"
        figures += [
            measured(f"{name}: one after another", serial, "s"),
            measured(f"{name}: in two threads", threads, "s"),
            ratio(f"{name}: speed-up", serial, threads),
            measured(f"{name}: cores used", cores),
        ]
    return figures


def judge_free_threading(evidence: Evidence) -> Judgement:
    if "without the GIL: speed-up" not in evidence:
        return Judgement(
            Verdict.NOT_ENOUGH,
            "There is no free-threaded Python here to compare with; install one (python3.14t) so that "
            "it is on the PATH.",
        )
    free = evidence["without the GIL: speed-up"]
    said = f"Two threads were {free} as fast as one call after another without the GIL"
    if "with the GIL: speed-up" in evidence:
        said += f", {evidence['with the GIL: speed-up']} with it"
    cores = evidence["without the GIL: cores used"]
    verdict = above(free, ALMOST_TWICE)
    if verdict is Verdict.DOES_NOT_HOLD:
        if evidence.here.cores < 2:
            return Judgement(verdict, f"{said}: there is only one core.")
        if below(cores, TWO_CORES) is not Verdict.DOES_NOT_HOLD:
            return Judgement(
                Verdict.NOT_ENOUGH, f"{said}: they got only {cores} cores; try again on a quieter machine."
            )
        return Judgement(verdict, f"{said}, although they had {cores} cores: this build's threads hinder each other.")
    if verdict is Verdict.NOT_ENOUGH:
        return Judgement(verdict, f"{said}: too near to the limit of {ALMOST_TWICE}× to tell.")
    return Judgement(verdict, f"{said}.")


def measure_coroutines(settings: Settings) -> list[Figure]:
    waits = compared(_crew.coroutines, "as coroutines", ("io_bound", settings.sleep), settings, waits=True)
    counts = compared(_crew.coroutines, "as coroutines", ("cpu_bound", settings.count), settings)
    return [
        *_prefixed("waiting", waits),
        *_prefixed("counting", counts),
        count("threads", 1),
    ]


def judge_coroutines(evidence: Evidence) -> Judgement:
    share, gain = evidence["waiting: share of the sum"], evidence["counting: speed-up"]
    verdict = every(below(share, SHORTER), below(gain, A_GAIN))
    tail = "; too near to the limits to tell." if verdict is Verdict.NOT_ENOUGH else "."
    return Judgement(verdict, f"Two waiting coroutines took {share} the sum; two that count were {gain} as fast{tail}")


EXPERIMENTS = (
    Experiment(
        "gil-release",
        "C code that releases the GIL runs side by side in threads.",
        lambda settings: (
            "hashlib.sha256 and zlib.compress over megabytes, twice one after another and in two "
            f"threads; {settings.repeats} "
            "turns."
        ),
        measure_gil_release,
        judge_gil_release,
    ),
    Experiment(
        "interpreters",
        "Sub-interpreters, each with a GIL of its own, count side by side within one process.",
        lambda settings: (
            f"cpu_bound({settings.count:,}) twice one after another and in two interpreters; {settings.repeats} turns."
        ),
        measure_interpreters,
        judge_interpreters,
    ),
    Experiment(
        "free-threading",
        "Without the GIL, threads speed counting up as processes do.",
        lambda settings: (
            f"cpu_bound({settings.count:,}) twice one after another and in two threads, with the GIL "
            "and without, in Pythons of "
            f"their own; {settings.repeats} turns."
        ),
        measure_free_threading,
        judge_free_threading,
    ),
    Experiment(
        "coroutines",
        "Coroutines overlap their waiting in a single thread, and gain nothing for counting.",
        lambda settings: (
            f"Two coroutines that wait {settings.sleep:g} s, and two that count {settings.count:,} "
            "steps, against one call after "
            f"another; {settings.repeats} turns."
        ),
        measure_coroutines,
        judge_coroutines,
    ),
)
