"""Functions that end their process, hang, or look at it from within; quick to import in a worker."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lightwork import _context

HERE = "caller"


def die_by(how):
    if how == "raise":
        raise ValueError("raised")
    if how == "sys.exit":
        sys.exit(3)
    if how == "os._exit":
        os._exit(3)
    if how == "SIGSEGV":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest's faulthandler is not in the worker, but be sure
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class DiesUnpickling:
    def __init__(self, how, in_worker):
        self.how, self.in_worker = how, in_worker

    def __setstate__(self, state):
        self.__dict__.update(state)
        if (_context.backend() is not None) == self.in_worker:
            die_by(self.how)


class DiesPickling:
    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        die_by(self.how)


def take(item):
    return 1


def give_dying(how):
    return DiesPickling(how) if how else 1


def give_unpickling(how):
    return DiesUnpickling(how, in_worker=False) if how else 1


def run_dying(how):
    return die_by(how) if how else 1


def nap(seconds):
    time.sleep(seconds)
    return seconds


def kill_at(position):
    if position == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return bytes(position * 1000)


def power(exponent):
    return 7**exponent % 10


def sleep_in_c(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # holds the GIL
    return seconds


def chatter(count):
    for _ in range(count):
        print("x" * 1000)
    return count


def start_child(_):
    return subprocess.Popen(["sleep", "60"]).pid


def start_child_and_hang(path):
    Path(path).write_text(str(start_child(None)))
    time.sleep(60)


def getpid(_):
    return os.getpid()


def note_end(path):
    import atexit

    atexit.register(lambda: Path(path).write_text("ended"))


def look(_):
    return str(Path.cwd()), os.environ["LIGHTWORK_TEST"], os.environ.get("HOME"), sys.stdin.read()


def descriptors(_):
    return len(list(Path("/proc/self/fd").iterdir()))


def fork_and_leave(_):
    pid = os.fork()
    if pid == 0:
        print("from the child")
        time.sleep(3)
        os._exit(0)
    die_by("SIGKILL")


def close_everything(_):
    os.closerange(3, 100)
    return 1


def tell_length(told, data, more):
    Path(told).write_bytes(b"!")
    return len(data) + more
