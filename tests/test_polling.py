"""A moment of looking before one sleeps: it succeeds, or is done ever more rarely."""

import itertools

from lightwork._polling import MOST_SKIPPED, Polling


def test_it_gives_what_was_seen():
    looks = iter([None, [], "there"])
    assert Polling().until(lambda: next(looks)) == "there"


def test_where_no_core_is_to_spare_nobody_looks():
    assert Polling(allowed=False).until(lambda: 1 / 0) is None


def test_what_is_in_vain_becomes_rare():
    polling, polled = Polling(), []
    for wait in range(1000):
        polling.until(lambda wait=wait: polled.append(wait))
    waits = sorted(set(polled))
    gaps = [later - earlier for earlier, later in itertools.pairwise(waits)]
    assert gaps[:4] == [2, 4, 8, 16]
    assert set(gaps[5:]) == {MOST_SKIPPED + 1}


def test_one_success_and_it_is_done_each_time():
    polling = Polling()
    for _ in range(300):
        polling.until(lambda: None)
    while not polling.until(lambda: True):
        pass
    assert all(polling.until(lambda: True) for _ in range(100))
