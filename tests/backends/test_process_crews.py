"""What only processes do: they die, are killed, time out; and nothing is left of them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path

import pytest

import lightwork as lw
from lightwork import _platform
from lightwork._backends import _process_launcher, _spawning
from lightwork._backends.processes import ProcessBackend
from lightwork._calls import Finished
from lightwork.errors import UnpicklableError
from tests.backends.crews import Driver
from tests.backends.deadly_jobs import (
    DiesUnpickling,
    chatter,
    close_everything,
    descriptors,
    die_by,
    fork_and_leave,
    getpid,
    give_dying,
    give_unpickling,
    kill_at,
    look,
    nap,
    note_end,
    power,
    run_dying,
    sleep_in_c,
    start_child_and_hang,
    take,
    tell_length,
)

DEATHS = {
    "os._exit": (None, 3, "ended with exit code 3"),
    "SIGSEGV": (signal.SIGSEGV, None, "crashed with SIGSEGV"),
    "SIGKILL": (signal.SIGKILL, None, "was killed by SIGKILL"),
}
HOWS = ["raise", "sys.exit", *DEATHS]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("stage", ["unpickling", "running", "pickling the result"])
def test_a_death_costs_the_running_call_alone(how, stage):
    fn, items = {
        "unpickling": (take, [0, DiesUnpickling(how, in_worker=True), 2]),
        "running": (run_dying, [None, how, None]),
        "pickling the result": (give_dying, [None, how, None]),
    }[stage]
    with Driver(ProcessBackend()) as crew:
        batch = crew.send(crew.start(), fn, items)
        if how in DEATHS:
            lost = crew.lost()
            assert lost.running == (batch, 1)
            assert (lost.death.signal, lost.death.exitcode, lost.death.reason) == DEATHS[how]
            assert lost.death.pid
            assert not lost.death.timed_out
            assert crew.values[batch] == {0: 1}
            assert crew.events[-1] is lost
        else:
            crew.until(lambda: batch in crew.ended)
            assert crew.values[batch] == {0: 1, 2: 1}
            # An exit is the call's own wherever its code asks for it, in pickling its result too.
            own = stage == "running" or (stage, how) == ("pickling the result", "sys.exit")
            expected = {"raise": ValueError, "sys.exit": SystemExit}[how] if own else UnpicklableError
            assert type(crew.failures[batch][1]) is expected


@pytest.mark.timeout(60)
def test_what_a_socket_does_not_take_at_once_arrives_before_the_caller_computes(tmp_path):
    told = tmp_path / "told"
    os.mkfifo(told)
    arrived = select.poll()
    with Driver(ProcessBackend()) as crew, told.open("r+b", buffering=0) as reader:
        arrived.register(reader, select.POLLIN)
        worker = crew.start()
        crew.ready()
        batch = crew.send(worker, partial(tell_length, str(told), bytes(20_000_000)), [1])
        deadline = time.monotonic() + 20
        # Nobody waits for events, as while the caller's thread makes calls of its own.
        while not arrived.poll(0) and time.monotonic() < deadline:
            crew.crew.deliver()
        assert arrived.poll(0), "the worker has not begun: the rest of its batch is still here"
        crew.until(lambda: batch in crew.ended)
        assert crew.values[batch] == {0: 20_000_001}


@pytest.mark.parametrize("how", ["raise", "sys.exit"])
def test_a_result_that_fails_here_harms_itself_alone(how):
    with Driver(ProcessBackend()) as crew:
        one, problem, two = crew.run(give_unpickling, [None, how, None])
        assert (one, two) == (1, 1)
        assert type(problem) is UnpicklableError


@pytest.mark.parametrize("how", HOWS)
def test_an_initializer_that_dies(how):
    with Driver(ProcessBackend(), initializer=die_by, initargs=(how,)) as crew:
        batch = crew.send(crew.start(), take, [1, 2])
        if how in DEATHS:
            lost = crew.lost()
            assert lost.running is None
            assert lost.death.reason == DEATHS[how][2]
            assert batch not in crew.values
        else:
            assert type(crew.failed().exception) is {"raise": ValueError, "sys.exit": SystemExit}[how]


def test_a_module_that_kills_when_it_is_imported(tmp_path, monkeypatch):
    module = tmp_path / "deadly_module.py"
    module.write_text("SEEN = []\ndef f(x): return x, SEEN\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import deadly_module

    module.write_text("import os\nos._exit(9)\n# longer than before\n")
    with Driver(ProcessBackend()) as crew:
        batch = crew.send(crew.start(), deadly_module.f, [1, 2])
        lost = crew.lost()
        assert lost.running == (batch, 0)
        assert lost.death.exitcode == 9


def test_finished_results_survive_a_kill_in_the_middle_of_a_batch():
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        batch = crew.send(worker, nap, [0.0] * 50 + [60.0, 0.0])
        crew.ready()
        # The fifty are finished, and none of them was sent: they stand in the ledger.
        crew.until(lambda: len(crew.values.get(batch, ())) == 50)
        crew.crew.kill(worker)
        lost = crew.lost()
        assert lost.running == (batch, 50)
        assert lost.death.signal == signal.SIGKILL


def test_results_in_the_socket_and_in_the_ledger_are_told_once():
    with Driver(ProcessBackend()) as crew:
        batch = crew.send(crew.start(), kill_at, range(40))
        lost = crew.lost()
        assert lost.running == (batch, 30)
        assert {position: len(value) for position, value in crew.values[batch].items()} == {
            position: position * 1000 for position in range(30)
        }


def test_calls_of_a_second_batch_have_not_begun():
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        first, second = crew.send(worker, run_dying, [None, "SIGKILL"]), crew.send(worker, take, [1])
        assert crew.lost().running == (first, 1)
        assert second not in crew.values
        crew.crew.send(worker, None)  # a batch for the dead: no error, and it never begins
        assert crew.run(take, [1]) == [1]


def test_killing_an_idle_worker_and_a_starting_one():
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        crew.ready()
        crew.crew.kill(worker)
        assert crew.lost().running is None
    with Driver(ProcessBackend()) as crew:
        crew.crew.kill(crew.start())
        assert crew.lost().running is None


@pytest.mark.parametrize("slow", [(nap, 60.0), (power, 300_000_000), (sleep_in_c, 60.0)], ids=["wait", "C", "GIL"])
def test_call_timeout_ends_what_takes_too_long(slow):
    fn, item = slow
    with Driver(ProcessBackend(), call_timeout=1.0) as crew:
        batch = crew.send(crew.start(), fn, [0, item, 0])
        lost = crew.lost()
        assert lost.running == (batch, 1)
        assert lost.death.timed_out
        assert crew.values[batch][0] in (0, 1)


def test_call_timeout_counts_each_call_for_itself_and_no_waiting_for_the_caller(capsys):
    with Driver(ProcessBackend(), call_timeout=1.0) as crew:
        worker = crew.start()
        assert crew.run(nap, [0.15] * 10, worker=worker) == [0.15] * 10
        batch = crew.send(worker, chatter, [2_000, 1])
        time.sleep(1.5)  # the caller reads nothing: the worker cannot get rid of its lines
        crew.until(lambda: batch in crew.ended)
        assert crew.values[batch] == {0: 2000, 1: 1}


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
@pytest.mark.parametrize("timeout", [None, 0.5])
def test_a_kill_takes_what_the_call_has_started(tmp_path, timeout):
    note = tmp_path / "pid"
    with Driver(ProcessBackend(), call_timeout=timeout) as crew:
        worker = crew.start()
        crew.send(worker, start_child_and_hang, [str(note)])
        if timeout is None:
            crew.crew.wait(0)
            wait_for(lambda: note.exists() and note.read_text())
            crew.crew.kill(worker)
        crew.lost()
    wait_for(lambda: gone(int(note.read_text())))


@linux
def test_close_is_quick_and_leaves_nothing():
    crew = Driver(ProcessBackend())
    workers = [crew.start() for _ in range(4)]
    crew.ready(4)
    pids = [crew.run(getpid, [0], worker=worker)[0] for worker in workers]
    for worker in workers[:2]:
        crew.send(worker, power, [300_000_000])
    began = time.monotonic()
    assert crew.crew.close() == 0
    assert time.monotonic() - began < 10.0, "of minutes"
    assert all(gone(pid) for pid in pids)


def test_idle_workers_run_their_exit_handlers(tmp_path):
    note = tmp_path / "note"
    with Driver(ProcessBackend(), initializer=note_end, initargs=(str(note),)) as crew:
        crew.start()
        crew.ready()
    assert note.read_text() == "ended"


def test_directory_and_environment_are_carried_and_stdin_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTWORK_TEST", "here")
    monkeypatch.delenv("HOME", raising=False)
    with Driver(ProcessBackend()) as crew:
        assert crew.run(look, [0]) == [(str(tmp_path), "here", None, "")]


@linux
def test_workers_hold_no_descriptor_of_their_siblings_or_the_caller():
    with Driver(ProcessBackend()) as crew:
        counts = [crew.run(descriptors, [0])[0] for _ in range(5)]
        # stdin, stdout, stderr, socket, tether, the ledger and its map, and what the listing itself opens
        assert counts[0] == counts[4] <= 10


@linux
def test_descriptors_and_children_do_not_leak():
    def one_crew():
        with Driver(ProcessBackend()) as crew:
            crew.run(abs, [1])

    one_crew()
    before = descriptors(0)
    for _ in range(15):
        one_crew()
    with Driver(ProcessBackend()) as crew:
        for _ in range(10):
            crew.send(crew.start(), run_dying, ["SIGKILL"])
        crew.until(lambda: sum(type(event).__name__ == "WorkerLost" for event in crew.events) == 10)
        assert descriptors(0) <= before + 4
    assert descriptors(0) == before


@linux
def test_a_death_is_noticed_though_a_fork_of_the_worker_holds_its_socket():
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        batch = crew.send(worker, fork_and_leave, [0])
        assert crew.lost().running == (batch, 0)


def test_a_worker_that_closes_its_socket_is_lost():
    with Driver(ProcessBackend()) as crew:
        batch = crew.send(crew.start(), close_everything, [0])
        assert crew.lost().running in ((batch, 0), None)


def test_two_threads_use_crews_at_the_same_time():
    problems = []

    def work(n):
        try:
            for _ in range(3):
                with Driver(ProcessBackend()) as crew:
                    assert crew.run(abs, [-n] * 10) == [n] * 10
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


@linux
def test_a_starter_that_was_killed_is_replaced():
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        (pid,) = crew.run(getpid, [0], worker=worker)
        batch = crew.send(worker, power, [300_000_000])
        os.kill(_spawning._starter.pid, signal.SIGKILL)
        lost = crew.lost()
        assert lost.running in ((batch, 0), None)
        assert "starter" in lost.death.reason
        wait_for(lambda: gone(pid))
        assert crew.run(take, [1]) == [1]


def test_after_the_end_of_its_line_a_crew_asks_for_a_starter_that_is_not_about_to_end(monkeypatch):
    asked = []

    def open_channel(after_a_loss, bare):
        asked.append(after_a_loss)
        return _spawning.open_channel(after_a_loss, bare)

    monkeypatch.setattr(_process_launcher, "open_channel", open_channel)
    with Driver(ProcessBackend()) as crew:
        crew.start()
        crew.ready()  # where the kernel does not end it, the crew does, if it knows which process it is
        os.kill(_spawning._starter.pid, signal.SIGKILL)
        crew.lost()
        assert crew.run(take, [1]) == [1]
    assert asked == [False, True]


@linux
def test_a_worker_whose_starter_ends_before_the_kernel_is_asked_to_tell_ends_too():
    """While that is dying it is the parent still, and what it held is closed already."""
    program = """
        import os
        from lightwork import _descriptors, _platform
        from lightwork._backends._blank import Blank
        from lightwork._backends._ledger import SIZE, WITH_ARENA
        for _ in range(20):
            ours, theirs = _descriptors.connected()
            memory = _platform.anonymous_memory(SIZE, WITH_ARENA)
            blank = Blank()
            blank.begin([theirs.fileno(), memory, 1, 2])
            blank.tether.close()
            os.waitpid(blank.pid, 0)
            os.close(memory)
        print("ended")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=20, check=True
    )
    assert ended.stdout == "ended\n"


@linux
@pytest.mark.parametrize("portable", ["0", "1"])
def test_nothing_is_left_when_the_caller_is_killed(tmp_path, portable):
    note = tmp_path / "pids"
    program = """
        import os, sys, time
        from lightwork._backends import _spawning
        from lightwork._backends.processes import ProcessBackend
        from lightwork._calls import Batch, Terms
        crew = ProcessBackend().open(Terms())
        for n in range(2):
            crew.send(crew.start_worker(), Batch(n, lambda x: 7**x, "one", 0, [300_000_000]))
        ready = 0
        while ready < 2:
            ready += len(crew.wait(None))
        if not os.fork():
            time.sleep(60)  # a fork of the caller's own holds its sockets
        children = open(f"/proc/{_spawning._starter.pid}/task/{_spawning._starter.pid}/children").read()
        with open(sys.argv[1] + "~", "w") as file:
            file.write(f"{_spawning._starter.pid} {children}")
        os.rename(sys.argv[1] + "~", sys.argv[1])
        time.sleep(60)
    """
    environ = {**os.environ, "LIGHTWORK_PORTABLE": portable}
    caller = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), str(note)], env=environ)
    try:
        wait_for(note.exists, 30)
    finally:
        caller.kill()
        caller.wait()
    pids = [int(pid) for pid in note.read_text().split()]
    assert len(pids) == 3
    wait_for(lambda: all(gone(pid) for pid in pids))


SCRIPT = """
    from dataclasses import dataclass
    from lightwork._backends.processes import ProcessBackend
    from lightwork._calls import Batch, Finished, Terms

    @dataclass
    class Point:
        x: int

    class Trouble(Exception):
        pass

    def grow(point):
        if point.x < 0:
            raise Trouble(point.x)
        print("growing", point.x)
        return Point(point.x + 1)

    crew = ProcessBackend().open(Terms())
    crew.send(crew.start_worker(), Batch(1, grow, "one", 0, [Point(1), Point(-1)]))
    values, failures = [], []
    while not failures:
        for event in crew.wait(None):
            if isinstance(event, Finished):
                values += event.outcomes.values
                failures += event.outcomes.failures.values()
    assert isinstance(values[0], Point), values
    assert isinstance(failures[0], Trouble), failures
    crew.close()
    print("done", values[0].x)
"""


@pytest.mark.parametrize("portable", ["0", "1"])
@pytest.mark.parametrize("way", ["-c", "stdin", "file"])
def test_programs_without_a_guard(way, portable, tmp_path):
    program = textwrap.dedent(SCRIPT)
    arguments, given = {
        "-c": (["-c", program], None),
        "stdin": (["-"], program),
        "file": ([str(tmp_path / "program.py")], None),
    }[way]
    (tmp_path / "program.py").write_text(program)
    environ = {**os.environ, "LIGHTWORK_PORTABLE": portable}
    run = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=given,
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (run.stdout, run.stderr) == ("growing 1\ndone 2\n", "")


def test_a_fork_of_the_caller_has_a_starter_of_its_own():
    program = """
        import os
        from lightwork._backends.processes import ProcessBackend
        from lightwork._backends import _spawning
        from tests.backends.crews import Driver
        def run():
            with Driver(ProcessBackend()) as crew:
                assert crew.run(abs, [-1]) == [1]
            return _spawning._starter.pid
        mine = run()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if run() != mine else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert run() == mine
    """
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=root, capture_output=True, timeout=50)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("portable", [False, True])
def test_anonymous_memory(portable, monkeypatch):
    monkeypatch.setenv("LIGHTWORK_PORTABLE", str(int(portable)))
    descriptor = _platform.anonymous_memory(4096, 1 << 40)
    try:
        assert os.fstat(descriptor).st_size == (4096 if portable else 1 << 40)
        assert os.fstat(descriptor).st_blocks == 0
        assert not os.get_inheritable(descriptor)
        assert (_platform.watch_process(os.getpid()) is None) or not portable
    finally:
        os.close(descriptor)


def test_times_and_events_of_a_slow_batch():
    with Driver(ProcessBackend()) as crew:
        worker = crew.start()
        crew.run(nap, [0], worker=worker)  # imports the module
        batch = crew.send(worker, nap, [0.03] * 5)
        crew.until(lambda: batch in crew.ended)
        finished = [event.outcomes for event in crew.events if isinstance(event, Finished)]
        frames = [outcomes for outcomes in finished if outcomes.batch == batch]
        assert len(frames) > 2, "results are sent when they have waited long enough"
        assert 0.14 < sum(frame.seconds for frame in frames) < 2
        assert sum(frame.cpu for frame in frames) < 0.1


def test_a_worker_imports_nothing_heavy_by_itself():
    code = "import lightwork as lw\n"
    code += 'loaded = \'sorted({"re", "enum", "typing", "logging"} & set(__import__("sys").modules))\'\n'
    code += "print(lw.map(eval, [loaded], backend='processes'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout.strip() == "[[]]"


COLLECTING = """
    import lightwork as lw

    def garbage(_):
        import gc
        return gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 0

    if __name__ == "__main__":
        import gc
        print(lw.map(garbage, [0], backend="processes")[0] == (gc.isenabled(), gc.get_threshold(), True))
"""


@pytest.mark.parametrize("begins", ["", "import gc; gc.disable()", "import gc; gc.set_threshold(5, 6, 7)"])
def test_workers_collect_garbage_as_their_interpreter_begins_but_none_that_they_have_in_common(tmp_path, begins):
    """What was there before their fork is left alone: to look for garbage in it would copy it."""
    (tmp_path / "program.py").write_text(textwrap.dedent(COLLECTING))
    (tmp_path / "sitecustomize.py").write_text(begins)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    run = subprocess.run(
        [sys.executable, "program.py"], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert (run.stdout, run.stderr) == ("True\n", "")


@pytest.mark.parametrize("backend", ["processes", "interpreters"])
def test_workers_have_the_callers_lightwork_whichever_else_is_installed(tmp_path, backend):
    if not lw.backends()[backend]:
        pytest.skip(f"no {backend} here")
    other = tmp_path / "lightwork"
    other.mkdir()
    (other / "__init__.py").write_text("raise ImportError('another lightwork')")
    (tmp_path / "shadowing.py").write_text("")
    program = f"""
        import sys
        sys.path.insert(0, {_platform.HOME!r})
        import lightwork as lw

        def found(_):
            import lightwork, shadowing
            return lightwork.__file__, shadowing.__file__

        assert lw.map(found, [1], backend={backend!r}) == [found(1)]
    """
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environ, capture_output=True, text=True, timeout=50
    )
    assert (run.stderr, run.returncode) == ("", 0)
