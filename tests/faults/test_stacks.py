"""What workers are doing is shown when nothing moves, and when somebody asks."""

from __future__ import annotations

import os
import re
import signal
import sys
import time

import psutil
import pytest

import lightwork as lw
from lightwork import cli
from lightwork._backends import _stacks
from lightwork._platform import has_proc
from tests.faults import hungry, nasty
from tests.leftovers import linux, wait_for, workers
from tests.promises import jobs, programs

collected = has_proc()
collects = pytest.mark.skipif(not collected, reason="stacks that cannot be collected are on stderr, as they come")


@linux
@pytest.mark.parametrize("how", ["waiting", "in Python", "in C"])
def test_a_stuck_worker_is_shown_once(how, capfd):
    results = lw.map(
        jobs.never_return, [None, how, None], max_workers=2, stall_timeout=0.8, call_timeout=3.0, errors="return"
    )
    assert len(results.failures) == 1
    said = capfd.readouterr().err
    assert said.count("no call has ended for 0.8 s") - said.count("is not ready yet") == 1
    assert re.search(r"^\[worker \d\] item 1, for [0-2]\.\d s$", said, re.M)
    whose = r"\[worker \d\] " if collected else ""
    assert re.search(rf'^{whose}  File ".*jobs\.py", line \d+ in never_return$', said, re.M)
    assert ("worker.py" not in said and "_starter.py" not in said) or not collected
    assert said.count(_stacks.ELSEWHERE) == (not collected)
    assert any("stderr" in decision.what for decision in results.report.decisions)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_nothing_is_said_while_calls_end(backend, capsys):
    lw.map(jobs.nap, [0.1] * 12, backend=backend, max_workers=2, stall_timeout=2.0)
    assert capsys.readouterr().err == ""


class Said(list[str]):
    """A stderr that keeps what was said so far. (What is written while pytest's own is read may be lost.)"""

    def __init__(self, monkeypatch) -> None:
        monkeypatch.setattr(sys, "stderr", self)

    write = list.append
    """Atomic, as opposed to reading a buffer and emptying it."""

    def flush(self) -> None: ...

    def so_far(self) -> str:
        return "".join(self)


def test_threads_are_shown_too(monkeypatch):
    told = Said(monkeypatch)

    def until_shown(wait):
        end = time.monotonic() + 20
        while wait and "in until_shown" not in told.so_far() and time.monotonic() < end:
            time.sleep(0.01)

    lw.map(until_shown, [False, True], backend="threads", max_workers=2, stall_timeout=0.3)
    said = told.so_far()
    assert re.search(r"^\[worker \d\] item 1, for \d+\.\d s$", said, re.M)
    assert re.search(r'^\[worker \d\]   File ".*test_stacks\.py", line \d+ in until_shown$', said, re.M)
    assert "threading.py" not in said and said.count("no call has ended") == 1


@linux
def test_an_executor_says_it_for_each_standstill(capsys, monkeypatch, tmp_path):
    shown = "in wait_for_word" if collected else _stacks.ELSEWHERE
    with lw.Executor(1, backend="processes", stall_timeout=0.3) as executor:
        executor.submit(jobs.nap, 0.0).result(20)
        capsys.readouterr()  # a worker that is long in starting stands still as well
        time.sleep(0.5)  # idle: no standstill
        assert capsys.readouterr().err == ""
        for each in range(2):
            told, word = Said(monkeypatch), tmp_path / str(each)
            future = executor.submit(nasty.wait_for_word, str(word))
            wait_for(lambda told=told: shown in told.so_far())
            word.touch()
            future.result(20)
            assert told.so_far().count("no call has ended") == 1


@collects
def test_one_that_is_stopped_does_not_answer(monkeypatch, tmp_path):
    with lw.Executor(1, backend="processes", stall_timeout=0.3) as executor:
        executor.submit(jobs.nap, 0.0).result(20)
        (worker,) = workers()
        word = tmp_path / "word"
        future = executor.submit(nasty.wait_for_word, str(word), "done")
        worker.suspend()
        told = Said(monkeypatch)
        wait_for(lambda: "does not answer" in told.so_far())
        worker.resume()
        word.touch()
        assert future.result(20) == "done"


@linux
def test_an_initializer_that_hangs(monkeypatch, tmp_path):
    told, word = Said(monkeypatch), tmp_path / "word"
    hangs = {"initializer": nasty.wait_for_word, "initargs": (str(word),)}
    with lw.Executor(1, backend="processes", stall_timeout=0.3, **hangs) as executor:
        future = executor.submit(jobs.nap, 0.0)
        wait_for(lambda: "its initializer may hang; item 0 waits" in told.so_far())
        word.touch()
        future.result(20)


def test_backends_that_cannot_show_say_so():
    with pytest.raises(lw.BackendUnavailable, match="stall_timeout"):
        lw.map(jobs.nap, [0.0], backend="serial", stall_timeout=1)
    with pytest.raises(ValueError, match="stall_timeout"):
        lw.map(jobs.nap, [0.0], stall_timeout=0)


# from another terminal

PROGRAM = """
    import sys
    import lightwork as lw
    from tests.promises import jobs
    print(lw.map(jobs.nap_after_word, [(sys.argv[1], x) for x in range(2)], backend="processes", max_workers=2))
"""


@collects
def test_the_command_shows_the_workers_of_a_running_program(tmp_path, capsys):
    with programs.start(PROGRAM, str(tmp_path)) as program:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        assert cli.main(["stacks", str(program.pid)]) == 0
        said = capsys.readouterr().out
        assert len(re.findall(r"^worker \d+$", said, re.M)) == 2
        assert len(re.findall(r'^  File ".*jobs\.py", line \d+ in nap_after_word$', said, re.M)) == 2
        assert program.poll() is None
        (tmp_path / "end").touch()
        out, err = program.communicate(timeout=20)
        assert out == "[0, 1]\n" and err == "" and program.returncode == 0


@collects
def test_again_and_again(tmp_path):
    """The file of answers is emptied before it grows large."""
    with lw.Executor(1, backend="processes") as executor:
        pid = executor.submit(jobs.getpid, 0).result(20)
        future = executor.submit(jobs.nap, 30.0)
        wait_for(lambda: "in nap" in _stacks.ask([pid]).get(pid, ""))
        file = _stacks._platform.memory_of(pid, _stacks._NAME)
        assert file is not None
        os.ftruncate(file, _stacks.FULL + 5)
        assert "in nap" in _stacks.ask([pid])[pid]
        assert 0 < os.fstat(file).st_size < 10_000
        os.close(file)
        executor.kill(future)


def test_the_command_says_what_is_wrong(capsys):
    gone = 2**22 - 3
    assert not psutil.pid_exists(gone)
    assert cli.main(["stacks", str(gone)]) == 2
    assert "there is no process" in capsys.readouterr().err
    with programs.start("input()", stdin=-1) as program:
        assert cli.main(["stacks", str(program.pid)]) == 1
        assert "has no worker processes now" in capsys.readouterr().err
        program.communicate("\n", timeout=20)


def test_who_is_no_worker_does_not_mind_the_signal():
    os.kill(os.getpid(), _stacks.SIGNAL)
    assert signal.getsignal(_stacks.SIGNAL) is signal.SIG_DFL


def test_where_files_cannot_be_shared_the_stack_goes_to_stderr(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIGHTWORK_PORTABLE", "1")
    with programs.start(PROGRAM, str(tmp_path)) as program:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        assert cli.main(["stacks", str(program.pid)]) == 0
        assert capsys.readouterr().out.count("on the standard error of its program") == 2
        (tmp_path / "end").touch()
        _, err = program.communicate(timeout=20)
    assert err.count("in nap_after_word") == 2


def test_a_call_goes_on_as_if_nothing_had_been():
    with lw.Executor(1, backend="processes") as executor:
        pid = executor.submit(jobs.getpid, 0).result(20)
        future = executor.submit(hungry.take, 300)
        while not future.done():
            _stacks.ask([pid])
        assert future.result()[1] == 300 << 20
        began = time.perf_counter()
        nap = executor.submit(jobs.nap, 0.3)
        _stacks.ask([pid])
        assert nap.result(20) == 0.3 and time.perf_counter() - began >= 0.25
