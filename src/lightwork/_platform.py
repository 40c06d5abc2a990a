"""What the process backend asks of the operating system, and what it does where the answer is no.

Linux has all of it. Elsewhere, and anywhere with ``LIGHTWORK_PORTABLE=1`` in the environment (so that the
fallbacks can be tested on Linux), plain POSIX stands in: an unlinked file for anonymous memory, polling the
parent's pid for a process descriptor, and the starter's orderly shutdown for the kernel's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import sys

from lightwork._descriptors import FIRST, apart, closed_streams
from lightwork._lean import RLock, deque, signal, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    import socket
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


HOME = __file__.rpartition("lightwork")[0].rstrip("/") or "/"
"""The folder to import lightwork from."""
SAME_LIGHTWORK = f"import sys; sys.path.insert(0, {HOME!r}); import lightwork; sys.path.append(sys.path.pop(0)); "
"""How a program begins that is to have this very lightwork, whichever else may be installed, and whose other imports
are not to find what lies beside it first."""

_MAP_FIXED = 0x10
"""On Linux; Python has no name for it."""

_PER_DESCRIPTOR_LIMIT = 65_536
"""Descriptors that are closed one by one where the kernel cannot close a range; more are never open in practice."""


def portable() -> bool:
    """Whether the fallbacks are asked for."""
    return os.environ.get("LIGHTWORK_PORTABLE") == "1"


def anonymous_memory(size: int, more: int) -> int:
    """A descriptor of zero bytes that have no name, so that nothing is left when processes are killed.

    They are ``more`` than ``size`` where bytes that nobody touches take no room. Raises OSError.
    """
    if sys.platform == "linux" and not portable():
        descriptor = apart(os.memfd_create("lightwork", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        with suppress(OSError):  # a limit on the size of files holds for these too
            os.ftruncate(descriptor, more)
            return descriptor
    else:
        import tempfile

        file, path = tempfile.mkstemp(prefix="lightwork-")
        descriptor = apart(file)
        os.unlink(path)  # noqa: PTH108 - pathlib takes 8 ms to import, which every start would pay
    try:
        os.ftruncate(descriptor, size)
    except OSError as problem:
        os.close(descriptor)
        if problem.errno == errno.EFBIG:
            problem.add_note(f"lightwork: {size:,} bytes of shared memory are a file to the kernel; see ulimit -f")
        raise
    return descriptor


def make_private(memory: Any, descriptor: int, at: int, size: int) -> None:
    """Makes what ``memory``, a ctypes array, shares of a file a mapping of this process's own, which a fork has a copy
    of: ``size`` bytes that begin ``at`` in the file, and the rest of their pages. What stands there stays. Raises
    OSError."""
    import ctypes
    import mmap

    over = at % mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_size_t]
    address = ctypes.addressof(memory) - over
    rights, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
    if libc.mmap(address, over + size, rights, flags, descriptor, at - over) != address:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def has_proc() -> bool:
    """Whether the kernel shows a process's descriptors to others."""
    return sys.platform == "linux" and not portable()


def threads() -> int | None:
    """How many this process has, whoever started them; None where nobody says."""
    try:
        return len(os.listdir("/proc/self/task")) if has_proc() else None  # noqa: PTH208
    except OSError:  # nobody has mounted it
        return None


def named_memory(name: str) -> int | None:
    """A descriptor of a file in memory that ``memory_of`` finds, and which is always appended to; None where nobody
    else could find it."""
    if sys.platform != "linux" or portable():
        return None
    descriptor = apart(os.memfd_create(name, os.MFD_CLOEXEC))
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor


def memory_of(pid: int, name: str) -> int | None:
    """A descriptor of our own for another process's file in memory of this name; None where it has none."""
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            path = f"/proc/{pid}/fd/{number}"
            with suppress(FileNotFoundError):  # it was closed meanwhile
                if os.readlink(path).startswith(f"/memfd:{name}"):  # noqa: PTH115
                    return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None  # it has ended, or is not ours
    return None


def epoll() -> Any:
    """An ``epoll`` object, which knows of any number of sockets; None where the kernel has none."""
    if sys.platform != "linux" or portable():
        return None
    made = select.epoll()
    if made.fileno() >= FIRST:
        return made
    with made:
        return select.epoll.fromfd(fcntl.fcntl(made.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST))


def watch_process(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the kernel has none."""
    if sys.platform != "linux" or portable():
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


_filling = RLock()
"""Held while descriptors stand where the program has closed a standard stream. A signal handler may map memory, too."""


def mapped(descriptor: int, size: int, access: int = 0) -> mmap.mmap:
    """The memory behind a descriptor. ``access``: one of the constants of ``mmap``; 0: that module's default."""
    import mmap

    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size, access=access, trackfd=False)
    # It keeps a duplicate with the lowest number that is free.
    filled: list[int] = []
    with _filling:
        try:
            for _ in closed_streams():
                filled.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            return mmap.mmap(descriptor, size, access=access)
        finally:
            for each in filled:
                os.close(each)


def _forget_filling() -> None:
    global _filling
    _filling = RLock()  # whoever had it is not in the fork


os.register_at_fork(after_in_child=_forget_filling)


def can_end_with() -> bool:
    """Whether the kernel can end a process with another one."""
    return sys.platform == "linux" and not portable()


def end_with(tether: socket.socket) -> bool:
    """Lets the kernel kill this process as soon as the other end of ``tether`` is closed. False where it cannot.

    The signal that announces activity on a descriptor (``F_SETSIG``) is set to SIGKILL, so it also reaches a
    process that is stuck in C code. Against ``PR_SET_PDEATHSIG`` it needs no ctypes (5–35 ms to import) and
    does not depend on which thread of the parent forked. The other end must never write. Of one that was closed before
    nobody tells: look at the tether afterwards.
    """
    if not can_end_with():
        return False
    set_signal = getattr(fcntl, "F_SETSIG", 10)  # named since Python 3.14; 10 on every Linux architecture
    fcntl.fcntl(tether, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(tether, set_signal, signal.SIGKILL)
    fcntl.fcntl(tether, fcntl.F_SETFL, fcntl.fcntl(tether, fcntl.F_GETFL) | os.O_ASYNC)
    return True


def close_descriptors_from(first: int) -> None:
    """Closes every descriptor from ``first`` on."""
    limit = 2**31 - 1 if sys.platform == "linux" else min(os.sysconf("SC_OPEN_MAX"), _PER_DESCRIPTOR_LIMIT)
    os.closerange(first, limit)


def reap(pid: int, before: Callable[[int], None]) -> int | None:
    """The wait status of a child that has ended, or None while it lives.

    ``before`` is given the signal that ended it (0: none) before the pid, and its group's, can be anybody else's.
    """
    if not hasattr(os, "waitid") or portable():
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            return None
        before(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
        return status
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    before(0 if ended.si_code == os.CLD_EXITED else ended.si_status)
    return os.waitpid(pid, 0)[1]


def has_stopped(pid: int) -> bool:
    """Whether a child was stopped (SIGSTOP, SIGTSTP) since this was asked last. False where nobody says: on macOS
    before Python 3.13."""
    try:
        return hasattr(os, "waitid") and os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None
    except ChildProcessError:  # it has just ended: what asks for stops alone does not see it
        return False


def alarm_waits(pid: int) -> bool:
    """Whether SIGALRM has been sent to a process that takes no signals, because it is stopped. False where the kernel
    does not say."""
    if sys.platform != "linux" or portable():
        return False
    try:
        lines = _lines(f"/proc/{pid}/status")
    except OSError:
        return False
    pending = next((int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd:")), 0)
    return bool(pending >> (signal.SIGALRM - 1) & 1)


spawned: deque[int] = deque(maxlen=64)
"""The last ones that were: no call's children."""


def spawn(arguments: list[str], stdin: int) -> int:
    """Starts a program in a session of its own, where the kernel can do that, so that Ctrl-C does not reach it.

    It reads from ``stdin``, writes nowhere, and shares the caller's stderr and environment. Returns its pid.
    Not ``subprocess``: importing that would take longer than the start.
    """
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    try:
        inherited = os.get_inheritable(2)
    except OSError:
        inherited = False
    if not inherited:  # it is closed, or will be (see ``_descriptors``): what is opened next would stand there
        actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
    own_session = sys.platform == "linux" and not portable()
    try:
        pid = os.posix_spawn(
            arguments[0], arguments, os.environ, file_actions=actions, setsigmask=[], setsid=own_session
        )
        spawned.append(pid)
        return pid
    except (FileNotFoundError, PermissionError):
        if (problem := _unopened(os.devnull)) is not None:
            raise problem from None  # the other one names the program
        raise


def _unopened(path: str) -> OSError | None:
    """Why a file cannot be written to."""
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError as problem:
        problem.add_note(f"lightwork: each process begins with its output led to {path}, which is to be there")
        return problem
    return None


def volunteer_for_memory_kill() -> None:
    """Asks the kernel to take this process before its parents when memory runs out; nothing where it cannot."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
            score.write("500")
    except OSError:
        return  # no such file, or not allowed: the kernel then chooses by size, which is a worker too, mostly


def can_limit_memory() -> bool:
    """Whether the kernel enforces a limit on a process's own memory as it is allocated. macOS knows the limit's name,
    and lets every mapping pass."""
    return sys.platform == "linux"


def own_memory(pid: int) -> int | None:
    """Bytes of anonymous memory that a process has in use, what it shares left out; None where nobody says."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:  # noqa: PTH123
            fields = file.read(256).split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # it has ended, or this is no Linux
        return None


def memory_kills() -> int | None:
    """How often the kernel has killed in this process's control group for lack of memory; None if it won't say."""
    for counter in _memory_counters():
        try:
            lines = _lines(counter)
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None


def _memory_counters() -> list[str]:
    try:
        groups = _lines("/proc/self/cgroup")
    except OSError:
        return []
    found = []
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers == "":
            found += [f"/sys/fs/cgroup{path}/memory.events", "/sys/fs/cgroup/memory.events"]
        elif "memory" in controllers.split(","):
            home = "/sys/fs/cgroup/memory"
            found += [f"{home}{path}/memory.oom_control", f"{home}/memory.oom_control"]
    return found


def _lines(path: str) -> list[str]:
    with open(path) as file:  # noqa: PTH123
        return file.read().splitlines()


def interpreters() -> ModuleType | None:
    """The module ``concurrent.interpreters``; None before Python 3.14 and in builds without it."""
    if sys.version_info < (3, 14):
        return None
    try:
        import importlib

        return importlib.import_module("concurrent.interpreters")
    except ImportError:
        return None


def with_may_leak() -> bool:
    """Whether Ctrl-C may strike between the taking of a lock and the block that would give it back (CPython 3.14)."""
    return sys.version_info[:2] == (3, 14)


def main_interpreter() -> bool:
    """Whether this is no sub-interpreter."""
    import threading

    main: object = getattr(threading, "_is_main_interpreter", None)
    if callable(main):
        return bool(main())
    import _thread

    return bool(getattr(_thread, "_is_main_interpreter", lambda: True)())


def has_robust_mutexes() -> bool:
    """Whether the kernel hands on a mutex in shared memory whose holder is killed."""
    return sys.platform == "linux" and not portable()


def stores_in_order() -> bool:
    """Whether a processor's stores are seen by the others in the order in which it made them, and loads are made in
    theirs. ARM does not promise that, but where both have gone through the same mutex."""
    return os.uname().machine in ("x86_64", "i686", "i586")


def process_began(pid: int) -> int | None:
    """When a process began, in hundredths of a second from a fixed moment; None if it has ended, also where nobody has
    waited for it yet."""
    if sys.platform == "linux":
        try:
            file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:
            return None
        try:
            fields = os.read(file, 1024).rpartition(b")")[2].split()
        except ProcessLookupError:
            return None
        finally:
            os.close(file)
        return None if not fields or fields[0] in (b"Z", b"X") else int(fields[19])
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 100)
    except psutil.Error:
        return None


def has_mapped(thread: int, inode: int) -> bool:
    """Whether the process of this thread has a file in its memory; where nobody says, whether it runs."""
    try:
        with open(f"/proc/{thread}/maps") as lines:  # noqa: PTH123
            return any(int(line.split(maxsplit=5)[4]) == inode for line in lines)
    except (FileNotFoundError, ProcessLookupError):
        return sys.platform != "linux" and process_began(thread) is not None
    except OSError:
        return process_began(thread) is not None


def seal(descriptor: int, writable: bool) -> None:
    """Nobody can shrink this anonymous memory from now on, nor write to it in new places; nothing where the system
    cannot see to that."""
    if sys.platform != "linux" or portable():
        return
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    future_write = getattr(fcntl, "F_SEAL_FUTURE_WRITE", 0x10)
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        if not writable:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, future_write)
