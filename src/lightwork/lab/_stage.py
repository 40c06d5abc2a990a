"""What runs in the process that each experiment has for itself.

It finds its standard output turned into the record (see ``_work``), measures, and sends back one JSON
document through the pipe that it was started with.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import tempfile
from types import FrameType
from typing import Any

from lightwork._record import asdict
from lightwork.lab import _here, _work
from lightwork.lab._experiments import experiments
from lightwork.lab._values import Settings


def main(request: str) -> None:
    """Carries out ``{"key": …, "settings": {…}, "deadline": seconds}``."""
    asked = json.loads(request)
    _end_with_deadline(asked["deadline"])
    reply = os.dup(_work.RECORD)
    with tempfile.TemporaryFile() as record:
        os.dup2(record.fileno(), _work.RECORD)
        fcntl.fcntl(_work.RECORD, fcntl.F_SETFL, fcntl.fcntl(_work.RECORD, fcntl.F_GETFL) | os.O_APPEND)
        figures = experiments()[asked["key"]].measure(Settings(**asked["settings"]))
        record.seek(0)
        lines = record.read().decode(errors="replace").splitlines()
    _end_helpers()
    log, spans = split_record(lines)
    document = {
        "here": asdict(_here.look()),
        "figures": [asdict(figure) for figure in figures],
        "log": log,
        "spans": spans,
    }
    with os.fdopen(reply, "w") as answer:
        json.dump(document, answer)


def split_record(lines: list[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """What was said, and what was noted: spans in seconds since the first one's start, in the order of their
    start."""
    log = [line for line in lines if not line.startswith(_work.SPAN_MARK)]
    noted = [json.loads(line[1:]) for line in lines if line.startswith(_work.SPAN_MARK)]
    first = min((start for _, _, _, start, _, _ in noted), default=0.0)
    spans = [
        {
            "pid": pid,
            "process": process,
            "thread": thread,
            "start": start - first,
            "end": end - first,
            "label": label,
        }
        for pid, process, thread, start, end, label in sorted(noted, key=lambda span: span[3])
    ]
    return log, spans


def _end_with_deadline(seconds: float) -> None:
    """Should whoever started this process be gone, it ends by itself, and its children with it."""

    def end(_signum: int, _frame: FrameType | None) -> None:
        os.killpg(0, signal.SIGTERM)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _end_helpers() -> None:
    """Ends and reaps the servers that ``multiprocessing`` started; else they would outlive this process for a
    moment.

    The standard library has no public call for this; these two are what its own tests use.
    """
    from multiprocessing import forkserver, resource_tracker

    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
