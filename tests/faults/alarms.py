"""Functions that have SIGALRM for themselves."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def ignores() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def blocks() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])


def handles() -> None:
    signal.signal(signal.SIGALRM, lambda *_: None)


def takes_the_timer() -> None:
    signal.alarm(600)
    signal.alarm(0)


def hang_with_the_alarm(has: Any, x: int) -> int:
    has()
    while x == 3:
        time.sleep(60)
    return x


def own_timeout(x: int) -> str:
    def strike(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        time.sleep(10)
    except TimeoutError:
        return "timed out"
    finally:
        signal.signal(signal.SIGALRM, before)
    return "slept"


class Slow:
    """What is closed when there is a word, and leaves notes when that begins and when it is over."""

    def __init__(self, closing: str, word: str, closed: str) -> None:
        self.closing, self.word, self.closed = map(Path, (closing, word, closed))

    def __call__(self) -> Slow:
        return self

    def close(self) -> None:
        print("closing")
        self.closing.touch()
        while not self.word.exists():
            time.sleep(0.005)
        self.closed.touch()


def holds(held: Any) -> bool:
    return held is None or held() is not None


def stop_the_caller(pid: int, seconds: float, x: int) -> int:
    if seconds:
        again = ["sh", "-c", f"sleep {seconds}; kill -CONT {pid}"]
        os.posix_spawn("/bin/sh", again, os.environ, setsid=True)
        os.kill(pid, signal.SIGSTOP)
    return x
