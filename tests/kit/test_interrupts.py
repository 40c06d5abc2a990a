"""Ctrl-C while a lock is used: wherever it strikes, the lock is free again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lightwork._kit import _native

pytestmark = pytest.mark.skipif(not _native.native, reason="record locks are Python code, interrupted anywhere")

PROGRAM = """
import random, signal, sys, threading, time
import lightwork as lw

kind, others = sys.argv[1], int(sys.argv[2])
strikes = 100 if others else 300
sys.setswitchinterval(1e-4)
make = getattr(lw, kind)
thing, main = make(), threading.main_thread().ident
running, over, stray = threading.Event(), threading.Event(), random.Random(1)

def strike():
    for _ in range(strikes):
        running.wait()
        running.clear()
        time.sleep(stray.random() * 0.0005)
        signal.pthread_kill(main, signal.SIGINT)

def use():
    while not over.is_set():
        with thing:
            pass

threads = [threading.Thread(target=each) for each in [strike] + [use] * others]
for thread in threads:
    thread.start()
taken = 0
for _ in range(strikes):
    try:
        running.set()
        while True:
            with thing:
                pass
    except KeyboardInterrupt:
        pass
    if not thing.acquire(timeout=5 if others else 0):
        taken += 1
    if kind == "RLock":
        taken += thing._recursion_count() > 1
    thing.release()
over.set()
for thread in threads:
    thread.join()
print("still taken:", taken)
"""


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "Condition"])
def test_an_interrupt_leaves_nothing_taken(kind: str, others: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(others)], capture_output=True, text=True, timeout=50
    )
    assert done.stdout == "still taken: 0\n", done.stdout + done.stderr
