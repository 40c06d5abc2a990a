"""Whether the work has become another, as a pure function of what the workers told."""

from __future__ import annotations

from lightwork._change import Change


def watch(change, spells, start=0.0, workers=32):
    """Feeds spells of (seconds, calls, busy seconds, CPU seconds); returns what was answered, with when."""
    now, calls, busy, cpu = start, 0, 0.0, 0.0
    answers = []
    for lasted, done, worked, used in spells:
        now, calls, busy, cpu = now + lasted, calls + done, busy + worked, cpu + used
        found = change.observe(now, calls, busy, cpu, workers)
        if found is not None:
            answers.append((round(now, 3), found))
    return answers


COMPUTES = (0.11, 10, 0.22, 0.2)
WAITS = (0.11, 10, 0.22, 0.001)


def test_work_that_stays_what_it_was_is_left_alone():
    assert not watch(Change(shared=False), [COMPUTES] * 20)
    assert not watch(Change(shared=True), [(0.11, 100, 3.5, 0.01)] * 20)


def test_computing_that_turns_to_waiting_is_seen_after_two_spells():
    answers = watch(Change(shared=False), [COMPUTES] * 5 + [WAITS] * 5)
    assert answers[0][0] == 0.77
    wall, cpu = answers[0][1]
    assert wall == 0.022 and cpu < 0.001


def test_processes_whose_first_calls_wait_already_are_not_kept_at_it():
    """Two that wait 20 ms a call: each such call is one that hundreds of threads could have made meanwhile."""
    answers = watch(Change(shared=False), [(0.021, 2, 0.04, 0.0002)] * 5, workers=2)
    assert answers[0][0] == 0.063


def test_long_waits_in_two_processes_are_seen_after_two_of_each():
    answers = watch(Change(shared=False), [(1.0, 2, 2.0, 0.001)] * 5, workers=2)
    assert answers[0][0] == 3.0


def test_one_odd_spell_is_no_change():
    assert not watch(Change(shared=False), [COMPUTES, COMPUTES, WAITS, COMPUTES, WAITS, COMPUTES])


def test_a_busy_machine_is_no_change():
    starved = (0.11, 10, 0.22, 0.04)
    assert not watch(Change(shared=False), [starved] * 10)


def test_waiting_that_turns_to_computing_under_the_gil_is_seen():
    """32 threads stand in line: each seems to wait, all together use one core."""
    answers = watch(Change(shared=True), [(0.11, 20, 3.5, 0.01)] * 3 + [(0.11, 10, 3.5, 0.105)] * 3)
    (wall, cpu) = answers[0][1]
    assert wall == cpu and abs(cpu - 0.0105) < 1e-9


def test_threads_that_end_all_at_once_are_seen_to_stand_in_line_before():
    """What counts is how much is computed, not when calls end."""
    uneven = [(0.11, 4, 0.4, 0.1), (0.11, 60, 9.0, 0.105), (0.11, 4, 0.3, 0.1)]
    answers = watch(Change(shared=True), [(0.11, 20, 3.5, 0.01)] * 3 + uneven)
    assert answers and answers[0][0] <= 0.66


def test_two_threads_that_compute_one_after_another_are_no_queue():
    assert not watch(Change(shared=True), [(0.11, 10, 0.1, 0.1)] * 10, workers=1)


def test_computing_outside_the_gil_stays_in_threads():
    assert not watch(Change(shared=True), [(0.11, 10, 0.22, 0.21)] * 10)


def test_after_a_change_it_waits_before_it_looks():
    answers = watch(Change(shared=False, settles=1.0), [WAITS] * 30)
    assert answers[0][0] > 1.0


def test_threads_that_wait_for_cores_which_others_have_stand_in_no_line():
    """Two that compute outside the GIL, and have one core together."""
    change = Change(shared=True)
    spells = range(1, 11)
    assert not any(change.observe(0.11 * n, 20 * n, 0.22 * n, 0.11 * n, 32, 0.11 * n) for n in spells)
    change = Change(shared=True)
    assert any(change.observe(0.11 * n, 20 * n, 0.22 * n, 0.11 * n, 32) for n in spells)


def test_threads_that_stand_in_line_for_the_gil_are_late_for_it():
    """They wake every 5 ms to ask for it, and have no core at once where another one has it: 16 of them for half a
    second in each second."""
    change, spells = Change(shared=True), range(1, 11)
    found = [change.observe(0.11 * n, 30 * n, 1.7 * n, 0.11 * n, 32, 0.055 * n, 16) for n in spells]
    assert any(found)


def test_a_thread_that_has_the_gil_for_a_whole_call_was_late_before_it():
    """So that its call takes no longer than it computes, though another one had the core before."""
    change, spells = Change(shared=True), range(1, 11)
    found = [change.observe(0.11 * n, 30 * n, 0.11 * n, 0.11 * n, 32, 0.055 * n) for n in spells]
    assert any(found)
