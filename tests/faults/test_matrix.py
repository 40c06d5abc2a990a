"""The fault matrix: what happens to a call, at which stage, and what the caller sees of it.

A fault costs the call that it strikes and nothing else: every other item has its result, no call is lost and none
begins twice. Whether the struck item's call is made at all depends on the stage.

"allocate" meets a limit of the process (RLIMIT_AS), which is a MemoryError. "Allocate until killed" needs a control
group with a limit of its own, and so the right to make one: the machine's memory is left alone.

Left out, since they are the caller's own end and not a worker's: all that stops or ends the process in "pickling the
call" and "unpickling the result", which happen there. A hang or a stop in an initializer is ended by Ctrl-C only:
``call_timeout`` is about calls. An exception cannot strike an idle worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

import lightwork as lw
from tests.conformance.jobs import Awkward, Unsendable, marks
from tests.faults import striking
from tests.leftovers import alive, wait_for, workers

ROOT = Path(__file__).parents[2]

ITEMS, STRUCK = 12, 5
TIMEOUT = 1.0
"""Of calls that stand still. The others have it too: a busy machine may keep a worker from running for a while."""

RAISING = ("raise", "needs two arguments", "unpicklable", "sys.exit")
ENDING = ("os._exit", "segfault", "SIGKILL")
STANDING = ("SIGSTOP", "hang", "hang in C")
MEMORY = ("allocate",) if sys.platform == "linux" else ()

EXCEPTIONS = {
    "raise": ValueError,
    "needs two arguments": Awkward,
    "unpicklable": Unsendable,
    "sys.exit": SystemExit,
    "allocate": MemoryError,
}
SIGNALS = {"segfault": signal.SIGSEGV, "SIGKILL": signal.SIGKILL}

IN_THE_CALLER = ("pickling the call", "unpickling the result")
IN_THE_WORKER = ("unpickling the call", "running", "pickling the result")
CELLS = [
    *((fault, stage) for stage in IN_THE_CALLER for fault in RAISING),
    *((fault, stage) for stage in IN_THE_WORKER for fault in (*RAISING, *ENDING, *STANDING, *MEMORY)),
]


def names(cells):
    return [" - ".join(cell) for cell in cells]


@pytest.mark.parametrize(("fault", "stage"), CELLS, ids=names(CELLS))
def test_a_fault_costs_the_call_that_it_strikes(fault, stage, tmp_path):
    path = tmp_path / "calls"
    struck = {
        "pickling the call": striking.StrikesWhenPickled(fault),
        "unpickling the call": striking.StrikesWhenUnpickled(fault),
    }.get(stage, "struck")
    results = lw.map(
        striking.call,
        [str(path)] * ITEMS,
        [stage] * ITEMS,
        [fault] * ITEMS,
        range(ITEMS),
        [struck if x == STRUCK else None for x in range(ITEMS)],
        backend="processes",
        max_workers=2,
        chunksize=4,
        call_timeout=TIMEOUT if fault in STANDING else None,
        errors="return",
    )
    assert [x for x in results if not isinstance(x, lw.Failure)] == [x for x in range(ITEMS) if x != STRUCK]
    (failure,) = results.failures
    assert failure.index == STRUCK and failure.attempts == 1 and results[STRUCK] is failure
    check(failure.exception, fault, stage)
    begun = stage not in ("pickling the call", "unpickling the call")
    assert sorted(marks(path)) == [x for x in range(ITEMS) if begun or x != STRUCK]
    assert results.report.lost_workers == (fault in (*ENDING, *STANDING))


def check(exception, fault, stage):
    """The exception says what struck."""
    if fault in STANDING:
        assert type(exception) is lw.CallTimeout
        assert (exception.index, exception.seconds) == (STRUCK, TIMEOUT)
    elif fault in ENDING:
        assert isinstance(exception, lw.WorkerCrashed) and isinstance(exception, BrokenProcessPool)
        assert exception.index == STRUCK and exception.pid
        assert exception.signal == SIGNALS.get(fault)
        assert exception.exitcode == (striking.EXIT_CODE if fault == "os._exit" else None)
        assert str(STRUCK) in str(exception) and exception.reason in str(exception)
    elif stage == "running" or (fault, stage) == ("sys.exit", "pickling the result"):
        assert type(exception) is EXCEPTIONS[fault]
        assert "strike" in str(exception.__cause__), "the traceback in the worker"
    else:
        assert isinstance(exception, lw.UnpicklableError)
        cause = EXCEPTIONS[fault]
        told = exception.__cause__ if stage in IN_THE_CALLER else None
        assert isinstance(told, cause) or cause.__name__ in str(exception)


@pytest.mark.parametrize("fault", [*RAISING, *ENDING, *MEMORY])
def test_an_initializer_that_is_struck_breaks_the_executor(fault):
    """As in the standard library: no other worker would do better. No call is made."""
    with lw.Executor(2, backend="processes", initializer=striking.strike, initargs=(fault,)) as executor:
        futures = [executor.submit(striking.same, x) for x in range(4)]
        for future in futures:
            exception = future.exception(15)
            assert isinstance(exception, BrokenProcessPool)
            told = repr(exception.__cause__) + str(exception)
            reasons = {"os._exit": "exit code 7", "segfault": "SIGSEGV", "SIGKILL": "SIGKILL"}
            assert reasons.get(fault) or EXCEPTIONS[fault].__name__ in told
            assert reasons.get(fault, "") in told
        with pytest.raises(BrokenProcessPool):
            executor.submit(striking.same, 1).result(15)


@pytest.mark.parametrize("fault", [*ENDING, "raise", "allocate"] if MEMORY else [*ENDING, "raise"])
def test_an_idle_worker_that_is_struck_costs_nothing(fault, tmp_path, capfd):
    go = tmp_path / "go"
    with lw.Executor(1, backend="processes") as executor:
        pid = executor.submit(striking.soon, fault, str(go)).result(15)
        go.touch()
        if fault in ENDING:
            wait_for(lambda: not alive(pid))
        assert [executor.submit(striking.same, x).result(15) for x in range(5)] == list(range(5))
        assert (executor.submit(striking.getpid).result(15) == pid) == (fault not in ENDING)
    capfd.readouterr()  # the thread's traceback


@pytest.mark.parametrize("fault", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_an_idle_worker_that_is_killed_from_outside_costs_nothing(fault):
    with lw.Executor(2, backend="processes") as executor:
        executor.submit(striking.same, 0).result(15)
        for worker in workers():
            os.kill(worker.pid, getattr(signal, fault))
        assert [executor.submit(striking.same, x).result(15) for x in range(5)] == list(range(5))


def test_an_idle_worker_that_is_stopped_delays_only_what_was_sent_to_it():
    with lw.Executor(2, backend="processes") as executor:
        pids = {executor.submit(striking.getpid).result(15) for _ in range(3)}
        stopped = pids.pop()
        os.kill(stopped, signal.SIGSTOP)
        wait_for(lambda: psutil_status(stopped) == "stopped")
        futures = [executor.submit(striking.same, x) for x in range(20)]
        # Those that went to the other worker end.
        wait_for(lambda: sum(future.done() for future in futures) >= 10)
        os.kill(stopped, signal.SIGCONT)
        assert [future.result(15) for future in futures] == list(range(20))


def test_an_idle_worker_that_is_stopped_goes_on_where_calls_have_a_timeout():
    """A call that was sent to it would wait for ever, though its time is limited."""
    with lw.Executor(1, backend="processes", call_timeout=TIMEOUT) as executor:
        pid = executor.submit(striking.getpid).result(15)
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: psutil_status(pid) == "stopped")
        assert executor.submit(striking.getpid).result(15) == pid


def test_a_stopped_worker_can_be_killed_and_its_crew_closed():
    with lw.Executor(1, backend="processes") as executor:
        future = executor.submit(striking.strike, "SIGSTOP")
        wait_for(lambda: any(psutil_status(worker.pid) == "stopped" for worker in workers()))
        executor.kill(future)
        assert future.exception(15).signal == signal.SIGKILL
        assert executor.submit(striking.same, 1).result(15) == 1
        pid = executor.submit(striking.getpid).result(15)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
    assert time.monotonic() - began < 5


def psutil_status(pid):
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return "gone"


GREEDY = """
    import os, resource, sys
    from pathlib import Path

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # should the group not hold it
    (Path(sys.argv[1]) / "cgroup.procs").write_text(str(os.getpid()))

    import lightwork as lw
    from tests.faults import striking

    items = [None] * 12
    items[5] = "allocate until killed"
    results = lw.map(striking.struck_or_not, items, backend="processes", max_workers=2, chunksize=4, errors="return")
    (failure,) = results.failures
    assert failure.index == 5 and failure.exception.signal == 9, failure
    print(failure.exception.reason)
"""


@pytest.fixture
def small_group():
    """A control group for 256 MB (version 2 or 1)."""
    for home, limit, sign in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        group = Path(home) / f"lightwork-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / sign).exists():
                (group / limit).write_text(str(256 << 20))
                yield group
                wait_for(lambda: not (group / "cgroup.procs").read_text())
                return
        finally:
            group.rmdir()
    pytest.skip("this user may not make a control group with a memory limit")


@pytest.mark.timeout(40)
def test_a_call_that_allocates_until_it_is_killed_is_named_as_that(small_group):
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(GREEDY), str(small_group)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.stdout == "was killed by the kernel for lack of memory\n", run.stderr
