"""Ctrl-C while a map is driven in the main thread: it waits until nothing is in hand, and never for long."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

import lightwork as lw
from lightwork._backends.interpreters import InterpreterBackend
from lightwork._engine import Run
from lightwork._gate import guarded, opened, outside, strike
from lightwork._report import Report


def press() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def pythons_own_handler():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_waits_for_the_end_of_the_block():
    steps = []
    with pytest.raises(KeyboardInterrupt), guarded():
        press()
        steps.append("went on")
    assert steps == ["went on"]


@pytest.mark.parametrize("place", [opened, outside])
def test_it_strikes_in_an_opening_also_when_it_came_before(place):
    steps = []
    with guarded():
        with pytest.raises(KeyboardInterrupt), place():
            press()
            steps.append("went on")
        press()
        with pytest.raises(KeyboardInterrupt), place():
            steps.append("went on")
        with place():
            steps.append("nothing waits any more")
        press()
        with pytest.raises(KeyboardInterrupt):
            strike()
        with pytest.raises(KeyboardInterrupt):
            press()
            press()  # a second one does not wait
    assert steps == ["nothing waits any more"]


def test_an_error_on_its_way_does_not_hide_it():
    with pytest.raises(KeyboardInterrupt) as caught, guarded():
        press()
        raise ValueError
    assert isinstance(caught.value.__context__, ValueError)
    with pytest.raises(lw.Interrupted), guarded():
        press()
        raise lw.Interrupted


def test_the_users_own_code_finds_pythons_handler():
    def fn(x):
        found = signal.getsignal(signal.SIGINT)
        return found is signal.default_int_handler, asyncio.run(asyncio.sleep(0, x))

    def slowly():
        yield from (signal.getsignal(signal.SIGINT) is signal.default_int_handler for _ in range(3))

    for options in ({"backend": "serial"}, {"seed": 1}, {}):
        assert lw.map(fn, range(20), **options) == [(True, x) for x in range(20)]
    assert lw.map(lambda there: there, slowly(), backend="threads") == [True] * 3


def test_who_has_set_another_handler_keeps_it():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        with guarded(), opened():
            press()
        assert lw.map(lambda x: press() or x, range(3), backend="serial") == [0, 1, 2]
        assert pressed == [1] * 4
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_a_call_sets_stays():
    pressed = []

    def fn(x):
        signal.signal(signal.SIGINT, lambda *_: pressed.append(x))

    try:
        lw.map(fn, range(3), backend="serial")
        press()
        assert pressed == [2]
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_maps_inside_of_maps():
    def outer(x):
        inner = lw.map(abs, range(5), backend="threads", max_workers=2)
        if x == 3:
            press()
        return inner

    with pytest.raises(lw.Interrupted) as caught:
        lw.map(outer, range(9), backend="serial")
    assert lw.partial(caught.value) == {x: list(range(5)) for x in range(3)}


def test_other_threads_are_not_concerned():
    found = []

    def other():
        with guarded():
            found.append(signal.getsignal(signal.SIGINT))
            with opened(), outside():
                found.append("went on")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler, "went on"]


class Slow:
    """Pickling it asks for Ctrl-C."""

    def __reduce__(self):
        press()
        return Slow, ()


def test_it_strikes_while_an_item_is_pickled():
    with pytest.raises(lw.Interrupted) as caught:
        lw.map(id, [1, 2, Slow(), 4], backend="processes", max_workers=1, chunksize=1)
    assert lw.partial(caught.value).keys() <= {0, 1}


@pytest.mark.timeout(60)
def test_no_sub_interpreter_looks_at_handlers_which_are_the_main_ones_objects():
    """It would change the counts of their references under another GIL, until one is freed."""
    if (reason := InterpreterBackend().unavailable()) is not None:
        pytest.skip(reason)

    def fn(x):
        from lightwork import _gate

        _gate.signal = None  # in that interpreter: what asks fails
        with _gate.guarded():
            return lambda: x  # which pickle refuses, and cloudpickle does not

    results = lw.map(fn, range(4), backend="interpreters", max_workers=1)
    assert [result() for result in results] == [0, 1, 2, 3]


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_a_ctrl_c_that_comes_when_all_is_done_keeps_all(backend, monkeypatch):
    """While the report is written, say, which takes milliseconds where there were many calls."""
    write = Run.report

    def struck(run: Run) -> Report:
        press()
        return write(run)

    monkeypatch.setattr(Run, "report", struck)
    with pytest.raises(lw.Interrupted, match="3 finished calls") as caught:
        lw.map(abs, [-1, -2, -3], backend=backend)
    assert lw.partial(caught.value) == {0: 1, 1: 2, 2: 3}
