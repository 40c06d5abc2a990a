"""Faults that strike at a chosen stage of a call; quick to import in a worker."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from lightwork import _context
from tests.conformance.jobs import Awkward, Unsendable, mark

EXIT_CODE = 7
HEADROOM = 64 << 20
"""Bytes that the process may still get before it is refused more."""


def strike(fault: str) -> None:
    """Lets the fault happen, here and now."""
    if fault == "raise":
        raise ValueError("struck")
    if fault == "needs two arguments":
        raise Awkward(7, "struck")
    if fault == "unpicklable":
        raise Unsendable("struck")
    if fault == "sys.exit":
        sys.exit(EXIT_CODE)
    if fault == "os._exit":
        os._exit(EXIT_CODE)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "SIGSTOP":
        os.kill(os.getpid(), signal.SIGSTOP)
    if fault == "allocate":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + HEADROOM, resource.RLIM_INFINITY))
        hoard = []
        try:
            while True:
                hoard.append(bytearray(1 << 20))
        finally:
            hoard.clear()
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if fault == "allocate until killed":
        hoard = []
        while True:
            hoard.append(bytearray(b"x" * (1 << 20)))  # touched, so that the kernel must find the pages
    if fault == "hang in C":
        ctypes.PyDLL(None).usleep(600_000_000)  # holds the GIL
    while True:
        time.sleep(60)


class StrikesWhenPickled:
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __reduce__(self) -> Any:
        strike(self.fault)


class StrikesWhenUnpickled:
    """In a worker, or with ``in_caller`` in the caller's process: the other copies are harmless."""

    def __init__(self, fault: str, in_caller: bool = False) -> None:
        self.fault, self.in_caller = fault, in_caller

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if (_context.backend() is None) == self.in_caller:
            strike(self.fault)


def call(path: str, stage: str, fault: str, x: int, item: Any) -> Any:
    """The function under test: notes the call, is struck at the chosen stage or gives ``x`` back."""
    mark(path, x)
    if item is not None and stage == "running":
        strike(fault)
    if item is not None and stage == "pickling the result":
        return StrikesWhenPickled(fault)
    if item is not None and stage == "unpickling the result":
        return StrikesWhenUnpickled(fault, in_caller=True)
    return x


def struck_or_not(fault: str | None) -> None:
    if fault is not None:
        strike(fault)


def soon(fault: str, path: str) -> int:
    """Returns, and is struck a moment later in a thread of its own, when the worker is idle."""

    def wait_and_strike() -> None:
        # The file appears when the caller has the result.
        while not Path(path).exists():
            time.sleep(0.005)
        strike(fault)

    threading.Thread(target=wait_and_strike, daemon=True).start()
    return os.getpid()


def same(x: Any) -> Any:
    return x


def getpid() -> int:
    return os.getpid()
