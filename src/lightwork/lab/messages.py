"""Claims about data that goes from process to process: messages, and memory that both see."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing import shared_memory
from multiprocessing.connection import Connection
from typing import Any, Protocol

from lightwork.lab import _alike, _crew
from lightwork.lab._estimates import count, equal, every, measured, ratio
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict

BIG = 8 << 20
"""Bytes of one big message: a picture, a matrix of 1000 × 1000 floats. Far more than fits into a pipe at
once."""


class Channel(Protocol):
    """What both ways to send messages are reduced to here."""

    def put(self, message: Any) -> None: ...
    def get(self) -> Any: ...


class PipeEnd:
    """A pipe's end with the queue's words."""

    def __init__(self, connection: Connection) -> None:
        self.put, self.get = connection.send, connection.recv


def _numbers(settings: Settings) -> int:
    return max(500, min(20_000, int(settings.window * 20_000)))


def _messages(n: int) -> list[tuple[int, str]]:
    return [(i, f"message {i}") for i in range(n)]


def _answer(pipe: Connection, channel: Channel | None) -> None:
    """Receives all messages, and says how they came: how many, how many in their place with what was sent,
    until when.

    Without a channel the messages come through the pipe itself.
    """
    source = PipeEnd(pipe) if channel is None else channel
    pipe.send("ready")
    while (expected := pipe.recv()) is not None:
        right = 0
        for wanted in _messages(expected):
            right += source.get() == wanted
        small_end = time.perf_counter()
        size = len(source.get())
        pipe.send((right, small_end, size, time.perf_counter()))


def _send_and_time(settings: Settings, method: Callable[[Any], Channel | None]) -> list[Figure]:
    channel = method(_crew.context())
    n, big = _numbers(settings), bytes(BIG)
    right = sent = 0
    each, speed = [], []
    _crew.fresh_record()
    with _crew.child_processes([_answer], channel) as (pipe,):
        pipe.recv()
        sink: Channel = PipeEnd(pipe) if channel is None else channel
        for _ in range(settings.repeats):
            pipe.send(n)
            began = time.perf_counter()
            for message in _messages(n):
                sink.put(message)
            before_big = time.perf_counter()
            sink.put(big)
            correct, small_end, size, big_end = pipe.recv()
            sent, right = sent + n, right + correct
            each.append((small_end - began) / n * 1e6)
            # The big one is under way from when it was handed over or the small ones were through, whichever
            # is later.
            speed.append(size / (big_end - max(before_big, small_end)) / 1e6)
        pipe.send(None)
    return [
        count("messages sent", sent),
        count("received in order and unchanged", right),
        measured("one small message", each, "µs"),
        measured("big messages", speed, "MB/s"),
    ]


def measure_queue(settings: Settings) -> list[Figure]:
    return [*_send_and_time(settings, lambda context: context.Queue()), *_alike.messages("lw.Queue")]


def measure_pipe(settings: Settings) -> list[Figure]:
    return [*_send_and_time(settings, lambda _: None), *_alike.messages("lw.Pipe")]


def judge_messages(evidence: Evidence) -> Judgement:
    sent, right = evidence["messages sent"], evidence["received in order and unchanged"]
    return Judgement(
        equal(right, sent.value),
        f"{right} of {sent} messages came out in order and unchanged; "
        f"{evidence['one small message']} each, big ones at {evidence['big messages']}.",
    )


FILLED = 0xA5
"""The byte that is written; any but 0, which fresh memory holds."""


def _read_memory(pipe: Connection, name: str, queue: Any, repeats: int) -> None:
    """Reads what the other process writes, once from common memory and once from the queue, and writes a byte
    back."""
    memory = shared_memory.SharedMemory(name=name)
    area: Any = memory.buf
    target = bytearray(BIG)
    try:
        pipe.send("ready")
        for turn in range(repeats):
            pipe.recv()
            target[:] = area[:BIG]
            from_memory = time.perf_counter()
            right = target.count(FILLED)
            area[0] = turn
            pipe.send((right, from_memory))
            through_queue = queue.get()
            pipe.send((len(through_queue), time.perf_counter()))
    finally:
        memory.close()


def measure_shared_memory(settings: Settings) -> list[Figure]:
    context = _crew.context()
    queue = context.Queue()
    data = bytes([FILLED]) * BIG
    memory = shared_memory.SharedMemory(create=True, size=BIG)
    area: Any = memory.buf
    written = right = seen_back = 0
    by_memory, by_queue = [], []
    try:
        with _crew.child_processes([_read_memory], memory.name, queue, settings.repeats) as (pipe,):
            pipe.recv()
            for turn in range(settings.repeats):
                began = time.perf_counter()
                area[:BIG] = data
                pipe.send("it is there")
                matching, end = pipe.recv()
                by_memory.append(BIG / (end - began) / 1e9)
                written, right = written + BIG, right + matching
                seen_back += area[0] == turn
                began = time.perf_counter()
                queue.put(data)
                _, end = pipe.recv()
                by_queue.append(BIG / (end - began) / 1e9)
    finally:
        memory.close()
        memory.unlink()
    return [
        count("bytes written by one process", written),
        count("of these, read by the other", right),
        count("turns", settings.repeats),
        count("turns in which the reader's own change was seen", seen_back),
        measured("common memory", by_memory, "GB/s"),
        measured("Queue", by_queue, "GB/s"),
        ratio("common memory / Queue", by_memory, by_queue),
        *_alike.common_memory(BIG, FILLED),
    ]


def judge_shared_memory(evidence: Evidence) -> Judgement:
    read, written = evidence["of these, read by the other"], evidence["bytes written by one process"]
    back, turns = evidence["turns in which the reader's own change was seen"], evidence["turns"]
    verdict = every(equal(read, written.value), equal(back, turns.value))
    if verdict is Verdict.HOLDS:
        seen = "Both processes saw what the other wrote"
    else:
        seen = f"Only {read} of {written} bytes, and {back} of {turns} changes back, were seen"
    return Judgement(
        verdict,
        f"{seen}: {evidence['common memory']}, through a Queue {evidence['Queue']}, "
        f"which is {evidence['common memory / Queue']} as fast.",
    )


def _many(settings: Settings) -> str:
    return f"{_numbers(settings):,} small messages and one of {BIG >> 20} MiB, {settings.repeats} times"


EXPERIMENTS = (
    Experiment(
        "queue",
        "A Queue carries data from process to process.",
        lambda settings: (
            f"{_many(settings)}, through a multiprocessing.Queue to a second process that checks each. {_alike.SAME}"
        ),
        measure_queue,
        judge_messages,
    ),
    Experiment(
        "pipe",
        "A Pipe carries data from process to process.",
        lambda settings: (
            f"{_many(settings)}, through a multiprocessing.Pipe to a second process that checks each. {_alike.SAME}"
        ),
        measure_pipe,
        judge_messages,
    ),
    Experiment(
        "shared-memory",
        "Shared memory gives all processes access to common memory.",
        lambda settings: (
            f"{BIG >> 20} MiB written by one process and copied out by another, which writes a byte "
            "back; the same bytes "
            f"through a Queue; {settings.repeats} turns. {_alike.SAME}"
        ),
        measure_shared_memory,
        judge_shared_memory,
    ),
)
