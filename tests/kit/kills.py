"""Processes that use one primitive and are killed at random moments; run as a program: ``kills.py PRIMITIVE KILLS``.

The parent forks children that loop over the primitive, kills one of them after a random fraction of a millisecond or
two, starts another in its place, and sees to it that the others go on: the count of rounds that all children have made
must grow within ``STANDSTILL`` seconds after each kill. Prints "sound" when nothing hung and nothing was corrupt.
With ``as-on-arm`` behind, the ways are tried that are taken where stores may be seen in another order.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

import lightwork as lw
from lightwork._kit import _native

STANDSTILL = 10.0
ROUNDS, FIRST, SECOND, WRONG, INSIDE = range(5)
words = memoryview(mmap.mmap(-1, 4096)).cast("Q")
"""What the children and their parent share beside the primitive."""


role = [0]
"""Of this child: 1 produces, 0 consumes."""


def wrong(code: int) -> None:
    words[WRONG] = code


def two_counters(lock: lw.Lock) -> None:
    """What the lock protects: two numbers that are equal outside of it."""
    if words[FIRST] != words[SECOND]:
        if not lock.recovered:
            wrong(1)
        words[SECOND] = words[FIRST]
    words[FIRST] += 1
    words[SECOND] += 1
    words[ROUNDS] += 1


def use_lock(lock: lw.Lock) -> None:
    with lock:
        two_counters(lock)


def use_rlock(lock: lw.RLock) -> None:
    with lock, lock:
        two_counters(lock)


def use_semaphore(semaphore: lw.Semaphore) -> None:
    with semaphore:
        words[ROUNDS] += 1  # two at a time may lose an update: the rounds grow all the same


def use_event(event: lw.Event) -> None:
    if role[0]:
        event.set()
        event.clear()
    else:
        event.wait(0.001)
    words[ROUNDS] += 1


def use_condition(condition: lw.Condition) -> None:
    """A buffer with one place."""
    with condition:
        me = os.getpid()
        condition.wait_for(lambda: words[FIRST] != me, 0.05)
        words[FIRST] = me
        words[ROUNDS] += 1
        condition.notify()


def use_barrier(barrier: lw.Barrier) -> None:
    try:
        barrier.wait(0.2)
        words[ROUNDS] += 1
    except threading.BrokenBarrierError:
        barrier.reset()


def use_queue(queue: lw.Queue) -> None:
    """Half produce, half consume. Each message carries its own sum."""
    if role[0]:
        small, size = random.random() < 0.7, random.choice((10, 3000, 200_000))
        body = os.urandom(8) * (10 if small else size // 8)
        message = (sum(body), body if random.random() < 0.5 else np.frombuffer(body, np.uint8))
        try:
            queue.put(message, timeout=0.05)
        except lw_full:
            return
    else:
        try:
            total, body = queue.get(timeout=0.05)
        except lw_empty:
            return
        if total != int(np.frombuffer(body, np.uint8).sum()):
            wrong(2)
    words[ROUNDS] += 1


def use_pipe(ends: tuple[object, object]) -> None:
    here, there = ends
    if role[0]:
        body = os.urandom(8) * random.choice((1, 400, 30_000))
        if words[INSIDE] < 50:
            here.send((sum(body), body))
    elif there.poll(0.05):
        try:
            total, body = there.recv()
        except EOFError:
            return
        if total != sum(body):
            wrong(3)
    words[ROUNDS] += 1


from queue import Empty as lw_empty  # noqa: E402
from queue import Full as lw_full  # noqa: E402

PRIMITIVES: dict[str, tuple[Callable[[], object], Callable[..., None], int]] = {
    "lock": (lw.Lock, use_lock, 3),
    "rlock": (lw.RLock, use_rlock, 3),
    "semaphore": (lambda: lw.Semaphore(2), use_semaphore, 4),
    "event": (lw.Event, use_event, 4),
    "condition": (lw.Condition, use_condition, 3),
    "barrier": (lambda: lw.Barrier(2), use_barrier, 3),
    "queue": (lambda: lw.Queue(20), use_queue, 4),
    "pipe": (lambda: lw.Pipe(), use_pipe, 4),
}


def child(use: Callable[..., None], thing: object, index: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        random.seed()
        role[0] = index % 2
        while True:
            use(thing)
    except BaseException:
        import traceback

        traceback.print_exc()
        wrong(99)
    finally:
        os._exit(1)


def main(name: str, kills: int) -> None:
    make, use, count = PRIMITIVES[name]
    thing = make()
    children = [child(use, thing, index) for index in range(count)]
    try:
        strike(name, kills, use, thing, children)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def strike(name: str, kills: int, use: Callable[..., None], thing: object, children: list[int]) -> None:
    longest, count = 0.0, len(children)
    for _ in range(kills):
        time.sleep(random.random() * 0.003)
        index = random.randrange(count)
        os.kill(children[index], signal.SIGKILL)
        os.waitpid(children[index], 0)
        before, began = words[ROUNDS], time.perf_counter()
        if count > 2 and name not in ("queue", "pipe", "event"):
            # The survivors alone must go on.
            while words[ROUNDS] == before:
                time.sleep(0.0005)
                if time.perf_counter() - began > STANDSTILL:
                    raise SystemExit(f"a standstill of more than {STANDSTILL} s: {thing!r}")
            longest = max(longest, time.perf_counter() - began)
        children[index] = child(use, thing, index)
        while words[ROUNDS] == before:
            time.sleep(0.0005)
            if time.perf_counter() - began > 2 * STANDSTILL:
                raise SystemExit(f"a standstill of more than {2 * STANDSTILL} s: {thing!r}")
        longest = max(longest, time.perf_counter() - began)
        if words[WRONG]:
            raise SystemExit(f"corrupt: {words[WRONG]}")
    print(f"sound: {kills} kills, {words[ROUNDS]} rounds, the longest standstill {longest:.3f} s")


if __name__ == "__main__":
    if sys.argv[3:] == ["as-on-arm"]:
        _native.IN_ORDER = False
    main(sys.argv[1], int(sys.argv[2]))
