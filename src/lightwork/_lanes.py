"""What the dispatch knows of a crew: its lane, the lane's workers, and what each of these has."""

from __future__ import annotations

from lightwork._record import Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lightwork._batching import Batching
    from lightwork._calls import Batch
    from lightwork.errors import WorkerCrashed

NO_CAP = 1 << 30
"""Workers: a lane never has so many."""


class Sent(Slotted):
    """A batch with a worker; calls before ``done`` are reported, the last ``untimed`` of them without their time: the
    next report has it."""

    __slots__ = ("batch", "done", "untimed")

    def __init__(self, batch: Batch, done: int = 0, untimed: int = 0) -> None:
        self.batch = batch
        self.done = done
        self.untimed = untimed


class Worker(Slotted):
    """``since``: when the batch that it works on came to it, or its turn. ``revoked``: it was told to begin nothing
    more of what it has, ``asked``: so that others of its lane come first, until it has come to that. ``worn``: it said
    that it will begin nothing more, or is to be killed. ``warm``: it has ended a call. ``given``: calls that it has
    had."""

    __slots__ = ("asked", "given", "ready", "revoked", "sent", "since", "warm", "worn")

    def __init__(self) -> None:
        self.sent: dict[int, Sent] = {}
        self.given = 0
        self.since = 0.0
        self.ready = self.warm = self.revoked = self.asked = self.worn = False

    @property
    def head(self) -> Sent | None:
        """The batch that it is at, or comes to next."""
        return next(iter(self.sent.values()), None)

    @property
    def ahead(self) -> int:
        """Calls that it has and that are not done."""
        return sum(len(sent.batch.items) - sent.done for sent in self.sent.values())

    def holds_back(self) -> bool:
        """Whether it has calls that it does not seem to have begun."""
        if self.revoked or not self.sent:
            return False
        head = next(iter(self.sent.values()))
        return len(self.sent) > 1 or head.batch.stop - head.done > 1 or not self.ready


class Lane(Slotted):
    """A crew's place in the dispatch.

    ``crash``, ``whole``, ``revocable``: see ``Dispatch.add_lane``. ``target``: how many workers there are to be:
    ``wanted`` ones, of which ``held`` are held back for now, ``cap`` at most, and ``helpers`` more. ``asked``: the
    worker whose answer is awaited to the question what it has not begun. ``recalled``: all are to be told to give that
    back. ``worn``: whether one of its workers ever was.
    ``room``: calls that may go out before it is looked what became of them.
    """

    __slots__ = (
        "asked",
        "batching",
        "busy",
        "calls",
        "cap",
        "cpu",
        "crash",
        "held",
        "helpers",
        "idle",
        "max_queued",
        "open",
        "peak",
        "recalled",
        "revocable",
        "room",
        "starting",
        "stillborn",
        "target",
        "wanted",
        "whole",
        "workers",
        "worn",
    )

    def __init__(
        self,
        batching: Batching,
        max_queued: int,
        crash: Callable[[], type[WorkerCrashed]],
        whole: bool = False,
        revocable: bool = False,
    ) -> None:
        self.batching = batching
        self.max_queued = max_queued
        self.crash = crash
        self.whole = whole
        self.revocable = revocable
        self.open = True
        self.target = self.wanted = self.held = self.helpers = 0
        self.cap = self.room = NO_CAP
        self.workers: dict[int, Worker] = {}
        # Those of them that have nothing: with a thousand workers nobody is to look through all at every event.
        self.idle: dict[int, Worker] = {}
        self.starting = self.stillborn = self.peak = 0
        self.asked: int | None = None
        self.worn = self.recalled = False
        self.calls = 0
        self.busy = self.cpu = 0.0

    def want(self, wanted: int) -> None:
        """Wants so many workers, within what may be."""
        self.wanted = wanted
        self.target = min(wanted, self.cap) + self.helpers
        if self.held and self.target:
            self.target = max(1, self.target - self.held)

    def started(self, name: int) -> None:
        """A worker that was awaited is there."""
        self.starting -= 1
        self.workers[name] = self.idle[name] = Worker()
        self.peak = max(self.peak, len(self.workers))

    def gone(self, name: int) -> Worker | None:
        """A worker is there no more; returns it, with what it had."""
        self.idle.pop(name, None)
        return self.workers.pop(name, None)
