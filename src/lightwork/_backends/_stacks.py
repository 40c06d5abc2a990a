"""What a worker process is doing: its Python stack, on demand, whatever it is stuck in.

    asker ── SIGURG ──▶ worker: faulthandler, in C ──▶ a file without a name ──▶ asker, who finds it under /proc

A signal handler in C can write to a descriptor and little more: not to the worker's socket, where a frame may be on its
way. So each worker has a file of its own for this, in memory. Where there is no /proc, the stack goes to the worker's
stderr, which is its caller's.

SIGURG, because hardly a program has a use for it, and because a process that has none ignores it: one that was
mistaken for a worker does not die of it. Only the main thread's stack is written: that of others can be in the middle
of a change, and reading it has crashed.
"""

from __future__ import annotations

import os
import sys
import time

from lightwork import _platform
from lightwork._lean import signal, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


SIGNAL = signal.SIGURG

_NAME = "lightwork-stack"
_STARTER = "from lightwork._backends._starter import main"
PATIENCE = 1.0
"""Seconds that an answer is waited for. One that is running has written it within a millisecond."""
SETTLED = 0.03
"""Seconds after which what has been written is taken to be all."""
ELSEWHERE = "  (its stack is on the standard error of its program)"
FULL = 1 << 20
"""Bytes of old answers from which on a file is emptied."""


def answer() -> None:
    """Has this process write its stack whenever it is asked to."""
    import faulthandler

    file = _platform.named_memory(_NAME)
    # System calls are begun again after it, except for those that the kernel never begins again (a sleep in C).
    faulthandler.register(SIGNAL, file=2 if file is None else file, all_threads=False, chain=False)


def ask(pids: Iterable[int]) -> dict[int, str]:
    """The stacks of those of these workers that answer, the most recent call first.

    Where answers cannot be read, which is everywhere but on Linux, they say where they are.
    """
    files: dict[int, tuple[int, int]] = {}
    answers: dict[int, str] = {}
    try:
        for pid in pids:
            file = _platform.memory_of(pid, _NAME)
            if file is None and not _platform.has_proc():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, SIGNAL)
                    answers[pid] = ELSEWHERE
                    time.sleep(SETTLED)  # one after the other: they write to one place
            if file is None:
                continue
            begin = os.fstat(file).st_size
            if begin > FULL:
                os.ftruncate(file, 0)
                begin = 0
            files[pid] = file, begin
            with suppress(ProcessLookupError):
                os.kill(pid, SIGNAL)
        end = time.perf_counter() + PATIENCE
        sizes = dict.fromkeys(files, -1)
        while not answers.keys() >= files.keys() and time.perf_counter() < end:
            time.sleep(SETTLED)  # nobody tells when a handler has ended
            for pid, (file, begin) in files.items():
                size = os.fstat(file).st_size
                if size > begin and size == sizes[pid]:
                    answers.setdefault(pid, shown(os.pread(file, size - begin, begin).decode("utf-8", "replace")))
                sizes[pid] = size
    finally:
        for file, _ in files.values():
            os.close(file)
    return answers


def shown(dump: str) -> str:
    """faulthandler's text without its head, and without what stands below the call: lightwork's loop and its start."""
    lines = [line for line in dump.splitlines() if line.startswith("  ")]
    ours = f'  File "{_platform.HOME}/lightwork/'
    end = len(lines)
    while end and not lines[end - 1].startswith(ours):
        end -= 1
    while end and lines[end - 1].startswith(ours):
        end -= 1
    return "\n".join(lines[:end] or ["  (between two calls)"])


def workers_of(pid: int) -> list[int]:
    """The worker processes of a program, those of its workers too. ``psutil.NoSuchProcess`` where there is none."""
    import psutil

    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error, ProcessLookupError):  # it has ended meanwhile, or is not ours to look at
            parent = process.parent()
            # A worker is a fork of its starter, and so has its command; the starter's own parent has another. One that
            # was forked ahead has no process group of its own yet.
            forked = parent is not None and _STARTER in " ".join(parent.cmdline())
            if forked and os.getpgid(process.pid) == process.pid:
                found.append(process.pid)
    return found


def of_threads(idents: Iterable[int]) -> dict[int, str]:
    """The same for threads of this process."""
    frames = sys._current_frames()
    found = {}
    for ident in idents:
        frame, lines = frames.get(ident), []
        while frame is not None:
            lines.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}')
            frame = frame.f_back
        if lines:
            found[ident] = shown("\n".join(lines))
    return found
