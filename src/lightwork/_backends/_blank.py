"""A worker before it is anybody's: a fork of the starter that waits to be told whose.

    starter ── tether: the descriptors of one worker ──▶ blank, which is that worker from then on

To fork takes a millisecond, and the fork's own first steps several, since each page that it writes to is copied then.
So a starter that has booted before it is asked for anything makes the first workers ahead.
"""

from __future__ import annotations

import os
import select
import sys

from lightwork import _descriptors, _platform
from lightwork._backends import _ledger, worker
from lightwork._lean import signal, socket, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

PASSED = 4
"""Descriptors of a worker: its socket, its ledger, stdout, stderr."""


class Blank:
    """The starter's side of one. ``tether``: while it is open, the other lives."""

    __slots__ = ("pid", "tether")

    def __init__(self) -> None:
        """Forks. Raises OSError."""
        self.tether, theirs = _descriptors.connected()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _live(theirs)
        except OSError:
            self.tether.close()
            raise
        finally:
            theirs.close()

    def begin(self, passed: Sequence[int]) -> None:
        """Makes it the worker that has these descriptors. OSError where it is gone."""
        _descriptors.send_descriptors(self.tether, b"\0", passed)

    def has_ended(self) -> bool:
        """Whether somebody has killed it, which buries it."""
        if os.waitpid(self.pid, os.WNOHANG)[0]:
            self.tether.close()
            return True
        return False

    def end(self) -> None:
        """Ends one that never began, and buries it."""
        self.tether.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _live(tether: socket.socket) -> NoReturn:
    """In the fork: keeps nothing that is open but ``tether``, waits to be told whose it is, and serves."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        os.closerange(3, tether.fileno())
        _platform.close_descriptors_from(tether.fileno() + 1)
        _platform.volunteer_for_memory_kill()
        if "numpy" in sys.modules:
            from lightwork._backends import _stock  # as its starter did

            _stock.take()
        passed = _told(tether)
        if len(passed) == PASSED:
            os.setpgid(0, 0)  # which tells a worker from those who wait
            sock, ledger, out, err = passed
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
            _platform.end_with(tether)
            # Not whether the starter is the parent still: it is until a while after its descriptors were closed, and of
            # what came before ``end_with`` nobody tells.
            if not _came(tether, wait=False):
                code = worker.main(sock, _ledger.shared(ledger))
                worker.end()
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
        raise
    finally:
        # Never back into the starter's loop, and past its cleaning up.
        os._exit(code)


def _told(tether: socket.socket) -> list[int]:
    """The descriptors of the worker that it is to be; none where the starter is gone."""
    _came(tether, wait=True)
    with suppress(ConnectionResetError):
        return _descriptors.receive_descriptors(tether, 1, PASSED)[1]
    return []


def _came(tether: socket.socket, wait: bool) -> bool:
    """Whether something has come, or the end."""
    poll = select.poll()
    poll.register(tether, select.POLLIN)
    return bool(poll.poll(None if wait else 0))
