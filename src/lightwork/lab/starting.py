"""What it costs to start a worker and to wait for its end."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from importlib import import_module

from lightwork import _machine
from lightwork.lab import _crew, _work
from lightwork.lab._estimates import above, measured, ratio
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict

CLEARLY_MORE = 1.5
"""Half as much again: more than one would explain away by a bad moment."""

STARTING = "starting to end"


# The worker's whole work is ``time.sleep(0)``: it needs no import that would count as the start's cost.


def _thread() -> None:
    thread = threading.Thread(target=time.sleep, args=(0,), name="Thread-1")
    thread.start()
    thread.join()


def _interpreter() -> None:
    interpreters = import_module("concurrent.interpreters")
    interpreter = interpreters.create()
    interpreter.call_in_thread(exec, "").join()
    interpreter.close()


def _process(method: str) -> Callable[[], None]:
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([])

    def start_and_join() -> None:
        process = context.Process(target=time.sleep, args=(0,), name="Process-1")  # type: ignore[attr-defined]
        process.start()
        process.join()

    return start_and_join


def measure(settings: Settings) -> list[Figure]:
    # fork first: the process has a single thread then, and a fork from several is unsafe.
    ways = {method: _process(method) for method in multiprocessing.get_all_start_methods()}
    ways = {method: ways[method] for method in ("fork", "forkserver", "spawn") if method in ways}
    if _machine.interpreters_missing() is None:
        ways["interpreter"] = _interpreter
    ways["thread"] = _thread
    first: dict[str, float] = {}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for name, start_and_join in ways.items():
        first[name] = _time(start_and_join, name)
    _crew.fresh_record()
    for _ in range(max(settings.repeats, 5)):
        for name, start_and_join in ways.items():
            took[name].append(_time(start_and_join, name))
    figures = [measured(name, [seconds * 1000 for seconds in took[name]], "ms") for name in reversed(took)]
    if "forkserver" in first:
        figures.append(Figure("forkserver, the first with its server", first["forkserver"] * 1000, "ms"))
    methods = [name for name in took if name not in ("thread", "interpreter")]
    cheapest = min(methods, key=lambda name: sorted(took[name])[len(took[name]) // 2])
    return [*figures, ratio("cheapest process / thread", took[cheapest], took["thread"])]


def _time(start_and_join: Callable[[], None], name: str) -> float:
    began = time.perf_counter()
    start_and_join()
    end = time.perf_counter()
    _work.note(began, end, STARTING, name)
    return end - began


def judge(evidence: Evidence) -> Judgement:
    more = evidence["cheapest process / thread"]
    verdict = above(more, CLEARLY_MORE)
    reason = {
        Verdict.HOLDS: "starting a process costs more.",
        Verdict.DOES_NOT_HOLD: "no clear difference.",
        Verdict.NOT_ENOUGH: "too near to tell; repeat more often.",
    }[verdict]
    return Judgement(
        verdict,
        f"A thread took {evidence['thread']} from start to end, the cheapest kind of process {more} as long: {reason}",
    )


EXPERIMENTS = (
    Experiment(
        "start-cost",
        "Starting a process takes more than starting a thread.",
        lambda settings: (
            f"A worker that does nothing was started and joined, {max(settings.repeats, 5)} turns of "
            "all kinds: thread, "
            "interpreter (from Python 3.14), and process by fork, forkserver and spawn."
        ),
        measure,
        judge,
    ),
)
