"""The kit's way, beside the lesson's: one function, run by threads and by processes alike, with lightwork's own locks,
queues, pipes and shared memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import get_native_id
from typing import Any

import lightwork as lw
from lightwork.lab import _work
from lightwork.lab._estimates import count, measured
from lightwork.lab._values import Figure, Settings

BACKENDS = ("threads", "processes")
WORKERS = 2
TURNS = 500
"""Turns of one worker under a lock that another one wants all the time: about 10 ms."""
MESSAGES = 500

SAME = "Beside it the same with lightwork's kit: one function, run by threads and by processes."
"""What the descriptions of these experiments end with."""


def _how(backend: str) -> dict[str, Any]:
    return {"backend": backend, "max_workers": WORKERS, "chunksize": 1}


# under a lock


def _take_turns(job: tuple[str, Any, Any, int]) -> int:
    """Adds 1 so many times, in the steps read, let others run, write; how often somebody else was inside too."""
    backend, lock, memory, turns = job
    words, me = memory.cast("q"), get_native_id()  # which no other process's thread has either
    others = 0
    for _ in range(turns):
        with lock:
            words[1] = me
            read = words[0]
            time.sleep(0)
            words[0] = read + 1
            others += words[1] != me
    _work.say(f"With lw.Lock, in {backend}: {turns} turns, {others} times not alone")
    return others


def under_a_lock(what: str) -> list[Figure]:
    """``what``: "lost" updates, or "inside": how often two were."""
    found = 0
    for backend in BACKENDS:
        lock, memory = lw.Lock(), lw.share(bytes(16), writable=True)
        others = sum(lw.map(_take_turns, [(backend, lock, memory, TURNS)] * WORKERS, **_how(backend)))
        found += others if what == "inside" else WORKERS * TURNS - memory.cast("q")[0]
    name = {"lost": "updates lost", "inside": "two inside"}[what]
    return [count(f"{name} with lw.Lock, threads and processes, of {len(BACKENDS) * WORKERS * TURNS:,}", found)]


def lock_price(settings: Settings) -> list[Figure]:
    """Nanoseconds for an ``lw.Lock`` that nobody else wants."""
    lock, times, each = lw.Lock(), 5_000, []
    for _ in range(settings.repeats):
        began = time.perf_counter()
        for _ in range(times):
            lock.acquire()
            lock.release()
        each.append((time.perf_counter() - began) / times * 1e9)
    return [measured("lw.Lock, one thread", each, "ns"), *under_a_lock("lost")]


# memory


def _look_and_change(job: tuple[str, Any]) -> int:
    backend, memory = job
    seen: int = memory[0]
    memory[0] = seen + 1
    _work.say(f"With lw.share, in {backend}: saw {seen}, set {seen + 1}")
    return seen


def one_variable() -> list[Figure]:
    """The caller sets, a worker sees and changes, the caller sees; the caller sets again, and so on."""
    seen = 0
    for backend in BACKENDS:
        memory = lw.share(bytes(1), writable=True)
        for value in (2, 20):
            memory[0] = value
            (saw,) = lw.map(_look_and_change, [(backend, memory)], **_how(backend))
            seen += (saw == value) + (memory[0] == value + 1)
    return [count(f"changes seen with lw.share, threads and processes, of {4 * len(BACKENDS)}", seen)]


def _count_and_change(job: tuple[str, Any, int]) -> int:
    backend, memory, wanted = job
    found: int = bytes(memory).count(wanted)
    memory[0] = 0
    _work.say(f"With lw.share, in {backend}: read {found} bytes")
    return found


def common_memory(size: int, filled: int) -> list[Figure]:
    """What the caller has written, as workers read it; what they write, as the caller sees it."""
    read = 0
    for backend in BACKENDS:
        memory = lw.share(bytes([filled]) * size, writable=True)
        (found,) = lw.map(_count_and_change, [(backend, memory, filled)], **_how(backend))
        read += found if memory[0] == 0 else 0
    return [count(f"bytes read with lw.share, threads and processes, of {len(BACKENDS) * size:,}", read)]


# messages


def _pass_on(job: tuple[str, str, Any, Any]) -> int:
    """One worker puts, the other gets; returns how many came in their place and unchanged."""
    backend, name, put, get = job
    if put is not None:
        for i in range(MESSAGES):
            put((i, f"message {i}"))
        return 0
    right: int = sum(get() == (i, f"message {i}") for i in range(MESSAGES))
    _work.say(f"With {name}, in {backend}: {right} of {MESSAGES} came in order and unchanged")
    return right


def messages(name: str) -> list[Figure]:
    """From one worker to the other through ``lw.Queue`` or ``lw.Pipe``."""
    right = 0
    for backend in BACKENDS:
        ends: tuple[Callable[[Any], object], Callable[[], Any]]
        if name == "lw.Queue":
            queue = lw.Queue()
            ends = queue.put, queue.get
        else:
            reading, writing = lw.Pipe(duplex=False)
            ends = writing.send, reading.recv
        jobs = [(backend, name, ends[0], None), (backend, name, None, ends[1])]
        right += sum(lw.map(_pass_on, jobs, **_how(backend)))
    return [count(f"in order with {name}, threads and processes, of {len(BACKENDS) * MESSAGES:,}", right)]
