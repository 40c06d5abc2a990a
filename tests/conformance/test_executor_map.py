"""``Executor.map``: many calls at once, each of them still a call by itself."""

from __future__ import annotations

import concurrent.futures as cf
import gc
import itertools
import threading
import weakref
from pathlib import Path

import pytest

import lightwork as lw
from tests.conformance import jobs

BACKENDS = ["serial", "threads", "processes", "interpreters", "auto"]


@pytest.fixture(params=BACKENDS)
def executor(request):
    try:
        with lw.Executor(2, backend=request.param) as made:
            yield made
    except lw.BackendUnavailable as problem:
        pytest.skip(str(problem))


def maybe(x, event=None):
    if event is not None:
        event.set() if x == "set" else event.wait(30)
    if isinstance(x, Exception):
        raise x
    return x


@pytest.mark.parametrize("chunksize", [1, 500])
def test_many_calls_give_their_results_in_order(executor, chunksize):
    for _ in range(2):
        assert list(executor.map(jobs.double, range(5000), chunksize=chunksize)) == [2 * x for x in range(5000)]


def test_no_calls_give_no_results(executor):
    assert list(executor.map(jobs.double, [])) == []
    assert list(executor.map(jobs.add, [1], [])) == []


def test_results_before_a_failure_are_given_and_the_failure_is_the_calls_own(executor):
    results = executor.map(maybe, [*range(700), KeyError("mine"), *range(300)], chunksize=200)
    assert list(itertools.islice(results, 700)) == list(range(700))
    with pytest.raises(KeyError, match="mine"):
        next(results)
    assert list(results) == []


def test_the_input_fails(executor):
    def some():
        yield from range(100)
        raise ZeroDivisionError("the input's own")

    with pytest.raises(ZeroDivisionError, match="own"):
        executor.map(jobs.double, some())
    assert list(executor.map(jobs.double, range(100))) == [2 * x for x in range(100)]


def test_what_is_no_function_is_refused_at_once(executor):
    with pytest.raises(TypeError):
        executor.map(3, [1, 2])


@pytest.mark.parametrize("executor", ["threads", "processes"], indirect=True)
def test_calls_begin_while_the_input_is_drawn(executor):
    begun = lw.Event()

    def slow():
        yield "set"
        assert begun.wait(30)
        yield "last"

    assert list(executor.map(maybe, slow(), [begun, None])) == ["set", "last"]


@pytest.mark.parametrize("executor", ["threads", "processes"], indirect=True)
def test_a_result_is_there_as_soon_as_its_call_has_ended(executor):
    go = lw.Event()
    results = executor.map(maybe, range(40), [go if x == 20 else None for x in range(40)])
    assert list(itertools.islice(results, 20)) == list(range(20))
    go.set()
    assert list(results) == list(range(20, 40))


@pytest.mark.parametrize("executor", ["threads", "processes"], indirect=True)
def test_a_result_that_takes_too_long(executor):
    go = lw.Event()
    results = executor.map(maybe, [1], [go], timeout=0.2)
    try:
        with pytest.raises(TimeoutError):
            next(results)
    finally:
        go.set()


@pytest.mark.parametrize("executor", ["threads", "processes"], indirect=True)
def test_an_iterator_that_is_given_up_cancels_what_has_not_begun(executor):
    go, count = lw.Event(), 1000
    results = executor.map(maybe, range(count), itertools.repeat(go, count))
    results.close()
    go.set()
    last = executor.submit(maybe, "after")
    assert last.result(30) == "after"


def test_shutting_down_cancels_what_has_not_begun():
    go = threading.Event()
    executor = lw.Executor(1, backend="threads")
    results = executor.map(maybe, range(300), itertools.repeat(go, 300))
    executor.shutdown(wait=False, cancel_futures=True)
    go.set()
    with pytest.raises(cf.CancelledError):
        list(results)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(maybe, [1])


def test_calls_are_made_once_though_their_function_goes_elsewhere_meanwhile(tmp_path):
    """With ``auto`` the first calls are made in threads, later ones in processes."""
    with lw.Executor(2) as executor:
        found = list(executor.map(count_to, itertools.repeat(60_000, 60), itertools.repeat(str(tmp_path)), range(60)))
    assert found == list(range(60))
    assert sorted(int(path.name.partition("-")[0]) for path in tmp_path.iterdir()) == list(range(60))


def count_to(number, folder, name):
    import os

    for _ in range(number):
        pass
    Path(folder, f"{name}-{os.getpid()}-{threading.get_ident()}").touch(exist_ok=False)
    return name


def test_a_killed_worker_costs_one_call_of_a_map():
    with lw.Executor(2, backend="processes") as executor:
        list(executor.map(maybe, range(300)))  # known to be short: they share messages
        results = executor.map(die_at, range(200), itertools.repeat(100), chunksize=200)
        assert list(itertools.islice(results, 100)) == list(range(100))
        with pytest.raises(lw.WorkerCrashed):
            next(results)
        assert list(executor.map(maybe, range(300))) == list(range(300))


def die_at(x, number):
    import os
    import signal

    if x == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


class Value:
    pass


def test_nothing_keeps_a_result_that_was_given_out():
    with lw.Executor(1, backend="threads") as executor:
        results = executor.map(lambda _: Value(), range(3))
        first = weakref.ref(next(results))
        next(results)
        gc.collect()
        assert first() is None


def test_who_overrides_submit_sees_the_calls_of_a_map():
    seen = []

    class Own(lw.Executor):
        def submit(self, fn, /, *args, **kwargs):
            seen.append(args)
            return super().submit(fn, *args, **kwargs)

    with Own(2, backend="threads") as executor:
        assert list(executor.map(jobs.double, range(3))) == [0, 2, 4]
    assert seen == [(0,), (1,), (2,)]


def test_maps_of_several_threads_on_one_executor(executor):
    """None of them sleeps on because each leaves it to another one to wake who makes the calls."""

    def mapping(wide):
        for turn in range(30):
            items = range(wide + 1)
            assert list(executor.map(jobs.double, items if turn % 2 else iter(items), timeout=30)) == [
                2 * x for x in items
            ]

    with cf.ThreadPoolExecutor(6) as threads:
        for future in [threads.submit(mapping, wide) for wide in range(6)]:
            future.result()


def test_an_iterator_that_is_let_go_while_a_result_is_set_holds_nothing_up():
    """Where the thread that sets it collects garbage just then, say: what has not begun is cancelled there."""
    results, word, letting_go = [], threading.Event(), threading.Event()

    def let_go(frame, event, _):
        within = frame.f_back is not None and frame.f_back.f_code.co_filename == frame.f_code.co_filename
        if letting_go.is_set() and event == "call" and within and frame.f_code.co_filename.endswith("_mapped.py"):
            results.clear()

    def wait_behind_the_first(x):
        if x:
            word.wait(30)
        return x

    threading.setprofile(let_go)
    try:
        executor = lw.Executor(1, backend="threads")
        results.append(executor.map(wait_behind_the_first, range(50)))
    finally:
        threading.setprofile(None)
    assert next(results[0]) == 0
    letting_go.set()
    word.set()
    executor.shutdown()
    assert not results
