"""What the handler of a signal raises while lightwork starts a thread comes out, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lightwork as lw

PROGRAM = """
import asyncio, contextlib, gc, io, signal, sys, threading, time
import lightwork as lw
from lightwork import cli

class Struck(Exception):
    pass

def strike(*_):
    raise Struck

def wait(x):
    time.sleep(0.002)
    return x

def compute(x):
    return sum(range(30_000)) + x

async def awaited(x):
    await asyncio.sleep(0.001)
    return x

def submit(backend, fn):
    with lw.Executor(2, backend=backend) as executor:
        return [future.result() for future in [executor.submit(fn, x) for x in range(8)]]

def compared():
    return range(lw.compare(wait, range(8), backends=["serial", "threads"], rounds=1).items)

def printed():
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as lines:
        assert cli.main(["map", f"{__file__}:wait", "--items", "range(8)"]) == 0
    return lines.buffer.getvalue().splitlines()

what, when = sys.argv[1:]
jobs = {
    "threads": lambda: lw.map(wait, range(8), backend="threads", max_workers=2),
    "asyncio": lambda: lw.map(awaited, range(8), backend="asyncio", max_workers=2),
    "interpreters": lambda: lw.map(wait, range(8), backend="interpreters", max_workers=2),
    "auto computes": lambda: lw.map(compute, range(600)),
    "executor of threads": lambda: submit("threads", wait),
    "executor of processes": lambda: submit("processes", abs),
    "executor of coroutines": lambda: submit("asyncio", awaited),
    "comparison": compared,
    "command that writes lines": printed,
}
start, waits = threading.Thread.start, threading.Event.wait
to_come = [when]

def strikes(event, timeout=None):
    signal.raise_signal(signal.SIGTERM)

def starts(thread):
    if not to_come or not thread.name.startswith("lightwork"):
        return start(thread)
    if to_come.pop() == "before it begins":
        signal.raise_signal(signal.SIGTERM)
    threading.Event.wait = strikes
    try:
        start(thread)
    finally:
        threading.Event.wait = waits

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, strike)
    threading.Thread.start = starts
    try:
        jobs[what]()
    except Struck:
        print("struck")
    assert len(jobs[what]()) >= 8  # as if nothing had happened
    until = time.monotonic() + 10
    while left := [each.name for each in threading.enumerate() if each.name.startswith("lightwork")]:
        assert time.monotonic() < until, left
        time.sleep(0.01)
    gc.collect()  # what nobody has closed says so, if it can
    print("nothing is left" if not to_come else "no thread was started")
"""


@pytest.mark.parametrize("when", ["before it begins", "as it begins"])
@pytest.mark.parametrize(
    "what",
    [
        "threads",
        "asyncio",
        "interpreters",
        "auto computes",
        "executor of threads",
        "executor of processes",
        "executor of coroutines",
        "comparison",
        "command that writes lines",
    ],
)
@pytest.mark.timeout(90)
def test_what_a_handler_raises_while_a_thread_is_started_comes_out(what, when, tmp_path):
    if what == "interpreters" and not lw.backends()["interpreters"]:
        pytest.skip("sub-interpreters need Python 3.14 or newer")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program, what, when], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.split("\n")
    assert told[:2] == ["struck", "nothing is left"] or told[0] == "no thread was started", done.stdout + done.stderr
    assert not done.stderr, done.stderr
