"""Workers that hang, or die, before their first call."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import textwrap
import threading
import time

import pytest

import lightwork as lw
from lightwork._backends import _starter
from lightwork._backends._process_launcher import ProcessLauncher
from lightwork._platform import portable
from tests.faults import nasty, slow_to_import
from tests.leftovers import alive, linux, pid_in, starters, wait_for, workers
from tests.promises import jobs, programs

HANGING = {"backend": "processes", "initializer": time.sleep, "initargs": (600,)}


@linux
def test_kill_ends_a_call_whose_worker_never_gets_ready():
    with lw.Executor(1, **HANGING) as executor:
        for _ in range(7):  # more than the workers that may die before they are ready
            future = executor.submit(nasty.square, 2)
            wait_for(future.running)
            assert executor.kill(future)
            assert isinstance(future.exception(10), lw.WorkerCrashed)
        executor.kill_workers()


@linux
@pytest.mark.parametrize("calls", [1, 5])
def test_shutdown_that_cancels_ends_workers_that_never_get_ready(calls):
    executor = lw.Executor(2, **HANGING)
    futures = [executor.submit(nasty.square, x) for x in range(calls)]
    wait_for(lambda: futures[0].running() and workers())
    began = time.perf_counter()
    executor.shutdown(cancel_futures=True)
    assert time.perf_counter() - began < 20, "of ten minutes"
    for future in futures:
        assert future.cancelled() or isinstance(future.exception(0), lw.WorkerCrashed)
    assert not workers()


@linux
def test_kill_workers_ends_workers_that_never_get_ready():
    executor = lw.Executor(1, **HANGING)
    future = executor.submit(nasty.square, 2)
    wait_for(lambda: future.running() and workers())
    began = time.perf_counter()
    executor.kill_workers()
    assert isinstance(future.exception(5), concurrent.futures.BrokenExecutor)
    executor.shutdown()
    assert time.perf_counter() - began < 20 and not workers()


def test_a_program_may_end_with_workers_that_never_got_ready():
    text = """
        import time
        import lightwork as lw
        executor = lw.Executor(1, backend="processes", initializer=time.sleep, initargs=(600,))
        executor.submit(abs, 1)
        executor.kill_workers()
    """
    done = programs.run("-c", textwrap.dedent(text))
    assert (done.stderr, done.returncode) == ("", 0)


@linux
@pytest.mark.timeout(50)
def test_what_an_initializer_has_started_ends_with_its_worker_and_the_program(tmp_path):
    """Also where no worker ever got ready, and the starter comes to it only when the program is at its end."""
    text = """
        import atexit, os, signal, subprocess, sys
        import lightwork as lw
        from tests.leftovers import starters, wait_for
        from tests.backends.deadly_jobs import start_child_and_hang

        executor = lw.Executor(1, backend="processes", initializer=start_child_and_hang, initargs=(sys.argv[1],))
        executor.submit(abs, 1)
        wait_for(lambda: os.path.exists(sys.argv[1]) and open(sys.argv[1]).read())
        starter = starters()[0].pid
        os.kill(starter, signal.SIGSTOP)
        # Before what lightwork has registered: it gives the starter a second.
        atexit.register(subprocess.Popen, ["sh", "-c", f"sleep 0.3; kill -CONT {starter}"])
        executor.kill_workers()
        executor.shutdown()
    """
    path = tmp_path / "pid"
    done = programs.run("-c", textwrap.dedent(text), str(path), cwd=programs.ROOT)
    child = pid_in(path)
    try:
        assert (done.stderr, done.returncode) == ("", 0)
        wait_for(lambda: not alive(child), 5)
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)


@linux
def test_calls_of_ready_workers_are_not_ended_with_the_others():
    """The word to cancel comes while a call runs: that one has begun, and ends as it would."""
    with lw.Executor(1, backend="processes") as executor:
        future = executor.submit(jobs.nap, 2.8)
        wait_for(future.running)
        executor.shutdown(cancel_futures=True)
        assert future.result(0) == 2.8


def test_a_module_that_hangs_while_it_is_imported(monkeypatch):
    monkeypatch.setenv("LIGHTWORK_TEST_HANG", "1")
    began = time.perf_counter()
    results = lw.map(
        slow_to_import.square, range(2), backend="processes", max_workers=1, call_timeout=0.4, errors="return"
    )
    assert time.perf_counter() - began < 30, "of ten minutes"
    assert [type(failure.exception) for failure in results] == [lw.CallTimeout] * 2
    monkeypatch.setenv("LIGHTWORK_TEST_HANG", "0")
    assert lw.map(slow_to_import.square, range(2), backend="processes", call_timeout=30) == [0, 1]


@linux
@pytest.mark.timeout(50)
@pytest.mark.parametrize("how", ["map", "executor"])
def test_calls_whose_function_is_still_imported_when_the_starter_is_killed_begin_elsewhere(how, tmp_path, monkeypatch):
    word = tmp_path / "word"
    monkeypatch.setenv("LIGHTWORK_TEST_WORD", str(word))

    def strike():
        try:
            for importing in (2, 4):
                wait_for(lambda importing=importing: len(list(tmp_path.glob("word.*"))) == importing)
                started = [int(mark.suffix[1:]) for mark in tmp_path.glob("word.*")]
                starters()[0].kill()
                wait_for(lambda started=started: not any(map(alive, started)))  # none of them has the word
        finally:
            word.touch()

    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        striking = beside.submit(strike)
        if how == "map":
            found = list(lw.map(slow_to_import.square, range(8), backend="processes", max_workers=2))
        else:
            with lw.Executor(2, backend="processes") as executor:
                futures = [executor.submit(slow_to_import.square, x) for x in range(8)]
                found = [future.result(20) for future in futures]
    striking.result()  # it has killed both: no assertion of it failed
    assert found == [x * x for x in range(8)]


@linux
def test_workers_that_are_killed_before_they_are_ready_cost_nothing(tmp_path):
    """Four in a row, from outside; the fifth is let live."""
    with lw.Executor(
        1, backend="processes", initializer=jobs.wait_for_word, initargs=(str(tmp_path / "word"),)
    ) as executor:
        future = executor.submit(nasty.square, 3)
        killed = set()
        while len(killed) < 4:
            for worker in workers():
                if worker.pid not in killed:
                    killed.add(worker.pid)
                    worker.kill()
        (tmp_path / "word").touch()
        assert future.result(20) == 9


@linux
def test_many_workers_that_lose_their_starter_before_they_are_ready_are_lost_once(tmp_path, monkeypatch):
    """As many as there are, of one cause: that is no row of workers that cannot start."""
    word, noticed = tmp_path / "word", threading.Event()
    read = ProcessLauncher._on_line

    def read_and_tell(launcher):
        read(launcher)
        if launcher._line is None:
            noticed.set()

    monkeypatch.setattr(ProcessLauncher, "_on_line", read_and_tell)

    def strike():
        try:
            wait_for(lambda: len(workers()) == 8)
            started = workers()
            starters()[0].kill()
            if not portable():
                wait_for(lambda: not any(alive(worker.pid) for worker in started))  # none of them has the word
            # Else they work on without it; but one that has been heard of by then would be lost, whatever it does.
            assert noticed.wait(20)
        finally:
            word.touch()

    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        striking = beside.submit(strike)
        with lw.Executor(8, backend="processes", initializer=jobs.wait_for_word, initargs=(str(word),)) as executor:
            assert list(executor.map(nasty.square, range(40))) == [x * x for x in range(40)]
    striking.result()  # as above


@pytest.mark.parametrize("room", [0, 3])
@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_a_system_without_room_for_more_threads(monkeypatch, backend, room):
    """The map goes on with those that it has got; with none, in the calling thread where that is allowed."""
    begin, started = threading.Thread.start, []

    def start(thread):
        if thread.name.removeprefix("lightwork-").isdigit():
            if len(started) >= room:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    naps = [0.01] * 100  # so many that threads are wanted though a busy machine lets the first ones look odd
    if backend == "threads" and not room:
        with pytest.raises(RuntimeError, match="can't start"):
            lw.map(jobs.nap, naps, backend=backend)
        return
    results = lw.map(jobs.nap, naps, backend=backend)
    assert results == naps
    assert results.report.workers == room or not room
    assert sum("can't start" in decision.why for decision in results.report.decisions) == 1


@linux
def test_where_no_file_may_be_large_enough_for_shared_memory():
    """Those who named processes are told of the limit; auto goes on in its own thread. No descriptor stays open."""
    done = programs.run(
        "-c",
        """if True:
        import os, resource
        import lightwork as lw
        lw.map(abs, [1], backend="processes")  # the starter is there
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        first, second = lambda: lw.map(abs, [-1, -2], backend="processes"), lambda: lw.Lock().acquire()
        for use in (first, first, second, second):
            before = os.listdir("/proc/self/fd")
            try:
                use()
            except OSError as problem:
                print(problem.strerror, "ulimit -f" in problem.__notes__[0])
        print(os.listdir("/proc/self/fd") == before)  # what is opened once for all was so the first time
        print(lw.map(lambda x: sum(range(x)), [300_000] * 20)[0])
        """,
    )
    assert (done.stdout, done.stderr) == ("File too large True\n" * 4 + "True\n44999850000\n", "")


@pytest.mark.parametrize("killed", [2, 1000])
def test_a_worker_killed_before_it_is_told_whose_it_is_is_replaced(monkeypatch, killed):
    made = []

    class Killed:
        def __init__(self):
            made.append(self)

        def begin(self, passed):
            if len(made) <= killed:
                raise BrokenPipeError(32, "Broken pipe")

        def end(self):
            self.ended = True

    monkeypatch.setattr(_starter, "Blank", Killed)
    starter = _starter.Starter.__new__(_starter.Starter)
    starter.spares = []
    if killed < _starter.TRIES:
        assert starter._begun([1]) is made[killed]
        assert all(blank.ended for blank in made[:killed])
    else:
        with pytest.raises(BrokenPipeError):
            starter._begun([1])
        assert len(made) == _starter.TRIES


@pytest.mark.parametrize("missing", ["nowhere", "interpreter"])
def test_where_no_process_can_start_it_is_told_which_file_is_missing(tmp_path, missing):
    text = f"""
        import os, sys
        import lightwork as lw
        if {missing!r} == "nowhere":
            os.devnull = {str(tmp_path / "null")!r}
        else:
            sys.executable = {str(tmp_path / "python")!r}
        try:
            lw.map(abs, [1], backend="processes")
        except FileNotFoundError as problem:
            print(os.path.basename(problem.filename), *getattr(problem, "__notes__", ["-"]))
    """
    done = programs.run("-c", textwrap.dedent(text))
    assert done.stderr == ""
    if missing == "nowhere":
        assert done.stdout.startswith("null lightwork: each process begins with its output led to ")
    else:
        assert done.stdout == "python -\n"
