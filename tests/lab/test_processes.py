"""The lab leaves no process behind, whatever happens, and runs from any kind of caller."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lightwork.lab import Settings, Verdict, experiments
from lightwork.lab._runner import run_one
from tests.leftovers import linux

LONG = "Settings(sleep=30.0, count=10**9, repeats=1)"
UNGUARDED = """
print("top of the script")
from lightwork import lab
for outcome in lab.run(["{key}"], lab.{settings}):
    print(outcome.key, outcome.verdict, outcome.here is not None)
"""
TINY = "Settings(sleep=0.01, count=1000, repeats=3, window=0.01)"


def test_an_unguarded_script_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(UNGUARDED.format(key="clone", settings=TINY))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.splitlines() == ["top of the script", "clone holds True"]
    assert done.stderr == ""


def test_from_standard_input() -> None:
    source = UNGUARDED.format(key="queue", settings=TINY)
    done = subprocess.run([sys.executable, "-"], input=source, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.splitlines() == ["top of the script", "queue holds True"]


@linux
@pytest.mark.parametrize("key", ["cpu-processes", "io-threads"])
def test_ctrl_c_leaves_no_process(key: str) -> None:
    source = UNGUARDED.format(key=key, settings=LONG)
    script = subprocess.Popen([sys.executable, "-c", source], stderr=subprocess.PIPE, text=True)
    caller = psutil.Process(script.pid)
    family = wait_for_children(caller)
    script.send_signal(signal.SIGINT)
    _, complaint = script.communicate(timeout=30)
    assert "KeyboardInterrupt" in complaint
    assert not [process for process in family if alive(process)]


def wait_for_children(caller: psutil.Process) -> list[psutil.Process]:
    """Those of a stage whose experiment runs: it has a session of its own, and has said something."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for stage in caller.children():
            if os.getsid(stage.pid) == stage.pid and wrote(stage):
                return caller.children(recursive=True)
        time.sleep(0.02)
    raise AssertionError("no experiment has started")


def wrote(stage: psutil.Process) -> bool:
    """Whether there is a line in the record, a file that has no name: the stage's standard output."""
    record = Path(f"/proc/{stage.pid}/fd/1").stat()
    return stat.S_ISREG(record.st_mode) and record.st_size > 0


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_an_experiment_that_takes_too_long_is_stopped() -> None:
    before = set(psutil.Process().children(recursive=True))
    settings = Settings(sleep=60.0, count=1000, repeats=1)
    outcome = run_one(experiments()["io-serial"], settings, deadline=1.0)
    assert outcome.verdict is Verdict.NOT_ENOUGH
    assert outcome.because == "It had not ended after 1 s and was stopped."
    assert outcome.seconds < 20
    assert set(psutil.Process().children(recursive=True)) == before


def test_leaving_the_loop_ends_nothing_else() -> None:
    source = """
from lightwork import lab
for outcome in lab.run(["namespace", "io-serial"], lab.Settings(sleep=30.0, count=1000, repeats=1)):
    break
print(outcome.key)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=25, check=True)
    assert done.stdout == "namespace\n"
