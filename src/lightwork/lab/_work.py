"""The lesson's two functions, and how a worker leaves word of what it does.

A worker says a line, or notes a span, by one ``write`` to the record: a file opened for appending, which the
experiment's process has as its standard output and every thread, process and interpreter below it inherits.
One system call writes the whole line at the file's end, so that lines of different writers neither mix nor
overwrite.

Everything here can be imported by a worker without side effects, whatever way it was started.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import current_process

RECORD = 1
"""The file descriptor that workers write to: standard output."""

SPAN_MARK = "\x1f"
"""The first character of a line that holds a span rather than something said."""

SLEEPING, COUNTING, WAITING, HOLDING = "sleeping", "counting", "waiting for the lock", "holding the lock"


def who() -> str:
    """Process id, process name and thread name, as in ``1234:MainProcess.Thread-1``."""
    return f"{os.getpid()}:{current_process().name}.{threading.current_thread().name}"


def say(text: str) -> None:
    """One line of the log, in the lesson's form."""
    os.write(RECORD, f"{who()} ---> {text}\n".encode())


def note(start: float, end: float, label: str, thread: str | None = None) -> None:
    """Leaves word that this thread did ``label`` from ``start`` to ``end`` (``time.perf_counter`` of this
    machine)."""
    names = (current_process().name, thread or threading.current_thread().name)
    span = json.dumps([os.getpid(), *names, start, end, label])
    os.write(RECORD, f"{SPAN_MARK}{span}\n".encode())


@contextmanager
def noted(label: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        note(start, time.perf_counter(), label)


def io_bound(seconds: float) -> None:
    """Does almost nothing but wait."""
    say("Start sleeping...")
    with noted(SLEEPING):
        time.sleep(seconds)
    say("Finished sleeping...")


def cpu_bound(n: int) -> None:
    """Uses the CPU, for counting down from ``n``."""
    say("Start counting...")
    with noted(COUNTING):
        while n > 0:
            n -= 1
    say("Finished counting...")


async def io_bound_coroutine(seconds: float) -> None:
    """``io_bound`` with a wait that gives the event loop back."""
    import asyncio

    name = task_name()
    say("Start sleeping...")
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    note(start, time.perf_counter(), SLEEPING, name)
    say("Finished sleeping...")


async def cpu_bound_coroutine(n: int) -> None:
    """``cpu_bound`` as a coroutine: it has nothing to wait for, and so never gives the event loop back."""
    name = task_name()
    say("Start counting...")
    start = time.perf_counter()
    while n > 0:
        n -= 1
    note(start, time.perf_counter(), COUNTING, name)
    say("Finished counting...")


def task_name() -> str:
    import asyncio

    task = asyncio.current_task()
    return threading.current_thread().name + ("" if task is None else f" {task.get_name()}")


SLICE = 10_000
"""Steps between two looks at the clock in ``cpu_bound_watched``: about half a millisecond, a tenth of a GIL
turn."""

BREAK = 0.002
"""A slice that took this many seconds longer than the fastest one was interrupted: far above a clock reading
or a page fault, below the 5 ms for which a thread that waits for the GIL has to be patient."""


def cpu_bound_watched(n: int) -> None:
    """``cpu_bound`` that notes when it really ran: a slice that took far too long had a break in it."""
    say("Start counting...")
    began = last = time.perf_counter()
    fastest = float("inf")
    while n > 0:
        for _ in range(min(SLICE, n)):
            n -= 1
        now = time.perf_counter()
        fastest = min(fastest, now - last)
        if now - last > fastest + BREAK:
            # When in the slice the break began is not known; a slice is short beside the break.
            note(began, last, COUNTING)
            began = now - fastest
        last = now
    note(began, last, COUNTING)
    say("Finished counting...")


MEBIBYTE = bytes(1 << 20)


def hash_bound(mebibytes: int) -> None:
    """Computes in C, with the GIL released: the hash of so many mebibytes."""
    with noted(COUNTING):
        for _ in range(mebibytes):
            hashlib.sha256(MEBIBYTE).digest()


def zip_bound(mebibytes: int) -> None:
    """Computes in C, with the GIL released: compresses so many mebibytes."""
    with noted(COUNTING):
        for _ in range(mebibytes):
            zlib.compress(MEBIBYTE)


WORK: dict[str, Callable[[int], None] | Callable[[float], None]] = {
    "io_bound": io_bound,
    "cpu_bound": cpu_bound,
    "cpu_bound_watched": cpu_bound_watched,
    "hash_bound": hash_bound,
    "zip_bound": zip_bound,
}
