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
from lightwork._offspring import FRESH, TICK, Offspring
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


def of_this_thread() -> Offspring:
    return Offspring(threading.get_native_id())


@pytest.mark.parametrize("program", [COMPUTES, IN_A_THREAD, IN_A_CHILD])
def test_what_a_living_child_computes_is_seen(program):
    offspring, began = of_this_thread(), time.perf_counter()
    before = offspring.family_cpu() - time.process_time()
    with child(program):
        wait_for(lambda: offspring.share() * (time.perf_counter() - began) > 0.2)
        wait_for(lambda: offspring.family_cpu() - time.process_time() - before > 0.2)


@pytest.mark.parametrize("times", [1, 4])
def test_what_one_computed_counts_when_it_has_ended(times):
    """The children's own children, too, which a shell has waited for and goes on."""
    offspring, began = of_this_thread(), time.perf_counter()
    one = f"{sys.executable} -Sc 'import time\nwhile time.process_time() < 0.1: pass'"
    with subprocess.Popen(["/bin/sh", "-c", "; ".join([one] * times + ["read _"])], stdin=subprocess.PIPE) as shell:
        wait_for(lambda: offspring.share() * (time.perf_counter() - began) > 0.08 * times)
        shell.communicate(b"\n")
    wait_for(lambda: offspring.share() * (time.perf_counter() - began) > 0.1 * times)


def test_what_waits_is_not_said_to_compute():
    offspring, began = of_this_thread(), time.perf_counter()
    subprocess.run(["/bin/sleep", "0.3"], check=True)
    assert offspring.share() * (time.perf_counter() - began) < 0.2


def test_children_of_other_threads_are_not_this_ones():
    begun, over = threading.Event(), threading.Event()

    def other() -> None:
        with child(COMPUTES):
            begun.set()
            over.wait(30)

    thread = threading.Thread(target=other)
    offspring = of_this_thread()
    before = offspring.family_cpu() - time.process_time()
    thread.start()
    try:
        assert begun.wait(30)
        wait_for(lambda: offspring.family_cpu() - time.process_time() - before > 0.2)
        assert offspring.share() == 0
    finally:
        over.set()
        thread.join()


def used_by(process: subprocess.Popen[bytes]) -> float:
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


def test_children_from_before_are_no_calls():
    """Nor when they end: all that they have ever computed is told then."""
    with child(COMPUTES) as one:
        wait_for(lambda: used_by(one) > 0.2)
        time.sleep(2 * TICK)  # else it may be the first call's
        offspring, began = of_this_thread(), time.perf_counter()
        before = used_by(one)
        wait_for(lambda: used_by(one) > before + 0.1)
        assert offspring.share() == 0
    time.sleep(FRESH)  # the last look is good for so long
    assert offspring.share() * (time.perf_counter() - began) < 0.05


def test_one_that_began_just_before_somebody_looks_is_a_calls():
    began = time.perf_counter()
    with child(COMPUTES):
        offspring, since = Offspring(threading.get_native_id(), began), time.perf_counter()
        wait_for(lambda: offspring.share() * (time.perf_counter() - since) > 0.1)


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


@pytest.mark.parametrize(
    "mapped",
    [
        lambda items: lw.map(computes_elsewhere, items, retries=1),
        lambda items: lw.map(computes_elsewhere, slow(items)),
        lambda items: lw.imap(computes_elsewhere, items),
    ],
    ids=["options", "slow input", "imap"],
)
@pytest.mark.timeout(120)
@pytest.mark.skipif(usable_cores() > 8, reason="as above")
def test_nor_are_there_more_however_they_are_mapped(mapped):
    for _ in range(10):
        results = mapped([0.1] * 4 * usable_cores())
        assert list(results) == [0] * 4 * usable_cores()
        if results.report.workers <= 2 * usable_cores():
            break
    assert results.report.workers <= 2 * usable_cores(), results.report


def slow(items: list[float]) -> Iterator[float]:
    for item in items:
        time.sleep(0.002)
        yield item


def test_nor_is_what_this_package_begins():
    offspring, began = of_this_thread(), time.perf_counter()
    assert lw.map(busy, [0.2] * 4, backend="processes") == [0.2] * 4
    assert offspring.share() * (time.perf_counter() - began) < 0.2


def busy(seconds: float) -> float:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return seconds


def test_what_other_children_compute_is_not_the_calls():
    with child(COMPUTES):
        time.sleep(2 * TICK)
        report = lw.map(time.sleep, [0.05] * 100).report
    assert report.workers > 30, report


def test_those_that_wait_are_as_many_as_ever():
    assert lw.map(waits_elsewhere, [0.2] * 30).report.workers > 15
