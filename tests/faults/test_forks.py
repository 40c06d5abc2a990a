"""Functions that fork: what a forked process does, and that it comes back from the call, is no result of the call."""

from __future__ import annotations

import os
import sys
import time

import pytest

import lightwork as lw
from tests.leftovers import linux

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
@pytest.mark.parametrize("options", [{}, {"call_timeout": 30}], ids=["", "call_timeout"])
def test_a_forked_process_that_comes_back_from_its_call_says_nothing_for_it(how, wrapped, options):
    items = range(12)
    results = lw.starmap(
        fork_and, [(how, wrapped, True, x) for x in items], backend="processes", max_workers=2, **options
    )
    assert results == [wrapped(1000 * ENDS[how] + x) for x in items]


@linux
def test_nor_does_one_that_nobody_waits_for(tmp_path):
    """It comes back when the parent has stored its own result, and makes none of the calls that follow."""
    calls = tmp_path / "calls"

    def fork(x):
        with calls.open("a") as file:
            file.write(f"{x}\n")
        if os.fork() == 0:
            time.sleep(0.05)
            return -1
        return x

    assert lw.map(fork, range(30), backend="processes", max_workers=2, chunksize=15) == list(range(30))
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
