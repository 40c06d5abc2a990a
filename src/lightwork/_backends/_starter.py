"""The starter: one small process per caller, without threads, that forks workers and buries them.

    caller ── control socket (stdin): a channel per crew ──▶ starter ── fork ──▶ workers
    crew   ── channel: START, KILL ──▶ starter
    crew  ◀── channel: (worker, pid, wait status, memory kill) of each that ended ── starter

The caller may have threads, so it must not fork; this process has none, so it may, with everything that a worker needs
already imported. The first workers it forks ahead (see ``_blank``). It runs nothing of the caller's code. It ends, and
kills all its workers, when the control socket closes or the caller's process ends, even if something that the caller
forked holds the socket. When the starter itself is killed, the kernel kills its workers (see ``_platform.end_with``).
"""

from __future__ import annotations

import errno
import gc
import marshal
import math
import os
import select
import sys

from lightwork import _descriptors, _platform
from lightwork._backends import _ledger
from lightwork._backends._blank import PASSED, Blank
from lightwork._backends._messages import (
    IMPORTED,
    LAST_CREW,
    NOTICE,
    REQUEST,
    START,
    WITH_GROUP,
)
from lightwork._clock import SystemClock
from lightwork._lean import signal, socket, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


POLL_PARENT = 0.5
"""Seconds between looks at the parent's pid, where the kernel does not tell when a process ends."""
POLL_STOPPED = 0.05
"""Seconds between looks at workers that somebody stopped, whose calls may have run out of time meanwhile."""
LATE = 0.25
"""Seconds after which a call is ended whose alarm did not: the function has SIGALRM, or the timer, for itself."""
STOPS = 0.05
"""Seconds that a worker is given to stop."""
LONGEST_POLL = 3600.0
MOST_SPARES = 4
"""Workers that are forked ahead, at most: further ones are forked while these begin."""
TRIES = 5
"""Workers that may be killed one after another before they are told whose they are."""
ANEW = "anew"
"""What the program is called with where it has begun before."""
SPARED = 1.0
"""Seconds after which those that nobody wanted are ended."""


class Channel:
    """A crew's line. What the crew does not read yet waits in ``unsent``: nobody may block the starter."""

    __slots__ = ("open", "sock", "unsent", "workers")

    def __init__(
        self, sock: socket.socket, workers: dict[int, int] | None = None, unsent: bytes = b"", open: bool = True
    ) -> None:
        self.sock = sock
        self.workers: dict[int, int] = {} if workers is None else workers
        self.unsent = unsent
        self.open = open

    def tell(self, worker: int, pid: int, status: int, memory: bool) -> None:
        self.unsent += NOTICE.pack(worker, pid, status, memory)
        self.flush()

    def flush(self) -> None:
        try:
            while self.open and self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return
        except OSError:
            self.open = False


class Child:
    """``ledger``: a descriptor of its own, where its calls have a ``call_timeout``; ``late``: it was killed for it."""

    __slots__ = ("blank", "call_timeout", "channel", "late", "ledger", "worker")

    def __init__(self, channel: Channel, worker: int, blank: Blank, call_timeout: float, ledger: int | None) -> None:
        self.channel = channel
        self.worker = worker
        self.blank = blank
        self.call_timeout = call_timeout
        self.ledger = ledger
        self.late = False

    def due(self) -> float:
        """When its call is to be over; infinite where it has none, or it is dying already."""
        if self.ledger is None or self.late:
            return math.inf
        return _ledger.due(self.ledger) or math.inf


class Starter:
    def __init__(self, control: socket.socket, caller: int) -> None:
        self.control, self.caller = control, caller
        self.channels: dict[int, Channel] = {}
        self.children: dict[int, Child] = {}
        self.stopped: dict[int, float] = {}
        self.leaving = False
        """Whether it ends when it has no crew left."""
        self.spares: list[Blank] = []
        self.spared = math.inf
        """When they are ended if nobody wants them."""
        self.caller_ends = _platform.watch_process(caller)
        self.memory_kills = _platform.memory_kills()
        self.wakeup, self._wake = _descriptors.connected()
        self.wakeup.setblocking(False)
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Until the caller is gone."""
        while os.getppid() == self.caller:
            ready = self._ready()
            if self.control.fileno() in ready and not self._open_channel():
                break
            if self.caller_ends is not None and self.caller_ends in ready:
                break
            if self.wakeup.fileno() in ready:
                self._bury()
            self._continue_late()
            self._end_late()
            for descriptor in ready & self.channels.keys():
                self._serve_channel(self.channels[descriptor])
            if self.spares and SystemClock.now() >= self.spared:
                self._end_spares()
            if self.leaving and not self.channels:
                break
        for pid in self.children:
            _kill(pid, group=True)
        self._end_spares()

    def _ready(self) -> set[int]:
        poll = select.poll()
        for descriptor in (self.control.fileno(), self.wakeup.fileno(), self.caller_ends):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        for descriptor, channel in self.channels.items():
            poll.register(descriptor, select.POLLIN | (select.POLLOUT if channel.unsent else 0))
        pauses = [] if self.caller_ends is not None else [POLL_PARENT]
        if self.stopped:
            pauses.append(POLL_STOPPED)
        if self.spares:
            pauses.append(max(0.0, self.spared - SystemClock.now()))
        for child in self.children.values():
            if child.ledger is not None:
                left = min(child.due() - SystemClock.now(), child.call_timeout)
                pauses.append(min(max(0.0, left) + LATE, LONGEST_POLL))
        return {descriptor for descriptor, _ in poll.poll(min(pauses) * 1000 if pauses else None)}

    def _open_channel(self) -> bool:
        """Takes a new crew's channel; False where the caller has closed the control socket."""
        try:
            data, descriptors = _descriptors.receive_descriptors(self.control, 1, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for descriptor in descriptors:
            self.channels[descriptor] = Channel(_descriptors.adopted(descriptor))
        self.leaving = self.leaving or data == LAST_CREW
        return bool(data)

    def _serve_channel(self, channel: Channel) -> None:
        channel.flush()
        descriptor = channel.sock.fileno()
        try:
            data, passed = _descriptors.receive_descriptors(channel.sock, REQUEST.size, PASSED)
            while 0 < len(data) < REQUEST.size:
                data += channel.sock.recv(REQUEST.size - len(data))
        except BlockingIOError:
            return
        except OSError:
            data, passed = b"", []
        if not data:
            # The crew is closed, or its caller has died: nobody wants its workers.
            channel.open = False
            for pid in channel.workers.values():
                _kill(pid, group=True)
            self._end_spares()
            del self.channels[descriptor]
            channel.sock.close()
            return
        what, flags, worker, call_timeout = REQUEST.unpack(data)
        if what == START:
            self._start(channel, worker, flags, call_timeout, passed)
        elif worker in channel.workers:
            _kill(channel.workers[worker], bool(flags & WITH_GROUP))

    def _start(self, channel: Channel, worker: int, flags: int, call_timeout: float, passed: list[int]) -> None:
        self._import([name for flag, name in IMPORTED.items() if flags & flag])
        ledger = None
        try:
            if len(passed) < PASSED:
                raise OSError(errno.EMFILE, "")  # there was no room for the others
            ledger = os.dup(passed[1]) if call_timeout else None
            blank = self._begun(passed)
        except OSError as problem:
            if ledger is not None:
                os.close(ledger)
            channel.tell(worker, 0, problem.errno or 0, False)
        else:
            self.children[blank.pid] = Child(channel, worker, blank, call_timeout, ledger)
            channel.workers[worker] = blank.pid
        for descriptor in passed:
            os.close(descriptor)

    def _import(self, names: Iterable[str]) -> None:
        """Imports what workers will need, once for all; spares without it are none."""
        before = len(sys.modules)
        for name in names:
            with suppress(ImportError):  # where only the caller's own path leads to it, workers import it themselves
                __import__(name)
        if len(sys.modules) > before:
            self._end_spares()
            gc.freeze()

    def _begun(self, passed: list[int]) -> Blank:
        """A worker with these descriptors. Raises OSError."""
        while self.spares:
            spare = self.spares.pop()
            try:
                spare.begin(passed)
                return spare
            except OSError:
                spare.end()  # somebody has killed it
        for left in reversed(range(TRIES)):
            blank = Blank()
            try:
                blank.begin(passed)
                break
            except OSError as problem:
                blank.end()
                if not left or not isinstance(problem, ConnectionError):
                    raise  # else somebody has killed it, which says nothing of the next one
        return blank

    def make_ready(self, spares: int, modules: Iterable[str], collects: bool) -> None:
        """Does what the first workers will want while the caller is still loading what asks for them. ``collects``:
        garbage is collected from here on."""
        self._import(modules)
        # What is there by now is none, and a worker that looked for some there would write to all pages that it has in
        # common with this process.
        gc.freeze()
        if collects:
            gc.enable()
        with suppress(OSError):  # no room: then there will be none for workers, which is told to who wants some
            while len(self.spares) < min(spares, MOST_SPARES):
                self.spares.append(Blank())
        self.spared = SystemClock.now() + SPARED

    def _end_spares(self) -> None:
        while self.spares:
            self.spares.pop().end()

    def _bury(self) -> None:
        """Reaps whoever ended, and tells their crews."""
        with suppress(BlockingIOError):
            while self.wakeup.recv(4096):
                continue
        self.spares = [spare for spare in self.spares if not spare.has_ended()]
        for pid in list(self.children):
            status = _platform.reap(pid, lambda ended_by, pid=pid: _end_late_group(pid, ended_by))  # type: ignore[misc]
            if status is None:
                if (limit := self.children[pid].call_timeout) and _platform.has_stopped(pid):
                    self.stopped[pid] = SystemClock.now() + limit
                continue
            child = self.children.pop(pid)
            self.stopped.pop(pid, None)
            child.blank.tether.close()
            if child.ledger is not None:
                os.close(child.ledger)
            if child.late and os.WIFSIGNALED(status):
                status = int(signal.SIGALRM)  # as which it is told
            child.channel.workers.pop(child.worker, None)
            child.channel.tell(child.worker, pid, status, self._killed_for_memory(status))

    def _continue_late(self) -> None:
        """Continues stopped workers whose call's time is over, at the latest when it must be: then the alarm strikes.

        A stopped process takes no signal but SIGKILL: without this a stopped worker's call would never time out.
        """
        for pid, latest in list(self.stopped.items()):
            if _platform.alarm_waits(pid) or SystemClock.now() >= latest:
                del self.stopped[pid]
                os.kill(pid, signal.SIGCONT)

    def _end_late(self) -> None:
        """Kills workers whose alarm should have struck long ago.

        It is looked again while the worker stands still: else a call that ends just now would cost the next one.
        """
        for pid, child in self.children.items():
            if (due := child.due()) + LATE > SystemClock.now():
                continue
            os.kill(pid, signal.SIGSTOP)
            self._await_stop(pid)
            if child.due() == due:
                child.late = True
                _kill(pid, group=True)
            else:
                os.kill(pid, signal.SIGCONT)

    def _await_stop(self, pid: int) -> None:
        """For a moment: one that the kernel holds, or that was stopped before, does not say that it stops."""
        poll, deadline = select.poll(), SystemClock.now() + STOPS
        poll.register(self.wakeup.fileno(), select.POLLIN)
        while not _platform.has_stopped(pid) and (left := deadline - SystemClock.now()) > 0:
            if poll.poll(left * 1000):
                self.wakeup.recv(4096)
        self._wake.send(b"\0")  # other children may have ended, which is to be seen to next

    def _killed_for_memory(self, status: int) -> bool:
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return False
        before, self.memory_kills = self.memory_kills, _platform.memory_kills()
        return before is not None and self.memory_kills is not None and self.memory_kills > before


def _end_late_group(pid: int, ended_by: int) -> None:
    """A call that took too long takes what it has started with it."""
    if ended_by == signal.SIGALRM:
        _kill(pid, group=True)


def _kill(pid: int, group: bool) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if group:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def main(caller: int, collects: bool) -> None:
    """Runs as the program of the starter's process, whose stdin is the control socket. Garbage is not collected yet;
    ``collects``: by whatever this interpreter begins with, it is to be.

    That brings first what will be wanted: how many workers at once, which modules, and what to stock. It is read once:
    where the stock turned out to be in the way of forks, all begins anew without it.
    """
    with suppress(PermissionError):  # it has its own session already
        os.setsid()
    _platform.close_descriptors_from(3)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = _descriptors.adopted(os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    # Imported once here, for every worker.
    import faulthandler  # noqa: F401

    import lightwork._by_code  # noqa: F401

    try:
        spares, modules, stock = 0, (), None
        if sys.argv[1:] != [ANEW]:
            spares, modules, stock = marshal.loads(_descriptors.receive_message(control))
        if stock is not None:
            from lightwork._backends import _stock

            if not _stock.lay_in(stock):
                os.dup2(control.fileno(), 0)
                os.execv(sys.executable, [*sys.orig_argv, ANEW])
        starter = Starter(control, caller)
        starter.make_ready(spares, modules, collects)
        starter.serve()
        os._exit(0)  # with the starter still there: Python's development mode tells of sockets that nobody closed
    except EOFError:
        os._exit(0)  # the caller is gone already
    except BaseException:  # noqa: BLE001 - the workers end with it, and nobody would know why
        import traceback

        os.write(2, traceback.format_exc().encode())
        os._exit(1)
