"""How workers at the ends of sockets come to life, and end: what a crew asks of processes and of sub-interpreters."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lightwork._calls import Death

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightwork._lean import socket


End = Death | BaseException
"""How a worker ended; an exception where it never began, and no other worker would."""


class Launcher(ABC):
    """How workers come to life and end. ``ended`` is called, within the crew's ``wait``, with each death."""

    can_kill: bool

    @abstractmethod
    def attach(
        self,
        watch: Callable[[socket.socket, Callable[[], None]], None],
        unwatch: Callable[[socket.socket], None],
        ended: Callable[[int, End], None],
    ) -> None:
        """Gets how to have the crew watch sockets of its own, and where to report deaths."""

    @abstractmethod
    def launch(self, worker: int, sock: socket.socket, ledger: int | None) -> None:
        """Starts a worker at the other end of ``sock``. Takes neither descriptor over. Raises OSError."""

    @abstractmethod
    def ready(self, worker: int, pid: int) -> None:
        """A worker has greeted."""

    @abstractmethod
    def hung_up(self, worker: int) -> End | None:
        """A worker's socket has ended: how it died, or None if ``ended`` will follow."""

    @abstractmethod
    def kill(self, worker: int, group: bool) -> None:
        """Ends a worker, with ``group`` what it has started too; only with ``can_kill``."""

    def memory(self) -> list[int]:
        """What the workers that are ready have in use."""
        return []

    def stacks(self, workers: Sequence[int]) -> dict[int, str]:
        """What workers that are ready are doing, as far as they answer."""
        raise TypeError("these workers cannot be asked what they do")

    @abstractmethod
    def close(self) -> None:
        """Frees what belongs to no worker."""
