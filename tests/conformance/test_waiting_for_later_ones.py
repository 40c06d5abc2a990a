"""A call may wait for what one behind it does: what shares a batch with a long call goes to others."""

from __future__ import annotations

import threading

import pytest

import lightwork as lw


def meets(x, first, event):
    if x == first:
        return event.wait(30)
    if x == first + 1:
        event.set()
    return True


@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("family", [lw.map, lw.imap, lw.imap_unordered])
@pytest.mark.parametrize("count, first", [(20, 7), (3000, 2900)])
def test_a_call_waits_for_the_one_behind_it(family, backend, count, first):
    event = lw.Event()
    found = family(meets, range(count), [first] * count, [event] * count, backend=backend, max_workers=2)
    assert list(found) == [True] * count


@pytest.mark.parametrize("backend", ["threads", "auto"])
def test_calls_that_wait_all_begin(backend):
    """Nobody said how many at once: where nothing is computed it is not for the first few to end."""
    everybody = threading.Barrier(50)
    found = lw.map(lambda _: everybody.wait(30) >= 0, range(50), backend=backend)
    assert found == [True] * 50
