"""A moment of looking before one sleeps: it succeeds, or is done ever more rarely."""

import itertools

from lightwork._polling import MOST_SKIPPED, Polling


def soon():
    """What is seen at the third look."""
    looks = iter([None, [], "there"])
    return lambda: next(looks)


def test_it_gives_what_was_seen():
    assert Polling().until(soon()) == "there"
    assert Polling().until(lambda: "at once") == "at once"


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
    while not polling.until(soon()):
        pass
    assert all(polling.until(soon()) for _ in range(100))


def test_what_succeeds_every_third_time_becomes_rare_too():
    polling, polled = Polling(), 0
    for _ in range(1000):
        seen = []
        polling.until(lambda seen=seen: seen.append(1) or (polled % 3 == 0 and len(seen) > 2))
        polled += bool(seen)
    assert polled < 100


def test_what_is_there_at_once_says_nothing():
    polling, polled = Polling(), []
    for wait in range(1000):
        polling.until(lambda wait=wait: polled.append(wait) or wait % 2)
    assert len(set(polled)) < 100
