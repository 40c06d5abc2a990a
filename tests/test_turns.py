"""Who loads modules beside calls that compute takes quick turns at the GIL, for as long as it does."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import lightwork as lw
from lightwork import _turns
from lightwork._machine import gil_enabled, usable_cores
from lightwork._turns import LOADING, TURN, QuickTurns, Recalled
from tests.leftovers import wait_for


def test_of_overlapping_blocks_the_quickest_counts_as_long_as_it_lasts():
    usual = sys.getswitchinterval()
    with QuickTurns(TURN):
        assert sys.getswitchinterval() == pytest.approx(TURN)
        with QuickTurns(LOADING):
            assert sys.getswitchinterval() == pytest.approx(LOADING)
        assert sys.getswitchinterval() == pytest.approx(TURN)
    assert sys.getswitchinterval() == usual


def test_it_does_not_matter_which_of_two_blocks_ends_first():
    usual = sys.getswitchinterval()
    first, second = QuickTurns(LOADING), QuickTurns(TURN)
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() == pytest.approx(LOADING)
    first.__exit__()
    assert sys.getswitchinterval() == pytest.approx(TURN)
    second.__exit__()
    assert sys.getswitchinterval() == usual


@pytest.mark.parametrize("microseconds", [15, 19, 33, 5000])
def test_turns_are_as_ever_to_the_microsecond(microseconds):
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval((microseconds + 0.5) * 1e-6)
        usual = sys.getswitchinterval()
        with QuickTurns(LOADING):
            assert sys.getswitchinterval() == pytest.approx(LOADING)
        assert sys.getswitchinterval() == usual == pytest.approx(microseconds * 1e-6)
    finally:
        sys.setswitchinterval(before)


def test_wherever_a_ctrl_c_strikes_who_ends_quick_turns_they_are_over():
    usual = sys.getswitchinterval()
    for lines in range(100):
        turns, struck = Recalled(), ends_when_struck(lines)
        turns.__enter__()
        try:
            sys.settrace(struck)
            turns.over()
            break
        except KeyboardInterrupt:
            sys.settrace(None)
            turns.__exit__()  # as who asked for them does sooner or later
            assert sys.getswitchinterval() == usual, f"struck after {lines} lines"
        finally:
            sys.settrace(None)
    assert 4 < lines < 99


def ends_when_struck(lines):
    """A trace function that raises KeyboardInterrupt once, after so many lines of what makes turns quick."""
    left = lines

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename != _turns.__file__ or frame.f_code.co_name == "over":
            return trace  # the lock is not the matter here
        if event == "line":
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
        return trace

    return trace


def test_whoever_sets_another_interval_meanwhile_keeps_it():
    usual = sys.getswitchinterval()
    try:
        with QuickTurns(TURN):
            sys.setswitchinterval(0.002)
            with QuickTurns(LOADING):
                assert sys.getswitchinterval() == pytest.approx(0.002)
        assert sys.getswitchinterval() == pytest.approx(0.002)
    finally:
        sys.setswitchinterval(usual)


def test_turns_are_as_ever_when_a_map_has_come_back():
    usual, found = sys.getswitchinterval(), []
    for _ in range(10):
        lw.map(lambda ms: burn(ms / 1000), [2] * 4)
        found.append(sys.getswitchinterval())
        # Where a busy machine made calls seem long, what decides is still being loaded, in quick turns: once.
        wait_for(lambda: sys.getswitchinterval() == usual, 20)
    assert found.count(usual) > 5


def burn(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_is_forked_meanwhile_has_its_usual_turns():
    def asks():
        with QuickTurns(TURN):
            inside.set()
            over.wait(20)

    usual, inside, over = sys.getswitchinterval(), threading.Event(), threading.Event()
    other = threading.Thread(target=asks)
    other.start()
    try:
        assert inside.wait(20)
        with QuickTurns(0.001):
            if (child := os.fork()) == 0:
                own = sys.getswitchinterval() == pytest.approx(0.001)
                QuickTurns.__exit__(QuickTurns(0.001))
                os._exit(0 if own and sys.getswitchinterval() == usual else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        over.set()
        other.join(20)
    assert sys.getswitchinterval() == usual


def test_who_loads_beside_has_quick_turns_also_where_nobody_has_loaded_threading():
    script = """
        import sys
        from lightwork._beside import start_beside
        from lightwork._turns import Loading
        import _thread

        seen, ended = [], _thread.allocate_lock()
        ended.acquire()

        def load():
            with Loading():
                seen.append(sys.getswitchinterval())
            ended.release()

        if sys.version_info < (3, 13):
            import threading  # takes who loads it for the main thread
        else:
            assert "threading" not in sys.modules
        start_beside(load)
        assert ended.acquire(timeout=20)
        with Loading():
            seen.append(sys.getswitchinterval())
        print(*seen)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert [float(turn) for turn in found.stdout.split()] == pytest.approx([LOADING, 0.005]), found.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")
def test_nothing_is_collected_while_modules_are_loaded_beside_calls():
    script = """
        import gc, os, threading
        from lightwork import _turns

        loading, seen = _turns.Loading(), []

        def load(inside=None, over=None):
            with loading:
                with loading:
                    pass
                seen.append(gc.isenabled())
                if inside is not None:
                    inside.set()
                    over.wait(20)

        def beside(*events):
            thread = threading.Thread(target=load, args=events)
            thread.start()
            return thread

        beside().join(20)
        seen.append(gc.isenabled())
        gc.disable()
        beside().join(20)
        seen.append(gc.isenabled())
        gc.enable()
        with loading:
            seen.append(gc.isenabled())

        _turns.FORK_WAITS = 0.01  # who forks may hold what the block waits for
        inside, over = threading.Event(), threading.Event()
        thread = beside(inside, over)
        inside.wait(20)
        if not (child := os.fork()):
            os._exit(gc.isenabled())
        seen.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        over.set()
        thread.join(20)
        print(*map(int, seen), int(gc.isenabled()))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=90)
    beside, after, left_off, still_off, in_main_thread, held, in_child, at_last = found.stdout.split()
    assert (beside, after) == ("0", "1"), found.stderr
    assert (left_off, still_off) == ("0", "0")  # by the program
    assert in_main_thread == "1"
    assert (held, in_child, at_last) == ("0", "1", "1")


@pytest.mark.skipif(not gil_enabled() or usable_cores() < 2, reason="computing calls go to processes for a GIL's sake")
def test_what_drives_processes_is_loaded_in_quick_turns_beside_a_call_that_computes():
    program = """
        import _thread, sys
        import lightwork as lw

        class Looker:
            def find_spec(self, name, path=None, target=None):
                if name == "lightwork._backends._link":
                    found.append((_thread.get_ident() == main, sys.getswitchinterval()))

        def spin(count):
            while count:
                count -= 1

        found, main = [], _thread.get_ident()
        sys.meta_path.insert(0, Looker())
        before = sys.getswitchinterval()
        lw.map(spin, [4_000_000] * 16)
        by_caller, turn = found[0] if found else (True, 0)
        print(by_caller, turn, sys.getswitchinterval() == before)
    """
    for _ in range(5):  # on a busy machine the caller may load it, or nobody need to
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50
        )
        assert run.returncode == 0, run.stderr
        by_caller, turn, given_back = run.stdout.split()
        assert given_back == "True"
        if by_caller == "False":
            break
    assert by_caller == "False"
    assert float(turn) == pytest.approx(LOADING)


SLACK = """
import os, time
import lightwork as lw

def slack(item):
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    with open("/proc/self/timerslack_ns") as file:
        return os.getpid(), int(file.read())

usual = slack(0)
found = lw.map(slack, range(200))
assert len({pid for pid, _ in found}) > 1, found.report
assert {nanoseconds for _, nanoseconds in found} == {usual[1]}, (usual, set(found))
"""


@pytest.mark.skipif(not Path("/proc/self/timerslack_ns").exists(), reason="the kernel keeps timers to itself")
@pytest.mark.skipif(usable_cores() < 2 or not gil_enabled(), reason="no processes are chosen")
@pytest.mark.timeout(60)
def test_workers_have_the_callers_timers_though_who_begins_them_is_punctual():
    done = subprocess.run([sys.executable, "-c", SLACK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
