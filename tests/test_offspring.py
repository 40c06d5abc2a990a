"""Calls that have child processes compute, for which they wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightwork as lw
from lightwork._machine import usable_cores
from lightwork._offspring import Offspring, family_cpu
from tests.leftovers import wait_for

TOLD = Path(f"/proc/self/task/{threading.get_native_id()}/children").exists()

pytestmark = pytest.mark.skipif(not TOLD, reason="this kernel does not say what a living child has used")

COMPUTES = "while True: pass"
IN_A_THREAD = "import threading\nt = threading.Thread(target=lambda: [0 for _ in iter(int, 1)])\nt.start()\nt.join()"
IN_A_CHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {COMPUTES!r}])"


@contextlib.contextmanager
def child(program: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-Sc", program], start_new_session=True) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # and its own children


@pytest.mark.parametrize("program", [COMPUTES, IN_A_THREAD, IN_A_CHILD])
def test_what_a_living_child_computes_is_seen(program):
    offspring, before = Offspring(threading.get_native_id()), family_cpu()
    with child(program):
        wait_for(lambda: family_cpu() - before > 0.2)
        assert offspring.share() > 0


def test_what_one_computed_counts_when_it_has_ended():
    before, began = family_cpu(), time.perf_counter()
    offspring = Offspring(threading.get_native_id())
    subprocess.run([sys.executable, "-Sc", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert family_cpu() - before > 0.3
    assert offspring.share() * (time.perf_counter() - began) > 0.3


def test_what_waits_is_not_said_to_compute():
    offspring, began = Offspring(threading.get_native_id()), time.perf_counter()
    subprocess.run(["/bin/sleep", "0.3"], check=True)
    assert offspring.share() * (time.perf_counter() - began) < 0.1


def test_children_of_other_threads_are_not_this_ones():
    begun, over = threading.Event(), threading.Event()

    def other() -> None:
        with child(COMPUTES):
            begun.set()
            over.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert begun.wait(30)
        offspring, before = Offspring(threading.get_native_id()), family_cpu()
        wait_for(lambda: family_cpu() - before > 0.2)
        assert offspring.share() == 0
    finally:
        over.set()
        thread.join()


def computes_elsewhere(seconds: float) -> int:
    program = f"import time\nwhile time.process_time() < {seconds}: pass"
    return subprocess.run([sys.executable, "-Sc", program], check=True).returncode


def waits_elsewhere(seconds: float) -> int:
    return subprocess.run(["/bin/sleep", str(seconds)], check=True).returncode


@pytest.mark.timeout(120)
@pytest.mark.skipif(usable_cores() > 8, reason="a call for each core, and many more, would take long")
def test_there_are_no_more_of_them_at_a_time_than_cores():
    for _ in range(10):  # on a busy machine they get so little of the cores that they seem to wait
        report = lw.map(computes_elsewhere, [0.1] * 4 * usable_cores()).report
        if report.workers <= usable_cores() + 1:
            break
    assert report.workers <= usable_cores() + 1, report
    assert any("child processes compute" in decision.why for decision in report.decisions)
    assert "processes" not in {lane.backend for lane in report.lanes}


def test_those_that_wait_are_as_many_as_ever():
    assert lw.map(waits_elsewhere, [0.2] * 30).report.workers > 15
