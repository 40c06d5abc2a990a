"""Changes that a function makes by way of others: tables, iterators, properties, operators, decorators, libraries."""

from __future__ import annotations

import contextlib
import decimal
import enum
import functools
import itertools
import operator
import queue
import random
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import lightwork as lw
from lightwork._captured import ties
from lightwork._effects import effects, identities

results: list = []
counts: dict = {}
jobs: queue.Queue = queue.Queue()
numbers = (n for n in range(10))
ticks = itertools.count()
append = results.append


def collect(x):
    results.append(x)


def quiet(x):
    return x


TABLE = {0: collect, 1: quiet}
STEPS = (quiet, collect)


class Counts:
    def __init__(self):
        self.n = 0

    @property
    def next(self):
        self.n += 1
        return self.n

    def __getitem__(self, key):
        self.n += 1
        return key

    def __iter__(self):
        self.n += 1
        return iter([self.n])

    def __contains__(self, key):
        self.n += 1
        return True

    def __enter__(self):
        self.n += 1

    def __exit__(self, *_):
        pass


counter = Counts()


@contextlib.contextmanager
def noting(x):
    results.append(x)
    yield


def own_decorator(fn):
    @functools.wraps(fn)
    def inner(x):
        return fn(x)

    return inner


@own_decorator
def decorated(x):
    results.append(x)


def in_context(x):
    with noting(x):
        return x


def with_object(x):
    with counter:
        return x


def asks_a_generator(x):
    for n in numbers:
        return n


def drains(x):
    return sum(numbers)


def in_a_thread(x):
    thread = threading.Thread(target=collect, args=(x,))
    thread.start()


def in_a_pool(x):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(collect, x)


def sets_precision(x):
    decimal.getcontext().prec = 5


CHANGING = [
    (lambda x: TABLE[x](x), "results"),
    (lambda x: STEPS[x](x), "results"),
    (lambda x: append(x), "append"),
    (lambda x: list.append(results, x), "results"),
    (lambda x: results.__iadd__([x]), "results"),
    (lambda x: operator.setitem(counts, x, 1), "counts"),
    (lambda x: list(map(results.append, [x])), "results"),
    (lambda x: list(map(collect, [x])), "results"),
    (lambda x: sorted([x], key=collect), "results"),
    (lambda x: jobs.get(), "jobs"),
    (lambda x: next(ticks), "ticks"),
    (lambda x: counter.next, "counter.n"),
    (lambda x: counter[x], "counter.n"),
    (lambda x: [y + 1 for y in counter], "counter.n"),
    (lambda x: x in counter, "counter.n"),
    (asks_a_generator, "numbers"),
    (drains, "numbers"),
    (with_object, "counter.n"),
    (in_context, "results"),
    (decorated, "results"),
    (noting, "results"),
    (in_a_thread, "results"),
    (in_a_pool, "results"),
    (lambda x: input(), "stdin"),
    (lambda x: sys.stdin.readline(), "stdin"),
    (lambda x: next(sys.stdin), "sys.stdin"),
    (sets_precision, "decimal.getcontext().prec"),
]


@pytest.mark.parametrize("fn, name", CHANGING, ids=[str(place) for place in range(len(CHANGING))])
def test_changes_are_found(fn, name):
    found = [effect for effect in effects(fn) if effect.certain]
    assert name in [effect.name for effect in found], found


READING = [
    lambda x: TABLE[1] is None,
    lambda x: [counts[key] for key in counts],
    lambda x: sum(counts.values()),
    lambda x: sorted(results, key=quiet),
    lambda x: list(map(quiet, [x])),
    lambda x: max(x, key=len),
    lambda x: [y + 1 for y in x],
    lambda x: sum(y for y in x),
    lambda x: sum(iter([x])),
    lambda x: decimal.getcontext().prec,
    lambda x: list.copy(results),
    lambda x: jobs.qsize(),
    lambda x: [fn.__name__ for fn in STEPS],
]


@pytest.mark.parametrize("fn", READING, ids=[str(place) for place in range(len(READING))])
def test_no_false_alarms(fn):
    assert not [effect for effect in effects(fn) if effect.certain]


SENTINEL = object()


class Colour(enum.Enum):
    RED = 1


def asks_for_the_sentinel(x):
    return slow(x is SENTINEL)


def test_an_argument_that_is_asked_to_be_a_certain_object_stays_in_its_process():
    ((name, where),) = identities(asks_for_the_sentinel)
    assert name == "SENTINEL" and where.endswith(f":{asks_for_the_sentinel.__code__.co_firstlineno + 1}")
    (found,) = lw.check(asks_for_the_sentinel, [1])
    assert (found.rule, found.where) == ("identity", where)
    assert "processes" in found.backends and "threads" not in found.backends
    assert lw.map(asks_for_the_sentinel, [SENTINEL, None] * 20) == [True, False] * 20

    def default(x, into=SENTINEL):
        return into is SENTINEL

    by_name = (lambda x: x is None, lambda x: x is ..., lambda x: x is Colour.RED, lambda x: type(x) is Counts)
    for fn in (*by_name, default):
        assert not identities(fn) and not ties(fn)


def test_what_check_says_of_the_standard_input():
    (found,) = lw.check(lambda x: input(), [1])
    assert found.rule == "shared-state" and "empty in worker processes" in found.what and "sys.stdin" in found.remedy


# what auto makes of it


def slow(x):
    time.sleep(0.01)
    return x


def test_an_open_file_is_read_in_order(tmp_path):
    path = tmp_path / "lines"
    path.write_text("".join(f"{n}\n" for n in range(40)))
    with path.open() as file:

        def read(x):
            return slow(file.readline())

        found = lw.map(read, range(40))
    assert found == [f"{n}\n" for n in range(40)]
    assert 'the function uses "file", an open file' in str(found.report).replace("\n    ", " ")


def test_an_open_socket_and_a_seeded_generator_stay_in_the_callers_thread():
    left, right = socket.socketpair()
    generator = random.Random(5)

    def sends(x):
        left.send(b"x")

    def draws(x):
        return slow(generator.random())

    with left, right:
        assert [(tie.to, tie.name) for tie in ties(sends)] == [("thread", "left")]
    expected = [random.Random(5).random()]
    assert lw.map(draws, range(40))[:1] == expected
    generator.seed(5)
    again = random.Random(5)
    assert lw.map(draws, range(40)) == [again.random() for _ in range(40)]
    assert not ties(lambda x: print(x))
