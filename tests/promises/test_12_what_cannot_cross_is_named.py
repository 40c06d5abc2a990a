"""Promise 12: in under a second, the path to the attribute that will not pickle, and a backend that would work."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import time

import pytest

import lightwork as lw
from tests.promises import jobs


class Session:
    def __init__(self):
        self.name, self.options = "session", {"retry": 3, "guards": [None, threading.Lock()]}


class Client:
    def __init__(self):
        self.session = Session()

    def call(self, x):
        return x


def refused(fn, items):
    began = time.perf_counter()
    with pytest.raises(lw.UnpicklableError) as caught:
        lw.map(fn, items, backend="processes")
    assert time.perf_counter() - began < 10
    assert "lock" in str(caught.value)
    assert 'backend="threads"' in caught.value.remedy and caught.value.remedy in str(caught.value)
    return caught.value.path


def test_in_an_item():
    assert refused(jobs.square, [Client()]) == "item.session.options['guards'][1]"


def test_in_the_function():
    lock = threading.Lock()
    assert "lock" in refused(lambda x: (lock, x), [1, 2])
    assert "session.options['guards'][1]" in refused(Client().call, [1, 2])


def test_in_a_result():
    def made_there(x):
        import threading

        return {"fine": x, "bad": [threading.Lock()]}

    assert refused(made_there, [1]) == "result['bad'][0]"


def test_only_the_item_at_fault_fails():
    results = lw.map(str, [1, Client(), 3], backend="processes", errors="return")
    assert results[0] == "1" and results[2] == "3" and isinstance(results[1].exception, lw.UnpicklableError)


def test_the_remedy_works():
    assert len(lw.map(Client().call, [1, 2], backend="threads")) == 2


class OneWay:
    """Pickles and unpickles, but not in the process that made it."""

    def __init__(self):
        self.home = os.getpid()

    def __setstate__(self, state):
        if state["home"] == os.getpid():
            raise AttributeError("not here")
        self.__dict__.update(state)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_a_result_that_cannot_be_unpickled(count):
    for _ in range(5):
        with pytest.raises(lw.UnpicklableError, match=r"could not be unpickled in the caller's process: .*not here"):
            lw.map(lambda one: one, [OneWay() for _ in range(count)], backend="processes", max_workers=2)


def refuses(stream):
    with pytest.raises(lw.UnpicklableError, match=r"item is a \w*Stream .*still to come.* list") as told:
        lw.map(len, [stream], backend="processes")
    assert told.value.path == "item"


def test_results_that_are_still_to_come_are_named_as_what_cannot_cross():
    with lw.imap(abs, [1]) as stream:
        refuses(stream)


def test_nor_can_those_of_a_coroutine():
    async def main():
        stream = lw.aimap(abs, [1])
        try:
            refuses(stream)
        finally:
            await stream.aclose()

    asyncio.run(main())


def total(array):
    return type(array)(*(2 * each for each in array))


def test_an_array_of_ctypes_crosses_in_both_directions():
    array = (ctypes.c_int * 3)(1, 2, 3)
    (doubled,) = lw.map(total, [array], backend="processes")
    assert list(doubled) == [2, 4, 6] and type(doubled) is type(array)
