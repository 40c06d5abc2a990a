"""Claims about exclusive access: what breaks without a lock, what a lock mends, and why nobody should make
their own."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from lightwork.lab import _alike, _crew, _work
from lightwork.lab._estimates import count, equal, every
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict

THREADS = 2
FAST_TURNS = 1e-5
"""The switch interval while these run, in seconds. The interpreter may switch between any two steps anyhow;
asking it to do so more often shows in seconds what else shows once in months."""

LINE = "the quick brown fox jumps over the lazy dog"

DRAWN = 0.012
"""Seconds that one hold takes in the run that is drawn: long enough to be seen."""


class Account:
    """Something that only one at a time may change."""

    def __init__(self) -> None:
        self.balance = 0

    def pay_in(self) -> None:
        """``balance += 1`` as the machine does it: read, add, write. Between the steps anyone may come.

        Until Python 3.9 a switch could come inside the short form too; since 3.10 the interpreter looks for
        one only at calls and at the ends of loops, and in the free-threaded build others run at the same
        time. A call between reading and writing, here to the smallest sleep, stands for the ordinary program
        in which there is one.
        """
        read = self.balance
        time.sleep(0)
        self.balance = read + 1


def _in_threads(work: Callable[[], None]) -> None:
    """Runs the work in ``THREADS`` threads at once, with switches as often as can be asked for."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(FAST_TURNS)
    together = threading.Barrier(THREADS)

    def begin() -> None:
        together.wait()
        work()

    crew = [threading.Thread(target=begin, name=f"Thread-{i}") for i in range(1, THREADS + 1)]
    try:
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    finally:
        sys.setswitchinterval(usual)


def lost_updates(times: int, lock: AbstractContextManager[object]) -> int:
    account = Account()

    def work() -> None:
        for _ in range(times):
            with lock:
                account.pay_in()

    _in_threads(work)
    return THREADS * times - account.balance


def mixed_lines(times: int, lock: AbstractContextManager[object]) -> int:
    """Lines that came out of a pipe other than they were printed, of ``THREADS * times`` printed ones.

    The stream writes through, as the standard output of ``python -u`` does: ``print`` then writes word after
    word, and another thread may come in between.
    """
    reading, writing = os.pipe()
    received: list[bytes] = []

    def collect() -> None:
        while part := os.read(reading, 1 << 16):
            received.append(part)

    collector = threading.Thread(target=collect)
    collector.start()
    with io.TextIOWrapper(os.fdopen(writing, "wb", buffering=0), write_through=True) as stream:

        def work() -> None:
            for _ in range(times):
                with lock:
                    print(*LINE.split(), file=stream)

        _in_threads(work)
    collector.join()
    os.close(reading)
    lines = b"".join(received).decode().split("\n")[:-1]
    whole = lines.count(LINE)
    return THREADS * times - whole


def _times(settings: Settings) -> int:
    return max(500, min(20_000, int(settings.window * 10_000)))


FEWEST_LINES = 2_000
"""With these a pipe of 64 KiB fills up, so that a thread must wait now and then, and another one comes to print."""


def _lines(settings: Settings) -> int:
    return max(FEWEST_LINES, _times(settings))


PATIENCE = 20
"""So many times as long it is gone on where nothing broke: on a busy machine two threads may well take turns."""


def _lost_and_mixed(
    settings: Settings, make: Callable[[], AbstractContextManager[object]], *, patience: int = 1
) -> list[Figure]:
    times, lines = _times(settings), _lines(settings)
    made = lost = printed = mixed = 0
    for turn in range(patience * settings.repeats):
        if turn < settings.repeats or not lost:
            made += THREADS * times
            lost += lost_updates(times, make())
        if turn < settings.repeats or not mixed:
            printed += THREADS * lines
            mixed += mixed_lines(lines, make())
    return [
        count("updates made", made),
        count("updates lost", lost),
        count("lines printed", printed),
        count("lines mixed", mixed),
    ]


def measure_race(settings: Settings) -> list[Figure]:
    figures = _lost_and_mixed(settings, nullcontext, patience=PATIENCE)
    _draw(nullcontext())
    return [*figures, *_alike.under_a_lock("lost")]


def measure_lock(settings: Settings) -> list[Figure]:
    figures = _lost_and_mixed(settings, threading.Lock)
    _draw(threading.Lock())
    return [*figures, *_alike.under_a_lock("lost")]


def _draw(lock: AbstractContextManager[object]) -> None:
    """A slow run for the picture: when did each thread wait, when was it inside?"""
    _crew.fresh_record()

    def work() -> None:
        for turn in range(3):
            _work.say(f"Wants turn {turn + 1}")
            with _work.noted(_work.WAITING):
                lock.__enter__()
            with _work.noted(_work.HOLDING if hasattr(lock, "acquire") else "inside, with no lock"):
                time.sleep(DRAWN)
            lock.__exit__(None, None, None)
            time.sleep(DRAWN / 4)

    _in_threads(work)


def judge_race(evidence: Evidence) -> Judgement:
    lost, mixed = evidence["updates lost"], evidence["lines mixed"]
    said = (
        f"{lost} of {evidence['updates made']} updates were lost, {mixed} of {evidence['lines printed']} "
        "lines came out mixed"
    )
    if lost.value and mixed.value:
        return Judgement(Verdict.HOLDS, f"{said}.")
    return Judgement(Verdict.NOT_ENOUGH, f"{said}; that nothing broke in one run does not prove that nothing can.")


def judge_lock(evidence: Evidence) -> Judgement:
    lost, mixed = evidence["updates lost"], evidence["lines mixed"]
    verdict = every(equal(lost, 0), equal(mixed, 0))
    return Judgement(
        verdict,
        f"With a lock {lost} of {evidence['updates made']} updates were lost and {mixed} of "
        f"{evidence['lines printed']} lines "
        "came out mixed.",
    )


class FlagLock:
    """The lock that the lesson warns of: test a flag, and then set it. Here to fail."""

    def __init__(self) -> None:
        self.flag = False

    def __enter__(self) -> None:
        while self.flag:
            time.sleep(0)
        time.sleep(0)  # between the test and the set: here the other comes in
        self.flag = True

    def __exit__(self, *exc: object) -> None:
        self.flag = False


class Room:
    """Counts how often somebody who should be alone inside was not."""

    def __init__(self) -> None:
        self.owner = 0
        self.violations = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        me = threading.get_ident()
        self.owner = me
        time.sleep(0)
        yield
        # Another name on the door means that another one has come in since. Counting under-counts if
        # anything.
        self.violations += self.owner != me


def violations(times: int, lock: AbstractContextManager[object]) -> int:
    room = Room()

    def work() -> None:
        for _ in range(times):
            with lock, room.entered():
                pass

    _in_threads(work)
    return room.violations


def measure_home_made(settings: Settings) -> list[Figure]:
    times = _times(settings)
    own = sum(violations(times, FlagLock()) for _ in range(settings.repeats))
    real = sum(violations(times, threading.Lock()) for _ in range(settings.repeats))
    _draw_home_made()
    return [
        count("times inside", settings.repeats * THREADS * times),
        count("two inside, with the lock made of a flag", own),
        count("two inside, with threading.Lock", real),
        *_alike.under_a_lock("inside"),
    ]


def _draw_home_made() -> None:
    """One meeting at the flag, slowed down: both have tested it before either has set it."""
    _crew.fresh_record()
    flag = [False]
    tested = threading.Barrier(THREADS)

    def work() -> None:
        with _work.noted(_work.WAITING):
            while flag[0]:
                time.sleep(0)
            tested.wait()  # the switch at the worst moment, brought about on purpose for the picture
        flag[0] = True
        _work.say("Is inside")
        with _work.noted(_work.HOLDING):
            time.sleep(DRAWN)
        flag[0] = False

    _in_threads(work)


def judge_home_made(evidence: Evidence) -> Judgement:
    own = evidence["two inside, with the lock made of a flag"]
    real = evidence["two inside, with threading.Lock"]
    said = (
        f"In {evidence['times inside']} entries the flag let a second one in {own} times, threading.Lock {real} times"
    )
    if real.value:
        return Judgement(Verdict.DOES_NOT_HOLD, f"{said}: the real lock failed too.")
    if own.value:
        return Judgement(Verdict.HOLDS, f"{said}.")
    return Judgement(Verdict.NOT_ENOUGH, f"{said}; that the flag was lucky in one run does not make it a lock.")


EXPERIMENTS = (
    Experiment(
        "race",
        "What may be used by only one at a time breaks when two use it without a lock.",
        lambda settings: (
            f"Two threads add 1 to a number {_times(settings):,} times each (read, let others run, write), and print "
            f"{_lines(settings):,} lines each to one unbuffered stream; {settings.repeats} times, and where nothing "
            f"broke up to {PATIENCE} times as often, with a switch interval of 10 µs. {_alike.SAME}"
        ),
        measure_race,
        judge_race,
    ),
    Experiment(
        "lock",
        "A Lock gives exclusive access: it is granted only if no one else holds it.",
        lambda _: (
            "The race again, each update and each print under a lock. The lesson's print example has "
            "a fault: `lock = Lock` "
            "names the class and makes no lock, so that lock.acquire() fails. It must be `lock = "
            "Lock()`; and `with lock:` "
            "around the print also releases it when the print fails. The picture shows waits and "
            f"holds, slowed down. {_alike.SAME}"
        ),
        measure_lock,
        judge_lock,
    ),
    Experiment(
        "home-made",
        "Do not make your own lock: testing and setting a flag is not one step, and two get in.",
        lambda settings: (
            f"Two threads entered {_times(settings):,} times each, {settings.repeats} times, by `while "
            "flag: pass; flag = True`, "
            "and by threading.Lock. Between test and set the flag's thread lets others run (the "
            "smallest sleep): it makes the "
            "gap wider, but the gap is there without it. The picture shows one meeting, slowed down. "
            f"{_alike.SAME}"
        ),
        measure_home_made,
        judge_home_made,
    ),
)
