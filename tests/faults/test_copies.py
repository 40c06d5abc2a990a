"""Large arrays on their way when something strikes: Ctrl-C in the middle of a copy, kills, nested maps, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import lightwork as lw
from tests.backends import jobs

numpy = pytest.importorskip("numpy")

ROOT = Path(__file__).parents[2]
LENGTH = 1_000_000
"""Numbers in an array: 8 MB, which two threads copy."""

STRUCK = """
    import faulthandler, os, random, signal, sys, threading, time, _thread
    import numpy
    import lightwork as lw
    from tests.backends import jobs

    handlers = {"python": signal.default_int_handler, "own": lambda *_: 1 / 0}
    kind, rounds, strikes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGINT, handlers[kind])
    faulthandler.dump_traceback_later(80, exit=True)
    arrays = [numpy.full(1_000_000, float(x)) for x in range(8)]
    ended = 0
    for number in range(rounds):
        over = threading.Event()

        def strike(delay=random.uniform(0.05, 0.3)):
            time.sleep(delay)
            for _ in range(strikes):
                if not over.is_set():
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(random.uniform(0, 0.002))

        before, thread, got = _thread._count(), threading.Thread(target=strike), []
        try:
            thread.start()
            while True:
                with lw.imap(jobs.same, arrays * 100, backend="processes", max_workers=2) as results:
                    for x, value in enumerate(results):
                        assert value[0] == value[-1] == x % 8
                        got = [*got[-3:], (x % 8, value)]
        except (KeyboardInterrupt, ZeroDivisionError, lw.UnpicklableError):  # the last where a result came just then
            ended += 1
        finally:
            while True:  # more of them may be due
                try:
                    over.set()
                    thread.join()
                    time.sleep(0.01)
                    break
                except (KeyboardInterrupt, ZeroDivisionError):
                    continue
        assert all((value == x).all() for x, value in got)
        assert all((array == x).all() for x, array in enumerate(arrays))
    assert ended == rounds
    print("ended", ended)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "strikes"), [("python", 1), ("python", 3), ("own", 1)])
def test_ctrl_c_in_the_middle_of_copies(kind, strikes):
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STRUCK), kind, "6", str(strikes)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (said.returncode, said.stdout.strip()) == (0, "ended 6"), said.stderr


def test_arrays_are_there_again_after_a_worker_s_death(tmp_path):
    items = [(str(tmp_path / str(x)), numpy.full(LENGTH, float(x))) for x in range(4)]
    results = lw.map(
        jobs.die_the_first_time, items, backend="processes", max_workers=2, retries=1, retry_on=(lw.WorkerCrashed,)
    )
    assert all((result == x).all() for x, result in enumerate(results))


def nested(array):
    inner = lw.map(jobs.same, [array, array + 1], backend="processes", max_workers=2)
    return inner[1] - inner[0]


@pytest.mark.timeout(100)
def test_a_worker_that_sends_arrays_to_workers_of_its_own():
    results = lw.map(nested, [numpy.full(LENGTH, float(x)) for x in range(3)], backend="processes", max_workers=2)
    assert all((result == 1).all() for result in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("error::DeprecationWarning")  # of a fork beside other threads
def test_a_caller_that_forks_between_its_items():
    def arrays():
        for x in range(6):
            pid = os.fork()
            if not pid:
                os._exit(0 if (sent[0] == 0).all() else 1)
            assert os.waitpid(pid, 0)[1] == 0
            yield sent[x]

    sent = [numpy.full(LENGTH, float(x)) for x in range(6)]
    results = lw.map(jobs.same, arrays(), backend="processes", max_workers=2, chunksize=1)
    assert all((result == x).all() for x, result in enumerate(results))
