"""Input without a length, most of which is there at once; and what comes of that which is not."""

from __future__ import annotations

import array
import collections
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import lightwork as lw
from lightwork._at_hand import AT_ONCE, Begun, at_hand
from tests.test_prelude import run


class ByIndex:
    """Iterated over by the old protocol."""

    def __getitem__(self, position: int) -> int:
        if position == 5:
            raise IndexError
        return position * position


MADE: dict[str, Callable[[], Iterable[Any]]] = {
    "generator": lambda: (n * n for n in range(1000)),
    "empty": lambda: (n for n in ()),
    "one": lambda: iter([7]),
    "map": lambda: map(str, range(10)),
    "zip": lambda: zip("abc", range(3), strict=True),
    "enumerate": lambda: enumerate("abc"),
    "chain": lambda: itertools.chain([1], (2, 3)),
    "dict": lambda: {1: 2, 3: 4},
    "values": lambda: {1: 2, 3: 4}.values(),
    "items": lambda: {1: 2, 3: 4}.items(),
    "deque": lambda: collections.deque(range(100)),
    "array": lambda: array.array("d", range(100)),
    "by index": ByIndex,
    "long": lambda: (n for n in range(200_000)),
    "long deque": lambda: collections.deque(range(200_000)),
}


@pytest.mark.parametrize("kind", MADE)
def test_it_is_mapped_in_its_own_order(kind):
    results = lw.map(repr, MADE[kind]())
    assert results == [repr(item) for item in MADE[kind]()]
    assert results.report.calls == len(results)


@pytest.mark.parametrize("kind", [kind for kind in MADE if "long" not in kind])
def test_what_comes_at_once_is_a_sequence(kind):
    for _ in range(20):  # on a busy machine a millisecond may go by with nothing done
        if isinstance(found := at_hand([MADE[kind]()]), (list, tuple, range)):
            break
    assert list(found) == list(MADE[kind]()) and isinstance(found, (list, tuple, range))


@pytest.mark.parametrize("count", [20_000, 20_032])
def test_what_comes_fast_is_drawn_for_longer(count):
    """Lines of a file, say; the first millisecond is too short for so many."""
    for _ in range(20):
        found = at_hand([(n for n in range(count))])
        if isinstance(found, list):
            break
        assert list(found) == list(range(count))
    assert found == list(range(count))


def test_what_is_a_sequence_stays_what_it_is():
    for items in ([1, 2], (1, 2), range(2)):
        assert at_hand([items]) is items


def test_endless_input_is_not_waited_for():
    began = time.perf_counter()
    found = at_hand([itertools.count()])
    assert time.perf_counter() - began < 100 * AT_ONCE
    assert isinstance(found, Begun)
    assert [*found.drawn, *itertools.islice(found.rest, 1000)] == list(range(len(found.drawn) + 1000))


def test_what_comes_slowly_is_called_as_it_comes():
    """The second item comes when the first one was called with, and so on, as it would be in a loop."""
    called = threading.Semaphore(0)

    def items() -> Iterator[int]:
        time.sleep(2 * AT_ONCE)
        yield 0
        for n in range(1, 5):
            assert called.acquire(timeout=20)
            time.sleep(2 * AT_ONCE)
            yield n

    def call(item: int) -> int:
        called.release()
        return item

    assert lw.map(call, items()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 1, 5, 100, 20_000])
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_came_before_the_input_raised_is_called_with(count, error):
    """But for what ends the program: whoever presses Ctrl-C does not wait for calls that have not begun."""
    called = []

    def items() -> Iterator[int]:
        yield from range(count)
        raise error("from the input")

    with pytest.raises(error) as caught:
        lw.map(called.append, items())
    if error is ValueError:
        assert called == list(range(count)) and lw.partial(caught.value) == dict.fromkeys(called)
        assert str(caught.value) == "from the input"
    else:
        assert called == [] == [*lw.partial(caught.value)]


class Slow:
    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        for n in range(3):
            time.sleep(2 * AT_ONCE)
            yield n


def test_a_length_that_is_known_stays_known():
    report = lw.map(abs, Slow()).report
    assert report.counted and report.calls == 3
    found = at_hand([Slow(), range(7)])
    assert isinstance(found, Begun) and found.total == 3
    assert [*found.drawn, *found.rest] == [(0, 0), (1, 1), (2, 2)]


def test_a_first_short_map_of_a_generator_loads_nothing_of_what_longer_ones_take():
    script = """
        import lightwork as lw, sys

        lw.map(abs, (n for n in range(1000)))
        lw.map(abs, map(int, "123"))
        lw.map(pow, range(1000), iter(range(2000)))
        lw.starmap(pow, [(2, 3), [4, 5]])
        print(*sorted(name for name in sys.modules if name.startswith("lightwork.")))
    """
    for _ in range(20):  # on a busy machine it may be no short map
        found = run(script)
        if "lightwork._auto" not in found.stdout:
            break
    assert "lightwork._prelude" in found.stdout and "lightwork._collecting" not in found.stdout, found.stderr


def test_of_several_iterables_the_shortest_counts():
    for second in ([1, 2, 3], iter([1, 2, 3])):
        assert lw.map(pow, itertools.repeat(5), second) == [5, 25, 125]
    assert lw.map(pow, [], [1]) == [] == lw.map(pow, itertools.count(), ())


@pytest.mark.parametrize("count", [4, 5000])
def test_calls_with_several_arguments_fail_as_others_do(count):
    def divided(one: int, other: int) -> float:
        return one / other

    for call in (lambda: lw.map(divided, range(count), [1, 2, 0] * count), lambda: lw.starmap(divided, pairs)):
        pairs = [(n, (1, 2, 0)[n % 3]) for n in range(count)]
        with pytest.raises(ZeroDivisionError) as caught:
            call()
        assert "item 2" in caught.value.__notes__[0]
        assert lw.partial(caught.value) == {0: 0.0, 1: 0.5}
    with pytest.raises(TypeError, match="divided") as caught:
        lw.starmap(divided, [(1, 2), (3,)])
    assert "item 1" in caught.value.__notes__[0]
    with pytest.raises(TypeError) as caught:
        lw.starmap(divided, [(1, 2), 3])  # type: ignore[list-item]
    assert "item 1" in caught.value.__notes__[0]


def test_a_long_call_with_several_arguments_does_not_hold_up_the_others():
    together = threading.Barrier(4)
    found = lw.map(lambda a, b: (together.wait(20), a + b)[1], [0, 1, 2, 3], (n for n in (0, 10, 20, 30)))
    assert found == [0, 11, 22, 33]


def test_how_much_there_is_to_do_is_known_though_the_input_has_no_length():
    """Each of four calls waits for the others: nobody would know of those."""
    together = threading.Barrier(4)
    assert sorted(lw.map(lambda _: together.wait(20), (n for n in range(4)))) == [0, 1, 2, 3]
