"""What all tests share: the backends that can run on this interpreter."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lightwork as lw

ALL = ("serial", "threads", "processes", "interpreters", "asyncio")


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job, as whose part tests may be run, ignores Ctrl-C, and so do all programs that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput") and hasattr(os, "setsid"):
        # One of several test processes. The free-threaded Python 3.13 gives its core away ten thousand times while it
        # imports NumPy (a thread that takes a lock of its own once more looks 40 times whether it is free), and Linux
        # has it wait for a slice of time each time behind whoever computes in the same session: a program that a test
        # starts needed 10 s for that beside three threads of another test, and needs 0.4 in a session of its own.
        os.setsid()


class Way:
    """A backend under test, and how a plain function is put to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.can = lw.backends()[name].capabilities

    def fn(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """``plain``, as a coroutine function where the backend takes only those."""
        if not self.can.coroutines:
            return plain

        @functools.wraps(plain)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return plain(*args, **kwargs)

        return awaited

    def __repr__(self) -> str:
        return self.name


def _ways() -> list[Any]:
    known = lw.backends()
    return [
        pytest.param(name, marks=[] if known[name] else pytest.mark.skip(reason=f"{name}: {known[name].unavailable}"))
        for name in ALL
    ]


@pytest.fixture(scope="module", autouse=True)
def at_rest() -> None:
    """No thread of the module before computes any more: those of OpenBLAS spin for a tenth of a second after their
    work, and who measures what this process computes would count that."""
    end, quiet = time.monotonic() + 2, 0
    while quiet < 4 and time.monotonic() < end:
        computed = time.process_time()
        time.sleep(0.005)
        quiet = quiet + 1 if time.process_time() - computed < 0.001 else 0


@pytest.fixture(params=_ways())
def way(request: pytest.FixtureRequest) -> Way:
    """Every backend in turn."""
    return Way(request.param)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test may leave a worker thread behind."""
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 5
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("lightwork"):
            thread.join(max(0.0, end - time.monotonic()))
            assert not thread.is_alive(), f"{thread.name} was left behind"
