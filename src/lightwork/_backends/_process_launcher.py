"""How a crew's worker processes begin and end: asked of the starter, told by it."""

from __future__ import annotations

import os
import sys

from lightwork import _descriptors, _platform
from lightwork._backends._launcher import End, Launcher
from lightwork._backends._messages import IMPORTED, KILL, NOTICE, REQUEST, START, WITH_GROUP
from lightwork._backends._spawning import open_channel
from lightwork._calls import Death
from lightwork._lean import signal, socket, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Watch = Callable[[socket.socket, Callable[[], None]], None]

_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}


class ProcessLauncher(Launcher):
    """Asks the starter for workers, over a line that belongs to one crew."""

    can_kill = True

    def __init__(self, call_timeout: float | None, bare: bool = False) -> None:
        """``bare``: workers are to begin with nothing in stock, which an initializer may set up before it is there."""
        self._call_timeout, self._bare = call_timeout, bare
        self._line: socket.socket | None = None
        self._broken = False
        """Whether the last line has ended: then the starter may be about to."""
        self._half = b""
        self._alive: set[int] = set()
        self._pids: dict[int, int] = {}
        self._hung_up: set[int] = set()
        self._orphans: set[int] = set()
        self._siblings: set[int] = set()
        """Orphans that have lost the same starter as another one."""

    def attach(self, watch: Watch, unwatch: Callable[[socket.socket], None], ended: Callable[[int, End], None]) -> None:
        self._watch, self._unwatch, self._ended = watch, unwatch, ended

    def launch(self, worker: int, sock: socket.socket, ledger: int | None) -> None:
        assert ledger is not None
        flags = sum(flag for flag, name in IMPORTED.items() if name in sys.modules)
        request = REQUEST.pack(START, flags, worker, self._call_timeout or 0.0)
        with _StandardStreams() as (out, err):
            passed = [sock.fileno(), ledger, out, err]
            for attempt in (1, 2):
                line = self._connected()
                try:
                    _descriptors.send_descriptors(line, request, passed)
                    break
                except (BrokenPipeError, ConnectionResetError):
                    # The starter was killed; its workers with it, which is told when their sockets end.
                    self._on_line()
                    if attempt == 2:
                        raise
        self._alive.add(worker)

    def ready(self, worker: int, pid: int) -> None:
        self._pids[worker] = pid

    def hung_up(self, worker: int) -> End | None:
        if worker in self._orphans:
            return self._lost(worker)
        # It is ending, or has closed its socket: then nobody can reach it. Its notice follows. A signal does not
        # change the exit status of a process that is ending.
        self._hung_up.add(worker)
        self.kill(worker, group=False)
        return None

    def kill(self, worker: int, group: bool) -> None:
        if worker in self._orphans:
            self._kill_orphan(worker)
        elif self._line is not None and worker in self._alive:
            with suppress(BrokenPipeError, ConnectionResetError):
                self._line.send(REQUEST.pack(KILL, WITH_GROUP if group else 0, worker, 0.0))

    def stacks(self, workers: Sequence[int]) -> dict[int, str]:
        from lightwork._backends import _stacks  # as seldom as it is asked for

        pids = {self._pids[worker]: worker for worker in workers if worker in self._pids and worker in self._alive}
        return {pids[pid]: stack for pid, stack in _stacks.ask(pids).items()}

    def memory(self) -> list[int]:
        found = (_platform.own_memory(self._pids[worker]) for worker in self._alive & self._pids.keys())
        return [size for size in found if size is not None]

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _connected(self) -> socket.socket:
        if self._line is None:
            self._line = open_channel(self._broken, self._bare)
            self._broken = False
            self._watch(self._line, self._on_line)
        return self._line

    def _on_line(self) -> None:
        """Reads notices; where the line has ended, the starter was killed, and the kernel kills its workers."""
        line = self._line
        if line is None:
            return
        with suppress(BlockingIOError):
            while data := _some(line):
                self._half += data
            self._unwatch(line)
            line.close()
            self._line, self._broken = None, True
        notices, rest = divmod(len(self._half), NOTICE.size)
        complete, self._half = self._half[: notices * NOTICE.size], self._half[len(self._half) - rest :]
        for worker, pid, status, memory in NOTICE.iter_unpack(complete):
            self._alive.discard(worker)
            self._ended(worker, describe(pid, status, bool(memory), self._call_timeout is not None))
        if self._line is None:
            orphans = sorted(self._alive)
            self._siblings.update(orphans[1:])
            for worker in orphans:
                self._orphans.add(worker)
                self._kill_orphan(worker)
                if worker in self._hung_up:
                    self._ended(worker, self._lost(worker))

    def _kill_orphan(self, worker: int) -> None:
        """The kernel does it already where it can; its pid is safe to use as long as its socket has not ended. Where
        the kernel cannot, one that has not greeted yet works on without its starter."""
        if worker in self._pids and worker not in self._hung_up:
            with suppress(ProcessLookupError):
                os.kill(self._pids[worker], signal.SIGKILL)

    def _lost(self, worker: int) -> Death:
        self._alive.discard(worker)
        self._orphans.discard(worker)
        reason = "was lost, because lightwork's starter process was killed"
        return Death(self._pids.get(worker), reason=reason, beside=worker in self._siblings, apart=True)


def _some(line: socket.socket) -> bytes:
    """What has arrived; empty at the end. BlockingIOError where nothing has.

    ECONNRESET is no end: Linux reports it once where the starter died with unread requests, before the rest.
    """
    try:
        return line.recv(4096, socket.MSG_DONTWAIT)
    except ConnectionResetError:
        return line.recv(4096, socket.MSG_DONTWAIT)


class _StandardStreams:
    """Descriptors of the caller's stdout and stderr of this moment; those that are closed lead nowhere."""

    def __enter__(self) -> tuple[int, int]:
        self._opened: list[int] = []
        return self._find(1), self._find(2)

    def _find(self, descriptor: int) -> int:
        try:
            os.fstat(descriptor)
        except OSError:
            descriptor = os.open(os.devnull, os.O_WRONLY)
            self._opened.append(descriptor)
        return descriptor

    def __exit__(self, *_: object) -> None:
        for descriptor in self._opened:
            os.close(descriptor)


def describe(pid: int, status: int, memory: bool, alarmed: bool) -> End:
    """A worker's end in words, from its wait status. ``memory``: the kernel killed for lack of it just then."""
    if pid == 0:
        return OSError(status, f"no worker process could be started: {os.strerror(status)}")
    if not os.WIFSIGNALED(status):
        code = os.waitstatus_to_exitcode(status)
        return Death(pid, None, code, f"ended with exit code {code}")
    number = os.WTERMSIG(status)
    try:
        from signal import Signals

        name = Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGALRM and alarmed:
        return Death(pid, number, None, "was ended by call_timeout's alarm", timed_out=True)
    if number == signal.SIGKILL and memory:
        return Death(pid, number, None, "was killed by the kernel for lack of memory", starved=True)
    if number in _CRASHES:
        return Death(pid, number, None, f"crashed with {name}")
    return Death(pid, number, None, f"was killed by {name}")
