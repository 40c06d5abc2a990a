"""What a function is seen to change: findings where it does, none where it does not, and never a call."""

from __future__ import annotations

import collections
import functools
import heapq
import logging
import os
import random
import threading
import time

import pytest

from lightwork._effects import effects

counter = 0
totals: dict[str, int] = {}
results: list[int] = []
local = threading.local()
log = logging.getLogger("test")


class Box:
    made = 0

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.items = []

    def put(self, value):
        self.items.append(value)

    def peek(self):
        return self.value

    def __call__(self, x):
        self.value = x
        return x


class Pure:
    def __call__(self, x):
        return x + 1


box = Box()


def count(x):
    global counter
    counter += x


def tally(word):
    totals[word] = totals.get(word, 0) + 1


def collect(x):
    results.append(x)


def by_helper(x):
    helper(results, x)


def helper(into, x):
    into.append(x)


def in_argument(row):
    row["done"] = True
    return row


def in_argument_part(row):
    for part in row:
        part.append(1)


def nested_argument(order):
    order.customer.names.sort()


def with_default(x, seen={}):
    seen[x] = 1


def unpacking(pair):
    left, right = pair
    left.extend(right)


def enumerating(rows):
    for i, row in enumerate(rows):
        row[0] = i


def slicing(values):
    values[1:3] = []


def adds_list(values):
    values += [1]


def by_lambda(xs):
    return [(lambda y: results.append(y))(x) for x in xs]


def by_comprehension(xs):
    return [results.append(x) for x in xs]


def by_method(x):
    box.put(x)


def makes_and_counts(x):
    Box.made += 1
    return Box(x)


def in_try(x):
    try:
        y = int(x)
    except ValueError:
        totals.clear()
        raise
    finally:
        results.append(1)
    return y


def heap(x):
    heapq.heappush(results, x)


def shuffles(deck):
    random.shuffle(deck)


def changes_directory(path):
    os.chdir(path)


def sets_environment(name):
    os.environ[name] = "1"


def by_setattr(x):
    setattr(x, "seen", True)


async def coroutine(x):
    results.append(x)


def generator(x):
    results.append(x)
    yield x


def inner_global(x):
    def work():
        global counter
        counter = x

    work()


CHANGING = [
    (count, "counter"),
    (tally, "totals"),
    (collect, "results"),
    (by_helper, "results"),
    (in_argument, "row"),
    (in_argument_part, "row[...]"),
    (nested_argument, "order.customer.names"),
    (with_default, "seen"),
    (unpacking, "pair[...]"),
    (enumerating, "rows[...]"),
    (slicing, "values"),
    (adds_list, "values"),
    (by_lambda, "results"),
    (by_comprehension, "results"),
    (by_method, "box.items"),
    (makes_and_counts, "Box.made"),
    (in_try, "results"),
    (heap, "results"),
    (shuffles, "deck"),
    (changes_directory, "the working directory"),
    (sets_environment, "os.environ"),
    (by_setattr, "x"),
    (coroutine, "results"),
    (generator, "results"),
    (inner_global, "counter"),
    (box.put, "self.items"),
    (box, "self.value"),
    (functools.partial(helper, []), "argument 0 bound by partial"),
    (functools.partial(functools.partial(by_helper)), "results"),
    (functools.cache(collect), "results"),
    ([].append, "list"),
]


@pytest.mark.parametrize("fn, name", CHANGING, ids=lambda value: getattr(value, "__name__", str(value))[:20])
def test_changes_are_found(fn, name):
    found = effects(fn)
    assert name in [effect.name for effect in found if effect.certain], found


def test_closures():
    total, seen = 0, []

    def adds(x):
        nonlocal total
        total += x

    def appends(x):
        seen.append(x)

    def inner(x):
        def deeper():
            nonlocal total
            total += x

        deeper()

    assert [str(e.name) for e in effects(adds)] == ["total"]
    assert [e.name for e in effects(appends)] == ["seen"]
    assert [e.name for e in effects(inner)] == ["total"]


def plain(x):
    return x * 2


def local_list(n):
    out = []
    for i in range(n):
        out.append(i)
    out.sort()
    found = {}
    found["n"] = n
    found.update(a=1)
    return out, found


def copied(values):
    mine = list(values)
    mine.sort()
    other = values[:]
    other.append(1)
    third = values.copy()
    third.clear()
    return mine, other, third


def number(x):
    x += 1
    x *= 2
    return x


def prints(x):
    print(x)
    log.info("%s", x)
    log.warning("x")


def writes_file(path):
    with open(path, "w") as file:  # noqa: PTH123
        file.write("x")


def makes_object(x):
    made = Box(x)
    made.value = 3
    made.put(1)
    return made


def own_cells(n):
    total = 0
    seen = []

    def step(i):
        nonlocal total
        total += i
        seen.append(i)

    for i in range(n):
        step(i)
    return total


def reads(x):
    return totals.get(x), len(results), box.peek(), box.value


def functional(frame):
    other = frame.add(1)
    third = frame.update(2)
    return other, third


def per_thread(x):
    local.connection = x
    return local.connection


def none_default(x, into=None):
    if into is None:
        into = []
    into.append(x)
    return into


def comprehension(xs):
    return {k: [v for v in xs if v] for k in xs}


def recursive(n):
    return n if n < 2 else recursive(n - 1) + recursive(n - 2)


def counts_words(text):
    counts = collections.Counter()
    for word in text.split():
        counts[word] += 1
        counts.update([word])
    return counts


def numeric(n):
    a = b = 0
    while n:
        a, b = b, a + b
        n -= 1
    return a


def imports(x):
    import json

    return json.dumps(x)


def safe(x):
    try:
        with open(x) as f:  # noqa: PTH123
            lines = [line for line in f if line]
        lines.append("x")
    except (OSError, ValueError) as error:
        return str(error)
    else:
        return lines
    finally:
        log.debug("done")


async def waits(x):
    import asyncio

    out = []
    async with asyncio.Lock():
        out.append(x)
    async for y in x:
        out.append(y)
    return out


def numpy_work(seed):
    import numpy as np

    rng = np.random.default_rng(seed)
    data = rng.normal(size=10)
    data[3] = 4
    data += 1
    data.sort()
    return data.sum()


QUIET = [
    plain, local_list, copied, number, prints, writes_file, makes_object, own_cells, reads, functional,
    per_thread, none_default, comprehension, recursive, counts_words, numeric, imports, safe, waits, numpy_work,
    lambda x: x + 1, functools.partial(plain, 1), functools.partial(time.sleep), Pure(), functools.cache(recursive),
    time.sleep, len, int, str.upper, "abc".count, sorted, Box, os.path.join, random.Random,
]  # fmt: skip


@pytest.mark.parametrize("fn", QUIET, ids=lambda value: getattr(value, "__name__", str(value))[:20])
def test_no_false_alarms(fn):
    assert effects(fn) == []


def test_a_change_on_some_paths_only_is_not_certain():
    def fn(x):
        if x:  # noqa: SIM108
            into = []
        else:
            into = results
        into.append(x)

    assert [effect.certain for effect in effects(fn)] == [False]


def test_the_message_names_the_line():
    (effect,) = effects(count)
    file, _, line = effect.where.rpartition(":")
    assert file.endswith("test_effects.py")
    assert str(effect) == f'changes the global "counter" (line {line} of test_effects.py)'
    assert int(line) == count.__code__.co_firstlineno + 2


def test_source_is_not_needed():
    scope = {}
    exec("seen = []\ndef fn(x):\n    seen.append(x)\n", scope)
    assert str(effects(scope["fn"])[0]) == 'changes the global "seen" (line 3 of <string>)'


def test_nothing_is_ever_called_or_raised():
    class Nasty:
        def __getattr__(self, name):
            raise AssertionError("looked up")

        def __eq__(self, other):
            raise AssertionError("compared")

        def __bool__(self):
            raise AssertionError("tested")

        __hash__ = None

    nasty = Nasty()

    def fn(x):
        nasty.items.append(x)
        nasty[x] = 1
        return nasty == x

    assert effects(fn)
    for odd in (nasty, None, 3, "text", type, object(), Nasty, effects, {}.items, property(len)):
        effects(odd)


def test_mutual_recursion_ends():
    assert [e.name for e in effects(even)] == ["results"]


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    results.append(n)
    return False if n == 0 else even(n - 1)


def test_it_is_quick():
    effects(local_list)
    least = 1.0
    for _ in range(20):
        began = time.perf_counter()
        effects(safe)
        least = min(least, time.perf_counter() - began)
    assert least < 0.05, "once in twenty times the machine was not busy with others"
