"""Under stress all that should hold holds: state machines beside a model, a bounded buffer, dining philosophers."""

from __future__ import annotations

import collections
import queue
import random
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import lightwork as lw
from tests.kit import jobs

BACKENDS = ["threads", "processes", *(["interpreters"] if lw.backends()["interpreters"] else [])]


class QueueBesideADeque(RuleBasedStateMachine):
    """What goes in comes out, in order, whatever its size; the counts agree."""

    def __init__(self) -> None:
        super().__init__()
        self.real = lw.Queue(6)
        self.model: collections.deque[object] = collections.deque()
        self.unfinished = 0

    @rule(
        size=st.sampled_from([0, 1, 9, 5000, 16_000, 17_000, 70_000, 400_000]), kind=st.sampled_from([bytes, bytearray])
    )
    def put(self, size: int, kind: type) -> None:
        message = kind(random.randbytes(min(size, 64)) * -(-size // 64))[:size]
        if len(self.model) == 6:
            with pytest.raises(queue.Full):
                self.real.put_nowait(message)
            return
        self.real.put_nowait(message)
        self.model.append(message)
        self.unfinished += 1

    @rule()
    def get(self) -> None:
        if not self.model:
            with pytest.raises(queue.Empty):
                self.real.get_nowait()
            return
        got, expected = self.real.get_nowait(), self.model.popleft()
        assert got == expected and type(got) is type(expected)

    @precondition(lambda self: self.unfinished > len(self.model))
    @rule()
    def task_done(self) -> None:
        self.real.task_done()
        self.unfinished -= 1

    @invariant()
    def counts_agree(self) -> None:
        assert self.real.qsize() == len(self.model)
        assert (self.real.empty(), self.real.full()) == (not self.model, len(self.model) == 6)
        assert self.real.unfinished_tasks == self.unfinished


class LocksBesideNumbers(RuleBasedStateMachine):
    """A lock, an RLock and a semaphore used by one thread, beside plain numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.rlock, self.semaphore, self.event = (
            lw.Lock(),
            lw.RLock(),
            lw.Semaphore(3, bounded=True),
            lw.Event(),
        )
        self.locked, self.depth, self.free, self.flag = False, 0, 3, False

    @rule()
    def acquire(self) -> None:
        assert self.lock.acquire(False) is not self.locked
        self.locked = True

    @rule()
    def release(self) -> None:
        if self.locked:
            self.lock.release()
        else:
            with pytest.raises(RuntimeError):
                self.lock.release()
        self.locked = False

    @rule()
    def acquire_again(self) -> None:
        assert self.rlock.acquire()
        self.depth += 1

    @rule()
    def release_again(self) -> None:
        if self.depth:
            self.rlock.release()
            self.depth -= 1
        else:
            with pytest.raises(RuntimeError):
                self.rlock.release()

    @rule()
    def take(self) -> None:
        assert self.semaphore.acquire(False) is (self.free > 0)
        self.free = max(0, self.free - 1)

    @rule(count=st.integers(1, 3))
    def give(self, count: int) -> None:
        if self.free + count > 3:
            with pytest.raises(ValueError):
                self.semaphore.release(count)
        else:
            self.semaphore.release(count)
            self.free += count

    @rule(value=st.booleans())
    def set_or_clear(self, value: bool) -> None:
        (self.event.set if value else self.event.clear)()
        self.flag = value

    @invariant()
    def agree(self) -> None:
        assert self.lock.locked() is self.locked
        assert self.rlock.locked() is (self.depth > 0)
        assert self.event.is_set() is self.event.wait(0) is self.flag


TestQueueBesideADeque = QueueBesideADeque.TestCase
TestLocksBesideNumbers = LocksBesideNumbers.TestCase
TestQueueBesideADeque.settings = TestLocksBesideNumbers.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_philosophers_all_eat(backend: str) -> None:
    forks = [lw.Lock() for _ in range(5)]
    with lw.Executor(5, backend=backend) as executor:
        dinners = [executor.submit(jobs.dine, forks, place, 400) for place in range(5)]
        assert [dinner.result() for dinner in dinners] == [400] * 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bounded_buffer_loses_and_doubles_nothing(backend: str) -> None:
    buffer = jobs.Buffer(3)
    with lw.Executor(4, backend=backend) as executor:
        fills = [executor.submit(jobs.fill, buffer, list(range(i, 400, 2))) for i in range(2)]
        drains = [executor.submit(jobs.drain, buffer, 200) for _ in range(2)]
        got = [value for part in drains for value in part.result()]
        for each in fills:
            each.result()
    assert sorted(got) == list(range(400))


@pytest.mark.parametrize("maxsize", [0, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_histories_of_a_queue_are_linearizable(backend: str, maxsize: int) -> None:
    """Of first in, first out: nothing is taken before it was put, and what was put before another's put began is not
    taken only after that other had been taken. One clock serves all processes."""
    queue, start, each = lw.Queue(maxsize), lw.Barrier(4), 150
    with lw.Executor(4, backend=backend) as executor:
        putting = [executor.submit(jobs.puts, queue, start, list(range(i * each, (i + 1) * each))) for i in range(2)]
        getting = [executor.submit(jobs.gets, queue, start, each) for _ in range(2)]
        put = {value: when for one in putting for value, when in one.result().items()}
        got = {value: when for one in getting for value, when in one.result().items()}
    assert put.keys() == got.keys() == set(range(2 * each))
    assert all(got[value][1] > put[value][0] for value in put)
    wrong = [(a, b) for a in put for b in put if put[a][1] < put[b][0] and got[b][1] < got[a][0]]
    assert not wrong


def insist(lock, start, stop, counts, index: int) -> None:
    start.wait(50)
    while not stop.is_set():
        with lock:
            counts[index] += 1


def test_no_waiter_starves() -> None:
    """Four processes that want the lock all the time: each gets a fair part of it."""
    lock, start, stop = lw.Lock(), lw.Barrier(5), lw.Event()
    counts = lw.share(bytes(8 * 4), writable=True).cast("q")
    with lw.Executor(4, backend="processes") as executor:
        workers = [executor.submit(insist, lock, start, stop, counts, index) for index in range(4)]
        start.wait(50)
        timer = threading.Timer(1.5, stop.set)
        timer.start()
        for worker in workers:
            worker.result()
        timer.join()
    assert min(counts) > sum(counts) / 4 / 10, counts.tolist()


def test_a_holder_that_dies_is_told() -> None:
    for raising in (False, True):
        lock = lw.Lock(on_death="raise" if raising else "recover")
        with lw.Executor(1, backend="processes") as executor, pytest.raises(lw.WorkerCrashed):
            executor.submit(die_holding, lock).result()
        if raising:
            with pytest.raises(lw.HolderDied, match="half done"):
                lock.acquire()
            lock.reset()
        assert lock.acquire(timeout=1)
        assert lock.recovered is not raising
        lock.release()
        assert lock.acquire(False) and not lock.recovered


def die_holding(lock) -> None:
    import os
    import signal

    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_dead_holders_permits_return_and_a_barrier_breaks() -> None:
    semaphore, barrier = lw.Semaphore(1), lw.Barrier(2)
    with lw.Executor(1, backend="processes") as executor, pytest.raises(lw.WorkerCrashed):
        executor.submit(die_holding, semaphore).result()
    assert semaphore.acquire(timeout=1)
    with lw.Executor(1, backend="processes") as executor:
        future = executor.submit(barrier.wait)
        while not barrier.n_waiting:
            threading.Event().wait(0.005)
        assert executor.kill(future)
        with pytest.raises(lw.WorkerCrashed):
            future.result()
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(20)
