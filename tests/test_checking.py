"""check: each rule finds what it is for, keeps silent where there is nothing, and calls nothing."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import queue
import random
import signal
import socket
import sqlite3
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path

import pytest

import lightwork as lw
from lightwork import _inventory, _machine
from lightwork._extensions import extension
from lightwork.cli import main

HERE = Path(__file__).name
ALL = {"threads", "processes"} | ({"interpreters"} if _machine.interpreters_missing() is None else set())
PICKLING = ALL - {"threads"}


def clean(x):
    return x * 2


def explodes(x):
    raise AssertionError("check called the function")


def rule(found, name):
    """The findings and notes of one rule."""
    return [one for one in (*found, *found.notes) if one.rule == name]


def line_of(text):
    """This file's first line that holds a text, as a finding names it."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


# the list itself


def test_a_clean_function_has_no_findings_and_is_not_called():
    found = lw.check(explodes, range(10))
    assert isinstance(found, list) and not found and not found.failing
    assert "no proof" in str(found)
    assert set(found.backends) == ALL


def test_the_text_fits_a_terminal_and_names_rule_place_and_remedy():
    found = lw.check(bumps, [threading.Lock()])
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert [one.verdict for one in found] == ["would fail", "changes results"], "the worst comes first"
    assert "pickling" in text and "shared-state" in text and "lw.probe" in text and f"of {HERE}" in text
    assert max(map(len, found.text(50).splitlines())) <= 50
    assert found._repr_html_().startswith("<pre>bumps")
    assert json.loads(json.dumps(found.to_json()))["findings"][0]["rule"] == "pickling"
    assert str(found[1]).startswith("changes results: Each call changes the global")


def test_wrong_requests_are_refused():
    with pytest.raises(TypeError, match="needs a function"):
        lw.check([1, 2])
    with pytest.raises(TypeError, match="iterables"):
        lw.check(clean, 3)
    with pytest.raises(ValueError, match="threads"):
        lw.check(clean, [1], backends="thread")


def test_only_the_backends_asked_for_are_judged():
    assert not lw.check(clean, [threading.Lock()], backends="threads")
    assert lw.check(clean, [threading.Lock()], backends=["threads", "processes"]).failing


# arguments


def test_arguments():
    (found,) = rule(lw.check(pow, [(2, 3)]), "arguments")
    assert found.verdict == "would fail" and "starmap" in found.remedy
    assert not rule(lw.check(pow, [2], [3]), "arguments")
    assert not rule(lw.check(math.hypot, [2]), "arguments")
    assert not rule(lw.check(pow), "arguments"), "without items nothing is known of the arguments"


# lazy results


def yields(x):
    yield x


def uses_a_generator(x):
    return sum(i for i in range(x))


def test_generator_functions():
    (found,) = rule(lw.check(yields, [1]), "lazy-results")
    assert (found.verdict, set(found.backends)) == ("would fail", ALL) and "yield" in found.what
    assert rule(lw.check(yields, [1], backends="threads"), "lazy-results")[0].verdict == "costs time"
    assert not lw.check(uses_a_generator, [1])


# pickling


class Session:
    def __init__(self):
        self.guard = threading.Lock()


class NeverLives:
    def __setstate__(self, state):
        raise ValueError("not like this")

    def __getstate__(self):
        return 1


def test_items_that_cannot_be_pickled_are_named_with_the_path():
    (found,) = rule(lw.check(clean, [1, {"session": Session()}]), "pickling")
    assert found.verdict == "would fail" and set(found.backends) == PICKLING
    assert "items[1]['session'].guard" in found.what and "threads" in found.remedy
    assert "iterables[1][0]" in str(lw.check(pow, [1], [threading.Lock()]))


def test_items_that_cannot_be_unpickled():
    (found,) = rule(lw.check(clean, [NeverLives()]), "pickling")
    assert found.verdict == "would fail" and "not like this" in found.what


def test_closures_that_cannot_be_pickled_are_named_with_the_line():
    lock = threading.Lock()

    def guarded(x):
        with lock:  # the culprit
            return x

    (found,) = rule(lw.check(guarded, [1]), "pickling")
    assert "'s variable 'lock'" in found.what
    assert found.where == f"{__file__}:{line_of('# the culprit')}"
    number = 3
    assert not lw.check(lambda x: x + number, [1])


def test_iterators_are_not_advanced():
    items = iter([threading.Lock(), 2])
    found = lw.check(clean, items)
    assert not found and [one.verdict for one in rule(found, "pickling")] == ["not enough evidence"]
    assert len(list(items)) == 2


def test_no_more_than_the_first_items_are_looked_at():
    found = lw.check(clean, range(10**9))
    assert not found and "first 1,000 items" in rule(found, "pickling")[0].what
    assert not rule(lw.check(clean, range(1000)), "pickling")


# shared state


total = 0
seen: list[int] = []


def bumps(x):
    global total
    total += 1
    return total


def sorts(xs):
    xs.sort()
    return xs


def moves(path):
    os.chdir(path)


def remembers(x, cache={}):
    cache[x] = x
    return x


def sorts_its_own(xs):
    mine = list(xs)
    mine.sort()
    return mine


def test_shared_state():
    (found,) = lw.check(bumps, [1])
    assert (found.rule, found.verdict, set(found.backends)) == ("shared-state", "changes results", ALL)
    assert '"total"' in found.what and found.where == f"{__file__}:{line_of('total += 1')}"
    assert "shared-state" in str(lw.check(seen.append, [1]))
    assert "cache" in rule(lw.check(remembers, [1]), "shared-state")[0].what
    assert "working directory" in rule(lw.check(moves, ["/"]), "shared-state")[0].what
    assert not lw.check(sorts_its_own, [[1]])


def test_a_changed_argument_matters_where_it_is_a_copy():
    (found,) = lw.check(sorts, [[2, 1]])
    assert set(found.backends) == PICKLING and "Return the changed item" in found.remedy
    assert not lw.check(sorts, [[2, 1]], backends="threads")


async def bumps_in_turn(x):
    global total
    total += 1


def test_coroutines_take_turns_in_one_thread():
    found = lw.check(bumps_in_turn, [threading.Lock()])
    assert found.backends == ("asyncio",) and not found


# random generators


rng = random.Random(7)


def draws(x):
    return rng.random()


def draws_its_own(x):
    return random.Random(x).random() + lw.rng().random()


def test_random_generators():
    (found,) = lw.check(draws, [1])
    assert (found.rule, found.verdict, set(found.backends)) == ("random-generator", "changes results", ALL)
    assert found.where == f"{__file__}:{line_of('return rng.random()')}" and "lw.rng()" in found.remedy
    assert not lw.check(draws_its_own, [1])


# resources


lock = threading.Lock()


def locks(x):
    with lock:
        return x


def seeds(x):
    random.seed(x)
    return random.random()


def handles(x):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    return x


def test_what_all_threads_share_and_what_the_first_one_alone_may_do():
    (found,) = lw.check(seeds, [1], backends=["threads", "processes"])
    assert (found.rule, found.verdict, found.backends) == ("random-generator", "changes results", ("threads",))
    (found,) = lw.check(handles, [1], backends=["threads", "processes"])
    assert (found.rule, found.verdict, found.backends) == ("main-thread", "would fail", ("threads",))
    failed = lw.map(handles, [1, 2], backend="threads", errors="return")
    assert len(failed.failures) == 2 and isinstance(failed[0].exception, ValueError)
    assert lw.map(handles, [1, 2], backend="processes") == [1, 2]


WAITING = queue.Queue()


class Guarded:
    def __init__(self):
        self.lock = threading.Lock()

    def held(self, x):
        with self.lock:
            return x


GUARDED = Guarded()


def puts(x):
    WAITING.put(x)


def guarded(x):
    return GUARDED.held(x)


def test_the_parts_of_a_thing_are_told_with_it_or_by_its_name():
    resources = [one for one in lw.check(puts, [1]) if one.rule == "resource"]
    assert ['"WAITING"' in one.what for one in resources] == [True], "its four locks are not told as well"
    (found,) = [one for one in lw.check(guarded, [1]) if one.rule == "resource"]
    assert '"GUARDED.lock"' in found.what and found.where.endswith(f":{guarded.__code__.co_firstlineno + 1}")


def test_a_lock_of_an_importable_module_is_a_new_one_in_each_process():
    (found,) = lw.check(locks, [1])
    assert (found.rule, found.verdict, set(found.backends)) == ("resource", "changes results", PICKLING)
    assert not lw.check(locks, [1], backends="threads"), "that is what a lock is for"


def test_open_files_and_sockets(tmp_path):
    with (tmp_path / "log").open("w") as log, socket.socket() as plug:

        def writes(x):
            log.write(str(x))

        def sends(x):
            plug.send(x)

        (found,) = lw.check(writes, [1], backends="threads")
        assert (found.rule, found.verdict) == ("resource", "changes results") and '"log" is an open file' in found.what
        assert "open socket" in str(lw.check(sends, [b"x"], backends="threads"))
        assert rule(lw.check(writes, [1], backends="processes"), "pickling")[0].verdict == "would fail"
    assert not rule(lw.check(writes, [1], backends="threads"), "resource"), "it is closed"
    assert not rule(lw.check(print, [1]), "resource")


MINE = threading.local()


def falls_back(x):
    if not hasattr(MINE, "session"):
        MINE.session = object()
    return x


def test_what_a_local_of_threads_holds_before_any_call_was_put_there_by_the_caller():
    assert not rule(lw.check(falls_back, [1]), "resource")
    MINE.session = object()
    try:
        (found,) = rule(lw.check(falls_back, [1]), "resource")
        assert found.verdict == "would fail" and '"MINE"' in found.what
    finally:
        del MINE.session


def test_connections_belong_to_their_thread():
    with sqlite3.connect(":memory:") as connection:
        found = rule(lw.check(connection.execute, ["select 1"]), "resource")
        found += rule(lw.check(partial(asks, connection), ["select 1"]), "resource")
    connection.close()
    assert [(one.verdict, one.backends) for one in found] == [("would fail", ("threads",))] * 2
    assert "lw.per_worker" in found[0].remedy


def asks(connection, query):
    return connection.execute(query).fetchall()


# workers in workers


def pools(x):
    with multiprocessing.Pool(2) as pool:
        return pool.map(clean, [x])


def pools_lazily(x):
    from concurrent.futures import ThreadPoolExecutor as Pool

    with Pool() as pool:
        return list(pool.map(clean, [x]))


def maps_again(x):
    return lw.map(clean, range(x))


def test_nested_workers():
    (found,) = rule(lw.check(pools, [1]), "nested-workers")
    assert (found.verdict, set(found.backends)) == ("costs time", ALL) and "Pool of multiprocessing" in found.what
    (found,) = rule(lw.check(pools_lazily, [1]), "nested-workers")
    assert "ThreadPoolExecutor of concurrent.futures" in found.what
    found = lw.check(maps_again, [1])
    assert not found and rule(found, "nested-workers")[0].verdict == "good to know"
    assert not rule(lw.check(clean, [1]), "nested-workers")


def multiplies(x):
    return x @ x


def test_library_threads(monkeypatch):
    pytest.importorskip("numpy")
    monkeypatch.setattr(_machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(_inventory, "blas_threads", lambda: [_inventory.Pool("openblas", 4, "/lib/blas.so")])
    (found,) = lw.check(multiplies, [1], backends="threads")
    assert (found.rule, found.verdict) == ("library-threads", "costs time") and "16 of them on 4 cores" in found.what
    assert not lw.check(clean, [1], backends="threads")
    monkeypatch.setattr(_inventory, "blas_threads", lambda: [_inventory.Pool("openblas", 1, "/lib/blas.so")])
    assert not lw.check(multiplies, [1], backends="threads")


# forks


def forks(x):
    if os.fork() == 0:
        os._exit(0)


def test_a_fork_in_a_worker_thread():
    (found,) = lw.check(forks, [1])
    assert (found.rule, found.verdict, found.backends) == ("unsafe-fork", "would fail", ("threads",))
    assert not lw.check(forks, [1], backends="processes"), "a worker process runs calls in its one thread"


def test_threads_beside_libraries_that_fork(monkeypatch):
    monkeypatch.setattr(_machine, "default_start_method", lambda: "fork")
    end = threading.Event()
    other = threading.Thread(target=end.wait, name="beside")
    other.start()
    try:
        found = lw.check(clean, [1])
        notes = rule(found, "unsafe-fork")
    finally:
        end.set()
        other.join()
    assert not found and "lightwork never forks it" in notes[0].what
    assert "beside" in notes[0].what or "more)" in notes[0].what  # tests before may have left others
    assert "beside" not in str(lw.check(clean, [1]))


# too little to do


def test_whether_it_pays_takes_a_profile():
    note = rule(lw.check(clean, [1]), "too-little-work")[0]
    assert note.verdict == "not enough evidence" and "lw.probe" in note.remedy
    profile = lw.probe(clean, range(10), budget=0.02)
    (found,) = lw.check(clean, range(10), profile=profile)
    assert (found.rule, found.verdict) == ("too-little-work", "costs time")
    release = threading.Event()
    waits = lw.probe(release.wait, [0.01] * 100, budget=0.05)
    assert not rule(lw.check(clean, [1], profile=waits), "too-little-work")


# extension modules


def connect():
    return sqlite3.connect(":memory:")


database = lw.per_worker(connect)


def asks_its_own(query):
    return database().execute(query).fetchall()


def test_what_per_worker_keeps_is_no_finding():
    assert asks_its_own("select 1") == [(1,)], "so this thread has one"
    assert not lw.check(asks_its_own, ["select 1"])


def test_what_extension_modules_declare():
    import _json

    assert extension(json) is None, "it is written in Python"
    declared = extension(_json)
    assert declared is not None and not declared.old
    if sys.version_info >= (3, 13):
        assert (declared.needs_gil, declared.refuses_interpreters) == (False, False)


@pytest.mark.skipif("interpreters" not in ALL, reason="sub-interpreters need Python 3.14")
def test_modules_that_are_not_loaded_are_no_evidence():
    def later(x):
        import lightwork_has_no_such_module as missing

        return missing.answer(x)

    found = lw.check(later, [1])
    assert "lightwork_has_no_such_module" not in sys.modules
    assert rule(found, "imports")[0].verdict == "not enough evidence"
    assert not rule(lw.check(clean, [1]), "imports")


# the command


@pytest.fixture
def work(tmp_path):
    file = tmp_path / "work_check.py"
    file.write_text(
        textwrap.dedent("""
        import threading
        def fine(x): return x
        def explodes(x): raise AssertionError
        seen = []
        def changes(x): seen.append(x)
        """)
    )
    yield file
    sys.modules.pop("work_check", None)


def test_the_command_tells_scripts_whether_something_would_fail(work, capsys):
    assert main(["check", f"{work}:explodes"]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert main(["check", f"{work}:changes", "--items", "range(3)"]) == 0
    assert "!! changes results: shared-state, line 6 of work_check.py" in capsys.readouterr().out
    assert main(["check", f"{work}:fine", "--items", "[threading.Lock()]"]) == 1
    assert "items[0] is a lock" in capsys.readouterr().out
    assert main(["check", f"{work}:fine", "--items", "[threading.Lock()]", "--backends", "threads"]) == 0
    assert main(["check", f"{work}:fine", "--backends", "thread"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_the_command_writes_data(work, capsys):
    assert main(["check", f"{work}:fine", "--items", "[threading.Lock()]", "--as-json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["findings"][0]["rule"] == "pickling" and data["backends"]
