"""A lock's claim and the word beside it: whoever is killed between the stores, the next one gets the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

import lightwork as lw
from lightwork._kit import _native
from lightwork._kit._identity import me
from lightwork._kit.locks import CLAIM, OWNER

pytestmark = [
    pytest.mark.skipif(not _native.ALONE, reason="here locks are taken inside of the guard"),
    # What the children do takes no lock that a thread of whoever runs the tests could hold.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def killed_after(do: Callable[[], object]) -> None:
    pid = os.fork()
    if not pid:
        try:
            do()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


def recovers(lock: lw.Lock) -> None:
    assert lock.acquire(timeout=20) and lock.recovered
    lock.release()
    assert not lock.recovered and not lock.locked()


def test_just_after_the_claim() -> None:
    lock = lw.Lock()
    killed_after(lambda: _native.claim(lock._claim))
    recovers(lock)


def test_just_before_the_claims_end() -> None:
    lock = lw.Lock()

    def begin_to_release() -> None:
        lock.acquire()
        lock._words[OWNER] = 0

    killed_after(begin_to_release)
    recovers(lock)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_while_it_ends_another_threads_claim(steps: int) -> None:
    lock = lw.Lock()
    lock.acquire()

    def begin_to_release() -> None:
        assert not _native.trylock(lock._mutex)
        lock._words[OWNER] = me.token
        if steps > 1:
            lock._halves[CLAIM] = _native.here.name
        if steps > 2:
            lock._words[OWNER] = 0

    killed_after(begin_to_release)
    recovers(lock)


def test_the_dead_threads_number_has_come_again() -> None:
    lock = lw.Lock()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        lock._halves[CLAIM] = other.pid  # which lives, and knows nothing of this lock
        recovers(lock)
        other.communicate(b"\n")


def test_a_claim_that_was_just_made_is_not_taken_away() -> None:
    lock, claimed, over = lw.Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        _native.claim(lock._claim)
        claimed.set()
        over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    claimed.wait()
    assert not lock.acquire(timeout=0.5)
    over.set()
    holder.join()


@pytest.mark.parametrize("on_death", ["recover", "raise"])
@pytest.mark.parametrize("process", [False, True])
def test_somebody_else_releases_while_one_waits(on_death: str, process: bool) -> None:
    lock, go, got = lw.Lock(on_death=on_death), lw.Event(), threading.Event()

    def release() -> None:
        go.wait()
        lock.release()

    lock.acquire()
    pid = os.fork() if process else None
    if pid == 0:
        release()
        os._exit(0)
    if not process:
        threading.Thread(target=release).start()

    def wait() -> None:
        with lock:
            got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not got.wait(0.05)
    go.set()
    waiter.join(20)
    assert got.is_set() and not lock.locked() and not lock.recovered
    if pid:
        os.waitpid(pid, 0)
