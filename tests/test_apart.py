"""Calls that change what they are given: beside each other only where no way leads from one's to another's."""

from __future__ import annotations

import collections
import contextlib
import datetime
import functools
import itertools
import operator
import re
import sys
import time
import types
from pathlib import Path

import pytest

import lightwork as lw
from lightwork._apart import alone
from tests import conftest

CALLS = 60
PATTERN, NAMES = re.compile("a"), ("a", "b")
ROWS: list[dict[str, int]] = []


def fill(record):
    record["found"] = bool(PATTERN.search(NAMES[0]))


def append(row):
    row.append(time.time())


def of_helper(record):
    fill(record)


def of_table(record):
    record["sum"] = ROWS[record["i"] - 1]["sum"]


def of_table_by_helper(record):
    of_table(record)


class Registry:
    rows: list[dict[str, int]] = ROWS


def of_class(record):
    record["n"] = len(Registry.rows)


def of_module(record):
    record["n"] = len(conftest.__name__)


def of_import(record):
    from tests import conftest as here

    record["n"] = len(here.__name__)


def of_all(record):
    record["n"] = len(globals()["ROWS"])


def of_modules(record):
    record["n"] = len(sys.modules[__name__].ROWS)


def of_attribute(record):
    record["n"] = 1


of_attribute.rows = ROWS


@contextlib.contextmanager
def rows_at_hand():
    yield ROWS


def of_manager(record):
    with rows_at_hand() as rows:
        record["n"] = len(rows)


def far(record, fn=of_table):
    fn(record)


def farther(steps):
    fn = far
    for _ in range(steps):
        fn = functools.partial(lambda fn, record: fn(record), fn)
    return fn


class Counter:
    def add(self, record):
        record["n"] = 1


def day():
    return {"on": datetime.date(2024, 1, 1), "path": Path("a"), "tags": ["x"], "pair": (1, 2.0, "c")}


SHARED = {"n": 0}


@pytest.mark.parametrize(
    ("fn", "items", "is_so"),
    [
        (fill, [{"a": n} for n in range(3)], True),
        (fill, [day(), day()], True),
        (append, [[n] for n in range(3)], True),
        (append, [bytearray(2), collections.deque([1]), [(1, [2])], {3}], True),
        (of_helper, [{}, {}], True),
        (functools.partial(fill), [{}, {}], True),
        (lambda a, b: a.update(b=b), [({}, 1), ({}, 2)], True),
        (fill, [{}] * 2, False),
        (fill, [{"acc": SHARED}, {"acc": SHARED}], False),
        (fill, [({}, SHARED), ({}, SHARED)], False),
        (append, [[[]], [[]], [ROWS, [ROWS]]], False),
        (of_table, [{"i": 1}, {"i": 2}], False),
        (of_table_by_helper, [{"i": 1}, {"i": 2}], False),
        (of_class, [{}, {}], False),
        (of_module, [{}, {}], False),
        (of_import, [{}, {}], False),
        (of_all, [{}, {}], False),
        (of_modules, [{}, {}], False),
        (of_attribute, [{}, {}], False),
        (of_manager, [{}, {}], False),
        (farther(1), [{"i": 1}, {"i": 2}], False),
        (farther(9), [{"i": 1}, {"i": 2}], False),
        (lambda record: record.update(path=Path("a"), at=datetime.datetime), [{}, {}], True),
        (functools.partial(lambda table, record: record.update(table), SHARED), [{}, {}], False),
        (lambda record, table=ROWS: record.update(n=len(table)), [{}, {}], False),
        (Counter().add, [{}, {}], False),
        (fill, [collections.OrderedDict(), collections.OrderedDict()], False),
        (fill, [Counter(), Counter()], False),
        (append, [memoryview(bytearray(3)), memoryview(bytearray(3))], False),
    ],
)
def test_it_is_seen_whether_a_way_leads_from_one_to_another(fn, items, is_so):
    assert alone(fn, items) is is_so


def test_a_module_of_the_user_s_own_may_know_all_items_whatever_its_name(monkeypatch):
    module = types.ModuleType("known_rows")
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, "known_rows", module)
    space = {"known_rows": module}
    exec("def fn(record): record['n'] = len(known_rows.ROWS)", space)
    assert not alone(space["fn"], [{}, {}])


def test_linked_items_are_not_apart():
    nodes = [{"before": None} for _ in range(3)]
    for before, node in itertools.pairwise(nodes):
        node["before"] = before
    assert not alone(fill, nodes)


def test_arrays_are_apart_that_have_memory_of_their_own():
    numpy = pytest.importorskip("numpy")
    assert alone(append, [numpy.zeros(3), numpy.zeros(3)])
    whole = numpy.zeros(9)
    assert not alone(append, [whole[:3], whole[2:5]])
    assert not alone(append, [numpy.array([[]], dtype=object)] * 2)
    assert not alone(append, [numpy.ma.zeros(3), numpy.ma.zeros(3)])


def add_up(nodes):
    def add(node):
        before = node["before"]
        time.sleep(0.002)
        node["sum"] = (before["sum"] if before else 0) + node["value"]
        return node["sum"]

    return add


def test_what_a_call_finds_in_another_ones_item_is_what_the_loop_would_find():
    nodes = [{"before": None, "value": n, "sum": 0} for n in range(CALLS)]
    for before, node in itertools.pairwise(nodes):
        node["before"] = before
    assert lw.map(add_up(nodes), nodes) == [n * (n + 1) // 2 for n in range(CALLS)]


class Node:
    def __init__(self, before):
        self.before, self.sum = before, 0

    def step(self):
        time.sleep(0.002)
        self.sum = (self.before.sum if self.before else 0) + 1
        return self.sum


def add_in_a_loop(node):
    time.sleep(0.002)
    for one in [node]:
        one["sum"] = (one["before"]["sum"] if one["before"] else 0) + 1
    return node["sum"]


@pytest.mark.parametrize("fn", [lambda node: node.step(), operator.methodcaller("step"), add_in_a_loop])
def test_what_alone_the_item_shows_to_be_changed_is_what_the_loop_would_make_of_it(fn):
    nodes = []
    for _ in range(CALLS):
        before = nodes[-1] if nodes else None
        nodes.append({"before": before, "sum": 0} if fn is add_in_a_loop else Node(before))
    assert lw.map(fn, nodes) == list(range(1, CALLS + 1))


def next_sum(record):
    time.sleep(0.002)
    record["sum"] = ROWS[record["i"] - 1]["sum"] + record["i"]


def test_what_a_call_finds_in_a_table_is_what_the_loop_would_find():
    ROWS[:] = [{"i": n, "sum": 0} for n in range(CALLS)]
    lw.map(next_sum, ROWS)
    assert [row["sum"] for row in ROWS] == [n * (n + 1) // 2 for n in range(CALLS)]


def raise_by_one(view):
    before = view[0]
    time.sleep(0.002)
    view[0] = before + 1


@pytest.mark.parametrize("kind", ["views", "memory"])
def test_memory_that_items_share_is_changed_by_one_call_after_another(kind):
    if kind == "views":
        numpy = pytest.importorskip("numpy")
        memory = numpy.zeros(3)
        items = [memory[:] for _ in range(CALLS)]
    else:
        memory = bytearray(3)
        items = [memoryview(memory) for _ in range(CALLS)]
    lw.map(raise_by_one, items)
    assert memory[0] == CALLS


class Bank:
    total = 0


class Wallet:
    def add(self, amount):
        before = Bank.total
        time.sleep(0.002)
        Bank.total = before + amount


def pay(wallet):
    wallet.add(1)


def test_nobody_knows_what_a_method_of_an_item_changes():
    Bank.total = 0
    lw.map(pay, [Wallet() for _ in range(CALLS)])
    assert Bank.total == CALLS


def wait_and_fill(record):
    time.sleep(0.005)
    record["found"] = True


def ask(record):
    time.sleep(0.005)
    record["answer"] = types.SimpleNamespace()


def test_what_calls_have_put_into_their_own_items_leads_nowhere():
    for _ in range(20):  # on a busy machine one may end just while its item is looked at
        records = [{"n": n} for n in range(CALLS)]
        report = lw.map(ask, records).report
        assert all(type(record["answer"]) is types.SimpleNamespace for record in records)
        if "threads" in {lane.backend for lane in report.lanes}:
            break
    assert "threads" in {lane.backend for lane in report.lanes}


def test_who_tells_of_it_tells_the_same():
    apart, shared = [{"n": n} for n in range(40)], [{"n": 0}] * 40
    assert lw.probe(wait_and_fill, apart).best.backend == "threads"
    assert "keep it in one thread" in lw.probe(wait_and_fill, shared).advice
    findings = lw.compare(wait_and_fill, apart, backends=["serial", "threads"], rounds=1).findings
    assert not any("calling thread" in finding for finding in findings)
    assert "threads" in {lane.backend for lane in lw.map(wait_and_fill, apart).report.lanes}
    report = lw.map(wait_and_fill, shared).report
    assert report.backend == "serial" and "changes its argument" in str(report)
