"""Promise 23: after the ``with`` or the map: no worker, no thread; at most the idle starter, gone at exit."""

from __future__ import annotations

import gc
import queue
import threading

import pytest

import lightwork as lw
from tests.leftovers import alive, linux, starters, wait_for, workers
from tests.promises import jobs
from tests.promises.programs import ROOT, run

LAST = """
import lightwork as lw, psutil
lw.map(abs, range(10), backend='processes')
(starter,) = psutil.Process().children(recursive=True)
print(starter.pid)
"""


def test_after_a_map():
    before = set(threading.enumerate())
    lw.map(jobs.square, range(100), backend="processes", max_workers=4)
    assert not workers() and set(threading.enumerate()) == before
    assert len(starters()) == 1


def test_after_an_unfinished_imap():
    results = lw.imap(jobs.square, range(10_000), backend="processes", max_workers=4)
    next(results)
    results.close()
    assert not workers()
    with lw.imap(jobs.nap, [0.0, 60.0, 60.0], backend="processes", max_workers=3) as results:
        next(results)
    assert not workers()
    forgotten = lw.imap(jobs.nap, [0.0, 60.0, 60.0], backend="processes", max_workers=3)
    next(forgotten)
    del forgotten
    gc.collect()
    assert not workers()


def test_any_thread_may_close_a_lazy_map():
    """Also while another one waits for its results, which is over for that one then."""
    results, got = lw.imap(jobs.nap, [0.0, 0.0, 60.0, 60.0], backend="processes", max_workers=2), []
    drawing = threading.Thread(target=lambda: got.extend(results), daemon=True)
    drawing.start()
    wait_for(lambda: len(got) == 2)
    results.close()
    drawing.join(10)
    assert not drawing.is_alive() and not workers()


@pytest.mark.parametrize("who", ["another thread", "the input"])
def test_a_lazy_map_is_over_at_once_whose_input_is_waited_for(who):
    """Its workers are gone when ``close`` is back, though its input is not."""

    def items():
        yield 0.0
        yield 60.0
        wait_for(workers)
        if who == "the input":
            close()
        waits.set()
        yield from iter(more.get, None)

    def close():
        results.close()
        left.append(workers())

    more, waits, left = queue.SimpleQueue(), threading.Event(), []
    results, got = lw.imap(jobs.nap, items(), backend="processes", max_workers=2), []
    drawing = threading.Thread(target=lambda: got.extend(results), daemon=True)
    drawing.start()
    assert waits.wait(20)
    if who == "another thread":
        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        closing.join(10)
    closed = list(left)
    more.put(60.0)
    drawing.join(10)
    assert closed == [[]] and not drawing.is_alive() and not workers()


def test_after_a_with_and_after_a_forgotten_executor():
    before = set(threading.enumerate())
    with lw.Executor(3, backend="processes") as executor:
        assert executor.submit(jobs.square, 3).result(20) == 9
    assert not workers() and set(threading.enumerate()) == before
    executor = lw.Executor(3, backend="processes")
    assert executor.submit(jobs.square, 3).result(20) == 9
    del executor
    gc.collect()
    wait_for(lambda: not workers() and set(threading.enumerate()) == before, 10)


@linux
def test_the_starter_is_gone_at_exit():
    done = run("-c", LAST)
    assert done.returncode == 0, done.stderr
    assert not alive(int(done.stdout))


@pytest.mark.parametrize("backend", ["auto", "serial", "threads", "processes"])
def test_a_program_may_end_within_a_lazy_map(backend):
    text = f"import lightwork as lw; results = lw.imap(abs, range(-90, 0), backend={backend!r}); print(next(results))"
    done = run("-c", text)
    assert (done.stdout, done.stderr) == ("90\n", "")


AHEAD = """
from lightwork._backends import _spawning
from tests.leftovers import starters

_spawning.hasten(abs, likely=True)
(starter,) = starters()
print(starter.pid)
"""


@linux
def test_a_starter_that_nobody_came_to_want_is_gone_at_exit():
    done = run("-c", AHEAD, cwd=ROOT)
    assert (done.stderr, done.returncode) == ("", 0)
    assert not alive(int(done.stdout))


def test_development_mode_finds_nothing_that_was_left_open():
    done = run("-X", "dev", "-c", "import lightwork as lw; print(lw.map(abs, range(3), backend='processes'))")
    assert (done.stdout, done.stderr) == ("[0, 1, 2]\n", "")
