"""Queues and pipes across backends; ends that are closed, killed, shut down; large messages in place."""

from __future__ import annotations

import gc
import multiprocessing
import queue
import threading

import pytest

import lightwork as lw
from lightwork._kit.queues import ShutDown
from tests.conftest import Way
from tests.kit import jobs

MESSAGES = [1, "two", None, {"three": [3]}, bytes(100), bytes(100_000), bytearray(50_000), ("x" * 200_000,), 1.5]


def parallel(way: Way) -> None:
    if way.name in ("serial", "asyncio"):
        pytest.skip("its calls run one after another")


@pytest.mark.parametrize("maxsize", [0, 2])
def test_messages_arrive_in_order(way: Way, maxsize: int) -> None:
    parallel(way)
    channel = lw.Queue(maxsize)
    with lw.Executor(2, backend=way.name) as executor:
        produced = executor.submit(jobs.produce, channel, MESSAGES * 20)
        assert executor.submit(jobs.consume, channel, len(MESSAGES) * 20).result() == MESSAGES * 20
        produced.result()
    assert channel.empty() and channel.qsize() == 0


def test_every_message_once_with_four_ends_each(way: Way) -> None:
    parallel(way)
    channel = lw.Queue(50)
    with lw.Executor(8, backend=way.name) as executor:
        puts = [executor.submit(jobs.produce, channel, list(range(i, 2000, 4))) for i in range(4)]
        gets = [executor.submit(jobs.consume, channel, 500) for _ in range(4)]
        got = [future.result() for future in gets]
        for future in puts:
            future.result()
    assert sorted(value for part in got for value in part) == list(range(2000))
    for part in got:
        for i in range(4):
            mine = [value for value in part if value % 4 == i]
            assert mine == sorted(mine)


def test_threads_that_wait_at_both_ends_share_the_memory() -> None:
    # Without the GIL a view of the memory that they all took slices of was released under them.
    for _ in range(60):
        channel = lw.Queue(2)
        with lw.Executor(4, backend="threads") as executor:
            puts = [executor.submit(jobs.produce, channel, [b"x" * 50] * 300) for _ in range(2)]
            gets = [executor.submit(jobs.consume, channel, 300) for _ in range(2)]
            assert all(future.result() == [b"x" * 50] * 300 for future in gets)
            for future in puts:
                future.result()


def test_a_large_array_is_received_where_it_lies_and_is_the_receivers() -> None:
    np = pytest.importorskip("numpy")
    channel = lw.Queue()
    original = np.arange(200_000.0)
    channel.put({"a": original, "b": original[::2]})
    original[:] = 0
    got = channel.get()
    assert got["a"].flags.writeable and got["a"][-1] == 199_999.0
    got["a"][:] = 7
    channel.put(np.zeros(200_000))
    second = channel.get()
    assert (got["a"] == 7).all() and (second == 0).all()
    assert got["b"].tolist() == list(range(0, 200_000, 2))
    del got, second
    gc.collect()
    assert channel._records.blocks.new_block(100) == 0, "the blocks are free again"


def test_more_than_memory_for_small_ones_can_hold_at_once_comes_back_in_order() -> None:
    channel = lw.Queue()
    for i in range(30_000):
        channel.put(i.to_bytes(4, "little") * 100)
    assert all(channel.get() == i.to_bytes(4, "little") * 100 for i in range(30_000))


def test_timeouts_and_full() -> None:
    channel = lw.Queue(1)
    with pytest.raises(queue.Empty):
        channel.get(timeout=0.01)
    channel.put(1)
    assert channel.full()
    for message in (2, bytes(100_000)):
        with pytest.raises(queue.Full):
            channel.put(message, timeout=0.01)
        with pytest.raises(queue.Full):
            channel.put_nowait(message)
    assert channel.get_nowait() == 1


@pytest.mark.parametrize(("make", "name"), [(lw.Queue, "maxsize"), (lw.Semaphore, "value"), (lw.Barrier, "parties")])
def test_what_is_no_number_is_refused_at_once(make, name: str) -> None:
    for value in ("3", 2.5, None):
        with pytest.raises(TypeError, match=f"{name} must be a whole number, not"):
            make(value)


def test_what_cannot_be_pickled_raises_in_put() -> None:
    channel = lw.Queue()
    with pytest.raises(TypeError):
        channel.put(threading.Lock())
    channel.put("sound")
    assert channel.get() == "sound"


@pytest.mark.parametrize("make", [lw.Lock, lw.Event, lw.Queue, lambda: lw.Pipe()[0]])
def test_a_kit_object_in_a_message_is_refused_in_the_sender(make) -> None:
    thing = make()
    channel, (receiver, sender) = lw.Queue(), lw.Pipe(duplex=False)
    for message in (thing, [{"a": thing}], lambda: thing):
        with pytest.raises(TypeError, match="Give those who receive the message the object beforehand"):
            channel.put(message)
        with pytest.raises(TypeError, match="Give those who receive the message the object beforehand"):
            sender.send(message)
    assert channel.empty() and not receiver.poll()


def test_a_shared_array_in_a_message_is_copied() -> None:
    np = pytest.importorskip("numpy")
    shared = lw.share(np.zeros(100), writable=True)
    channel = lw.Queue()
    channel.put(shared)
    got = channel.get()
    got[:] = 1
    assert not shared.any()


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_reaches_other_processes(immediate: bool) -> None:
    channel = lw.Queue()
    with lw.Executor(1, backend="processes") as executor:
        waiting = executor.submit(jobs.consume, channel, 3)
        channel.put(1)
        channel.put(2)
        while not channel.empty():
            threading.Event().wait(0.001)
        channel.shutdown(immediate)
        with pytest.raises(type(ShutDown())):
            waiting.result()
    with pytest.raises(ShutDown):
        channel.put(4)


def test_join_waits_for_tasks_in_other_processes() -> None:
    channel = lw.Queue()
    for i in range(20):
        channel.put(i)

    def work(channel) -> None:
        for _ in range(10):
            channel.get()
            channel.task_done()

    with lw.Executor(2, backend="processes") as executor:
        futures = [executor.submit(work, channel) for _ in range(2)]
        channel.join()
        for future in futures:
            future.result()
    with pytest.raises(ValueError, match="too many times"):
        channel.task_done()


def echo(end) -> int:
    count = 0
    while True:
        try:
            end.send(end.recv())
        except EOFError:
            return count
        count += 1


def test_a_pipe_both_ways(way: Way) -> None:
    parallel(way)
    here, there = lw.Pipe()
    with lw.Executor(1, backend=way.name) as executor:
        echoing = executor.submit(echo, there)
        for message in MESSAGES:
            here.send(message)
            assert here.poll(10) and here.recv() == message
        if way.name == "threads":
            there = None
        else:
            there.close()
        here.close()
        assert echoing.result() == len(MESSAGES)


def test_one_way() -> None:
    receiver, sender = lw.Pipe(duplex=False)
    sender.send_bytes(b"0123456789", 2, 5)
    assert receiver.recv_bytes() == b"23456"
    with pytest.raises(OSError):
        receiver.send(1)
    with pytest.raises(OSError):
        sender.recv()
    sender.close()
    with pytest.raises(EOFError):
        receiver.recv()


def test_a_killed_end_is_an_end() -> None:
    here, there = lw.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=echo, args=(there,))
    process.start()
    there.close()
    here.send(1)
    assert here.recv() == 1
    process.kill()
    process.join()
    with pytest.raises(EOFError):
        here.recv()
    with pytest.raises(BrokenPipeError):
        here.send(2)


@pytest.mark.parametrize("size", [10, 20_000, 300_000])
def test_with_one_guard_for_both_ends(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """As on processors whose stores may be seen in another order. Threads, which all see the change."""
    from lightwork._kit import _native

    monkeypatch.setattr(_native, "IN_ORDER", False)
    queue, event = lw.Queue(4), lw.Event()
    with lw.Executor(3, backend="threads") as executor:
        got = [executor.submit(jobs.consume, queue, 50) for _ in range(2)]
        executor.submit(jobs.produce, queue, [bytes([i]) * size for i in range(100)]).result()
        taken = [message[0] for each in got for message in each.result()]
    assert sorted(taken) == list(range(100))
    event.set()
    assert event.is_set() and event.wait()
