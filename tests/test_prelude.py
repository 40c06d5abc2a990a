"""The first calls of a map, before anything is loaded; and how what comes next takes them up, also inside a call."""

from __future__ import annotations

import collections
import dataclasses
import gc
import inspect
import os
import pickle
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import pytest

import lightwork as lw
from lightwork import _context
from lightwork._machine import gil_enabled, run_delay, usable_cores
from tests.leftovers import wait_for


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def wait(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def run(
    script: str, *arguments: object, timeout: float = 30, options: tuple[str, ...] = (), cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program of its own, which has loaded nothing yet and has ``busy``; ``options`` are Python's."""
    program = f"import time\n{inspect.getsource(busy)}\n{textwrap.dedent(script)}"
    command = [sys.executable, *options, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd)


@pytest.mark.parametrize("items", [range(2000), list(range(2000)), tuple(range(2000)), range(20), [1], range(2)])
def test_short_maps_are_the_loop(items):
    results = lw.map(abs, items)
    assert results == [abs(x) for x in items]
    report = results.report
    assert (report.backend, report.workers, report.calls) == ("serial", 1, len(items))
    assert sum(span.calls for span in report.spans) == len(items)
    assert "stayed in the calling thread" in str(report)


@pytest.mark.parametrize("count", [3, 400, 401, 5000, 100_000])
@pytest.mark.parametrize("kind", [list, tuple, range])
def test_functions_that_reach_nothing_but_their_argument(kind, count):
    items = range(count) if kind is range else kind(range(count))
    offset = 1
    assert lw.map(lambda x: x * x + 1, items) == [x * x + 1 for x in items]
    assert lw.map(lambda x: x * x + offset, items) == [x * x + 1 for x in items]
    with pytest.raises(ZeroDivisionError) as caught:
        lw.map(lambda x: 1 // (x - 2), items)
    assert "item 2" in caught.value.__notes__[0]


@pytest.mark.timeout(60)
@pytest.mark.skipif(gil_enabled() or usable_cores() < 2, reason="collections stop nobody who could help")
def test_collections_are_nothing_that_threads_could_share():
    gc.disable()
    try:
        crowd = [(n, [n]) for n in range(300_000)]  # what each collection goes through
    finally:
        gc.enable()
    threshold = gc.get_threshold()
    gc.set_threshold(threshold[0], 0, 0)  # a collection each 2,000 containers, however many there are
    try:
        results = lw.map(lambda x: [[x, n] for n in range(100)], range(500))
    finally:
        gc.set_threshold(*threshold)
    assert len(results) == 500 and len(crowd) == 300_000
    report = results.report
    assert (report.backend, report.workers) == ("serial", 1), report


@pytest.mark.parametrize(
    "items", [{1: 2}, {1: 2}.values(), {1: 2}.items(), {1: 2}.keys(), {1, 2, 3}, frozenset({4}), "text", b"bytes", {}]
)
def test_other_containers_are_mapped_in_their_own_order(items):
    results = lw.map(repr, items)
    assert results == [repr(item) for item in items]
    assert results.report.calls == len(items)


def test_a_first_short_map_loads_nothing_of_what_longer_ones_take():
    script = """
        import lightwork as lw, sys

        lw.map(abs, range(1000))
        lw.map(abs, range(10))
        print(*sorted(name for name in sys.modules if name.startswith("lightwork.")))
    """
    expected = {
        f"lightwork.{name}"
        for name in [
            "_at_hand",
            "_awaitable",
            "_beside",
            "_clock",
            "_context",
            "_defaults",
            "_loops",
            "_prelude",
            "_turns",
            "_typing",
            "_unfilled",
            "_watch",
            "_worth",
            "mapping",
        ]
    }
    for _ in range(20):  # on a busy machine it may be no short map
        found = run(script)
        if set(found.stdout.split()) == expected:
            break
    assert set(found.stdout.split()) == expected, found.stderr


@pytest.mark.skipif(sys.version_info < (3, 13), reason="until then whoever loads it is taken for the main thread")
def test_a_first_map_of_few_items_does_not_wait_for_threading():
    """It takes 1 to 3 ms to load, and only who looks on may come to need it."""
    script = """
        import lightwork as lw, sys

        before = "threading" in sys.modules
        lw.map(abs, range(10))
        print(before, "threading" in sys.modules)
    """
    for _ in range(20):  # on a busy machine it may be no short map
        found = run(script)
        if found.stdout.split() == ["False", "False"]:
            break
    assert found.stdout.split() == ["False", "False"], found.stderr


def test_fifty_milliseconds_are_not_worth_asking_who_could_share_them():
    """What knows the answers takes 25 ms to load, and even without a GIL the calls beside it lose 5 to 20 by that."""
    script = """
        import sys
        time.perf_counter = time.process_time  # on a crowded machine it would look longer
        import lightwork as lw

        lw.map(lambda item: busy(5e-4), range(100))
        print("lightwork._collecting" in sys.modules)
    """
    found = run(script)
    assert found.stdout.split() == ["False"], found.stderr


def test_the_main_thread_is_known_though_another_one_was_the_first_to_load_threading():
    script = """
        import _thread
        import lightwork as lw

        results = lw.map(lambda item: busy(0.3) or item, range(4))
        import threading
        print(results, threading.main_thread().ident == _thread.get_ident())
        print(threading.current_thread() is threading.main_thread())
    """
    found = run(script)
    assert found.stdout.splitlines() == ["[0, 1, 2, 3] True", "True"], found.stderr


def test_a_first_map_does_not_need_what_another_thread_is_just_importing():
    """Two threads whose first maps meet: of ``functools`` the one found what the other had executed so far, and
    of ``_per_worker`` what its own thread that looked on had."""
    script = """
        import sys, types
        import lightwork as lw

        for name in ("functools", "lightwork._per_worker"):
            sys.modules[name] = types.ModuleType(name)
        print(lw.map(abs, range(10)) == list(range(10)))
    """
    found = run(script)
    assert (found.stdout, found.stderr) == ("True\n", "")


@pytest.mark.parametrize("long", [False, True], ids=["a map that is over", "a map that goes on"])
def test_the_program_does_not_end_before_threads_that_look_on_have_begun(long):
    """They would begin in memory that is gone: before Python 3.14 that may be a segmentation fault."""
    script = """
        import _thread, atexit, sys, threading, time

        begun = []
        atexit.register(lambda: print(f"{len(begun)} of {len(asked)} have begun"))
        import lightwork as lw
        from lightwork import _beside

        start, asked, last_line = _thread.start_new_thread, [], threading.Event()

        def late(function, args):
            def begin():
                last_line.wait(20)
                time.sleep(0.05)  # where the end does not wait, it is over by now
                begun.append(1)
                function(*args)
            asked.append(start(begin, ()))

        _beside._thread.start_new_thread = late
        lw.map(abs, range(10))
        if sys.argv[1] == "True":
            start(lw.map, (lambda n: threading.Event().wait(), range(3)))
            while len(asked) < 2:
                time.sleep(0.001)
        lw.map(abs, range(10))
        last_line.set()
    """
    found = run(script, long)
    threads = 3 if long else 2
    assert (found.stdout, found.stderr) == (f"{threads} of {threads} have begun\n", "")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="it has no _interpreters")
def test_nor_does_a_sub_interpreter_end_before_threads_that_look_on_have():
    """Until Python 3.14 the whole program died of that. ``legacy`` is what programs have that embed Python."""
    script = """
        import _interpreters

        program = "import lightwork as lw; lw.map(lambda x: sum(range(x)), [10**6] * 3)"
        for _ in range(20):
            made = _interpreters.create("legacy")
            assert _interpreters.exec(made, program) is None
            _interpreters.destroy(made)
    """
    found = run(script, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="here nothing forks")
def test_a_child_that_was_forked_does_not_wait_for_its_parents_threads_at_its_end():
    script = """
        import _thread, os, threading
        import lightwork as lw
        from lightwork import _beside

        go_on, start = threading.Event(), _thread.start_new_thread
        _beside._thread.start_new_thread = lambda function, args: start(lambda: (go_on.wait(20), function(*args)), ())
        lw.map(abs, range(10))
        began = os.times().elapsed
        if not (child := os.fork()):
            _beside.BEGINS = 20.0
            raise SystemExit
        os.waitpid(child, 0)
        print(os.times().elapsed - began)
        go_on.set()
    """
    found = run(script, options=("-W", "ignore"))
    assert not found.stderr and float(found.stdout) < 10, found.stderr


@pytest.mark.skipif(usable_cores() > 4 or not gil_enabled(), reason="the more cores, the more they are worth asking")
@pytest.mark.parametrize("as_much_to_carry", [True, False])
def test_a_short_map_whose_results_are_as_much_to_carry_as_to_make_loads_nothing_of_what_decides(as_much_to_carry):
    script = """
        import lightwork as lw, sys, time
        from lightwork import _prelude

        def rows(item):
            return [(n + item) & 127 for n in range(10_000)]

        began = time.thread_time()
        kept = [rows(n) for n in range(25)]
        each = (time.thread_time() - began) / 25

        # On a busy machine a map lasts longer, and seems to wait; its calls seem to be more than their results.
        _prelude.BRIEF, _prelude.computes = 60.0, lambda *_: True
        if sys.argv[1] == "True":
            bulky = _prelude.too_bulky
            _prelude.too_bulky = lambda call, *others: bulky(each, *others)
        else:
            _prelude.too_bulky = lambda *_: False
        lw.map(rows, range(max(401, round(0.5 / each))))  # so many are not watched
        print("lightwork._auto" in sys.modules)
    """
    for _ in range(20):  # the look that a busy machine interrupts tells wrong times
        found = run(script, as_much_to_carry, timeout=20)
        if found.stdout.split() == [str(not as_much_to_carry)]:
            break
    assert found.stdout.split() == [str(not as_much_to_carry)], found.stderr


def test_results_can_be_sent_elsewhere_before_and_after_the_report_was_read():
    results = lw.map(abs, range(3))
    again = pickle.loads(pickle.dumps(results))
    assert again == results and again.report.calls == 3
    assert pickle.loads(pickle.dumps(again)).report.calls == 3


def test_results_go_when_nobody_has_them():
    import gc
    import weakref

    class Thing:
        pass

    gc.collect()
    gc.disable()
    try:
        for count in (10, 1000):
            seen = weakref.ref(lw.map(lambda x: Thing(), range(count))[0])
            end = time.monotonic() + 10  # another thread that looked on may have to end first
            while seen() is not None and time.monotonic() < end:
                time.sleep(0.001)
            assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("count", [50, 1000])
def test_what_is_no_short_job_goes_on_and_every_call_is_made_once(count):
    called: collections.Counter[int] = collections.Counter()

    def fn(x: int) -> tuple[int, int | None]:
        called[x] += 1
        time.sleep(0.001)
        return x, _context.index()

    assert lw.map(fn, range(count)) == [(x, x) for x in range(count)]
    assert called == dict.fromkeys(range(count), 1)


@pytest.mark.parametrize("first", [0.0, 0.3])
@pytest.mark.parametrize("count", [20, 1000])
def test_a_failure_names_its_item_wherever_it_is(count, first):
    """Also that of a call that was running when the map was taken over."""

    def fn(x: int) -> int:
        if first and x == 0:
            time.sleep(first)  # not for 0.0 s: that would give the core away, and be a wait
        return 1 // (x - bad)

    for bad in (0, 3):
        with pytest.raises(ZeroDivisionError) as caught:
            lw.map(fn, range(count))
        assert f"item {bad}" in caught.value.__notes__[0]
        found = lw.partial(caught.value)
        assert found == {x: 1 // (x - bad) for x in found}
        assert first or set(range(bad)) == set(found)  # in a parallel run earlier calls may have been under way


def test_the_functions_own_stop_iteration_is_an_error():
    for items in (range(10), range(1000)):
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            lw.map(lambda x: next(iter(())), items)


@pytest.mark.parametrize("count", [20, 1000])
@pytest.mark.parametrize("slept", [0.0, 0.2])
def test_an_interrupt_keeps_what_was_finished(count, slept):
    """In a short call, and in one in which the map was taken over."""

    def fn(x: int) -> int:
        if x == 5:
            time.sleep(slept)
            signal.raise_signal(signal.SIGINT)
        return x

    with pytest.raises(lw.Interrupted) as caught:
        lw.map(fn, range(count))
    done = lw.partial(caught.value)
    assert {x: done[x] for x in range(5)} == {x: x for x in range(5)} and 5 not in done


def test_a_long_first_call_does_not_hold_up_the_others(tmp_path):
    """It lasts until another has begun."""

    def meet(x: int) -> int:
        (tmp_path / str(x)).touch()
        wait_for(lambda: len(list(tmp_path.iterdir())) > 1)
        return x

    results = lw.map(meet, range(4))
    assert results == [0, 1, 2, 3] and results.report.calls == 4
    assert "threads" in {lane.backend for lane in results.report.lanes}


def test_a_long_call_in_the_middle_does_not_either():
    results = lw.map(wait, [0.0, 0.0, 0.0, 1.5, 1.5, 1.5, 1.5])
    assert results == [0.0, 0.0, 0.0, 1.5, 1.5, 1.5, 1.5]
    assert "threads" in {lane.backend for lane in results.report.lanes}


def test_what_a_call_does_to_its_item_is_seen_also_where_it_was_taken_over():
    items = [[x] for x in range(12)]

    def fn(item: list[int]) -> int:
        busy(0.05)
        item.append(1)
        return len(item)

    assert lw.map(fn, items) == [2] * 12
    assert items == [[x, 1] for x in range(12)]


def test_indexes_and_random_streams_are_each_calls_own_across_the_takeover():
    def fn(x: int) -> tuple[int | None, float]:
        time.sleep(0.3 if x == 1 else 0.001)
        return _context.index(), lw.rng().random()

    results = lw.map(fn, range(30))
    assert [index for index, _ in results] == list(range(30))
    assert len({number for _, number in results}) == 30


def test_a_nested_map_knows_that_it_is_one():
    depths = lw.map(lambda x: lw.map(lambda y: _context.depth(), range(2)), range(500))
    assert depths == [[2, 2]] * 500


def test_a_call_has_what_its_worker_made_and_it_is_closed_in_the_end():
    closed = []
    for count in (5, 1000):
        get = lw.per_worker(object, closed.append)
        assert len(set(map(id, lw.map(lambda x: get(), range(count))))) == 1
        assert len(closed) == 1
        closed.clear()


def test_who_says_how_is_heard(monkeypatch):
    with lw.config(backend="threads"):
        assert lw.map(lambda x: _context.backend(), range(1000)).count("threads") == 1000
    monkeypatch.setenv("LIGHTWORK_BACKEND", "threads")
    assert set(lw.map(lambda x: _context.backend(), range(10))) == {"threads"}


def test_maps_of_several_threads_do_not_meet():
    found: dict[int, list[int | None]] = {}

    def run(number: int) -> None:
        found[number] = lw.map(lambda x: _context.index(), range(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in (10, 100, 500, 5000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: list(range(number)) for number in found} and len(found) == 4


def test_where_no_thread_can_be_started_nobody_looks_on(monkeypatch):
    from lightwork import _watch

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_watch._thread, "start_new_thread", refuse)
    assert lw.map(abs, range(-5, 0)) == [5, 4, 3, 2, 1]
    assert lw.map(wait, [0.005] * 10) == [0.005] * 10


def test_what_goes_wrong_in_taking_over_is_told(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("lightwork._collecting.Collection.__init__", broken)
    with pytest.raises(MemoryError, match="no room"):
        lw.map(wait, [0.3, 0.1, 0.1])


def test_calls_that_fail_after_a_change_over_fail_with_their_own_exception():
    """Others than the caller tell of them while it is inside a call: what they tell next waits its turn."""

    def fn(x: int) -> int:
        busy(0.4 if x == 0 else 0.03)
        if x >= 3:
            raise ValueError(x)
        return x

    for _ in range(2):
        results = lw.map(fn, range(12), errors="return")
        assert results[:3] == [0, 1, 2] and [failure.index for failure in results.failures] == list(range(3, 12))
        with pytest.raises(ValueError):
            lw.map(fn, range(12))


def test_a_module_may_map_while_it_is_imported(tmp_path):
    module = """
        import time
        import lightwork as lw

        def fn(x):
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass
            return x

        RESULTS = [lw.map(fn, range(8)), lw.map(fn, range(8), seed=1)]
    """
    (tmp_path / "maps_at_once.py").write_text(textwrap.dedent(module))
    script = "import maps_at_once; print(maps_at_once.RESULTS)"
    found = run(script, timeout=50, cwd=tmp_path)
    assert found.stdout == f"{[list(range(8))] * 2}\n", found.stderr


@pytest.mark.parametrize("first", [0.0, 0.003, 0.01])
def test_calls_that_become_slow_are_not_all_made_here(first):
    """Whoever makes those before: where the first one waits, or has no core for a while, the plain loop is left."""

    def fn(x: int) -> int:
        if x >= 600 or not x:
            time.sleep(0.003 if x else first)
        return x

    results = lw.map(fn, range(3000))
    assert results == list(range(3000))
    lanes = {lane.backend: lane.calls for lane in results.report.lanes}
    assert lanes.get("threads", 0) > 1000, results.report.decisions


@pytest.mark.skipif(usable_cores() < 2, reason="nothing to share out")
@pytest.mark.timeout(60)
def test_calls_that_become_long_are_not_all_made_here():
    """Many short ones before them say nothing of what they take."""

    def fn(x: int) -> int:
        busy(0.005 if x >= 2000 else 1e-5)
        return x

    results = lw.map(fn, range(2300))
    assert results == list(range(2300))
    # How many are left for others is for the machine to say, which may be long in starting a process.
    assert any("changed over" in one.what for one in results.report.decisions), results.report.decisions


@pytest.mark.skipif(usable_cores() < 2, reason="nothing to share out")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("count", [190, 1000])
def test_calls_that_grow_are_not_taken_to_be_like_their_mean(count):
    """That times what is left is a seventh of the job at most, and never enough to ask about here."""

    def fn(x: int) -> int:
        busy(2.1 * x * x / count**3)
        return x

    for _ in range(5):  # a busy machine makes any of them longer
        results = lw.map(fn, range(count))
        assert results == list(range(count))
        if any("changed over" in one.what for one in results.report.decisions):
            return
    raise AssertionError(results.report.decisions)


def loaded(setting: str, fn: str, count: int) -> str:
    """What a map in a program of its own loads of what decides, and what starts processes. It has CPU seconds for
    clocks, so that nothing takes longer on a busy machine."""
    program = f"""
        import sys, threading, time
        import lightwork as lw, lightwork._prelude as prelude

        class Cpu:
            perf_counter = thread_time = staticmethod(time.thread_time)

        prelude.time = Cpu
        {setting}
        assert lw.map(lambda x: {fn}, range({count})) == [None] * {count}
        print([name for name in sys.modules if name.endswith(("t._policy", "._spawning"))])
    """
    found = run(program)
    assert not found.stderr
    return found.stdout


def test_a_first_call_that_takes_longer_is_no_reason_to_ask_for_help():
    assert loaded("", "busy(1e-4 if x else 7e-3)", 600) == "[]\n"


@pytest.mark.timeout(60)
@pytest.mark.skipif(not gil_enabled(), reason="who loads keeps that call from nothing, see below")
def test_nor_is_one_that_takes_most_of_the_time_of_a_short_map():
    """A first one pays for fresh memory, say. It is looked at from beside, and what is left is over soon."""
    script = """
        import sys
        import lightwork as lw

        lw.map(lambda item: busy(2e-4 if item else 0.03), range(60))
        print("lightwork._gate" in sys.modules)  # what is loaded first
    """
    for _ in range(20):  # on a busy machine it may take far longer
        found = run(script)
        if found.stdout == "False\n":
            break
    assert found.stdout == "False\n", found.stderr


@pytest.mark.timeout(60)
@pytest.mark.skipif(usable_cores() < 2, reason="nothing to share out")
@pytest.mark.parametrize("count", [350, 600])
def test_a_slow_first_call_is_not_part_of_what_those_to_come_take(count):
    def fn(x: int) -> int:
        busy(0.001 if x else 0.03)
        return x

    seen = []
    for _ in range(5):  # a busy machine makes any of them longer
        results = lw.map(fn, range(count))
        assert results == list(range(count))
        if results.report.demand is not None:
            seen.append(results.report.demand.cpu)
    assert statistics.median(seen) < 0.0015, seen


@pytest.mark.timeout(60)
@pytest.mark.skipif(gil_enabled(), reason="who loads would keep the call from what it computes with")
def test_what_decides_is_loaded_beside_a_first_call_that_says_little():
    script = """
        import sys
        import lightwork as lw

        def fn(x):
            if not x:
                busy(0.035)
            return "lightwork._gate" in sys.modules  # what is loaded first

        print(lw.map(fn, range(100))[0])
    """
    # On a busy machine who looks on may come to nothing within one call.
    assert any(run(script).stdout == "True\n" for _ in range(30))


@pytest.mark.skipif(run_delay() is None, reason="nobody tells what other threads do")
def test_who_would_get_no_core_is_not_asked_for_help():
    """For a moment, in which threads of a library may spin: here one that hashes, without the GIL."""
    hashes = "import hashlib; spin = lambda: hashlib.pbkdf2_hmac('sha256', b'', b'', 10_000_000)"
    begins = "threading.Thread(target=spin, daemon=True).start()"
    two = "import lightwork._machine as machine; machine.usable_cores = lambda: 2"
    until = "me = threading.get_native_id(); sum(1 for _ in iter(lambda: any(machine.running((me,))), True))"
    assert loaded(f"{hashes}; {begins}; {two}; {until}", "busy(2.5e-4)", 600) == "[]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_forked_while_modules_are_loaded_can_load_them():
    """In programs of their own, which have loaded nothing yet."""
    program = """
        import os, sys, time
        import lightwork as lw

        def fn(pause):
            time.sleep(pause)
            child = os.fork()
            if not child:
                import concurrent.futures, logging, pickle, socket, subprocess, tempfile
                os._exit(lw.map(abs, range(-500, 0))[0] - 500)
            end = time.monotonic() + 20
            while time.monotonic() < end:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    return status
                time.sleep(0.001)
            os.kill(child, 9)
            return "stood still"

        print(set(lw.map(fn, [float(sys.argv[1])] * 4)))
    """
    for pause in (0.005, 0.01, 0.02, 0.03):
        found = run(program, pause, timeout=50, options=("-W", "ignore"))
        assert found.stdout == "{0}\n", (pause, found.stdout, found.stderr)


def test_exceptions_that_take_no_attributes_are_raised_as_they_are():
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        item: int

    def fn(x: int) -> int:
        if x == 2:
            raise Frozen(x)
        return x

    for backend in ("auto", "serial", "threads"):
        with pytest.raises(Frozen):
            lw.map(fn, range(5), backend=backend)


def test_ranges_of_more_items_than_can_be_counted():
    with pytest.raises(ZeroDivisionError):
        lw.map(lambda x: 1 // (1000 - x), range(10**20))
    with lw.imap(abs, range(10**20)) as stream:
        assert next(stream) == 0


def test_no_record_is_left_of_the_threads_that_looked_on():
    script = """
        import threading
        import lightwork as lw

        def fn(x):
            busy(0.05)
            return x

        lw.map(fn, range(12))
        lw.map(fn, range(12), seed=1)
        print(*(thread.name for thread in threading.enumerate() if thread.name.startswith("Dummy")))
    """
    found = run(script, timeout=50)
    assert found.stdout == "\n", found.stdout + found.stderr


@pytest.mark.skipif(
    run_delay() is None or usable_cores() < 2, reason="nobody tells how long a thread waited for a core"
)
def test_who_waits_for_a_core_is_not_taken_to_wait_for_something_else(monkeypatch):
    """Where others have the cores the first call computes for a fraction of the time that it takes."""
    began = time.perf_counter()

    class Slow:
        thread_time = staticmethod(time.thread_time)

        @staticmethod
        def perf_counter() -> float:
            return began + 10 * (time.perf_counter() - began)

    shares = []
    for _ in range(5):  # a machine that takes the core away for ten times as long makes it look like waiting indeed
        began = time.perf_counter()
        with monkeypatch.context() as patch:
            patch.setattr("lightwork._prelude.time", Slow)
            demand = lw.map(busy, [0.0005] * 600).report.demand
        shares.append(demand.cpu_share if demand is not None else 0.0)
        if shares[-1] > 0.5:
            return
    raise AssertionError(shares)


@pytest.mark.parametrize(
    ("seconds", "alone", "cpu", "unclear"),
    [
        (0.010, 0.010, 0.010, False),
        (0.010, 0.010, 0.005, True),
        (0.015, 0.005, 0.005, True),  # what it waited for was the GIL, or it waited by itself all the time
        (1.000, 1.000, 0.500, False),
        (0.010, 0.010, 0.0001, False),
    ],
)
def test_what_waiting_was_is_told_by_one_more_call_where_that_is_short(seconds, alone, cpu, unclear):
    from lightwork._calls import Terms
    from lightwork._opening import Opening

    opening = Opening(abs, [-1, -2], 2, "one", Terms(), [])
    like = 1, alone, cpu
    opening._prelude = types.SimpleNamespace(
        calls=1, delay=0.0, seconds=seconds, paid=(0, 0.0, 0.0), like=lambda: like, doubted=False
    )
    assert opening._unclear() is unclear


@pytest.mark.parametrize("options", [{}, {"errors": "return"}])
def test_a_first_call_that_loads_modules_says_nothing_of_those_to_come(options, tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / f"lightwork_lately_{number}.py").write_text("import time; time.sleep(0.001)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = [f"lightwork_lately_{number}" for number in range(20)]

    def fn(x: int) -> int:
        if loaded[0] not in sys.modules:
            for name in loaded:  # from its first moment on: nobody can know it of a call that has loaded nothing yet
                __import__(name)
                busy(0.002)
        else:
            wait(0.03)
        return x

    try:
        results = lw.map(fn, range(20), **options)
    finally:
        for name in loaded:
            sys.modules.pop(name, None)
    assert results == list(range(20))
    assert results.report.demand is not None and results.report.demand.cpu_share < 0.5
    assert not any("processes" in decision.what for decision in results.report.decisions)


@pytest.mark.parametrize("calls", [40, 600])
def test_without_a_gil_calls_that_compute_go_on_while_another_thread_loads(calls, monkeypatch):
    monkeypatch.setattr("lightwork._machine.gil_enabled", lambda: False)
    monkeypatch.setattr("lightwork._machine.usable_cores", lambda: 2)
    begun: list[int] = []

    def fn(x: int) -> int:
        begun.append(x)
        busy(0.3 / calls)
        return x

    results = lw.map(fn, range(calls))
    assert results == sorted(begun) == list(range(calls))


def test_a_call_that_fails_while_another_thread_loads_fails_as_ever(monkeypatch):
    monkeypatch.setattr("lightwork._machine.gil_enabled", lambda: False)
    monkeypatch.setattr("lightwork._machine.usable_cores", lambda: 2)

    def fn(x: int) -> int:
        busy(0.0005)
        if x == 8:
            raise ValueError(x)
        return x

    with pytest.raises(ValueError) as caught:
        lw.map(fn, range(600))
    before = {key: value for key, value in lw.partial(caught.value).items() if key < 8}
    assert all(key == value for key, value in before.items())
    assert len(before) >= 6, "but for those that other workers had in hand"


def test_a_list_may_become_shorter_while_another_thread_is_asked_to_load(monkeypatch):
    monkeypatch.setattr("lightwork._machine.gil_enabled", lambda: False)
    monkeypatch.setattr("lightwork._machine.usable_cores", lambda: 2)
    items = list(range(600))

    def fn(x: int) -> int:
        busy(0.0005)
        if x == 5:
            del items[6:]
        return x

    with pytest.raises(RuntimeError, match="became shorter"):
        lw.map(fn, items)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [{}, {"backend": "serial"}, {"backend": "threads", "max_workers": 2}], ids=str)
@pytest.mark.parametrize("at", [1, 5])
def test_no_call_is_made_with_an_item_that_was_taken_out_of_the_list(options, at):
    items, called = list(range(400)), []  # so many that not all of them are with other threads by then

    def fn(x: int) -> int:
        called.append(x)
        busy(0.01 if x == at else 0.0005)
        if x == at:
            items.clear()
        return x

    with pytest.raises(RuntimeError, match="became shorter"):
        lw.map(fn, items, **options)
    assert None not in called and len(called) == len(set(called)) < 400


def test_what_a_first_call_waits_for_after_it_has_loaded_modules_is_waiting(tmp_path, monkeypatch):
    (tmp_path / "loaded_by_the_first_call.py").write_text("for _ in range(200_000): pass\n")
    monkeypatch.syspath_prepend(tmp_path)

    def fn(x: int) -> int:
        import loaded_by_the_first_call  # noqa: F401

        time.sleep(0.08)
        return x

    results = lw.map(fn, range(30))
    assert results == list(range(30))
    assert results.report.backend == "threads", results.report.decisions
    assert results.report.demand.cpu_share < 0.3


@pytest.mark.timeout(60)
def test_calls_that_become_a_thousand_times_as_long_are_not_behind_each_other():
    """A stretch of short calls has few of those that are left, so few are made here if those are long."""

    def call(long: int) -> int:
        if long:
            time.sleep(0.002)
        return sum(range(100))

    here = []
    for _ in range(9):  # by chance few of them may be in a stretch that is too long, and a busy machine may stand still
        results = lw.map(call, [0] * 15_000 + [1] * 150)
        assert results == [4950] * 15_150
        here.append(max(span.first + span.calls for span in results.report.spans if span.backend == "serial") - 15_000)
    assert statistics.median(here) <= 75, here


@pytest.mark.timeout(60)
def test_a_first_call_that_is_left_out_while_another_thread_looks_at_it_harms_nobody(monkeypatch):
    """That thread may get no core, or not the GIL, between two of its steps, until several calls are over."""
    from lightwork import _watch

    go_on, asked = _watch.Imports.go_on, _watch.too_little_to_ask
    second, reckoned, looked = threading.Event(), threading.Event(), []

    def late(imports, now, since):
        if not looked:
            looked.append(now)
            second.wait(10)
        return go_on(imports, now, since)

    def fn(x: int) -> int:
        if x == 2:
            second.set()
            reckoned.wait(1)  # the look goes on meanwhile
        busy(0.015 if x == 0 else 0.001)
        return x

    def after(seconds):
        reckoned.set()
        return asked(seconds)

    monkeypatch.setattr(_watch.Imports, "go_on", late)
    monkeypatch.setattr(_watch, "too_little_to_ask", after)
    assert lw.map(fn, range(200)) == list(range(200))
    assert looked
