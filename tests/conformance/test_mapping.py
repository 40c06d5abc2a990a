"""The map family: the same behaviour from every backend."""

from __future__ import annotations

import asyncio
import itertools
import math
import queue
import random
import threading
import time

import pytest

import lightwork as lw
from tests.conformance import jobs


def test_results_come_in_input_order(way):
    assert lw.map(way.fn(jobs.uneven), range(12), backend=way.name) == list(range(12))


def test_many_small_calls(way):
    assert lw.map(way.fn(jobs.double), range(5000), backend=way.name) == [2 * x for x in range(5000)]


@pytest.mark.parametrize("make", [list, tuple, iter, set, lambda r: (x for x in r), lambda r: r])
def test_any_iterable(way, make):
    assert sorted(lw.map(way.fn(jobs.double), make(range(20)), backend=way.name)) == [2 * x for x in range(20)]


@pytest.mark.parametrize("empty", [[], (), range(0), iter(()), "", {}])
def test_no_items_give_no_results(way, empty):
    results = lw.map(way.fn(jobs.double), empty, backend=way.name)
    assert results == [] and results.failures == [] and results.report.calls == 0
    assert list(lw.imap(way.fn(jobs.double), empty, backend=way.name)) == []


def test_one_item(way):
    assert lw.map(way.fn(jobs.double), [21], backend=way.name) == [42]
    assert list(lw.imap(way.fn(jobs.double), iter([21]), backend=way.name)) == [42]


def test_none_and_false_are_results(way):
    assert lw.map(way.fn(jobs.double), ["", 0, False], backend=way.name) == ["", 0, 0]


def test_several_iterables_the_shortest_wins(way):
    fn = way.fn(jobs.add)
    assert lw.map(fn, [1, 2, 3], [10, 20], backend=way.name) == [11, 22]
    assert lw.map(fn, itertools.count(), [1, 2], backend=way.name) == [1, 3]
    assert lw.map(way.fn(jobs.five), *[[n] for n in range(5)], backend=way.name) == [(0, 1, 2, 3, 4)]


def test_strict_insists_on_equal_lengths(way):
    with pytest.raises(ValueError, match=r"shorter|longer"):
        lw.map(way.fn(jobs.add), [1, 2, 3], [10, 20], strict=True, backend=way.name)
    assert lw.map(way.fn(jobs.add), [1], [2], strict=True, backend=way.name) == [3]


def test_starmap(way):
    assert lw.starmap(way.fn(jobs.add), [(1, 2), (3, 4)], backend=way.name) == [3, 7]


@pytest.mark.parametrize(
    ("items", "words"),
    [([1, 2], r"item (0 .* int: 1|1 .* int: 2)\."), ([(1, 2), 3], r"item 1 is no tuple of arguments .* int: 3\.")],
    ids=["all", "one"],
)
def test_starmap_of_what_is_no_tuple_names_the_item_and_the_remedy(way, items, words):
    with pytest.raises(TypeError, match=rf"{words} .*lw\.map"):
        lw.starmap(way.fn(jobs.add), items, backend=way.name)


def test_a_type_error_of_the_function_itself_stays_what_it_is(way):
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        lw.starmap(way.fn(jobs.add), [(1,)], backend=way.name)


def test_closures_and_lambdas(way):
    offset = 7
    assert lw.map(way.fn(lambda x: x + offset), range(4), backend=way.name) == [7, 8, 9, 10]


@pytest.mark.parametrize("chunksize", [1, 7, 1000])
def test_chunksize_changes_nothing(way, chunksize):
    assert lw.map(way.fn(jobs.double), range(100), chunksize=chunksize, backend=way.name) == [2 * x for x in range(100)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_max_workers_changes_nothing(way, workers):
    results = lw.map(way.fn(jobs.double), range(50), max_workers=workers, backend=way.name)
    assert results == [2 * x for x in range(50)]
    assert 1 <= results.report.workers <= workers


def test_each_item_is_called_once(way, tmp_path):
    path = tmp_path / "calls"
    name = str(path)
    lw.map(way.fn(jobs.mark), [name] * 300, range(300), backend=way.name)
    assert sorted(jobs.marks(path)) == list(range(300))


# lazy


def test_imap_is_lazy_and_bounded(way):
    drawn = 0

    def items():
        nonlocal drawn
        for x in itertools.count():
            drawn += 1
            yield x

    with lw.imap(way.fn(jobs.double), items(), backend=way.name) as results:
        for consumed in range(3000):
            assert next(results) == 2 * consumed
            assert drawn - consumed <= 1100
    assert list(results) == []


def test_buffersize_bounds_what_is_drawn(way):
    drawn = []
    source = (drawn.append(x) or x for x in itertools.count())
    with lw.imap(way.fn(jobs.double), source, buffersize=3, backend=way.name) as results:
        for consumed in range(40):
            assert len(drawn) <= consumed + 3
            next(results)


def test_imap_unordered_gives_every_result_once(way):
    results = lw.imap_unordered(way.fn(jobs.uneven), range(40), backend=way.name)
    assert sorted(results) == list(range(40))


def test_input_is_advanced_in_the_callers_thread(way):
    seen = set()

    def items():
        for x in range(200):
            seen.add(threading.current_thread())
            yield x

    lw.map(way.fn(jobs.double), items(), backend=way.name)
    assert list(lw.imap(way.fn(jobs.double), items(), backend=way.name)) == [2 * x for x in range(200)]
    assert seen == {threading.current_thread()}


def test_when_the_input_raises_imap_gives_what_came_before(way):
    def items():
        yield from range(30)
        raise OSError("the disk is gone")

    got = []
    with pytest.raises(OSError, match="disk"):
        for value in lw.imap(way.fn(jobs.double), items(), backend=way.name):
            got.append(value)
    assert got == [2 * x for x in range(30)]
    with pytest.raises(OSError, match="disk") as caught:
        lw.map(way.fn(jobs.double), items(), backend=way.name)
    assert lw.partial(caught.value) == {x: 2 * x for x in range(30)}


def test_an_unfinished_imap_can_be_dropped(way):
    results = lw.imap(way.fn(jobs.double), itertools.count(), backend=way.name)
    next(results)
    results.close()
    results.close()
    with pytest.raises(StopIteration):
        next(results)


def test_imap_may_go_on_in_other_threads(way):
    """As where an event loop has each next result drawn in a thread of its pool."""
    results, got = lw.imap(way.fn(jobs.uneven), range(40), backend=way.name), []
    for one in range(8):
        drawing = threading.Thread(target=lambda: got.extend(itertools.islice(results, 4)), name=f"draws {one}")
        drawing.start()
        drawing.join()
    assert [*got, *results] == list(range(40))


def test_threads_may_share_a_lazy_map(way):
    """Each result goes to one of them, and all of them learn that it is over."""
    for _ in range(3):
        results, got = lw.imap(way.fn(jobs.uneven), range(120), backend=way.name), []
        sharing = [threading.Thread(target=lambda: got.extend(results), daemon=True) for _ in range(3)]
        for each in sharing:
            each.start()
        for each in sharing:
            each.join(20)
        assert not any(each.is_alive() for each in sharing)
        assert sorted(got) == list(range(120))


def test_a_lazy_map_is_not_drawn_from_by_its_own_input():
    def items():
        yield 1
        with pytest.raises(ValueError, match="its own input"):
            next(results)
        yield 2

    results = lw.imap(jobs.square, items(), backend="processes")
    assert list(results) == [1, 4]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("backend", ["threads", "asyncio"])
def test_a_lazy_map_is_not_drawn_from_by_its_own_calls(backend):
    """Neither while another thread draws, nor while none does: the call would wait for itself."""

    def draw(x):
        try:
            answer = next(results)
        except ValueError as problem:
            answer = str(problem)
        said.put(answer)
        return answer

    async def draw_on_the_loop(x):
        begun[x].set()
        while not (begun[1].is_set() if x == 0 else may.is_set()):
            await asyncio.sleep(0.001)
        return draw(x)

    def draw_in_a_thread(x):
        begun[x].set()
        assert (begun[1] if x == 0 else may).wait(10)
        return draw(x)

    begun, may, said = [threading.Event(), threading.Event()], threading.Event(), queue.SimpleQueue()
    fn = draw_on_the_loop if backend == "asyncio" else draw_in_a_thread
    results = lw.imap(fn, range(2), backend=backend, max_workers=2)
    assert "its own input or function" in next(results)
    may.set()
    assert [said.get(timeout=10) for _ in range(2)]  # before anybody draws again
    assert "its own input or function" in next(results)
    results.close()


@pytest.mark.timeout(30)
def test_a_lazy_map_may_be_closed_while_another_thread_waits_for_its_input(way):
    """However long that takes: it is over at once, and for the other one when its input has come."""
    items, waits, got = queue.SimpleQueue(), threading.Event(), []

    def source():
        yield from range(3)
        waits.set()
        yield from iter(items.get, None)

    results = lw.imap(way.fn(jobs.double), source(), backend=way.name, buffersize=1)
    drawing = threading.Thread(target=lambda: got.extend(results), daemon=True)
    drawing.start()
    assert waits.wait(20)
    closing = threading.Thread(target=results.close, daemon=True)
    closing.start()
    closing.join(10)
    is_closed = not closing.is_alive()
    if is_closed:
        assert next(results, "over") == "over"
    items.put(3)
    drawing.join(10)
    assert is_closed and not drawing.is_alive()
    assert got == [0, 2, 4]
    assert next(results, "over") == "over"


@pytest.mark.timeout(30)
def test_a_lazy_map_that_its_own_input_closes_gives_nothing_more(way):
    def source():
        yield from range(20)
        results.close()
        yield 20

    results = lw.imap(way.fn(jobs.double), source(), backend=way.name, buffersize=1)
    assert list(results) == [2 * x for x in range(20)]
    assert next(results, "over") == "over"


@pytest.mark.timeout(30)
def test_a_lazy_map_that_its_own_call_closes_gives_nothing_more():
    """In the thread that draws, where the run is in the middle of that call."""

    def close_at_three(x):
        if x == 3:
            results.close()
        return x

    results = lw.imap(close_at_three, iter(range(10)), backend="serial", chunksize=1)
    assert list(results) == [0, 1, 2]
    assert next(results, "over") == "over"


# failures


def test_a_failure_keeps_its_type_and_names_its_item(way):
    with pytest.raises(ValueError) as caught:
        lw.map(way.fn(jobs.fails_at_three), range(10), backend=way.name)
    assert caught.value.args == ("three", 3)
    assert any("item 3" in note for note in caught.value.__notes__)
    finished = lw.partial(caught.value)
    assert all(finished[index] == index for index in finished) and 3 not in finished


def test_failures_can_stand_in_their_places(way):
    results = lw.map(way.fn(jobs.fails_at_three), range(6), errors="return", backend=way.name)
    assert [r for r in results if not isinstance(r, lw.Failure)] == [0, 1, 2, 4, 5]
    (failure,) = results.failures
    assert results[3] is failure and failure.index == 3 and failure.attempts == 1 and not failure
    assert isinstance(failure.exception, ValueError)


def test_imap_raises_after_the_results_before(way):
    got = []
    with pytest.raises(ValueError) as caught:
        for value in lw.imap(way.fn(jobs.fails_at_three), range(10), backend=way.name, max_workers=1, chunksize=1):
            got.append(value)
    assert got == [0, 1, 2]
    assert any("item 3" in note for note in caught.value.__notes__)


def test_imap_can_return_failures(way):
    for family in (lw.imap, lw.imap_unordered):
        got = list(family(way.fn(jobs.fails_at_three), range(6), errors="return", backend=way.name))
        assert len(got) == 6 and sum(isinstance(value, lw.Failure) for value in got) == 1


@pytest.mark.parametrize(
    ("what", "kind", "text"),
    [
        ("awkward", jobs.Awkward, "7: seven"),
        ("unsendable", jobs.Unsendable, "cannot be sent"),
        ("exit", SystemExit, "3"),
        ("stop", RuntimeError, "StopIteration"),
        ("generator exit", GeneratorExit, "gone"),
        ("plain", RuntimeError, "plain"),
    ],
)
def test_odd_exceptions_are_failures_like_others(way, what, kind, text):
    results = lw.map(way.fn(jobs.raises), [what], errors="return", backend=way.name)
    exception = results[0].exception
    assert isinstance(exception, kind | lw.RemoteError)
    assert text in str(exception)
    with pytest.raises((kind, lw.RemoteError)):
        lw.map(way.fn(jobs.raises), [what], backend=way.name)


def test_retries(way, tmp_path):
    path = tmp_path / "calls"
    results = lw.map(
        way.fn(jobs.mark_and_fail_odd), [str(path)] * 4, range(4), retries=2, errors="return", backend=way.name
    )
    assert sorted(jobs.marks(path)) == [0, 1, 1, 1, 2, 3, 3, 3]
    assert [f.attempts for f in results.failures] == [3, 3]
    assert results.report.retries == 4


def test_retry_on_chooses(way, tmp_path):
    path = tmp_path / "calls"
    with pytest.raises(KeyError):
        lw.map(way.fn(jobs.mark_and_fail_odd), [str(path)], [1], retries=5, retry_on=ValueError, backend=way.name)
    assert jobs.marks(path) == [1]


# surroundings


def test_nested_maps(way):
    if way.can.coroutines:
        pytest.skip("a blocking map inside a coroutine would hold the loop; amap is for that")
    assert lw.map(jobs.nested, [3, 0, 5], backend=way.name) == [[0, 2, 4], [], [0, 2, 4, 6, 8]]


@pytest.mark.parametrize("inner", ["auto", "serial", "threads"])
def test_nested_maps_on_a_named_backend(way, inner):
    if way.can.coroutines:
        pytest.skip("a blocking map inside a coroutine would hold the loop; amap is for that")
    assert lw.map(jobs.nested_in, [(inner, 3), (inner, 5)], backend=way.name) == [[0, 2, 4], [0, 2, 4, 6, 8]]


def test_random_streams_are_fixed_by_the_seed(way):
    random.seed(1)
    fn = way.fn(jobs.draw)
    reference = lw.map(jobs.draw, range(20), seed=5, backend="serial")
    drawn = lw.map(fn, range(20), seed=5, backend=way.name, max_workers=3)
    assert [own for *own, _ in drawn] == [own for *own, _ in reference]
    again = lw.map(fn, range(20), seed=5, backend=way.name, max_workers=2)
    if way.can.shares_memory:
        assert [own for *own, _ in again] == [own for *own, _ in drawn]
    else:
        assert again == drawn  # the global generators are the worker's own, and seeded for each call
    other = lw.map(fn, range(20), seed=6, backend=way.name)
    assert all(one[0] != two[0] for one, two in zip(other, reference, strict=True))
    assert len({first for first, _, _ in reference}) == 20
    assert all(first != second for first, second, _ in reference)


def test_without_a_seed_no_two_items_share_a_stream(way):
    fn = way.fn(jobs.draw)
    drawn = lw.map(fn, range(50), backend=way.name) + lw.map(fn, range(50), backend=way.name)
    assert len({first for first, _, _ in drawn}) == 100
    assert len({last for _, _, last in drawn}) == 100


def test_the_report_says_what_ran(way):
    results = lw.map(way.fn(jobs.double), range(10), backend=way.name)
    assert results.report.backend == way.name
    assert results.report.calls == 10
    assert results.report.seconds > 0
    assert "10 calls in " in str(results.report)


def test_progress_is_told(way):
    told = []
    lw.map(way.fn(jobs.fails_at_three), range(10), errors="return", progress=told.append, backend=way.name)
    assert told[-1].finished and told[-1].done == 9 and told[-1].failed == 1 and told[-1].total == 10
    assert [p.done for p in told] == sorted(p.done for p in told)


def test_call_timeout_ends_a_call_or_is_refused(way):
    if way.can.coroutines:

        async def nap(seconds):
            import asyncio

            await asyncio.sleep(seconds)
            return seconds

        fn = nap
    else:
        fn = jobs.nap
    if not (way.can.can_kill or way.can.coroutines):
        with pytest.raises(lw.BackendUnavailable, match="processes"):
            lw.map(fn, [0.0], call_timeout=0.3, backend=way.name)
        return
    results = lw.map(fn, [0.0, 30.0, 0.01], call_timeout=1.5, errors="return", backend=way.name)
    assert results[0] == 0.0 and results[2] == 0.01
    assert isinstance(results[1].exception, lw.CallTimeout)
    assert results[1].exception.index == 1 and results[1].exception.seconds == 1.5
    with pytest.raises(lw.CallTimeout):
        lw.map(fn, [30.0], call_timeout=0.2, backend=way.name)


def test_isolate_keeps_calls_out_of_the_callers_process(way):
    import os

    fn = way.fn(_pid)
    if way.name == "processes":
        assert os.getpid() not in lw.map(fn, range(3), isolate=True, backend=way.name)
    else:
        with pytest.raises(lw.BackendUnavailable, match="isolate"):
            lw.map(fn, range(3), isolate=True, backend=way.name)


def _pid(_):
    import os

    return os.getpid()


@pytest.mark.parametrize("how", ["kill", "exit", "segfault"])
def test_a_dying_worker_costs_one_call(way, how):
    if not way.can.can_kill:
        pytest.skip("calls live in the caller's process: what kills them kills the caller")
    items = ["live"] * 8
    items[3] = how
    results = lw.map(jobs.die, items, errors="return", backend=way.name)
    assert [isinstance(r, lw.Failure) for r in results] == [index == 3 for index in range(8)]
    crash = results[3].exception
    assert isinstance(crash, lw.WorkerCrashed)
    assert crash.index == 3 and crash.pid
    assert (crash.exitcode == 3) if how == "exit" else crash.signal in (9, 11)


def test_a_killed_call_is_retried_where_that_is_allowed(way, tmp_path):
    if not way.can.can_kill:
        pytest.skip("calls live in the caller's process: what kills them kills the caller")
    path = tmp_path / "calls"
    results = lw.map(_die_once, [str(path)] * 6, range(6), retries=1, backend=way.name)
    assert results == list(range(6))
    assert sorted(jobs.marks(path)) == [0, 1, 2, 3, 3, 4, 5]
    assert results.report.lost_workers == 1


def _die_once(path, x):
    from pathlib import Path

    before = jobs.marks(Path(path)).count(3)
    jobs.mark(path, x)
    if x == 3 and not before:
        jobs.die("kill")
    return x


@pytest.mark.timeout(30)
def test_nobody_computes_while_a_failed_call_waits_for_its_next_attempt(way, tmp_path):
    lw.map(way.fn(jobs.double), range(2), backend=way.name)  # what takes its time to load is there
    fn, paths = way.fn(jobs.mark_and_fail_odd), [str(tmp_path / "marks")]
    began, used = time.perf_counter(), time.process_time()
    results = lw.map(fn, paths, [1], retries=1, retry_delay=1, errors="return", backend=way.name)
    assert results[0].attempts == 2 and time.perf_counter() - began >= 1
    assert time.process_time() - used < 0.2


@pytest.mark.timeout(30)
def test_nor_where_it_is_left_to_auto(tmp_path):
    fn, paths = jobs.mark_and_fail_odd, [str(tmp_path / "marks")]
    began, used = time.perf_counter(), time.process_time()
    results = lw.map(fn, paths, [1], retries=1, retry_delay=1, errors="return")
    assert results[0].attempts == 2 and time.perf_counter() - began >= 1
    assert time.process_time() - used < 0.2


@pytest.mark.timeout(30)
def test_a_next_attempt_that_never_comes_is_waited_for_without_computing(way):
    fn = way.fn(jobs.fails_at_three)
    list(lw.imap(fn, [3], errors="return", backend=way.name))  # what takes its time to load is there
    stream = lw.imap(fn, [3], retries=1, retry_delay=math.inf, errors="return", backend=way.name)
    ends = threading.Timer(0.5, stream.close)
    ends.start()
    used = time.process_time()
    assert list(stream) == []
    assert time.process_time() - used < 0.25
    ends.join()


# bad input: a clear error before anything runs


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda way: lw.map(None, [1]), TypeError, "function first"),
        (lambda way: lw.map([1], jobs.double), TypeError, "the function comes first"),
        (lambda way: lw.map(jobs.double), TypeError, "needs items"),
        (lambda way: lw.map(jobs.double, 5), TypeError, "must be iterable, not int 5"),
        (lambda way: lw.map(jobs.double, [1], 4), TypeError, "max_workers=4"),
        (lambda way: lw.map(jobs.double, [1], max_workers=0), ValueError, "at least 1"),
        (lambda way: lw.map(jobs.double, [1], max_workers=-1), ValueError, "at least 1"),
        (lambda way: lw.map(jobs.double, [1], max_workers=2.5), TypeError, "whole number"),
        (lambda way: lw.map(jobs.double, [1], max_workers=True), TypeError, "whole number"),
        (lambda way: lw.map(jobs.double, [1], n_jobs=2), TypeError, "max_workers"),
        (lambda way: lw.map(jobs.double, [1], chunksiz=2), TypeError, "chunksize"),
        (lambda way: lw.map(jobs.double, [1], chunksize=0), ValueError, "at least 1"),
        (lambda way: lw.map(jobs.double, [1], backend="thread"), ValueError, "threads"),
        (lambda way: lw.map(jobs.double, [1], backend=3), TypeError, "backend"),
        (lambda way: lw.map(jobs.double, [1], backend=[]), TypeError, "backend"),
        (lambda way: lw.map(jobs.double, [1], retries=-1), ValueError, "retries"),
        (lambda way: lw.map(jobs.double, [1], retry_on=5), TypeError, "retry_on"),
        (lambda way: lw.map(jobs.double, [1], retry_delay=-1), ValueError, "retry_delay"),
        (lambda way: lw.map(jobs.double, [1], errors="ignore"), ValueError, "errors"),
        (lambda way: lw.map(jobs.double, [1], call_timeout=0), ValueError, "call_timeout"),
        (lambda way: lw.map(jobs.double, [1], seed="x"), TypeError, "seed"),
        (lambda way: lw.map(jobs.double, [1], progress=3), TypeError, "progress"),
        (lambda way: lw.imap(jobs.double, [1], buffersize=0), ValueError, "buffersize"),
        (lambda way: lw.imap(jobs.double, 7), TypeError, "lw.imap"),
        (lambda way: lw.map(way.fn(jobs.double), [1], backend="serial" if way.can.coroutines else "asyncio"),
         lw.BackendUnavailable, "coroutine function"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_at_once(way, call, error, message):
    with pytest.raises(error, match=message):
        call(way)


def test_per_worker_makes_one_for_each_worker_and_closes_it(way, tmp_path):
    made, closed = tmp_path / "made", tmp_path / "closed"
    get = lw.per_worker(jobs.Maker(str(made)), _Closer(str(closed)))
    results = lw.map(way.fn(lambda _: id(get()) == id(get())), range(40), backend=way.name, max_workers=2)
    assert all(results)
    assert 1 <= len(jobs.marks(made)) <= 2
    assert len(jobs.marks(closed)) == len(jobs.marks(made))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_close_that_raises_costs_no_result_and_keeps_no_other_from_being_closed(way, tmp_path):
    closed = tmp_path / "closed"
    bad = lw.per_worker(object, _BadCloser(str(closed)))
    good = lw.per_worker(object, _Closer(str(closed)))
    results = lw.map(way.fn(lambda x: (bad(), good()) and x), range(3), backend=way.name, max_workers=1)
    assert results == [0, 1, 2]
    assert len(jobs.marks(closed)) == 2


class _Closer(jobs.Maker):
    def __call__(self, thing):
        jobs.mark(self.path, 1)


class _BadCloser(_Closer):
    def __call__(self, thing):
        super().__call__(thing)
        raise OSError("it was closed before")
