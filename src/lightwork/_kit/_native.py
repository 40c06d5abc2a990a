"""The system's own primitives in shared memory: a mutex that survives its holder's death, and semaphores to sleep on.

On Linux these are the C library's: robust, process-shared mutexes (the kernel hands one on when its holder is killed,
and says so) and unnamed semaphores. They are called through ctypes, without giving up the GIL where nothing can block:
beside a computing thread each release of the GIL would cost 5 ms.

Elsewhere, and with ``LIGHTWORK_PORTABLE=1``, a POSIX record lock stands in for the mutex (the kernel drops it with its
process) and looking every few milliseconds for the semaphore.

A mutex is left by its ``unlock`` alone, called directly in a ``finally``: a Python function around it could be
interrupted (Ctrl-C) before it begins. Unlocking what one does not hold is harmless.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from lightwork import _handles, _machine, _platform
from lightwork._clock import SystemClock
from lightwork._lean import local

MUTEX = 64
"""Bytes of a mutex: 40 on x86-64, 48 on ARM."""
SEMAPHORE = 32
GUARD_SLICE = 0.05
"""Seconds that a thread waits for a mutex before it looks again: a wake-up that went to a thread which was killed just
then is lost (17 times in 200)."""
IN_ORDER = _platform.stores_in_order()
TRIES = 4
"""How often a mutex that is taken is tried before the thread sleeps: it is held for about a microsecond, and sleeping
and being woken takes ten."""
PORTABLE_LOOK = 0.002
"""Seconds between two looks where there is no semaphore."""

_ROBUST = _SHARED = _INHERIT = 1
_ERROR_CHECK = 2
_MONOTONIC = 1


class HeldAlready(RuntimeError):
    """This thread is inside the same critical section already."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _at(moment: float) -> Any:
    whole = int(moment)
    return ctypes.byref(_Timespec(whole, int((moment - whole) * 1e9)))


def _functions() -> tuple[Any, Any] | None:
    """The C library with and without the GIL held; None where it lacks something."""
    if not _platform.has_robust_mutexes():
        return None
    try:
        held, released = ctypes.PyDLL(None), ctypes.CDLL(None)
        for name in ("pthread_mutex_clocklock", "pthread_mutex_consistent", "sem_clockwait", "sem_init"):
            getattr(released, name)
    except (OSError, AttributeError):
        return None
    return held, released


Mutex = Any
trylock: Callable[[Mutex], int]
"""0: it is taken; else the number of an error, for ``enter``. Never blocks."""
unlock: Callable[[Mutex], int]
consistent: Callable[[Mutex], int]
"""Says that what a dead holder left has been repaired; harmless otherwise."""
post: Callable[[Any], int]

Claim = Any
claim: Callable[[Claim], int]
"""Makes a claim this thread's; 0 if it was nobody's. Never blocks, and ends with nobody: a thread that dies leaves its
name in it."""
drop: Callable[[Claim], int]
"""Makes this thread's claim nobody's."""

_both = _functions()
native = _both is not None

if _both is not None:
    _held, _released = _both
    trylock, unlock = _held.pthread_mutex_trylock, _held.pthread_mutex_unlock
    consistent = _held.pthread_mutex_consistent
    post, _try, _init = _held.sem_post, _held.sem_trywait, _held.sem_init
    _lock, _wait = _released.pthread_mutex_clocklock, _released.sem_clockwait

    class Memory:
        """A mapping whose parts the C library can be given."""

        def __init__(self, memory: mmap.mmap, descriptor: int) -> None:
            self._memory = memory
            self._buffer = (ctypes.c_char * len(memory)).from_buffer(memory)

        def mutex(self, offset: int) -> Mutex:
            return ctypes.byref(self._buffer, offset)

        semaphore = mutex

        def claim(self, offset: int) -> Claim:
            return ctypes.byref(self._buffer, offset) if CLAIMS else _word(self._memory, offset)

    def make_mutex(mutex: Mutex) -> None:
        attributes = ctypes.create_string_buffer(64)
        _held.pthread_mutexattr_init(attributes)
        _held.pthread_mutexattr_setpshared(attributes, _SHARED)
        _held.pthread_mutexattr_setrobust(attributes, _ROBUST)
        _held.pthread_mutexattr_settype(attributes, _ERROR_CHECK)
        problem = _held.pthread_mutex_init(mutex, attributes)
        if problem:
            raise OSError(problem, "the C library made no mutex")

    def enter(mutex: Mutex, problem: int, repair: Callable[[], object]) -> None:
        """Takes the mutex after ``trylock`` had the ``problem``; ``repair`` is called where its holder died."""
        tries = 0
        while problem:
            if problem == errno.EOWNERDEAD:
                repair()
                consistent(mutex)
                return
            if problem == errno.EDEADLK:
                raise HeldAlready(
                    "this thread was interrupted (by a signal handler, or by a __del__) while it used the same lock, "
                    "event or queue, and uses it again: do that outside of handlers"
                )
            if problem not in (errno.EBUSY, errno.ETIMEDOUT):
                raise OSError(problem, "the lock's memory is damaged")
            tries += 1
            problem = trylock(mutex)
            if problem == errno.EBUSY and tries >= TRIES:
                problem = _lock(mutex, _MONOTONIC, _at(SystemClock.now() + GUARD_SLICE))

    def make_semaphore(semaphore: Any) -> None:
        _init(semaphore, 1, 0)

    def sleep(semaphore: Any, seconds: float) -> bool:
        """Waits for a post. False: the time is over, or a signal came."""
        if not _try(semaphore):
            return True
        return bool(_wait(semaphore, _MONOTONIC, _at(SystemClock.now() + seconds)) == 0)

else:

    class _RecordLock:
        """A lock on some bytes of the file. Threads of one process share it, so they take turns by another before."""

        def __init__(self, descriptor: int, offset: int) -> None:
            self.descriptor, self.offset = descriptor, offset
            self.holder = 0

    class Memory:  # type: ignore[no-redef]
        """A mapping, and the file of which bytes can be locked."""

        def __init__(self, memory: mmap.mmap, descriptor: int) -> None:
            self._memory, self._descriptor = memory, descriptor

        def mutex(self, offset: int) -> Mutex:
            return _RecordLock(self._descriptor, offset)

        def semaphore(self, offset: int) -> Any:
            return memoryview(self._memory)[offset : offset + 1]

        def claim(self, offset: int) -> Claim:
            return _word(self._memory, offset)

    def make_mutex(mutex: Mutex) -> None:
        if not _platform.main_interpreter():
            raise OSError("sub-interpreters cannot share locks on this system: it has no robust mutexes")

    def trylock(mutex: Mutex) -> int:
        # Closing any descriptor of the file drops the lock: duplicates are closed in turn with this.
        if not _handles.registering.acquire(False):
            return errno.EBUSY
        try:
            fcntl.lockf(mutex.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, mutex.offset)
        except OSError:
            _handles.registering.release()
            return errno.EBUSY
        mutex.holder = _handles.thread()
        return 0

    def enter(mutex: Mutex, problem: int, repair: Callable[[], object]) -> None:
        """Takes the mutex after ``trylock`` had the ``problem``."""
        if mutex.holder == _handles.thread():
            raise HeldAlready("this thread uses the same lock, event or queue already: do not use it in handlers")
        with_others = _handles.registering
        with_others.acquire()
        try:
            fcntl.lockf(mutex.descriptor, fcntl.LOCK_EX, 1, mutex.offset)
        except BaseException:
            with_others.release()
            raise
        mutex.holder = _handles.thread()

    def unlock(mutex: Mutex) -> int:
        if mutex.holder != _handles.thread():
            return errno.EPERM
        mutex.holder = 0
        fcntl.lockf(mutex.descriptor, fcntl.LOCK_UN, 1, mutex.offset)
        _handles.registering.release()
        return 0

    def consistent(mutex: Mutex) -> int:
        return 0

    def make_semaphore(semaphore: Any) -> None:
        semaphore[0] = 0

    def post(semaphore: Any) -> int:
        semaphore[0] = 1
        return 0

    def sleep(semaphore: Any, seconds: float) -> bool:
        """Waits for a post, looking for it."""
        end = SystemClock.now() + seconds
        while not semaphore[0]:
            if SystemClock.now() >= end:
                return False
            time.sleep(PORTABLE_LOOK)
        semaphore[0] = 0
        return True


def _word(memory: mmap.mmap, offset: int) -> memoryview:
    return memoryview(memory)[offset : offset + 4].cast("I")


def _make_claim(claim: Any) -> int:
    """A mutex with priority inheritance: the kernel prescribes that its first word is the holder's thread id, set in
    one step, and nothing else refers to it. (In a robust one the C library's list does, which nobody may change for
    another thread.)"""
    attributes = ctypes.create_string_buffer(64)
    _held.pthread_mutexattr_init(attributes)
    _held.pthread_mutexattr_setpshared(attributes, _SHARED)
    _held.pthread_mutexattr_settype(attributes, _ERROR_CHECK)
    problem: int = _held.pthread_mutexattr_setprotocol(attributes, _INHERIT)
    return problem or _held.pthread_mutex_init(claim, attributes)


def _claims_name_threads() -> bool:
    if not native:
        return False
    buffer = ctypes.create_string_buffer(MUTEX)
    word, attempt = ctypes.c_uint32.from_buffer(buffer), ctypes.byref(buffer)
    return (
        not _make_claim(attempt)
        and not _held.pthread_mutex_trylock(attempt)
        and word.value == threading.get_native_id()
        and not _held.pthread_mutex_unlock(attempt)
        and word.value == 0
    )


CLAIMS = _claims_name_threads()
ALONE = CLAIMS and IN_ORDER
"""Whether claims are made and dropped outside of any guard."""

if CLAIMS:
    claim, drop, make_claim = trylock, unlock, _make_claim
else:

    def claim(claim: Claim) -> int:
        if claim[0]:
            return errno.EBUSY
        claim[0] = here.name
        return 0

    def drop(claim: Claim) -> int:
        claim[0] = 0
        return 0

    def make_claim(claim: Claim) -> int:
        return drop(claim)


def refuse(claim: Claim) -> int:
    return errno.EBUSY


class _Here(local):
    """``name``: of this thread, or its process, in claims; ``alone``: the same where it may drop them outside of any
    guard."""

    def __init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        self.name = threading.get_native_id() if CLAIMS else os.getpid()
        self.alone = self.name if ALONE else None


here = _Here()
_machine.at_fork(here.refresh)
