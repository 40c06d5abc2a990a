"""One kit in every backend: captured, as an argument, inside a container, as a result, in nested calls."""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest

import lightwork as lw
from tests.conftest import Way
from tests.kit import jobs

TIMES = 300
LOCKS = {"Lock": lw.Lock, "RLock": lw.RLock, "Semaphore": functools.partial(lw.Semaphore, 1), "Condition": lw.Condition}


def parallel(way: Way) -> bool:
    return way.name not in ("serial", "asyncio")


@pytest.fixture
def counter() -> memoryview:
    return lw.share(bytes(8), writable=True)


def total(counter: memoryview) -> int:
    return int.from_bytes(counter[:8], "little")


@pytest.mark.parametrize("kind", LOCKS)
def test_as_an_argument(way: Way, kind: str, counter: memoryview) -> None:
    lock = LOCKS[kind]()
    lw.starmap(way.fn(jobs.add), [(lock, counter, TIMES)] * 4, backend=way.name, max_workers=4)
    assert total(counter) == 4 * TIMES


@pytest.mark.parametrize("kind", LOCKS)
def test_captured_by_a_closure(way: Way, kind: str, counter: memoryview) -> None:
    lock = LOCKS[kind]()
    lw.map(way.fn(lambda times: jobs.add(lock, counter, times)), [TIMES] * 4, backend=way.name, max_workers=4)
    assert total(counter) == 4 * TIMES


def test_inside_a_container(way: Way, counter: memoryview) -> None:
    items = [({"locks": [lw_lock], "counter": counter}, TIMES) for lw_lock in [lw.Lock()] * 4]
    lw.map(way.fn(jobs.add_packed), items, backend=way.name, max_workers=4)
    assert total(counter) == 4 * TIMES


def test_in_a_partial_and_an_initializer(way: Way, counter: memoryview) -> None:
    lock = lw.Lock()
    bound = way.fn(functools.partial(jobs.add, lock, counter)) if not way.can.coroutines else None
    if bound is None:
        pytest.skip("a partial is no coroutine function")
    with lw.Executor(2, backend=way.name, initializer=jobs.add, initargs=(lock, counter, 1)) as executor:
        assert len([future.result() for future in [executor.submit(bound, TIMES) for _ in range(3)]]) == 3
    assert total(counter) >= 3 * TIMES


def test_a_result_is_the_lock_that_was_sent(way: Way) -> None:
    lock = lw.Lock()
    with lock:
        results = lw.map(way.fn(jobs.give_back), [lock, lock], backend=way.name, max_workers=2)
    assert [(came is lock, taken) for came, taken in results] == [(True, False)] * 2


@pytest.mark.parametrize("inner", ["threads", "processes"])
def test_nested(way: Way, inner: str, counter: memoryview) -> None:
    if way.name == "interpreters" and inner == "processes":
        pytest.skip("a sub-interpreter starts no processes")
    lock = lw.Lock()
    lw.starmap(way.fn(jobs.nested), [(lock, counter, inner, 50)] * 2, backend=way.name, max_workers=2)
    assert total(counter) == 200


def test_an_event_is_seen_by_all(way: Way) -> None:
    if not parallel(way):
        pytest.skip("its calls run one after another")
    event = lw.Event()
    with lw.Executor(3, backend=way.name) as executor:
        waiting = [executor.submit(jobs.wait_for, event) for _ in range(3)]
        event.set()
        assert all(future.result() for future in waiting)


def test_parties_meet(way: Way) -> None:
    if not parallel(way):
        pytest.skip("its calls run one after another")
    barrier = lw.Barrier(3)
    with lw.Executor(3, backend=way.name) as executor:
        meetings = [[executor.submit(jobs.meet, barrier) for _ in range(3)] for _ in range(5)]
        assert [sorted(future.result() for future in meeting) for meeting in meetings] == [[0, 1, 2]] * 5


@pytest.mark.parametrize("wait", ["lw.Event().wait()", "lw.Queue().get()", "lw.Semaphore(0).acquire()"])
def test_what_a_serial_map_can_only_hang_on_fails_at_once(wait: str) -> None:
    """In a program of its own: another thread, as tests before may have left one, could come to help."""
    program = f"import lightwork as lw; lw.map(lambda _: {wait}, [1], backend='serial')"
    threads_of_a_library = "from importlib.util import find_spec\nif find_spec('numpy'): import numpy\n"
    for before in ("", threads_of_a_library):
        done = subprocess.run([sys.executable, "-c", before + program], capture_output=True, text=True, timeout=50)
        assert "RuntimeError: this call of a serial map would wait for ever" in done.stderr, done.stderr


HELPERS = {
    "a process that was forked": """
if not os.fork():
    come()
    os._exit(0)
""",
    "a handler of a signal": "signal.signal(signal.SIGALRM, come); signal.setitimer(signal.ITIMER_REAL, 0.1)",
    "a thread that threading does not know": "import _thread; _thread.start_new_thread(come, ())",
    "a thread of another executor's": "executor = lw.Executor(1, backend='threads'); executor.submit(come)",
}


@pytest.mark.parametrize("helper", HELPERS)
def test_a_serial_map_waits_where_somebody_can_come(helper: str) -> None:
    program = f"""
import os, signal, time
import lightwork as lw

event = lw.Event()

def come(*_):
    time.sleep(0.2)
    event.set()

{HELPERS[helper]}
print(lw.map(lambda _: event.wait(), [1], backend="serial"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.stdout == "[True]\n", done.stdout + done.stderr
