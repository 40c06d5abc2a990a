"""Promise 17: one SIGINT: under 1 s, one traceback, no child left, finished results kept in the exception."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.leftovers import alive, wait_for
from tests.promises.programs import family, start

WAIT = """
    import ctypes, sys, time
    import lightwork as lw

    mark, backend, how = sys.argv[1:]

    def f(x):
        open(mark + str(x), "w").close()
        if x > 1:
            if how == "in C":
                ctypes.PyDLL(None).usleep(60_000_000)
            time.sleep(60)
        return x

    try:
        lw.map(f, range(8), backend=backend, max_workers=2, chunksize=1)
    except KeyboardInterrupt as exc:
        assert type(exc) is lw.Interrupted
        print(sorted(lw.partial(exc)), flush=True)
        raise
"""


@pytest.mark.parametrize(
    ("backend", "how"), [("serial", "waiting"), ("threads", "waiting"), ("processes", "waiting"), ("processes", "in C")]
)
@pytest.mark.parametrize("group", [False, True], ids=["sent to the caller", "sent by the terminal"])
def test_one_ctrl_c_ends_it_with_one_traceback(tmp_path, backend, how, group):
    mark = str(tmp_path / "began-")
    process = start(WAIT, mark, backend, how, start_new_session=group)
    last = mark + ("2" if backend == "serial" else "3")  # all workers are in a long call then
    wait_for(Path(last).exists)
    children = family(process)
    began = time.monotonic()
    if group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert out == "[0, 1]\n", err
    assert err.count("Traceback") == 1, err
    assert "Interrupted" in err
    wait_for(lambda: not any(alive(child.pid) for child in children), 10)


CLOSE = """
    import sys, time
    import lightwork as lw

    mark, backend, verb = sys.argv[1:]

    def close(thing):
        open(mark, "w").close()
        for _ in range(1200):  # CPython misses a signal that comes just before a thread blocks, until it does no more
            time.sleep(0.05)

    get = lw.per_worker(object, close)

    def f(x):
        return get() and x

    try:
        if verb == "map":
            lw.map(f, range(8), backend=backend)
        elif verb == "map of a few":  # not a word of how
            lw.map(f, list(range(8)))
        else:
            with lw.Executor(1, backend=backend) as executor:
                executor.submit(f, 1).result()
    except KeyboardInterrupt as exc:
        print(sorted(lw.partial(exc)), flush=True)
        raise
"""


@pytest.mark.parametrize("backend", ["auto", "serial", "threads", "processes"])
@pytest.mark.parametrize("verb", ["map", "map of a few", "executor"])
def test_it_also_ends_the_wait_for_a_worker_that_closes_what_it_holds(tmp_path, backend, verb):
    mark = tmp_path / "closes"
    process = start(CLOSE, str(mark), backend, verb)
    wait_for(mark.exists)
    children = family(process)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert out == ("[0, 1, 2, 3, 4, 5, 6, 7]\n" if verb != "executor" else "[]\n"), err
    assert err.count("Traceback") == 1, err
    wait_for(lambda: not any(alive(child.pid) for child in children), 10)


SUBMIT = """
    import sys, time
    import lightwork as lw

    mark, backend = sys.argv[1:]

    def f(x):
        open(mark, "w").close()
        time.sleep(60)

    with lw.Executor(1, backend=backend) as executor:
        executor.submit(f, 1)
"""


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_it_ends_the_wait_at_the_end_of_an_executors_block(tmp_path, backend):
    mark = tmp_path / "began"
    process = start(SUBMIT, str(mark), backend)
    wait_for(mark.exists)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert err.count("Traceback") == 1, err


CELL = """
import time
import lightwork as lw

def f(x):
    open({mark!r} + str(x), "w").close()
    time.sleep(60 if x > 1 else 0)
    return x

lw.map(f, range(8), backend="processes", max_workers=2, chunksize=1)
"""
AFTER = """
import sys, psutil
kept = lw.partial(sys.last_value)
(starter,) = [p for p in psutil.Process().children() if "_starter" in " ".join(p.cmdline())]
assert not starter.children(), "no worker is left"
assert kept == {0: 0, 1: 1}, kept
assert lw.map(abs, [-1, -2], backend="processes") == [1, 2]
"""


@pytest.mark.timeout(60)
def test_the_stop_button_of_a_notebook(tmp_path):
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    kernel, client = manager.start_new_kernel(kernel_name="python3")
    try:
        mark = str(tmp_path / "began-")
        # Else the kernel would for a moment refuse what comes next.
        asked = client.execute(CELL.format(mark=mark), stop_on_error=False)
        wait_for(Path(mark + "3").exists)
        began = time.monotonic()
        kernel.interrupt_kernel()
        assert reply(client, asked)["ename"] == "Interrupted"
        assert time.monotonic() - began < 5
        answer = reply(client, client.execute(AFTER))
        assert answer["status"] == "ok", answer
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def reply(client, asked):
    """What the kernel answers to one request."""
    while True:
        message = client.get_shell_msg(timeout=20)
        if message["parent_header"]["msg_id"] == asked:
            return message["content"]
