"""The memory of past runs: what it changes, and that nothing that happens to its file harms a map."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import pytest

import lightwork as lw
from lightwork import _memory
from lightwork._demand import Demand
from lightwork._past import FACTOR, Past
from lightwork.cli import main
from tests.conformance.jobs import count  # in a module that workers import in a moment

WAITS = Demand(wait=0.03, cpu=0.0001, gil=0.0001)
SPEED = {"wait": 0.03}


def wait(x):
    time.sleep(SPEED["wait"])
    return x


TOTAL = 0


def add(x):
    global TOTAL
    TOTAL += x
    time.sleep(0.002)


@pytest.fixture
def file(tmp_path):
    """A memory that is not there yet. Any warning is an error, and each test is told anew."""
    _memory._told.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield tmp_path / "memory.sqlite"


def run(file, fn=wait, items=range(20)):
    with lw.config(memory=file):
        return lw.map(fn, items).report


def decisions(report):
    return [decision.what for decision in report.decisions]


def alike(*reports):
    """Whether calls that wait took all about as long as they wait: on a machine that is so busy that some take three
    times as long, a run does well to forget what others have taken."""
    return max(span.seconds / span.calls for report in reports for span in report.spans) < FACTOR * SPEED["wait"]


def before_any_call(report):
    """Whether the first decision was made then."""
    return report.decisions[0].at < min(span.began for span in report.spans)


def past(demand=WAITS, backend="threads", gil_known=True):
    return Past(demand, gil_known, True, (), backend, 20, 500.0, 20)


def remember(file, fn, what):
    _memory.Memory(str(file), fn, lw.machine().cores, 0.0).keep(what)


# what it is good for


def test_a_second_run_of_waiting_calls_begins_where_the_first_one_ended(file):
    first, second = run(file), run(file)
    assert "changed over" in decisions(first)[0] and "serial" in {lane.backend for lane in first.lanes}
    assert decisions(second)[0] == "began with 20 threads"
    assert len(decisions(second)) == 1 or not alike(first, second)
    assert before_any_call(second) and not before_any_call(first)
    assert {lane.backend for lane in second.lanes} == {"threads"} or not alike(first, second), (
        "calls were made to learn"
    )
    assert "remembered from 1 run" in str(second)


@pytest.mark.skipif(lw.machine().cores == 1, reason="computing gains nothing on one core")
def test_a_second_run_of_computing_calls_changes_over_earlier(file):
    began = time.thread_time()
    count(200_000)
    each = int(200_000 * 0.01 / (time.thread_time() - began))
    first = run(file, count, [each] * 100)
    for _ in range(20):  # where others have the cores it does well to stay
        if "changed over" in decisions(first)[0]:
            break
        file.unlink()
        first = run(file, count, [each] * 100)
    second = run(file, count, [each] * 100)
    assert "changed over" in decisions(first)[0] and "began with" in decisions(second)[0]
    assert before_any_call(second) and not before_any_call(first)
    assert "serial" not in (first.backend, second.backend)  # without a GIL both of the others do it


def test_imap_begins_with_it_too(file):
    run(file)
    with lw.config(memory=file), lw.imap(wait, iter(range(20))) as stream:
        assert list(stream) == list(range(20))
        assert decisions(stream.report)[0] == "began with 20 threads"


def test_the_environment_switches_it_on_and_config_off(file, monkeypatch):
    monkeypatch.setenv("LIGHTWORK_MEMORY", str(file))
    with lw.config(memory=None):
        lw.map(wait, range(5))
    assert not file.exists()
    lw.map(wait, range(5))
    assert len(_memory.rows(str(file))) == 1


def test_what_memory_takes(monkeypatch):
    with pytest.raises(TypeError, match="path of a file"):
        lw.config(memory=3)
    for path in ("", ":memory:"):
        with pytest.raises(ValueError, match="path of a file"):
            lw.config(memory=path)
    monkeypatch.setenv("LIGHTWORK_MEMORY", ":memory:")
    with pytest.raises(ValueError, match="path of a file"):
        lw.map(wait, [1, 2])


def test_maps_that_keep_none_load_nothing_of_it():
    program = (
        "import sys, time, lightwork as lw; lw.map(time.sleep, [0.01] * 5); "
        "found = {'sqlite3', 'lightwork._memory', 'lightwork._past', 'lightwork._remembering'} & sys.modules.keys(); "
        "assert not found, found"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LIGHTWORK_MEMORY"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_short_maps_and_failed_ones_are_not_remembered(file):
    run(file, abs, range(100))
    with pytest.raises(ZeroDivisionError), lw.config(memory=file):
        lw.map(lambda x: time.sleep(0.03) or 1 / x, [1, 0])
    assert _memory.rows(str(file)) == []


def test_a_function_that_changes_what_others_see_stays_whatever_is_remembered(file):
    global TOTAL
    TOTAL = 0
    remember(file, add, past())
    report = run(file, add)
    assert {lane.backend for lane in report.lanes} == {"serial"} and sum(range(20)) == TOTAL


SHARED = [float(number) for number in range(3000)]


def grow_and_sum(item):
    getattr(item, "app" + "end")(1)  # as no look at the code shows
    return item[0] + sum(each for _ in range(40) for each in SHARED)


@pytest.mark.timeout(60)
def test_calls_that_change_their_argument_reach_no_process_where_they_begin_with_threads(file):
    """Without a GIL they are no quicker in threads, and processes would be; and none is made here first, to be seen."""
    remember(file, grow_and_sum, past(Demand(wait=0.0, cpu=0.002, gil=0.0)))
    items = [[number] for number in range(300)]
    with lw.config(memory=file):
        lw.map(grow_and_sum, items, max_workers=2)
    assert [len(item) for item in items] == [2] * 300


# when it is wrong


def test_a_function_that_became_slower_is_learnt_anew(file, monkeypatch):
    run(file)
    monkeypatch.setitem(SPEED, "wait", 0.2)
    report = run(file)
    assert "forgot what was remembered" in decisions(report)[1] and re.search(r"2\d\d\sms\seach", str(report))
    assert _memory.rows(str(file))[0].past.demand.wall == pytest.approx(0.2, rel=0.3)
    assert decisions(run(file)) == ["began with 20 threads"]


@pytest.mark.skipif(lw.machine().cores < 2, reason="on one core computing calls never leave the calling thread")
def test_calls_that_are_far_shorter_go_back_to_the_calling_thread(file):
    results = lw.map(count, [10] * 50_000)
    for _ in range(10):  # on a busy machine the first calls may have been kept from a core, and look long
        remember(file, count, past(Demand(wait=0.0, cpu=0.5, gil=0.0), "threads"))
        with lw.config(memory=file):
            again = lw.map(count, [10] * 50_000)
        assert list(again) == list(results) and again.report.calls == 50_000
        if any("went on in the calling thread" in decision for decision in decisions(again.report)):
            break
    assert any("went on in the calling thread" in decision for decision in decisions(again.report))
    assert "serial" in {lane.backend for lane in again.report.lanes}
    assert _memory.rows(str(file))[0].past.demand.wall < 0.01


def made(body):
    names = {"time": time, "__name__": "made"}
    exec(f"def fn(x):\n    time.sleep(0.03)\n    {body}", names)
    return names["fn"]


def test_a_changed_body_is_another_function(file):
    run(file, made("return x"))
    assert "began with" in decisions(run(file, made("return x")))[0]
    assert "changed over" in decisions(run(file, made("return x + 1")))[0]
    assert "changed over" in decisions(run(file, made("return x + 2")))[0], "constants count, too"
    assert len(_memory.rows(str(file))) == 3


def test_rows_of_another_machine_are_not_looked_at(file, monkeypatch):
    monkeypatch.setattr(_memory, "here", lambda cores: "64 cores, Python 3.99.0")
    run(file)
    monkeypatch.undo()
    assert "changed over" in decisions(run(file))[0]
    assert len(_memory.rows(str(file))) == 2


class Waiter:
    def __call__(self, x):
        return wait(x)

    def method(self, x):
        return wait(x)


def test_every_kind_of_callable_has_a_name():
    here = __name__
    assert _memory.identity(wait)[0] == f"{here}:wait"
    assert _memory.identity(partial(wait)) == _memory.identity(wait)
    assert _memory.identity(Waiter())[0] == f"{here}:Waiter.__call__"
    assert _memory.identity(Waiter().method) == _memory.identity(Waiter.method)
    assert _memory.identity(Waiter) == (f"{here}:Waiter", "")
    assert _memory.identity(abs) == ("builtins:abs", "")
    assert _memory.identity(lambda x: x)[1] != _memory.identity(lambda x: -x)[1]


def test_checksums_are_the_same_in_every_process(tmp_path):
    (tmp_path / "alike.py").write_text("def fn(x): return x in {'a', 'b', 'c', 'd', 'e'}")
    program = "import alike; from lightwork._memory import identity; print(identity(alike.fn))"
    seen = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1, seen


# the file


def test_processes_write_at_once(file):
    program = f"""
import sys, warnings
warnings.simplefilter("error")
from lightwork import _memory
from lightwork._demand import Demand
from lightwork._past import FACTOR, Past
past = Past(Demand(wait=0.03, cpu=0.0), True, True, (), "threads", 20, 500.0, 20)
sys.stdin.readline()
for _ in range(25):
    _memory.Memory({str(file)!r}, abs, 2, 0.0).keep(past)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outcomes = []
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        outcomes.append((writer.communicate()[1], writer.returncode))
    assert outcomes == [("", 0)] * 3
    assert [row.past.runs for row in _memory.rows(str(file))] == [75]


WRITER = """
import sys, warnings
from lightwork import _memory
from lightwork._demand import Demand
from lightwork._past import FACTOR, Past
past = Past(Demand(wait=0.03, cpu=0.0), True, True, (), "threads", 20, 500.0, 20)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    _memory.Memory(sys.argv[1], [abs, max, min, sum][number % 4], 2, 0.0).keep(past)
    print(number, flush=True)
"""


def writers(file, count, rounds):
    """Processes that are ready to write; a line makes them begin."""
    command = [sys.executable, "-c", WRITER, str(file), str(rounds)]
    made = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for one in made:
        assert one.stdout.readline() == "ready\n"
    return made


def go(made):
    for one in made:
        one.stdin.write("\n")
        one.stdin.flush()


def test_a_writer_that_is_killed_harms_nothing(file):
    for _ in range(5):
        (one,) = made = writers(file, 1, 100_000)
        go(made)
        assert one.stdout.readline() == "0\n"
        one.kill()
        one.communicate()
    rows = _memory.rows(str(file))
    assert rows and {row.past.backend for row in rows} == {"threads"}
    assert not list(file.parent.glob("*.damaged*"))
    remember(file, wait, past())
    assert len(_memory.rows(str(file))) == len(rows) + 1


DAMAGED = b"SQLite format 3\0" + b"by no means a database" * 100


def test_processes_that_find_a_damaged_file_at_once_set_it_aside_once(file):
    file.write_bytes(DAMAGED)
    made = writers(file, 4, 1)
    go(made)
    for one in made:
        told = one.communicate()[1]
        assert one.returncode == 0 and "Traceback" not in told, told
    assert [path.name for path in file.parent.glob("*.damaged*")] == ["memory.sqlite.damaged-1"]
    assert [row.function for row in _memory.rows(str(file))] == ["builtins:abs"]


def warned(file, fn=wait):
    """The warnings of two runs, and what the second one decided."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run(file, fn)
        report = run(file, fn)
    return [str(one.message) for one in seen if "lightwork" in str(one.message)], decisions(report)[0]


def test_a_damaged_file_is_set_aside_and_not_destroyed(file):
    file.write_bytes(DAMAGED)
    told, decision = warned(file)
    assert len(told) == 1 and "damaged" in told[0] and "memory.sqlite.damaged-1" in told[0]
    assert Path(f"{file}.damaged-1").read_bytes() == DAMAGED
    assert decision == "began with 20 threads", "the new file is used"


def test_a_warning_names_the_caller_s_line(file):
    file.write_text("name,points\nada,17\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(file)
    (told,) = [each for each in caught if each.category is RuntimeWarning]
    code = run.__code__
    assert told.filename == code.co_filename
    assert code.co_firstlineno < told.lineno <= code.co_firstlineno + 2


def test_a_file_that_never_was_a_database_is_left_alone(file):
    file.write_text("name,points\nada,17\n")
    told, decision = warned(file)
    assert len(told) == 1 and "something else than a database" in told[0]
    assert file.read_text() == "name,points\nada,17\n" and [*file.parent.iterdir()] == [file]
    assert "began with" not in decision


def test_a_file_that_is_damaged_inside_is_set_aside(file):
    run(file)
    whole = bytearray(file.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)  # the first page, with the schema, stays
    file.write_bytes(whole)
    told, decision = warned(file)
    assert len(told) == 1 and "damaged" in told[0]
    assert Path(f"{file}.damaged-1").exists() and "began with" in decision


def test_a_folder_that_cannot_be_written(file):
    file.parent.chmod(0o500)
    root = os.geteuid() == 0
    if root:  # who may write everywhere
        os.seteuid(65534)
    try:
        told, decision = warned(file)
    finally:
        if root:
            os.seteuid(0)
        file.parent.chmod(0o700)
    assert len(told) == 1 and "cannot be used" in told[0] and "go on without" in told[0]
    assert "changed over" in decision


def test_a_file_that_can_be_read_only(file):
    run(file)
    file.chmod(0o400)
    file.parent.chmod(0o500)
    root = os.geteuid() == 0
    if root:
        os.chown(file, 65534, -1)
        os.chown(file.parent, 65534, -1)
        os.seteuid(65534)
    try:
        told, _ = warned(file)
    finally:
        if root:
            os.seteuid(0)
        file.parent.chmod(0o700)
    assert len(told) == 1 and "cannot be used" in told[0]


def test_a_database_of_something_else_is_left_alone(file):
    base = sqlite3.connect(file)
    base.execute("create table theirs (x)")
    base.commit()
    base.close()
    told, decision = warned(file)
    assert len(told) == 1 and "something else" in told[0] and "changed over" in decision
    base = sqlite3.connect(file)
    assert base.execute("select name from sqlite_master").fetchall() == [("theirs",)]
    base.close()


def test_a_file_of_the_version_before_is_read(file):
    run(file)
    base = sqlite3.connect(file, isolation_level=None)
    [(demand,)] = base.execute("select demand from past").fetchall()
    old = {name: value for name, value in json.loads(demand).items() if name != "children"}
    base.execute("update past set demand = ?", (json.dumps(old),))
    base.execute("pragma user_version = 1")
    base.close()
    told, decision = warned(file)
    assert not told and "began with" in decision
    base = sqlite3.connect(file)
    assert base.execute("pragma user_version").fetchone() == (2,)
    base.close()


def test_a_file_of_a_later_version_is_left_alone(file):
    run(file)
    base = sqlite3.connect(file, isolation_level=None)
    base.execute("pragma user_version = 99")
    base.close()
    told, decision = warned(file)
    assert len(told) == 1 and "version 99" in told[0] and "changed over" in decision


def test_a_file_that_another_process_holds_is_not_waited_for(file):
    run(file)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("begin immediate")
    try:
        told, decision = warned(file)
    finally:
        holder.close()
    assert len(told) == 1 and "locked" in told[0]
    assert decision == "began with 20 threads", "a writer does not keep readers out"


def test_the_oldest_rows_go_when_there_are_too_many(file, monkeypatch):
    monkeypatch.setattr(_memory, "MOST_ROWS", 20)
    for number in range(30):
        monkeypatch.setattr(_memory, "here", lambda cores, number=number: f"machine {number}")
        remember(file, wait, past())
    assert 18 <= len(_memory.rows(str(file))) <= 20


def test_threads_share_the_file(file):
    threads = [threading.Thread(target=remember, args=(file, wait, past())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.past.runs for row in _memory.rows(str(file))] == [4]


# the command


def test_the_command_lists_and_clears(file, capsys, monkeypatch):
    run(file)
    remember(file, count, past())
    assert main(["memory", "list", str(file)]) == 0
    out = capsys.readouterr().out
    assert f"{__name__}:wait" in out and "1 run, the last one" in out and max(map(len, out.splitlines())) <= 80
    assert main(["memory", "list", str(file), "--as-json"]) == 0
    assert {row["past"]["backend"] for row in json.loads(capsys.readouterr().out)} == {"threads"}
    assert main(["memory", "clear", str(file), "--function", "count"]) == 0
    assert "Forgot 1 entry" in capsys.readouterr().out
    monkeypatch.setenv("LIGHTWORK_MEMORY", str(file))
    assert main(["memory", "clear"]) == 0
    assert main(["memory", "list"]) == 0
    assert "Nothing is remembered" in capsys.readouterr().out
    assert main(["memory", "list", str(file) + ".not"]) == 2
    assert "there is no file" in capsys.readouterr().err
    damaged = file.with_name("other.sqlite")
    damaged.write_bytes(b"by no means a database" * 100)
    for command in ("list", "clear"):
        assert main(["memory", command, str(damaged)]) == 2
        assert "cannot be read as lightwork's memory" in " ".join(capsys.readouterr().err.split())
    assert damaged.read_bytes() == b"by no means a database" * 100, "who only looks sets nothing aside"


def test_a_short_run_does_not_make_a_longer_one_forgotten(file):
    known = past(Demand(wait=0.0, cpu=0.03, gil=0.0), gil_known=True)
    remember(file, count, known)
    run(file, count, [3_000_000])
    assert _memory.rows(str(file))[0].past.gil_known
