"""Where callers wait for each call at once they drive the executor themselves: nothing but the time may change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait

import pytest

import lightwork as lw
from tests.conformance import jobs
from tests.faults import nasty
from tests.leftovers import linux, wait_for

BACKENDS = ["threads", "processes"]
ONE_BY_ONE = 12
"""More calls than it takes until callers lead."""


def led(executor: lw.Executor) -> lw.Executor:
    for x in range(ONE_BY_ONE):
        assert executor.submit(jobs.square, x).result() == x * x
    return executor


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_nobody_waits_for_is_done_too(backend):
    with lw.Executor(2, backend=backend) as executor:
        for _ in range(3):
            done = threading.Event()
            led(executor).submit(jobs.square, 3).add_done_callback(lambda _, done=done: done.set())
            assert done.wait(10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_ways_to_wait(backend):
    with lw.Executor(2, backend=backend) as executor:
        futures = [led(executor).submit(jobs.square, x) for x in range(20)]
        assert sorted(future.result() for future in as_completed(futures, 20)) == [x * x for x in range(20)]
        future = led(executor).submit(jobs.square, 5)
        assert wait([future], 20, FIRST_COMPLETED).done == {future}
        assert led(executor).submit(jobs.square, 6).exception(20) is None
        assert list(led(executor).map(jobs.square, range(50))) == [x * x for x in range(50)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_timeout_leaves_the_call_alone(backend, tmp_path):
    word = tmp_path / "word"
    with lw.Executor(1, backend=backend) as executor:
        future = led(executor).submit(nasty.wait_for_word, str(word), "late")
        with pytest.raises(TimeoutError):
            future.result(0.05)
        word.touch()
        assert future.result(20) == "late"


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_threads_each_wait_for_their_own(backend):
    errors = []

    def work(executor, start):
        try:
            for x in range(start, start + 100):
                assert executor.submit(jobs.square, x).result(30) == x * x
        except BaseException as error:
            errors.append(error)

    with lw.Executor(2, backend=backend) as executor:
        threads = [threading.Thread(target=work, args=(led(executor), 1000 * n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_callback_may_submit(backend):
    with lw.Executor(2, backend=backend) as executor:
        led(executor)
        later, ready = [], threading.Event()

        def on(_):
            later.append(executor.submit(jobs.square, 7))
            ready.set()

        future = executor.submit(jobs.square, 2)
        future.add_done_callback(on)
        assert future.result(20) == 4
        assert ready.wait(20)
        assert later[0].result(20) == 49


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_end_while_a_caller_leads(backend, tmp_path):
    executor, word = led(lw.Executor(1, backend=backend)), tmp_path / "word"
    future = executor.submit(nasty.wait_for_word, str(word), 1)

    def close():
        wait_for(future.running)
        executor.shutdown(wait=False)
        word.touch()
        executor.shutdown()

    closer = threading.Thread(target=close)
    closer.start()
    assert future.result(20) == 1
    closer.join()
    with pytest.raises(RuntimeError):
        executor.submit(jobs.square, 1)


def test_a_kill_while_a_caller_leads():
    with lw.Executor(1, backend="processes") as executor:
        future = led(executor).submit(jobs.sleep_and_return, 30, 1)
        killer = threading.Thread(target=lambda: (wait_for(future.running), executor.kill(future)))
        killer.start()
        with pytest.raises(lw.WorkerCrashed):
            future.result(20)
        killer.join()
        assert executor.submit(jobs.square, 4).result(20) == 16


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_costs_the_wait_and_not_the_call(backend, tmp_path):
    """The signal comes while the call runs, and the call ends when that was noticed."""
    program = f"""
        import os, pathlib, threading, time
        import lightwork as lw
        from tests.conformance import jobs
        from tests.faults import nasty
        from tests.leftovers import wait_for
        word, waits = pathlib.Path({str(tmp_path / "word")!r}), threading.Event()
        def strike():
            waits.wait()
            wait_for(future.running)
            time.sleep(0.1)  # until the caller sleeps: it is in the same block before that
            os.kill(os.getpid(), {int(signal.SIGINT)})
        with lw.Executor(1, backend={backend!r}) as executor:
            for x in range({ONE_BY_ONE}):
                executor.submit(jobs.square, x).result()
            future = executor.submit(nasty.wait_for_word, str(word), "done")
            thread = threading.Thread(target=strike)
            thread.start()
            try:
                waits.set()
                future.result()
            except KeyboardInterrupt:
                print("interrupted")
            word.touch()
            print(future.result(), executor.submit(jobs.square, 5).result())
            thread.join()
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50, env=os.environ
    )
    assert (run.stdout, run.stderr) == ("interrupted\ndone 25\n", "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_at_any_moment_leaves_an_executor_that_works(backend):
    """What was waited for at that moment has an outcome, and the next calls are made."""
    program = f"""
        import os, random, signal, threading
        import lightwork as lw
        from tests.conformance import jobs
        executor = lw.Executor(1, backend={backend!r})
        armed, over = [False], threading.Event()
        def strike():
            while not over.wait(random.random() * 0.02):
                if armed[0]:
                    armed[0] = False
                    os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=strike)
        future, x = executor.submit(jobs.square, 0), 0
        future.result()
        thread.start()
        for struck in range(40):
            try:
                armed[0] = True
                while True:
                    x += 1
                    try:
                        future = executor.submit(jobs.square, x)
                        assert future.result() == x * x
                    except lw.WorkerCrashed:
                        continue
            except KeyboardInterrupt:
                try:
                    future.result(10)
                except lw.WorkerCrashed:
                    pass
        over.set()
        thread.join()
        assert [executor.submit(jobs.square, x).result(10) for x in range(30)] == [x * x for x in range(30)]
        executor.shutdown()
        print("works")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50, env=os.environ
    )
    assert (run.stdout, run.stderr) == ("works\n", "")


def test_such_a_future_has_all_that_others_have():
    with lw.Executor(1, backend="threads") as executor:
        future = executor.submit(int)
        assert future.result(20) == 0
        other: Future[int] = Future()
        assert vars(future).keys() == vars(other).keys() | {"service"}
        for name in ("acquire", "release", "wait", "notify", "notify_all"):
            assert callable(getattr(future._condition, name))


@linux
def test_calls_that_nobody_has_begun_do_not_wait_for_one_that_has():
    """The first goes to a worker that is stopped while its caller submits it, and nobody waits for any."""
    with lw.Executor(2, backend="processes") as executor:
        stopped = led(executor).submit(os.getpid).result(20)
        os.kill(stopped, signal.SIGSTOP)
        try:
            futures = [executor.submit(jobs.square, x) for x in range(20)]
            wait_for(lambda: sum(future.done() for future in futures) >= 10)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert [future.result(20) for future in futures] == [x * x for x in range(20)]
