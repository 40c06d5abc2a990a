"""Functions from everywhere: scripts without a guard, ``-c``, stdin, packages; Ctrl-C; the parent's death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PROGRAM = """
import lightwork as lw
FACTOR = 3
class Point:
    def __init__(self, x): self.x = x
def times(x): return Point(x * FACTOR)
for backend in {backends!r}:
    results = lw.map(times, range(4), backend=backend)
    assert [p.x for p in results] == [0, 3, 6, 9], results
    assert all(isinstance(p, Point) for p in results)
    assert lw.map(lambda p: p.x, results, backend=backend) == [0, 3, 6, 9]
print("fine")
"""
BACKENDS = ["serial", "threads", "processes"] + (["interpreters"] if sys.version_info >= (3, 14) else [])


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=50, **{"cwd": "/", **options}
    )


def test_a_script_without_a_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(backends=BACKENDS))
    done = run(str(script))
    assert done.stdout == "fine\n", done.stderr


def test_dash_c():
    done = run("-c", PROGRAM.format(backends=BACKENDS))
    assert done.stdout == "fine\n", done.stderr


def test_stdin():
    done = run("-", input=PROGRAM.format(backends=BACKENDS))
    assert done.stdout == "fine\n", done.stderr


def test_the_interactive_prompt():
    text = "import lightwork as lw\ndef f(x):\n    return x + 1\n\nprint(lw.map(f, [1, 2], backend='processes'))\n"
    done = run("-i", "-q", input=text)
    assert "[2, 3]" in done.stdout, done.stderr


def test_a_module_that_maps_when_it_is_imported_is_named(tmp_path):
    (tmp_path / "careless.py").write_text(
        "import lightwork as lw\ndef f(x): return x\nprint(lw.map(f, [1], backend='processes', errors='return'))\n"
    )
    done = run("-c", "import careless", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "careless" in done.stdout + done.stderr
    assert "CalledWhileImporting" in done.stdout + done.stderr


def children(process):
    return psutil.Process(process.pid).children(recursive=True)


WAIT = """
import lightwork as lw, time, sys
def f(x):
    open({mark!r} + str(x), "w").close()
    if x > 1: time.sleep(60)
    return x
try:
    lw.map(f, range(8), backend={backend!r}, max_workers=2, chunksize=1)
except KeyboardInterrupt as exc:
    assert type(exc) is lw.Interrupted
    print(sorted(lw.partial(exc)), flush=True)
    raise
"""


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_one_ctrl_c_ends_it_with_one_traceback(tmp_path, backend):
    mark = str(tmp_path / "began-")
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT.format(mark=mark, backend=backend)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 20
    last = mark + ("2" if backend == "serial" else "3")  # all workers are in a long call then
    while not Path(last).exists() and time.monotonic() < end:
        time.sleep(0.01)
    family = children(process)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert out == "[0, 1]\n", err
    assert err.count("Traceback") == 1, err
    assert "Interrupted" in err
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive


def test_a_killed_parent_leaves_no_process(tmp_path):
    mark = str(tmp_path / "began-")
    process = subprocess.Popen([sys.executable, "-c", WAIT.format(mark=mark, backend="processes")])
    end = time.monotonic() + 20
    while not Path(mark + "2").exists() and time.monotonic() < end:
        time.sleep(0.01)
    family = children(process)
    assert len(family) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive


def test_after_a_map_only_the_idle_starter_is_left():
    done = run(
        "-c",
        "import lightwork as lw, psutil\n"
        "lw.map(abs, range(10), backend='processes')\n"
        "print(len(psutil.Process().children(recursive=True)))",
    )
    assert done.stdout == "1\n", done.stderr
