"""Calls in sub-interpreters of the caller's process, each with a GIL of its own (Python 3.14, PEP 734).

One daemon thread of the caller's runs each interpreter. They share descriptors with the caller, so ``RemoteCrew``
talks to them over sockets as it does to processes. A call that runs cannot be ended, and a crash of one is a crash of
all: what must be killed or isolated belongs into processes.

Python crashes or hangs where its main interpreter is taken down while another still runs. ``end_all`` sees to it, at
the program's end, that none does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time

from lightwork import _descriptors, _library_threads, _machine, _platform
from lightwork._backends._launcher import End, Launcher
from lightwork._backends._remote import RemoteCrew
from lightwork._backends.base import Backend, Capabilities, Crew
from lightwork._calls import Death, Terms
from lightwork.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


JOIN_SECONDS = 0.5
"""How long ``close`` waits for interpreters whose work is done to be taken down."""
END_SECONDS = 5.0
"""How long the program's end waits for calls that run. One that never ends must not keep the program from ending."""


class InterpreterBackend(Backend):
    """Sub-interpreters of this process."""

    name = "interpreters"
    capabilities = Capabilities(
        shares_memory=False,
        needs_pickling=True,
        can_kill=False,
        parallel_python=True,
        coroutines=False,
        local=True,
        in_caller=False,
        startup=0.080,
        per_call=0.000_120,
        per_item=4e-6,
    )

    def unavailable(self) -> str | None:
        if _platform.interpreters() is None:
            return "sub-interpreters need Python 3.14 or newer; processes also run Python code in parallel"
        return None

    def open(self, terms: Terms) -> Crew:
        reason = self.unavailable()
        if reason is not None:
            raise BackendUnavailable(f"the 'interpreters' backend cannot run here: {reason}")
        return RemoteCrew(terms, self.name, InterpreterLauncher(terms.library_threads))


_importing = threading.Lock()
"""Held while an interpreter imports ``ctypes``, which locks and queues stand on: in two at once that fails now and
then, in the middle of making its types (seen with CPython 3.14.10)."""

_lock = threading.Lock()
_live: dict[threading.Thread, socket.socket] = {}
"""Threads whose interpreter may not be closed yet, each with its socket."""
_over = False
"""The program ends: no interpreter is started any more."""


def end_all() -> None:
    """Ends all interpreters of this process: calls that run are waited for, those that wait do not begin.

    After ``END_SECONDS`` it gives up on what still runs. No interpreter can be started from now on.
    """
    global _over
    with _lock:
        _over = True
        left = dict(_live)
        for sock in left.values():
            with contextlib.suppress(OSError):  # it has lost its other end already
                sock.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + END_SECONDS
    for thread in left:
        if thread.ident is not None:  # else Ctrl-C came before it was started
            thread.join(max(0.0, deadline - time.monotonic()))


def _forget_all() -> None:
    """A fork takes along none of the other interpreters, but their sockets: its end must not end its parent's."""
    global _lock, _importing
    _lock, _importing = threading.Lock(), threading.Lock()
    _live.clear()


os.register_at_fork(after_in_child=_forget_all)


class InterpreterLauncher(Launcher):
    """Starts a thread and an interpreter for each worker."""

    can_kill = False

    def __init__(self, library_threads: int | None = None) -> None:
        self._library_threads = library_threads
        self._threads: dict[int, threading.Thread] = {}
        self._problems: dict[int, BaseException] = {}
        self._ready: set[int] = set()

    def attach(
        self,
        watch: Callable[[socket.socket, Callable[[], None]], None],
        unwatch: Callable[[socket.socket], None],
        ended: Callable[[int, End], None],
    ) -> None:
        """Nothing to watch: an interpreter's end is its socket's end."""

    def launch(self, worker: int, sock: socket.socket, ledger: int | None) -> None:
        _descriptors.fill_streams()
        own = _descriptors.adopted(os.dup(sock.fileno()))
        name, daemon = f"lightwork-interpreter-{worker}", _machine.daemon_threads()
        thread = threading.Thread(target=self._serve, args=(worker, own), name=name, daemon=daemon)
        self._threads[worker] = thread
        with _lock:
            if _over:
                own.close()
                raise OSError("no sub-interpreter can be started while the program ends")
            _live[thread] = own
        try:
            thread.start()
        except RuntimeError as problem:
            self._end(thread, own)
            raise OSError(f"no thread for a sub-interpreter could be started: {problem}") from problem

    def _serve(self, worker: int, sock: socket.socket) -> None:
        interpreters = _platform.interpreters()
        assert interpreters is not None
        try:
            interpreter = interpreters.create()
            try:
                if "ctypes" in sys.modules:
                    with _importing:
                        interpreter.exec("import ctypes")
                # A library's threads are the process's: they cannot be kept to a share for one interpreter alone.
                with _library_threads.kept_to(self._library_threads):
                    interpreter.exec(
                        f"{_platform.SAME_LIGHTWORK}from lightwork._backends.worker import main; main({sock.fileno()})"
                    )
            finally:
                interpreter.close()
        except Exception as problem:  # noqa: BLE001 - the crew learns of it when the socket ends
            self._problems[worker] = problem
        finally:
            self._end(threading.current_thread(), sock)

    @staticmethod
    def _end(thread: threading.Thread, sock: socket.socket) -> None:
        with _lock:
            _live.pop(thread, None)
            sock.close()

    def ready(self, worker: int, pid: int) -> None:
        self._ready.add(worker)

    def hung_up(self, worker: int) -> End | None:
        self._threads[worker].join(JOIN_SECONDS)
        problem = self._problems.get(worker)
        if problem is not None and worker not in self._ready:
            return problem
        return Death(reason=f"ended: {problem}" if problem else "ended")

    def kill(self, worker: int, group: bool) -> None:
        raise TypeError("a sub-interpreter cannot be killed")

    def close(self) -> None:
        """Nothing is left but threads whose call still runs; they end with it."""
