"""``socket.setdefaulttimeout``, which programs set for servers that do not answer, says nothing of workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lightwork as lw

ROOT = Path(__file__).parents[2]

PROGRAM = """
import socket, sys
socket.setdefaulttimeout(0.1)
import numpy
import lightwork as lw
from tests.conformance import test_default_timeout as here

backend = sys.argv[1]
assert lw.map(here.busy, range(4), backend=backend, max_workers=2, chunksize=1) == [0, 1, 2, 3]
if backend == "processes":
    arrays = [numpy.full(300_000, n) for n in range(4)]
    assert [each[0] for each in lw.map(here.more, arrays, backend=backend, max_workers=2)] == [1, 2, 3, 4]
    with lw.Executor(1, backend=backend) as pool:
        assert pool.submit(here.busy, 5).result() == 5
    one, other = lw.Pipe()
    with one, other:
        other.send("there")
        assert one.recv() == "there"
print("whole")
"""


def busy(x: int) -> int:
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        pass
    return x


def more(array):
    busy(0)
    return array + 1


def patient(x: int) -> int:
    socket.setdefaulttimeout(0.05)
    return busy(x)


def outer(x: int) -> list[int]:
    socket.setdefaulttimeout(0.05)
    return list(lw.map(busy, [x, x + 1], backend="processes", max_workers=1))


@pytest.mark.parametrize("portable", ["0", "1"])
@pytest.mark.parametrize("backend", ["processes", "interpreters"])
def test_set_by_the_caller(backend, portable):
    if not lw.backends()[backend]:
        pytest.skip(lw.backends()[backend].unavailable)
    environ = {**os.environ, "LIGHTWORK_PORTABLE": portable}
    command = [sys.executable, "-c", PROGRAM, backend]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("whole\n", "")


@pytest.mark.parametrize("backend", ["processes", "interpreters"])
def test_set_in_a_worker(backend):
    if not lw.backends()[backend]:
        pytest.skip(lw.backends()[backend].unavailable)
    assert lw.map(patient, range(4), backend=backend, max_workers=2, chunksize=1) == [0, 1, 2, 3]
    assert socket.getdefaulttimeout() is None


def test_set_in_a_worker_that_has_workers_itself():
    assert lw.map(outer, [1], backend="processes") == [[1, 2]]
