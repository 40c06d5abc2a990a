"""A program that has used sub-interpreters ends: no crash, no hang, and nothing of them left over.

Each way to end is tried several times, because what goes wrong does so in some of the runs.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="sub-interpreters need Python 3.14")

TIMES = 4
SECONDS = 40

BEGIN = """
import sys, time
import lightwork as lw
def slow(i): time.sleep(0.05); return i
def fails(i): return 1 // i
def nested(i): return list(lw.map(fails, range(2)))
def interrupt(after):
    import _thread, threading
    threading.Thread(target=lambda: (time.sleep(after), _thread.interrupt_main()), daemon=True).start()
WAY = {"backend": "interpreters", "max_workers": 2}
"""

ENDS = {
    "a loop that is left": (
        """
for x in lw.imap(slow, range(1000), **WAY):
    if x == 3: break
print("end")
""",
        0,
        "end",
    ),
    "sys.exit in a loop": (
        """
for x in lw.imap(slow, range(1000), **WAY):
    if x == 3: sys.exit(5)
""",
        5,
        "",
    ),
    "an iterator that nobody closes": (
        """
results = lw.imap(slow, range(1000), **WAY)
print(next(results))
""",
        0,
        "0",
    ),
    "a map that fails": (
        """
try: lw.map(fails, range(4), **WAY)
except ZeroDivisionError: print("failed")
""",
        0,
        "failed",
    ),
    "a nested map that fails": (
        """
try: lw.map(nested, range(4), **WAY)
except ZeroDivisionError: print("failed")
""",
        0,
        "failed",
    ),
    "an executor that was dropped": (
        """
executor = lw.Executor(2, backend="interpreters")
future = executor.submit(slow, 7)
del executor
print(future.result(timeout=30))
""",
        0,
        "7",
    ),
    "an executor that was dropped with calls waiting": (
        """
executor = lw.Executor(2, backend="interpreters")
futures = [executor.submit(slow, i) for i in range(6)]
futures[-1].add_done_callback(lambda future: print("last", future.result()))
del executor
""",
        0,
        "last 5",
    ),
    "an executor that is not shut down": (
        """
executor = lw.Executor(2, backend="interpreters")
print(executor.submit(slow, 7).result(timeout=30))
""",
        0,
        "7",
    ),
    "a nested executor that is not shut down": (
        """
def keeps(i):
    global executor
    executor = lw.Executor(1, backend="threads")
    return executor.submit(slow, i).result()
print(list(lw.map(keeps, range(3), **WAY)))
""",
        0,
        "[0, 1, 2]",
    ),
    "Ctrl-C while the workers start": (
        """
try:
    interrupt(0.05)
    lw.map(slow, range(1000), **WAY)
except KeyboardInterrupt: print("interrupted")
""",
        0,
        "interrupted",
    ),
    "Ctrl-C in an executor's block": (
        """
try:
    with lw.Executor(2, backend="interpreters") as executor:
        results = executor.map(slow, range(1000))
        next(results)
        interrupt(0.1)
        list(results)
except KeyboardInterrupt: print("interrupted")
""",
        0,
        "interrupted",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_program_ends_in_peace(end):
    script, code, printed = ENDS[end]
    for _ in range(TIMES):
        done = subprocess.run(
            [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert (done.returncode, done.stdout.strip(), done.stderr) == (code, printed, "")


def test_ctrl_c_ends_the_wait_for_pending_futures_at_the_end():
    script = """
executor = lw.Executor(2, backend="interpreters")
futures = [executor.submit(slow, i) for i in range(2000)]
futures[0].result()
print("end", flush=True)
"""
    for _ in range(TIMES):
        program = subprocess.Popen(
            [sys.executable, "-c", BEGIN + script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        assert program.stdout.readline() == "end\n"
        program.send_signal(signal.SIGINT)
        try:
            _, error = program.communicate(timeout=3)
        except subprocess.TimeoutExpired:  # the first one came before the wait, and ended the script's last line
            program.send_signal(signal.SIGINT)
            _, error = program.communicate(timeout=SECONDS / 2)
        assert program.returncode in (0, 1, -signal.SIGINT, 130), error
        assert "KeyboardInterrupt" in error
        assert "remaining subinterpreters" not in error


def test_a_call_that_never_ends_does_not_keep_the_program_from_ending():
    script = """
def spin(i):
    if i: raise ValueError("one")
    while True: pass
try: lw.map(spin, range(2), **WAY)
except ValueError as error: print(error.__notes__, flush=True)
"""
    program = subprocess.Popen([sys.executable, "-c", BEGIN + script], stdout=subprocess.PIPE, text=True)
    try:
        output, _ = program.communicate(timeout=SECONDS)
    finally:
        program.kill()
    assert "1 call(s) could not be stopped and go on" in output


def test_short_calls_are_not_said_to_go_on():
    script = """
for _ in range(5):
    try: lw.map(fails, range(4), **WAY)
    except ZeroDivisionError as error: print(*error.__notes__)
"""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert done.stdout.count("raised by item 0") == 5
    assert "could not be stopped" not in done.stdout
