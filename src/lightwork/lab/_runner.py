"""Runs experiments one at a time, each in a process of its own, and judges what they measured.

Why a process of its own: the caller may have threads (then it must not fork), a ``__main__`` without a guard
(then ``multiprocessing`` would run it again in every child), or a display loop that takes the GIL now and
then. A fresh interpreter has none of that; and it leads a process group, so that all it started can be ended
with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightwork._record import asdict
from lightwork.lab._experiments import experiments
from lightwork.lab._values import (
    Evidence,
    Experiment,
    Figure,
    Judgement,
    Outcome,
    Settings,
    Span,
    Verdict,
    here_from_json,
)

START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from lightwork.lab._stage import main; main(sys.argv[2])"
)
"""Run by ``-c``: a ``__main__`` without a file, which ``multiprocessing`` does not import again in
children."""

GRACE = 2.0
"""Seconds between asking an experiment's processes to end and killing them. It gives the standard library's
resource tracker, which outlives the others, time to remove shared memory that was still in use."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress of the lab: ``what`` is "started" or "finished" (then with its outcome); ``place`` of
    ``total``."""

    what: str
    key: str
    place: int
    total: int
    outcome: Outcome | None = None


def run(
    keys: Iterable[str] | None = None,
    settings: Settings | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Iterator[Outcome]:
    """Runs the experiments with these keys (all of them if None) and yields each outcome as it is there.

    Raises KeyError for a key that names no experiment, before anything runs. Closing the iterator, or an
    exception such as Ctrl-C while it waits, ends the running experiment and all its processes.
    """
    known = experiments()
    chosen = list(known) if keys is None else [keys] if isinstance(keys, str) else list(keys)
    for key in chosen:
        if key not in known:
            raise KeyError(f"no experiment {key!r}; there are: {', '.join(known)}")
    return _outcomes([known[key] for key in chosen], settings or Settings(), on_event or (lambda _: None))


def _outcomes(chosen: list[Experiment], settings: Settings, on_event: Callable[[Event], None]) -> Iterator[Outcome]:
    for place, experiment in enumerate(chosen, 1):
        on_event(Event("started", experiment.key, place, len(chosen)))
        outcome = run_one(experiment, settings)
        on_event(Event("finished", experiment.key, place, len(chosen), outcome))
        yield outcome


def run_one(experiment: Experiment, settings: Settings, deadline: float | None = None) -> Outcome:
    """One experiment, from its process's start to the verdict. ``deadline`` in seconds; by default from the
    settings."""
    began = time.perf_counter()
    seconds = settings.deadline if deadline is None else deadline
    document, failure = _measure(experiment.key, settings, seconds)
    evidence = judgement = None
    if document is not None:
        figures = tuple(Figure(**figure) for figure in document["figures"])
        evidence = Evidence(here_from_json(document["here"]), figures)
        judgement = experiment.judge(evidence)
    else:
        judgement = Judgement(Verdict.NOT_ENOUGH, failure)
    return Outcome(
        key=experiment.key,
        claim=experiment.claim,
        did=experiment.did(settings),
        log=tuple(document["log"]) if document else (),
        figures=evidence.figures if evidence else (),
        spans=tuple(Span(**span) for span in document["spans"]) if document else (),
        verdict=judgement.verdict,
        because=judgement.because,
        seconds=time.perf_counter() - began,
        here=evidence.here if evidence else None,
    )


def _measure(key: str, settings: Settings, deadline: float) -> tuple[dict[str, Any] | None, str]:
    """The experiment's document, or None and the reason why there is none."""
    request = json.dumps({"key": key, "settings": asdict(settings), "deadline": deadline + GRACE})
    path = json.dumps([entry or str(Path.cwd()) for entry in sys.path])
    stage = subprocess.Popen(
        [sys.executable, "-c", START, path, request],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        answer, complaint = stage.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        _end_group(stage)
        return None, f"It had not ended after {deadline:.0f} s and was stopped."
    except BaseException:
        _end_group(stage)
        raise
    if stage.returncode != 0 or not answer:
        last = complaint.strip().splitlines()[-1:] or [f"exit code {stage.returncode}"]
        return None, f"The measurement failed: {last[0]}"
    document: dict[str, Any] = json.loads(answer)
    return document, ""


def _end_group(stage: subprocess.Popen[str]) -> None:
    """Ends the process and whatever it started; returns when all of them are gone.

    All of them have its standard error, so that the end of that file says that none is left.
    """
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(stage.pid, signum)
        try:
            stage.communicate(timeout=GRACE)
            return
        except subprocess.TimeoutExpired:
            continue
