"""Where the executor has to do as ``concurrent.futures`` does, in what is easily forgotten.

CPython's own suite (``tests/cpython``) says more; this runs where no interpreter ships it.
"""

from __future__ import annotations

import concurrent.futures as cf
import gc
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures.process import BrokenProcessPool

import pytest

import lightwork as lw
from lightwork import _machine
from tests.conformance import jobs

POOLS = pytest.mark.parametrize("backend", ["threads", "processes"])


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.005)


def program(code):
    """Runs a script; its lines of output."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.splitlines()


def counting(seen):
    for n in range(1_000):
        seen.append(n)
        yield n


@POOLS
def test_buffersize_draws_no_further(backend):
    seen = []
    with lw.Executor(2, backend=backend) as executor:
        results = executor.map(jobs.double, counting(seen), buffersize=3)
        assert seen == [0, 1, 2]
        assert next(results) == 0
        assert seen == [0, 1, 2, 3]
        results.close()
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(("buffersize", "error"), [("2", TypeError), (2.0, TypeError), (0, ValueError)])
def test_buffersize_is_checked_at_once(buffersize, error):
    with lw.Executor(1, backend="threads") as executor, pytest.raises(error, match="buffersize must be"):
        executor.map(jobs.double, [1], buffersize=buffersize)


class Model:
    def predict(self, x):
        return x


@POOLS
def test_nothing_is_kept_alive_after_its_call(backend):
    model = Model()
    gone = weakref.ref(model)
    with lw.Executor(1, backend=backend) as executor:
        assert [executor.submit(model.predict, n).result(20) for n in range(3)] == [0, 1, 2]
        del model
        wait_for(lambda: gc.collect() >= 0 and gone() is None)


@POOLS
def test_a_result_that_was_given_out_is_not_kept(backend):
    with lw.Executor(1, backend=backend) as executor:
        for result in executor.map(_model, range(3)):
            gone = weakref.ref(result)
            del result
            wait_for(lambda gone=gone: gc.collect() >= 0 and gone() is None)


def _model(_):
    return Model()


def test_managed_objects_go_to_calls():
    with multiprocessing.get_context("spawn").Manager() as manager, lw.Executor(1, backend="processes") as executor:
        queue = manager.Queue()
        executor.submit(queue.put, "there").result(20)
        assert queue.get(timeout=10) == "there"


def test_kill_workers():
    executor = lw.Executor(1, backend="processes")
    running, waiting = executor.submit(jobs.nap, 60), executor.submit(jobs.nap, 60)
    wait_for(running.running)
    executor.kill_workers()
    assert isinstance(running.exception(10), BrokenProcessPool)
    with pytest.raises(cf.CancelledError):
        waiting.result(10)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(jobs.double, 1)
    executor.shutdown()
    executor.terminate_workers()


def test_workers_that_cannot_be_killed_go_on():
    with lw.Executor(1, backend="threads") as executor:
        with pytest.raises(lw.BackendUnavailable, match="cannot end a running call"):
            executor.kill_workers()
        assert executor.submit(jobs.double, 4).result(10) == 8


class RefusesToComeBack:
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise OSError("refused")


class ExitsWhenPickled:
    def __reduce__(self):
        sys.exit(7)


def test_what_cannot_be_unpickled_harms_its_call_alone():
    with lw.Executor(1, backend="processes") as executor:
        sent = executor.submit(jobs.double, RefusesToComeBack())
        returned = executor.submit(RefusesToComeBack)
        ended = executor.submit(ExitsWhenPickled)
        for future in (sent, returned):
            error = future.exception(20)
            assert isinstance(error, lw.UnpicklableError) and isinstance(error, BrokenProcessPool)
            assert "refused" in str(error)
        assert isinstance(ended.exception(20), SystemExit)
        assert executor.submit(jobs.double, 4).result(10) == 8


@POOLS
def test_each_future_of_a_broken_executor_has_an_error_of_its_own(backend, caplog):
    executor = lw.Executor(1, backend=backend, initializer=jobs.raises, initargs=("plain",))
    with caplog.at_level(logging.CRITICAL):
        errors = [executor.submit(jobs.double, 1).exception(20)]
        with pytest.raises(cf.BrokenExecutor) as refused:
            executor.submit(jobs.double, 1)
    executor.shutdown()
    assert isinstance(errors[0], cf.BrokenExecutor) and refused.value is not errors[0]
    assert errors[0].__cause__ is not None
    if backend == "threads":  # a process logs for itself
        assert "concurrent.futures" in {record.name for record in caplog.records}


def test_calls_end_before_exit_functions_run():
    lines = program("""
import atexit, time
import lightwork as lw
def last():
    print("exit function")
    try:
        executor.submit(int)
    except RuntimeError as error:
        print(error)
executor = lw.Executor(1, backend="threads")
atexit.register(last)
executor.submit(lambda: (time.sleep(0.2), print("call")))
""")
    assert lines == ["call", "exit function", "cannot schedule new futures after interpreter shutdown"]


@POOLS
def test_calls_are_made_where_no_thread_starts_once_the_program_ends(backend):
    """As on Python 3.12."""
    lines = program(f"""
import threading
import lightwork as lw
from lightwork import _machine
_machine.starts_threads_at_end = lambda: False
start = threading.Thread.start
def while_it_runs(thread):
    if threading.current_thread() is not threading.main_thread():  # that has ended when the others come to it
        raise RuntimeError("can't create new thread at interpreter shutdown")
    start(thread)
threading.Thread.start = while_it_runs
executor = lw.Executor(3, backend={backend!r})
for _ in range(4):
    executor.submit(pow, 2, 3).add_done_callback(lambda future: print(future.result()))
unused = lw.Executor(3, backend={backend!r})
""")
    assert lines == ["8"] * 4


@pytest.mark.timeout(30)
@pytest.mark.parametrize("starts", [0, 1])
def test_an_executor_that_cannot_begin_leaves_nothing_behind(monkeypatch, starts):
    """``starts``: of threads that still succeed. Python 3.12 needs two."""
    start, left = threading.Thread.start, iter(range(starts))

    def scarce(thread):
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    before, output = threading.enumerate(), sys.stdout
    with monkeypatch.context() as patch:
        patch.setattr(_machine, "starts_threads_at_end", lambda: False)
        patch.setattr(threading.Thread, "start", scarce)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            lw.Executor(2, backend="threads")
    assert set(threading.enumerate()) <= set(before)
    assert sys.stdout is output


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@POOLS
def test_a_forked_child_leaves_its_parents_executor_alone(backend):
    lines = program(f"""
import os, sys
import lightwork as lw
with lw.Executor(1, backend={backend!r}) as executor:
    executor.submit(int).result()
    child = os.fork()
    if not child:
        try:
            executor.submit(int)
        except RuntimeError as error:
            print(error, flush=True)
        executor.shutdown()
        sys.exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(executor.submit(int).result())
""")
    assert "forked process" in lines[0] and lines[1:] == ["3", "0"]


def test_a_call_of_a_serial_executor_cannot_submit_to_it():
    with lw.Executor(backend="serial") as executor:
        inner = executor.submit(lambda: executor.submit(jobs.double, 1))
        assert isinstance(inner.exception(), RuntimeError)
        assert executor.submit(jobs.double, 1).result() == 2
