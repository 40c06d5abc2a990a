"""The sockets of a crew, and what is to be done when something has arrived at one of them.

What ``selectors`` does, without the objects that it makes of every event: a round trip through a worker is so short
that they would be a fiftieth of it.
"""

from __future__ import annotations

import select

from lightwork import _platform
from lightwork._lean import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightwork._lean import socket


class Sockets:
    """``watch`` and ``unwatch`` them; ``wait`` tells what to call."""

    __slots__ = ("_epoll", "_poll", "_poller", "_ready", "_units")

    def __init__(self) -> None:
        self._ready: dict[int, Callable[[], None]] = {}
        self._epoll = _platform.epoll()
        self._poller: Any = select.poll() if self._epoll is None else self._epoll
        self._poll = self._poller.poll
        self._units = 1000 if self._epoll is None else 1
        """In a second, of the timeouts that it takes."""

    def watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        """From now on ``ready`` is to be called when something can be read from the socket, or it has ended."""
        self._ready[sock.fileno()] = ready
        self._poller.register(sock, select.POLLIN)

    def mind_room(self, sock: socket.socket, wanted: bool) -> None:
        """Whether it is to be called also when the socket takes more."""
        self._poller.modify(sock, select.POLLIN | (select.POLLOUT if wanted else 0))

    def unwatch(self, sock: socket.socket) -> None:
        """Before the socket is closed."""
        if self._ready.pop(sock.fileno(), None) is not None:
            with suppress(KeyError, FileNotFoundError):  # Ctrl-C struck before it was registered
                self._poller.unregister(sock)

    def wait(self, timeout: float | None) -> list[Callable[[], None]]:
        """What is to be called now; waits for it, at most ``timeout`` seconds (None: for ever)."""
        events = self._poll(None if timeout is None else timeout * self._units)
        return [self._ready[descriptor] for descriptor, _ in events] if events else []

    def look(self) -> list[Callable[[], None]]:
        """The same without waiting."""
        events = self._poll(0)
        return [self._ready[descriptor] for descriptor, _ in events] if events else []

    def close(self) -> None:
        """The sockets stay open."""
        if self._epoll is not None:
            self._epoll.close()
