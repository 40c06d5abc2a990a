"""``backend="auto"``: it chooses, it calls each item once, and it keeps side effects."""

from __future__ import annotations

import collections
import functools
import hashlib
import importlib
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal

import pytest

import lightwork as lw
from lightwork import _context
from lightwork._machine import gil_enabled, usable_cores
from tests.conformance import jobs

BLOCK = bytes(range(256)) * 4096 * 4


def wait(x):
    time.sleep(0.01)
    return x


def count(n):
    total = 0
    for i in range(n):
        total += i
    return total


def digest(x):
    return hashlib.sha256(BLOCK).hexdigest(), x


@pytest.fixture
def work():
    """Items for ``count`` of about 15 ms on this machine."""
    began = time.thread_time()
    count(200_000)
    return int(200_000 * 0.015 / (time.thread_time() - began))


def used(report):
    return {lane.backend for lane in report.lanes}


def test_waiting_goes_to_threads():
    results = lw.map(wait, range(300))
    assert results == list(range(300))
    assert "threads" in used(results.report) and results.report.workers > 4
    assert sum(lane.calls for lane in results.report.lanes if lane.backend == "threads") > 100
    assert "wait" in str(results.report)


def test_tiny_calls_stay_in_the_calling_thread():
    results = lw.map(abs, range(20_000))
    assert used(results.report) == {"serial"}
    assert "stayed in the calling thread" in str(results.report)


def test_a_single_item_runs_in_the_calling_thread():
    assert lw.map(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]


def test_computing_leaves_the_plain_loop_where_there_are_cores(work):
    results = lw.map(count, [work] * 60)
    assert len(set(results)) == 1
    report = results.report
    if lw.machine().cores > 1:
        assert used(report) - {"serial"}, report
        if lw.machine().gil:
            assert "processes" in used(report), report


@pytest.mark.skipif(lw.machine().gil, reason="threads share a GIL")
def test_without_a_gil_nothing_is_loaded_for_processes_that_nobody_needs():
    """As many calls as it takes: on a crowded machine the first ones do not show what threads would be worth."""
    code = """
import sys, threading, time
import lightwork as lw

def count(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return threading.get_ident()

lw.map(count, [0.01] * 60)
if lw.machine().cores > 1:
    results = lw.imap(count, [0.01] * 3000)
    assert any(thread != threading.get_ident() for thread in results), results.report  # draws them up to the first
    results.close()
assert "lightwork._backends.processes" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def module_that_takes_long_to_import(tmp_path, monkeypatch, seconds, length=0.01):
    """In any process but this one; its function notes each call in ``calls``."""
    (tmp_path / "slow_to_import.py").write_text(
        f"""
import os, time

if os.getpid() != {os.getpid()}:
    time.sleep({seconds})

def step(item):
    with open({str(tmp_path / "calls")!r}, "a") as calls:
        calls.write(f"{{item}}\\n")
    until = time.thread_time() + {length}
    while time.thread_time() < until:
        pass
    return item
"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "slow_to_import", raising=False)
    return importlib.import_module("slow_to_import").step


@pytest.mark.parametrize(("calls", "length"), [(60, 0.01), (8, 0.15)])
def test_calls_that_wait_for_an_import_are_taken_back(tmp_path, monkeypatch, calls, length):
    step = module_that_takes_long_to_import(tmp_path, monkeypatch, 50, length)
    results = lw.map(step, range(calls), backend=["processes"])
    assert results == list(range(calls))
    assert used(results.report) - {"processes"} == {"serial"}
    assert sorted(map(int, (tmp_path / "calls").read_text().split())) == list(range(calls))
    left = any(decision.what.startswith("changed over to") for decision in results.report.decisions)
    assert left or lw.machine().cores == 1


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5, 0.7])
def test_calls_that_are_taken_back_as_they_begin_are_made_once(tmp_path, monkeypatch, seconds):
    step = module_that_takes_long_to_import(tmp_path, monkeypatch, seconds)
    results = lw.map(step, range(50), backend=["processes"])
    assert results == list(range(50))
    assert sorted(map(int, (tmp_path / "calls").read_text().split())) == list(range(50))


def test_workers_get_what_a_slow_input_gives(work):
    def slowly():
        for _ in range(80):
            time.sleep(0.005)
            yield work

    results = lw.map(count, slowly(), backend=["processes"])
    assert results == [count(work)] * 80
    if lw.machine().cores > 1:
        assert "processes" in used(results.report)


def test_each_item_is_called_once_across_a_change_over(tmp_path):
    path = tmp_path / "calls"
    lw.map(_mark_slowly, [str(path)] * 80, range(80))
    assert sorted(jobs.marks(path)) == list(range(80))


def _mark_slowly(path, x):
    jobs.mark(path, x)
    time.sleep(0.005)


def test_imap_auto_is_lazy_on_endless_input():
    with lw.imap(wait, itertools.count()) as results:
        assert list(itertools.islice(results, 300)) == list(range(300))
        assert "threads" in used(results.report)


TOTAL = 0


def add_to_total(x):
    global TOTAL
    time.sleep(0.001)
    TOTAL += x
    return x


def test_a_function_that_changes_a_global_stays_and_the_report_says_why():
    global TOTAL
    TOTAL = 0
    results = lw.map(add_to_total, range(100))
    assert TOTAL == 4950
    assert used(results.report) == {"serial"}
    assert "TOTAL" in str(results.report)


def test_a_closure_that_collects_stays():
    seen = []

    def collect(x):
        seen.append(x)
        time.sleep(0.001)
        return x

    lw.map(collect, range(60))
    assert seen == list(range(60))


def fill_in(record):
    record["body"] = record["address"] * 2
    time.sleep(0.01)


def fill_in_both(record, address):
    record["body"] = address * 2
    time.sleep(0.01)


@pytest.mark.parametrize("fill", [fill_in, fill_in_both])
def test_calls_that_wait_may_each_change_their_own_argument_in_a_thread(fill):
    records = [{"address": n} for n in range(200)]
    further = [range(200)] if fill is fill_in_both else []
    report = lw.map(fill, records, *further).report
    assert [record["body"] for record in records] == [2 * n for n in range(200)]
    assert "threads" in used(report) and "processes" not in used(report)


def add_up(account):
    total = account["total"]
    time.sleep(0.002)
    account["total"] = total + 1


def add_up_unseen(account):
    total = account["total"]
    time.sleep(0.002)
    getattr(account, "__set" + "item__")("total", total + 1)


def add_up_of_two(account, _):
    add_up(account)


@pytest.mark.parametrize(
    ("add", "further"),
    [(add_up, ()), (add_up_unseen, ()), (add_up_of_two, (range(60),))],
    ids=["seen in the code", "seen in an item", "of several"],
)
def test_calls_that_change_the_same_argument_are_made_one_after_another(add, further):
    account = {"total": 0}
    report = lw.map(add, [account] * 60, *further).report
    assert account["total"] == 60
    assert used(report) == {"serial"} and "changes its argument" in str(report)


def test_a_part_of_an_argument_may_be_everybody_s():
    total = [0]

    def add(pair):
        before = pair[1][0]
        time.sleep(0.002)
        pair[1][0] = before + 1

    report = lw.map(add, [(n, total) for n in range(60)]).report
    assert total == [60] and used(report) == {"serial"}


def test_what_cannot_travel_runs_here(work):
    lock = threading.Lock()

    def guarded(n):
        with lock:
            return count(n)

    results = lw.map(guarded, [work] * 20)
    assert len(set(results)) == 1
    assert "processes" not in used(results.report)


def test_single_items_that_cannot_travel_run_here(work):
    items = [work] * 40
    mixed = [(lambda: work) if i == 35 else i for i in range(40)]
    results = lw.map(_count_maybe, items, mixed, (threading.Lock() if i == 37 else None for i in range(40)))
    assert len(results) == 40 and len(set(results)) == 1


def _count_maybe(n, maybe, lock):
    return count(n)


def test_a_sequence_of_names_limits_the_choice(work):
    results = lw.map(count, [work] * 20, backend=["serial", "threads"])
    assert used(results.report) <= {"serial", "threads"}
    with pytest.raises(lw.BackendUnavailable, match="coroutine"):
        lw.map(_coroutine, [1], backend=["threads", "processes"])


async def _coroutine(x):
    return x


def test_coroutine_functions_go_to_an_event_loop():
    results = lw.map(_coroutine, range(5))
    assert results == list(range(5)) and results.report.backend == "asyncio"


def test_isolation_and_timeouts_keep_the_first_call_out_too():
    import os

    assert os.getpid() not in lw.map(_pid, range(3), isolate=True)
    assert os.getpid() not in lw.map(_pid, range(3), call_timeout=20)


def _pid(_):
    import os

    return os.getpid()


def test_failures_before_and_after_a_change_over():
    def fails(x):
        time.sleep(0.005)
        if x in (0, 70):
            raise ValueError(x)
        return x

    results = lw.map(fails, range(100), errors="return")
    assert [f.index for f in results.failures] == [0, 70]
    with pytest.raises(ValueError) as caught:
        lw.map(fails, range(1, 100))
    assert caught.value.args == (70,)
    assert len(lw.partial(caught.value)) >= 1


def test_a_nested_auto_map_in_a_thread_does_not_multiply_workers(work):
    def outer(_):
        return used(lw.map(count, [work] * 8).report)

    for inner in lw.map(outer, range(2), backend="threads", max_workers=2):
        if lw.machine().gil:
            assert inner == {"serial"}


def test_where_no_process_can_start_the_work_goes_on_here(work, monkeypatch):
    from lightwork._backends._process_launcher import ProcessLauncher

    def launch(*_):
        raise OSError("no more processes")

    monkeypatch.setattr(ProcessLauncher, "launch", launch)
    results = lw.map(count, [work] * 60, backend=["serial", "processes"])
    assert len(set(results)) == 1 and len(results) == 60
    assert used(results.report) == {"serial"} or "came back" in str(results.report)


class Model:
    total = None

    def fit(self, n):
        self.total = count(n)


@pytest.mark.parametrize("fit", [lambda m, n: m.fit(n), Model.fit], ids=["lambda", "method"])
def test_items_that_are_changed_by_their_own_methods_stay_changed(work, fit):
    models = [Model() for _ in range(40)]
    report = lw.map(fit, models, [work] * 40).report
    assert all(model.total is not None for model in models)
    assert "processes" not in used(report)


def test_arrays_that_are_written_into_stay_written(work):
    numpy = pytest.importorskip("numpy")
    rows = [numpy.full(1000, 4.0) for _ in range(40)]

    def root(row):
        count(work)
        numpy.sqrt(row, out=row)

    lw.map(root, rows)
    assert all((row == 2.0).all() for row in rows)


def test_a_seeded_generator_is_not_copied(work):
    import random

    generator = random.Random(1)

    def draw(_):
        count(work)
        return generator.random()

    results = lw.map(draw, range(40))
    assert len(set(results)) == 40
    # On a machine whose cores others have taken a call may seem to wait; then threads may draw from it as well.
    assert "processes" not in {lane.backend for lane in results.report.lanes}
    # Where it is over before the bytecode need be read, the report has another reason.
    assert results.report.backend in ("serial", "threads")


def test_what_belongs_to_a_thread_stays_in_it():
    db = sqlite3.connect(":memory:")
    mine = threading.local()
    mine.n = 5

    def ask(x):
        time.sleep(0.002)
        return db.execute("select ?", (x,)).fetchone()[0]

    def read(x):
        time.sleep(0.002)
        return mine.n + x

    assert lw.map(ask, range(60)) == list(range(60))
    results = lw.map(read, range(60))
    assert results == list(range(5, 65))
    assert "mine" in str(results.report)
    db.close()


class _OneForEachThread:
    """Keeps a connection for each thread, as clients do that may not be shared."""

    def __init__(self):
        self.mine = threading.local()

    def __call__(self, x):
        connection = getattr(self.mine, "connection", None)
        if connection is None:
            connection = self.mine.connection = sqlite3.connect(":memory:")
        time.sleep(0.01)
        return connection.execute("select ?", (x,)).fetchone()[0]


class _Made(threading.local):
    def __init__(self):
        self.n = 5


MADE, ASKED = _Made(), threading.local()


def _made_by_its_class(x):
    time.sleep(0.01)
    return MADE.n - 5 + x


def _tried(x):
    try:
        connection = ASKED.connection
    except AttributeError:
        connection = ASKED.connection = sqlite3.connect(":memory:")
    time.sleep(0.01)
    return connection.execute("select ?", (x,)).fetchone()[0]


@pytest.mark.parametrize("fn", [_OneForEachThread(), _made_by_its_class, _tried], ids=["object", "class", "tried"])
@pytest.mark.timeout(30)
def test_what_each_thread_gives_itself_keeps_nobody_in_one(fn):
    results = lw.map(fn, range(60))
    assert results == list(range(60))
    assert "threads" in used(results.report)


def _counts():
    mine = threading.local()

    def fn(x):
        mine.n = getattr(mine, "n", 0) + 1
        time.sleep(0.01)
        return mine.n

    return fn


def _counts_on():
    class Count(threading.local):
        def __init__(self):
            self.n = 0

    mine = Count()

    def fn(x):
        mine.n += 1
        time.sleep(0.01)
        return mine.n

    return fn


def _draws():
    mine = threading.local()

    def fn(x):
        if not hasattr(mine, "random"):
            mine.random = random.Random(0)
        time.sleep(0.01)
        return mine.random.random()

    return fn


def _is_given():
    class Given(threading.local):
        def __init__(self, connection):
            self.connection = connection

    mine = Given(sqlite3.connect(":memory:"))

    def fn(x):
        time.sleep(0.01)
        return mine.connection.execute("select ?", (x,)).fetchone()[0]

    return fn


def _asks_others():
    """Whether something else has an attribute; and what it stores for others is not what it was given."""
    mine = threading.local()
    mine.limit = Decimal(5)

    def fn(x):
        try:
            number = x.number
        except AttributeError:
            number = x
        time.sleep(0.01)
        if number < 0:
            mine.limit = Decimal(0)
        return mine.limit + number

    return fn


class _Session:
    def __init__(self):
        self.user = None


class _Logged(_Session):
    def __init__(self, user):
        self.user = user


def _keeps_the_last():
    """Each call's own, and the next one goes on with it."""
    mine = threading.local()

    def fn(x):
        before = getattr(mine, "last", None)
        if x >= 0:
            mine.last = _Logged(x)
        time.sleep(0.01)
        return before.user if before else None

    return fn


def _has_its_own_value():
    """What a class gives each thread, and this one has replaced."""

    class Sessions(threading.local):
        def __init__(self):
            self.session = None

    mine = Sessions()
    mine.session = _Logged("me")

    def fn(x):
        time.sleep(0.01)
        return mine.session and mine.session.user

    return fn


@pytest.mark.parametrize(
    "make", [_counts, _counts_on, _draws, _is_given, _asks_others, _keeps_the_last, _has_its_own_value]
)
@pytest.mark.timeout(30)
def test_what_a_thread_alone_has_keeps_calls_in_it(make):
    results = lw.map(make(), range(40))
    assert results == list(map(make(), range(40)))
    assert used(results.report) == {"serial"}


def _asks(mine):
    def session():
        if not hasattr(mine, "session"):
            mine.session = _Session()
        return mine.session

    def fn(x):
        time.sleep(0.01)
        return session().user

    return fn


def _gets(mine):
    def fn(x):
        session = getattr(mine, "session", None)
        if session is None:
            session = mine.session = _Session()
        time.sleep(0.01)
        return session.user

    return fn


def _looks(mine):
    def fn(x):
        if "session" not in mine.__dict__:
            mine.session = _Session()
        time.sleep(0.01)
        return mine.session.user

    return fn


def _tries(mine):
    def fn(x):
        try:
            session = mine.session
        except AttributeError:
            session = mine.session = _Session()
        time.sleep(0.01)
        return session.user

    return fn


class _Sessions(threading.local):
    session = None


def _has_a_default(mine):
    def fn(x):
        if not mine.session:
            mine.session = _Session()
        time.sleep(0.01)
        return mine.session.user

    return fn


_FALLING_BACK = [
    *((make, threading.local) for make in (_asks, _gets, _looks, _tries)),
    (_has_a_default, _Sessions),
]
_WAYS = {
    "map": lambda fn, n: (made := lw.map(fn, range(n)), made.report),
    "with an option": lambda fn, n: (made := lw.map(fn, range(n), seed=1), made.report),
    "of an iterator": lambda fn, n: (made := lw.map(fn, iter(range(n))), made.report),
    "imap": lambda fn, n: (list(made := lw.imap(fn, range(n))), made.report),
}


@pytest.mark.parametrize("way", _WAYS.values(), ids=_WAYS)
@pytest.mark.parametrize(("make", "local"), _FALLING_BACK)
@pytest.mark.timeout(30)
def test_what_the_caller_has_put_into_a_local_of_threads_keeps_calls_with_it(make, local, way):
    """The function would make another one in other threads, and did so in none of the caller's."""
    mine = local()
    mine.session = _Logged("me")
    results, report = way(make(mine), 30)
    assert results == ["me"] * 30
    assert used(report) == {"serial"}
    assert "mine" in str(report)


@pytest.mark.parametrize("way", _WAYS.values(), ids=_WAYS)
@pytest.mark.parametrize(("make", "local"), _FALLING_BACK)
@pytest.mark.timeout(30)
def test_what_calls_put_into_a_local_of_threads_keeps_none_of_them_in_one(make, local, way):
    """Nor those of a second map, which find there what the first one's have left."""
    mine = local()
    fn = make(mine)
    way(fn, 2)
    for _ in range(2):
        results, report = way(fn, 60)
        assert results == [None] * 60
        assert "threads" in used(report)
    mine.session = _Logged("me")
    results, report = way(fn, 30)
    assert results == ["me"] * 30
    assert used(report) == {"serial"}


class _RunsCode(threading.local):
    begun = 0

    def __init__(self):
        type(self).begun += 1


@pytest.mark.timeout(30)
def test_a_local_of_threads_is_not_begun_by_a_look_at_it():
    mine = _RunsCode()
    thread = threading.Thread(target=lambda: lw.map(lambda x: mine if x > 5 else x, range(3)))
    thread.start()
    thread.join()
    assert _RunsCode.begun == 1


@pytest.mark.timeout(30)
def test_an_executor_makes_each_thread_its_own_whatever_the_caller_has():
    mine = threading.local()
    mine.session = _Logged("me")
    with lw.Executor(backend="auto") as executor:
        assert list(executor.map(_asks(mine), range(20))) == [None] * 20


def _computes_then_waits(n):
    if n < 3000:
        end = time.thread_time() + 1e-4
        while time.thread_time() < end:
            pass
    else:
        time.sleep(0.02)
    return n


@pytest.mark.skipif(usable_cores() < 2 or not hasattr(os, "fork"), reason="no processes are chosen")
@pytest.mark.timeout(60)
def test_what_processes_have_not_begun_is_taken_back_when_calls_turn_to_waiting():
    """They had hundreds of calls each, of 0.1 ms by then. What each of them waits for until that is seen is its own."""
    results = lw.map(_computes_then_waits, range(4000))
    assert results == list(range(4000))
    lanes = {lane.backend: lane.calls for lane in results.report.lanes}
    assert lanes["threads"] > 1000 - 60 * usable_cores(), results.report.decisions


# the opening: the first milliseconds, before there is a run


def test_nothing_is_called_after_the_call_that_fails():
    called = []

    def fn(x):
        called.append(x)
        return 1 // (5 - x)

    with pytest.raises(ZeroDivisionError) as caught:
        lw.map(fn, range(100))
    assert called == [0, 1, 2, 3, 4, 5]
    assert lw.partial(caught.value) == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1}
    assert "item 5" in caught.value.__notes__[0]


def test_a_failure_in_the_first_milliseconds_is_repeated_and_the_rest_follows():
    called = collections.Counter()

    def fn(x):
        called[x] += 1
        if x == 7 and called[x] == 1:
            raise ValueError(x)
        return -x

    results = lw.map(fn, range(1000), retries=1)
    assert results == [-x for x in range(1000)]
    assert called == {x: 1 + (x == 7) for x in range(1000)}
    assert results.report.retries == 1


def test_failures_stand_in_their_places_among_results_that_were_there_at_once():
    results = lw.map(lambda x: 10 // (x % 3), range(3000), errors="return")
    assert [failure.index for failure in results.failures] == list(range(0, 3000, 3))
    assert results[1:3] == [10, 5] and results[2998:] == [10, 5] and len(results) == 3000
    assert results.report.calls == 3000 and results.report.failures == 1000


def test_the_index_of_a_call_is_right_at_every_moment():
    assert lw.map(lambda x: _context.index() == x, range(60_000)) == [True] * 60_000


def test_a_list_that_shrinks_while_it_is_mapped_is_told():
    items = list(range(1000))
    with pytest.raises(RuntimeError, match="became shorter"):
        lw.map(lambda x: items.pop(), items)


def test_a_list_that_grows_while_it_is_mapped_is_mapped_as_it_was():
    items = list(range(100_000))
    assert lw.map(items.append, items) == [None] * 100_000
    assert len(items) == 200_000


GROWING = [0] * 2000


def _appends_by_an_inner_function(x):
    (lambda: GROWING.append(x) if len(GROWING) < 50_000 else None)()
    return x


def test_a_list_that_grows_by_a_function_inside_the_function_is_mapped_as_it_was():
    assert lw.map(_appends_by_an_inner_function, GROWING) == [0] * 2000
    assert len(GROWING) == 4000


TASKS = []


def _task():
    if len(TASKS) < 50_000:
        TASKS.append(_task)


class _Appends:
    def __add__(self, other):
        _task()


@pytest.mark.parametrize(("fn", "item"), [(lambda task: task(), _task), (lambda x: x + 1, _Appends())])
def test_a_list_that_grows_by_its_own_items_is_mapped_as_it_was(fn, item):
    TASKS[:] = [item] * 2000
    assert lw.map(fn, TASKS) == [None] * 2000
    assert len(TASKS) == 4000


def test_a_list_that_shrinks_by_its_own_items_is_told():
    TASKS[:] = [TASKS.pop] * 20_000
    with pytest.raises(RuntimeError, match="became shorter"):
        lw.map(lambda pop: pop(), TASKS)


def test_an_interrupt_in_the_first_milliseconds_keeps_what_was_finished():
    def fn(x):
        if x == 20:
            signal.raise_signal(signal.SIGINT)
        return x

    with pytest.raises(lw.Interrupted) as caught:
        lw.map(fn, range(100))
    assert lw.partial(caught.value) == {x: x for x in range(20)}


def _is_interrupted(where, caller, item) -> int:
    if os.getpid() == caller and threading.current_thread() is threading.main_thread():
        until = time.monotonic() + 20
        while not where.exists() and time.monotonic() < until:
            pass
        signal.raise_signal(signal.SIGINT)
    where.touch()
    return item


@pytest.mark.timeout(60)
def test_an_interrupt_in_the_first_call_of_all_is_told_though_workers_have_taken_over(tmp_path):
    fn = functools.partial(_is_interrupted, tmp_path / "begun", os.getpid())
    fn.__annotations__ = {"return": int}  # evidence that results can travel, as long as there is none
    with pytest.raises(KeyboardInterrupt):
        lw.map(fn, range(100))


def test_what_the_opening_did_in_several_batches_counts_once(monkeypatch):
    """Where it went on past its first batch and the calls then took longer than foreseen: each batch's results stand
    in one list, and the first batch has no more of them for it."""
    from lightwork import _opening

    monkeypatch.setattr(_opening, "TRIAL_BATCH", 0.002)
    monkeypatch.setattr(_opening, "UNDISTURBED", 0.002)
    monkeypatch.setattr(_opening, "too_little", lambda seconds: True)
    monkeypatch.setattr(_opening, "computes", lambda wall, cpu: True)
    rounds = iter([True, True, False])
    real = _opening.Opening._go_on
    monkeypatch.setattr(_opening.Opening, "_go_on", lambda self: real(self) if next(rounds, False) else None)
    results = lw.map(_spin, [0.0015] * 30, seed=1)  # with an option there is no prelude
    assert results == [0.0015] * 30 and results.report.calls == 30


def _spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def test_a_mock_is_a_function_like_another():
    from unittest.mock import MagicMock

    assert lw.map(MagicMock(return_value=3), range(50)) == [3] * 50


LOCK = threading.Lock()


class Contends:
    """Calls of 2 ms in the caller's thread, the first ones and those after ``then``; in threads they keep each other
    from going on. ``last``: what those after ``then`` take in the caller's thread, where nothing is in the way of
    others from there on."""

    def __init__(self, path, then=1 << 30, last=0.002, free=True):
        self.path, self.then, self.last, self.free = str(path), then, last, free

    def __call__(self, x):
        jobs.mark(self.path, x)
        if threading.current_thread() is threading.main_thread():
            time.sleep(self.last if x >= self.then else 0.002)
        elif x >= self.then and self.free:
            time.sleep(0.01)
        else:
            with LOCK:
                time.sleep(0.02)
        return x


def told(results):
    return [decision.what for decision in results.report.decisions]


def until(expected, tmp_path, run, number, suits=lambda _: True, **contends):
    """The results of ``run`` where they came about as ``expected`` and as it ``suits``, on a machine that may be too
    busy to show that the first time; each item is called once each time."""
    lw.map(wait, range(50))  # what decides is loaded, which would disturb the first calls
    for attempt in range(5):
        path = tmp_path / f"calls {attempt}"
        results = run(Contends(path, **contends))
        assert sorted(jobs.marks(path)) == list(range(number))
        if any(what.startswith(expected) for what in told(results)) and suits(results):
            return results
    raise AssertionError(f"{expected!r} was never seen as it is to be: {results.report}")


def made_by(backend, results):
    return sum(lane.calls for lane in results.report.lanes if lane.backend == backend)


CAME_BACK = "came back to the calling thread"


@pytest.mark.timeout(90)
def test_calls_that_threads_make_slower_come_back_to_the_calling_thread(tmp_path):
    def run(fn):
        return lw.map(fn, range(400), max_workers=4, backend=["serial", "threads"])

    results = until(CAME_BACK, tmp_path, run, 400, lambda results: made_by("serial", results) > 250)
    assert results == list(range(400))
    assert "calls a second" in next(one.why for one in results.report.decisions if one.what == CAME_BACK)


@pytest.mark.skipif(gil_enabled() or usable_cores() < 2, reason="counts of references are in nobody's way")
@pytest.mark.timeout(90)
@pytest.mark.parametrize("travels", [True, False])
def test_calls_that_are_no_quicker_in_threads_without_a_gil_go_to_processes_where_they_can(travels):
    shared = [float(number) for number in range(3000)]
    tied = None if travels else threading.Lock()

    def total(x):
        assert tied is None or not tied.locked()
        return x + sum(each for _ in range(40) for each in shared)

    once = 40 * sum(shared)
    for _ in range(5):  # on a machine that is too busy it may not show
        results = lw.map(total, range(400), max_workers=2)
        assert results == [x + once for x in range(400)]
        if not travels:
            assert not made_by("processes", results), results.report
        elif made_by("processes", results) > 100:
            return
    assert not travels, results.report


class Pickled:
    times = 0

    def __reduce__(self):
        Pickled.times += 1
        return (Pickled, ())


@pytest.mark.timeout(60)
def test_nothing_is_pickled_where_no_process_is_allowed():
    """Whether or not threads are any quicker."""
    shared, one, before = [float(number) for number in range(3000)], Pickled(), Pickled.times

    def total(x):
        assert one is not None
        return x + sum(each for _ in range(40) for each in shared)

    lw.map(total, range(300), max_workers=2, backend=["serial", "threads"])
    assert Pickled.times == before


@pytest.mark.timeout(90)
def test_a_lazy_map_comes_back_too_and_keeps_its_order(tmp_path):
    def run(fn):
        with lw.imap(fn, iter(range(400)), max_workers=4, backend=["serial", "threads"]) as results:
            assert list(results) == list(range(400))
        return results

    until(CAME_BACK, tmp_path, run, 400)


@pytest.mark.timeout(90)
def test_failures_are_kept_while_calls_come_back(tmp_path):
    def run(fn):
        def fails(x):
            fn(x)
            if x % 7 == 0:
                raise ValueError(x)
            return x

        results = lw.map(fails, range(400), max_workers=4, errors="return", backend=["serial", "threads"])
        assert [failure.index for failure in results.failures] == list(range(0, 400, 7))
        assert [x for x in results if not isinstance(x, lw.Failure)] == [x for x in range(400) if x % 7]
        return results

    until(CAME_BACK, tmp_path, run, 400)


@pytest.mark.timeout(90)
def test_calls_that_came_back_go_to_threads_again_where_they_became_longer(tmp_path):
    def run(fn):
        results = lw.map(fn, range(500), max_workers=8, backend=["serial", "threads"])
        assert results == list(range(500))
        return results

    def went_again(results):
        return told(results)[-2:] == [CAME_BACK, "changed over again, to 8 threads"]

    results = until("changed over again", tmp_path, run, 500, went_again, then=250, last=0.04)
    assert made_by("threads", results) > 150


@pytest.mark.timeout(90)
def test_a_long_call_ends_the_trial_and_threads_go_on_beside_it(tmp_path):
    def run(fn):
        return lw.map(fn, range(120), max_workers=4, backend=["serial", "threads"])

    def others_went_on(results):
        long = max((span for span in results.report.spans if span.backend == "serial"), key=lambda span: span.seconds)
        beside = [span for span in results.report.spans if span.backend == "threads" and span.began > long.began]
        return sum(span.calls for span in beside if span.began + span.seconds < long.began + long.seconds) > 15

    results = until("went on with 4 threads", tmp_path, run, 120, others_went_on, then=12, last=1.0, free=False)
    assert results == list(range(120))


@pytest.mark.timeout(60)
def test_calls_that_become_longer_by_themselves_stay_with_threads(tmp_path):
    def longer(x):
        time.sleep(0.002 if x < 60 else 0.03)
        return x

    results = lw.map(longer, range(300), max_workers=8, backend=["serial", "threads"])
    assert results == list(range(300))
    assert CAME_BACK not in told(results), results.report
    assert sum(lane.calls for lane in results.report.lanes if lane.backend == "threads") > 220


@pytest.mark.timeout(60)
def test_who_takes_results_late_is_no_reason_to_come_back():
    """The workers have nothing to do meanwhile, and are none the slower."""

    def sleeps(x):
        time.sleep(0.01)
        return x

    with lw.imap(sleeps, iter(range(600)), max_workers=4, backend=["serial", "threads"]) as results:
        for x in results:
            if x == 250:
                time.sleep(1.5)
    assert CAME_BACK not in told(results), results.report


@pytest.mark.timeout(60)
@pytest.mark.parametrize("form", [list, iter])
def test_as_many_workers_as_are_allowed_come_also_to_an_input_of_unknown_length(form):
    def sleeps(x):
        time.sleep(0.02)
        return x

    results = lw.map(sleeps, form(range(100)), max_workers=8)
    assert results == list(range(100))
    assert (results.report.backend, results.report.workers) == ("threads", 8), results.report
