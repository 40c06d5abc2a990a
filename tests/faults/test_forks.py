"""Functions that fork: what a forked process does, and that it comes back from the call, is no result of the call."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

import lightwork as lw
from tests.faults import nasty
from tests.leftovers import linux, wait_for
from tests.promises import jobs
from tests.promises.programs import run

ENDS = {"returns": 0, "returns late": 0, "raises": 1, "exits": 3}


def fork_and(how, wrapped, waits, x):
    """The child's word would be ``-1``; the parent's is ``x``, and how the child ended where it ``waits``."""
    child = os.fork()
    if child == 0:
        if how == "raises":
            os.close(2)
            raise KeyError(x)
        if how == "exits":
            sys.exit(ENDS[how])
        time.sleep(0.02 * (how == "returns late"))
        return wrapped(-1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if waits else 0
    return wrapped(1000 * ended + x)


def as_text(x):
    return str(x)


def as_list(x):
    return [x]


@linux
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("wrapped", [int, float, as_text, as_list, bool])
@pytest.mark.parametrize(
    "options",
    [{"backend": "processes"}, {"backend": "processes", "call_timeout": 30}, {"backend": "threads"}],
    ids=["processes", "call_timeout", "threads"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside other threads
def test_a_forked_process_that_comes_back_from_its_call_says_nothing_for_it(how, wrapped, options):
    items = range(12)
    results = lw.starmap(fork_and, [(how, wrapped, True, x) for x in items], max_workers=2, **options)
    assert results == [wrapped(1000 * ENDS[how] + x) for x in items]


@linux
@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside other threads
def test_nor_does_one_that_nobody_waits_for(tmp_path, backend):
    """It comes back when the parent has stored its own result, and makes none of the calls that follow."""
    calls = tmp_path / "calls"

    def fork(x):
        with calls.open("a") as file:
            file.write(f"{x}\n")
        if os.fork() == 0:
            time.sleep(0.05)
            return -1
        return x

    assert lw.map(fork, range(30), backend=backend, max_workers=2, chunksize=15) == list(range(30))
    time.sleep(0.2)  # what the forked processes would do wrong comes, if at all, once they are back: nobody tells when
    assert sorted(map(int, calls.read_text().split())) == list(range(30))


@linux
def test_a_forked_process_has_the_calls_random_numbers_and_prints_for_itself(capfd):
    def fork(x):
        if os.fork() == 0:
            print("child", lw.rng().random() >= 0, flush=True)
            os._exit(0)
        os.wait()
        return x

    assert lw.map(fork, range(4), backend="processes", max_workers=1) == [0, 1, 2, 3]
    assert capfd.readouterr().out == "child True\n" * 4


LAST = 59


def later(word, x):
    """The last one waits for a word: until then the map is not over, however long a fork takes."""
    time.sleep(0.005)
    return nasty.wait_for_word(word, x) if x == LAST else x


def refused_in_a_fork(ask, close=lambda: None):
    """How a fork ends in which ``ask`` is called, and then ``close``; 0 where it is told of the fork. It hangs for 20 s
    at most."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            ask()
        except RuntimeError as error:
            code = 0 if "forked" in str(error) else 2
        finally:
            close()
            os._exit(code)
    return os.waitpid(child, 0)[1]


@linux
@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside other threads
def test_a_fork_of_the_caller_takes_nothing_from_a_lazy_map_and_ends_nothing_of_it(backend, tmp_path):
    word = tmp_path / "word"
    results = lw.imap(later, [str(word)] * (LAST + 1), range(LAST + 1), backend=backend, max_workers=2)
    given = [next(results)]
    for _ in range(2):
        assert refused_in_a_fork(lambda: list(results), results.close) == 0
        given.append(next(results))
    word.touch()
    assert [*given, *results] == list(range(LAST + 1))
    assert not results.report.lost_workers


@linux
@pytest.mark.timeout(50)
@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside other threads
def test_nor_does_it_wait_for_a_thread_that_draws_and_is_not_in_it(backend, tmp_path):
    word, got = tmp_path / "word", []
    results = lw.imap(later, [str(word)] * 3, [LAST - 2, LAST - 1, LAST], backend=backend, max_workers=2)
    drawing = threading.Thread(target=lambda: got.extend(results), daemon=True)
    drawing.start()
    try:
        wait_for(lambda: len(got) == 2)
        assert refused_in_a_fork(lambda: list(results), results.close) == 0
    finally:
        word.touch()
        drawing.join(20)
    assert got == [LAST - 2, LAST - 1, LAST]


FORKS_IN_ITS_INPUT = """
import os, sys, time
import lightwork as lw

def items():
    for x in range(20):
        child = os.fork()
        if child == 0:
            sys.exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        yield x

def later(x):
    time.sleep(0.005)
    return x

results = lw.map(later, items(), backend=sys.argv[1], max_workers=2)
assert results == list(range(20)) and not results.report.lost_workers
"""


@linux
@pytest.mark.parametrize("backend", ["processes", "threads", "serial"])
def test_nor_does_one_that_ends_while_the_input_is_drawn(backend):
    done = run("-W", "ignore", "-c", FORKS_IN_ITS_INPUT, backend)
    assert (done.returncode, done.stderr) == (0, "")


FORKS_IN_ITS_CALLS = """
import os, sys, time
import lightwork as lw

def fork(x):
    time.sleep(0.05)  # others are at work by then
    child = os.fork()
    if child == 0:
        sys.exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert lw.map(fork, range(int(sys.argv[1]))) == [3] * int(sys.argv[1])
assert lw.map(fork, range(8), backend="serial") == [3] * 8
assert list(lw.imap(fork, iter(range(16)))) == [3] * 16
with lw.Executor(1, backend="serial") as executor:
    futures = [executor.submit(fork, x) for x in range(3)]
assert [future.result() for future in futures] == [3] * 3
"""


@linux
@pytest.mark.parametrize("many", [2, 8, 30])
def test_one_that_ends_in_its_call_ends_as_it_would_in_a_loop(many):
    done = run("-W", "ignore", "-c", FORKS_IN_ITS_CALLS, str(many))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside other threads, which this is about
@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("ask", ["result", "exception"])
def test_a_fork_that_waits_for_a_call_of_its_parent_is_told_that_it_would_wait_for_ever(backend, ask, tmp_path):
    word = tmp_path / "word"
    with lw.Executor(1, backend=backend) as executor:
        future, ended = executor.submit(jobs.wait_for_word, str(word)), executor.submit(abs, -1)
        status = refused_in_a_fork(getattr(future, ask))
        word.touch()
        assert status == 0
        assert future.exception(20) is None and ended.result(20) == 1


@linux
@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside other threads
def test_a_fork_that_goes_on_with_a_map_of_its_parents_executor_is_told_so(backend, tmp_path):
    word = tmp_path / "word"
    with lw.Executor(1, backend=backend) as executor:
        results = executor.map(jobs.wait_for_word, [str(word)] * 2)
        status = refused_in_a_fork(lambda: next(results))
        word.touch()
        assert status == 0
        assert len(list(results)) == 2
