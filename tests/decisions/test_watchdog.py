"""When the watchdog speaks up, and what it says."""

from __future__ import annotations

from lightwork._watchdog import Running, Watchdog, words

ONE, TWO = (0, 1), (0, 2)


def test_once_for_each_standstill():
    dog = Watchdog(10)
    assert dog.due is None
    assert not dog.look(0.0, 0, {ONE: (0, True), TWO: (1, True)})
    assert dog.due == 10.0
    assert not dog.look(9.9, 0, {ONE: (0, True), TWO: (1, True)})
    assert dog.look(10.0, 0, {ONE: (0, True), TWO: (1, True)})
    assert dog.due is None
    assert not dog.look(50.0, 0, {ONE: (0, True), TWO: (1, True)})
    # A call ends: the next standstill counts from there.
    assert not dog.look(60.0, 1, {TWO: (1, True)})
    assert dog.due == 70.0
    assert dog.look(71.0, 1, {TWO: (1, True)})
    assert dog.running[TWO].since == 0.0


def test_nothing_to_do_is_no_standstill():
    dog = Watchdog(1)
    assert not dog.look(0.0, 0, {})
    assert not dog.look(100.0, 0, {}) and dog.due is None
    assert not dog.look(100.0, 0, {ONE: (0, True)})
    assert dog.due == 101.0
    assert not dog.look(100.5, 1, {}) and dog.due is None


def test_a_call_that_is_to_be_repeated_has_ended_too():
    dog = Watchdog(1)
    dog.look(0.0, 0, {ONE: (0, True)})
    assert not dog.look(0.9, 0, {(0, 3): (0, True)})
    assert dog.due == 1.9


def test_words():
    running = {TWO: Running(7, True, 1.0), ONE: Running(3, False, 0.0), (1, 1): Running(9, True, 2.0)}
    assert words(2, 4.0, running, {TWO: '  File "a.py", line 1 in f\n  File "a.py", line 9 in g'}) == (
        "lightwork: no call has ended for 2 s; what the workers do, most recent call first:\n"
        "[worker 1] is not ready yet, after 4.0 s: its initializer may hang; item 3 waits\n"
        "[worker 2] item 7, for 3.0 s\n"
        '[worker 2]   File "a.py", line 1 in f\n'
        '[worker 2]   File "a.py", line 9 in g\n'
        "[worker 1] item 9, for 2.0 s\n"
        "[worker 1]   does not answer: it was stopped, or the kernel holds it\n"
    )
