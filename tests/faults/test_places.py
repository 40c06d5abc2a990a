"""Callers that move, end or lose their starter in the middle of a map."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

import lightwork as lw
from lightwork._platform import portable
from tests.conformance.jobs import marks
from tests.faults import nasty
from tests.leftovers import alive, linux, starters, wait_for, workers

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(30)
def test_directory_and_environment_are_those_of_the_beginning(tmp_path, monkeypatch):
    """They change in the middle of a map, and a worker that is started after that still has the first ones."""
    monkeypatch.setenv("LIGHTWORK_TEST", "before")
    here = str(Path.cwd())
    with lw.imap(nasty.place, range(300), backend="processes", max_workers=1, buffersize=4, retries=2) as results:
        first = next(results)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("LIGHTWORK_TEST", "after")
        os.kill(first[3], signal.SIGKILL)
        seen = [first, *results]
    assert [x for x, *_ in seen] == list(range(300))
    assert {(cwd, text) for _, cwd, text, _ in seen} == {(here, "before")}
    assert len({pid for *_, pid in seen}) == 2
    (moved,) = lw.map(nasty.place, [0], backend="processes")
    assert moved[1:3] == (str(tmp_path), "after")


@pytest.mark.timeout(30)
def test_the_thread_that_started_it_all_ends():
    """A starter or workers that were tied to a thread would die with it."""
    program = """
        import threading
        import lightwork as lw
        from tests.faults import nasty
        made = []
        def begin():
            assert lw.map(nasty.square, range(5), backend="processes") == [0, 1, 4, 9, 16]
            made.append(lw.Executor(2, backend="processes"))
            made[0].submit(nasty.square, 1).result()
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        (pid,) = {made[0].submit(nasty.place, 1).result()[3] for _ in range(1)}
        for _ in range(20):
            assert made[0].submit(nasty.square, 3).result() == 9
        assert lw.map(nasty.square, range(5), backend="processes") == [0, 1, 4, 9, 16]
        made[0].shutdown()
        print("fine")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, timeout=25
    )
    assert run.stdout == "fine\n", run.stderr


@linux
@pytest.mark.timeout(30)
def test_a_killed_starter_costs_the_calls_that_ran(tmp_path):
    path, count = tmp_path / "calls", 40

    def kill_it() -> None:
        wait_for(lambda: len(set(marks(path)) & {0, 1}) == 2)
        starters()[0].kill()

    killer = threading.Thread(target=kill_it)
    killer.start()
    try:
        results = lw.map(
            nasty.linger,
            [str(path)] * count,
            range(count),
            backend="processes",
            max_workers=2,
            chunksize=1,
            errors="return",
        )
    finally:
        killer.join()
    assert results[2:] == list(range(2, count))
    assert all(isinstance(value.exception, lw.WorkerCrashed) for value in results[:2])
    assert "starter" in str(results[0].exception)
    assert max(Counter(marks(path)).values()) == 1


@linux
@pytest.mark.timeout(30)
def test_work_goes_on_right_after_the_starter_was_killed():
    """Its lines and its control socket do not break at the same moment; whatever breaks first, a new one is started."""
    for x in range(5):
        lw.map(nasty.square, [x], backend="processes")
        (starter,) = starters()
        starter.kill()
        assert lw.map(nasty.square, range(20), backend="processes", max_workers=2) == [x * x for x in range(20)]
    with lw.Executor(2, backend="processes") as executor:
        for x in range(5):
            assert executor.submit(nasty.square, x).result(20) == x * x
            killed = workers()
            for starter in starters():
                starter.kill()
            exception = executor.submit(nasty.square, x).exception(20)
            # The idle worker dies with its starter: before it takes the call, or while it runs.
            assert exception is None or (isinstance(exception, lw.WorkerCrashed) and "starter" in str(exception))
            # The other one may take a little longer, and would take the next call. Where the kernel does not end it,
            # the executor does, when it looks next.
            if not portable():
                wait_for(lambda killed=killed: not any(alive(each.pid) for each in killed))


@linux
@pytest.mark.skipif(portable(), reason="without the kernel's help a busy worker finds out when its call ends")
@pytest.mark.timeout(30)
def test_caller_and_starter_die_together(tmp_path):
    note = tmp_path / "began"
    program = f"""
        import lightwork as lw
        from tests.faults import nasty
        lw.map(nasty.linger, [{str(note)!r}] * 2, range(2), backend="processes", max_workers=2, chunksize=1)
    """
    caller = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    wait_for(lambda: len(marks(note)) == 2)
    family = psutil.Process(caller.pid).children(recursive=True)
    assert len(family) == 3
    for process in (psutil.Process(caller.pid), *psutil.Process(caller.pid).children()):
        process.kill()
    caller.wait()
    wait_for(lambda: not any(alive(process.pid) for process in family), 5)


@linux
@pytest.mark.timeout(30)
def test_a_busy_worker_that_is_stopped_goes_on_where_it_was(tmp_path):
    path = tmp_path / "calls"
    with lw.imap_unordered(
        nasty.nap, [str(path)] * 60, range(60), [0.02] * 60, backend="processes", max_workers=2, chunksize=1
    ) as results:
        seen = [next(results)]
        stopped = workers()[0]
        stopped.suspend()
        seen += [next(results) for _ in range(30)]
        stopped.resume()
        seen += results
    assert sorted(seen) == list(range(60)) == sorted(marks(path))


PRINTS = """
import os
import lightwork as lw

def prints(x):
    return os.system("echo out && echo err >&2")

for _ in range(3):
    assert lw.map(prints, range(6), backend="processes", max_workers=2) == [0] * 6
with lw.Executor(2, backend="processes") as executor:
    assert list(executor.map(prints, range(6))) == [0] * 6
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes them")
@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-", ">&- 2>&-", "<&- 2>&-"])
def test_nothing_is_printed_into_what_stands_where_the_program_has_closed_a_stream(closed):
    """The next that is opened has its number: a socket of ours, say, into which workers, and their children, print."""
    ended = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, PRINTS], timeout=50)
    assert ended.returncode == 0


STAYS_CLOSED = """
import array
import os
import lightwork as lw

def takes_text(number):
    try:
        return os.write(number, b"text")
    except OSError:
        return 0

closed = [number for number in range(1, 3) if not takes_text(number)]
lock, shared = lw.Lock(), lw.share(array.array("d", range(6)), writable=True)
with lw.imap(abs, range(6), backend="processes", max_workers=2) as results, lock:
    assert next(results) == 0
    assert closed and not any(map(takes_text, closed))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes them")
@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-", ">&- 2>&-", "2>&-"])
def test_nor_is_the_memory_that_is_shared_with_workers_what_a_closed_stream_writes_into(closed):
    """A mapping keeps a descriptor of its own: what was printed stood in place of results."""
    ended = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, STAYS_CLOSED], timeout=50)
    assert ended.returncode == 0


STANDS_AT_2 = """
import os
import lightwork as lw

def stands_at_2(_):
    return os.readlink(f"/proc/{os.getppid()}/fd/2")

log = os.open("/proc/self/status", os.O_RDONLY)
assert log == 2
assert lw.map(stands_at_2, range(2), backend="processes", max_workers=2) == [os.devnull] * 2
"""


@linux
def test_what_the_program_has_opened_in_the_place_of_its_stderr_leaves_no_room_for_what_the_starter_opens():
    """Such a descriptor is closed in what is started."""
    ended = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, STANDS_AT_2], timeout=50)
    assert ended.returncode == 0


WRITES = """
import os
from contextlib import suppress
import lightwork as lw

def writes(x):
    for stream in (0, 1, 2):
        with suppress(OSError):
            os.write(stream, b"written\\n")
    return x

assert lw.map(writes, range(6), backend="interpreters", max_workers=2) == list(range(6))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes them")
def test_nor_is_it_the_socket_of_an_interpreter():
    if not lw.backends()["interpreters"]:
        pytest.skip("no interpreters here")
    ended = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" <&- >&-', sys.executable, WRITES], timeout=50)
    assert ended.returncode == 0
