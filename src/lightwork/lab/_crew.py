"""Runs the lesson's functions one after another, in threads, processes, interpreters or as coroutines, and
times it.

Only the standard library's own means, as in the lesson. All of it runs in an experiment's own process, which
has nothing else to do: no other thread runs in it, and what goes wrong there cannot reach the caller.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from lightwork.lab import _work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import BaseContext

Job = tuple[str, float]
"""A key of ``_work.WORK`` and the length that goes with it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """``whole``: seconds from before the first start until all workers had ended; ``work``: from when all of
    them stood ready; ``cpu``: CPU seconds of the work alone, all workers together."""

    whole: float
    work: float
    cpu: float


def run_job(job: Job) -> None:
    name, length = job
    _work.WORK[name](length)  # type: ignore[arg-type]  # each length fits its function: waits take seconds, counts steps


def one_after_another(jobs: Sequence[Job]) -> Timing:
    began, cpu = time.perf_counter(), time.process_time()
    for job in jobs:
        run_job(job)
    took = time.perf_counter() - began
    return Timing(took, took, time.process_time() - cpu)


def threads(jobs: Sequence[Job]) -> Timing:
    crew = [threading.Thread(target=run_job, args=(job,), name=f"Thread-{i}") for i, job in enumerate(jobs, 1)]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    took = time.perf_counter() - began
    return Timing(took, took, time.process_time() - cpu)


def coroutines(jobs: Sequence[Job]) -> Timing:
    import asyncio

    functions: dict[str, Callable[[Any], Any]] = {
        "io_bound": _work.io_bound_coroutine,
        "cpu_bound": _work.cpu_bound_coroutine,
    }

    async def all_of_them() -> None:
        await asyncio.gather(*(functions[name](length) for name, length in jobs))

    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(all_of_them())
    took = time.perf_counter() - began
    return Timing(took, took, time.process_time() - cpu)


# --- processes


def _worker_modules() -> list[str]:
    """What the fork server imports once, so that no worker has to: what this process has of the lab."""
    return [name for name in sys.modules if name.startswith("lightwork.lab.")]


def context(method: str = "forkserver") -> BaseContext:
    """The standard library's way of starting processes; by default from a server that forks before it has
    threads."""
    chosen = multiprocessing.get_context(method)
    if method == "forkserver":
        chosen.set_forkserver_preload(_worker_modules())
    return chosen


@contextmanager
def child_processes(
    targets: Sequence[Callable[..., None]], *arguments: Any, method: str = "forkserver", name: str = "Process"
) -> Iterator[list[Connection]]:
    """Starts one process for each target with its end of a pipe and the arguments; joins all of them at the
    end."""
    start = context(method)
    with ExitStack() as pipes:
        ours, crew = [], []
        for i, target in enumerate(targets, 1):
            mine, theirs = start.Pipe()
            pipes.enter_context(mine)
            process = start.Process(target=target, args=(theirs, *arguments), name=f"{name}-{i}")  # type: ignore[attr-defined]
            process.start()
            theirs.close()
            ours.append(mine)
            crew.append(process)
        yield ours
        for process in crew:
            process.join()
            if process.exitcode != 0:
                raise RuntimeError(f"{process.name} ended with exit code {process.exitcode}")


def processes(jobs: Sequence[Job], method: str = "forkserver") -> Timing:
    began = time.perf_counter()
    with child_processes([_do_jobs] * len(jobs), method=method) as pipes:
        for pipe in pipes:
            pipe.recv()  # it stands ready
        ready = time.perf_counter()
        for pipe, job in zip(pipes, jobs, strict=True):
            pipe.send(job)
        ends, cpu = zip(*(pipe.recv() for pipe in pipes), strict=True)
    return Timing(time.perf_counter() - began, max(ends) - ready, sum(cpu))


def _do_jobs(pipe: Connection) -> None:
    pipe.send("ready")
    job = pipe.recv()
    cpu = time.process_time()
    run_job(job)
    pipe.send((time.perf_counter(), time.process_time() - cpu))


# --- sub-interpreters


class Interpreters:
    """So many interpreters, each with a GIL of its own, in this process. Needs Python 3.14. Close it, or use
    ``with``.

    They are started once for all turns: ``started`` is the seconds that it took, their imports included.
    """

    def __init__(self, size: int) -> None:
        interpreters = import_module("concurrent.interpreters")
        began = time.perf_counter()
        self._crew = [interpreters.create() for _ in range(size)]
        for interpreter in self._crew:
            interpreter.exec(f"import sys; sys.path[:] = {sys.path!r}; import {__name__}")
        self.started = time.perf_counter() - began

    def __call__(self, jobs: Sequence[Job]) -> Timing:
        began, cpu = time.perf_counter(), time.process_time()
        working = [
            interpreter.call_in_thread(_do_named, job, f"Interpreter-{i}")
            for i, (interpreter, job) in enumerate(zip(self._crew, jobs, strict=True), 1)
        ]
        for thread in working:
            thread.join()
        took = time.perf_counter() - began
        return Timing(took, took, time.process_time() - cpu)

    def __enter__(self) -> Interpreters:
        return self

    def __exit__(self, *exc: object) -> None:
        for interpreter in self._crew:
            interpreter.close()


def _do_named(job: Job, name: str) -> None:
    threading.current_thread().name = name
    run_job(job)


# --- measuring


def turns(repeats: int, *measurements: Callable[[], Timing]) -> list[list[Timing]]:
    """Takes all measurements in each of ``repeats`` turns; what the last turn left on the record is kept."""
    results: list[list[Timing]] = [[] for _ in measurements]
    for _ in range(repeats):
        fresh_record()
        for measure, result in zip(measurements, results, strict=True):
            result.append(measure())
    return results


def fresh_record() -> None:
    """Forgets what workers have left on the record so far."""
    os.ftruncate(_work.RECORD, 0)
