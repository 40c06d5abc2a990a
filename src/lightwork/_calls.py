"""What flows: calls in batches towards the workers, outcomes and events back.

A *call* is one application of the caller's function to one item; its *index* is the item's position in the
input. A *batch* is a stretch of calls with consecutive indices, sent to one worker in one message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Style = Literal["one", "star", "full"]
"""How an item becomes arguments: ``fn(item)``, ``fn(*item)`` or ``fn(*item[0], **item[1])``."""


def apply(fn: Callable[..., Any], style: Style, item: Any) -> Any:
    """Makes the call that an item stands for."""
    if style == "one":
        return fn(item)
    if style == "star":
        return fn(*item)
    return fn(*item[0], **item[1])


@dataclass(slots=True)
class Batch:
    """Calls ``first + start … first + stop - 1`` of one function, for one worker.

    ``start``: positions before it are none of this batch's, nor are those from ``end`` on, where one is given.
    """

    id: int
    fn: Callable[..., Any]
    style: Style
    first: int
    items: Sequence[Any]
    start: int = 0
    end: int | None = None

    @property
    def stop(self) -> int:
        """The position after the last call."""
        return len(self.items) if self.end is None else self.end


@dataclass(slots=True)
class Outcomes:
    """How ``count`` calls of a batch ended, those at positions ``start``, ``start + 1``, …

    ``values`` holds None where a call failed; ``failures`` maps such positions (within the batch) to exceptions.
    ``began`` is on the system clock's scale, ``seconds`` the time inside the worker on these calls, ``cpu`` the
    CPU seconds of the worker's thread in them, ``sent`` the bytes of their results on the wire.
    ``placed``: ``values`` is the caller's own list of results, in which these begin at ``placed``.
    """

    batch: int
    start: int
    values: list[Any]
    failures: dict[int, BaseException] = field(default_factory=dict)
    began: float = 0.0
    seconds: float = 0.0
    cpu: float = 0.0
    sent: int = 0
    placed: int | None = None

    @property
    def count(self) -> int:
        """How many calls these are."""
        return len(self.values) - (self.placed or 0)

    @property
    def position(self) -> int:
        """The position in the batch of the call after these."""
        return self.start + len(self.values) - (self.placed or 0)

    def withdraw(self) -> None:
        """Takes the values out of the caller's list, if they were placed there."""
        if self.placed is not None:
            placed, self.placed = self.placed, None
            self.values, whole = self.values[placed:], self.values
            del whole[placed:]


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended. ``timed_out``: by ``call_timeout``'s own alarm."""

    pid: int | None = None
    signal: int | None = None
    exitcode: int | None = None
    reason: str = "died"
    timed_out: bool = False


@dataclass(slots=True)
class WorkerReady:
    """A worker can take batches. ``seconds``: from its start to now."""

    worker: int
    seconds: float


@dataclass(slots=True)
class WorkerFailed:
    """A worker could not be started, or its initializer raised: no worker of this crew will do better."""

    worker: int
    exception: BaseException


@dataclass(slots=True)
class Finished:
    """Some calls of a batch ended. ``last``: none of the batch is left with the worker."""

    worker: int
    outcomes: Outcomes
    last: bool


@dataclass(slots=True)
class WorkerLost:
    """A worker is gone. Everything that it finished was reported before.

    ``running`` is (batch id, position) of the call that had begun and has no outcome, or None.
    Calls that were sent to it and are neither reported nor running have never begun.
    """

    worker: int
    running: tuple[int, int] | None
    death: Death


@dataclass(slots=True)
class Revoked:
    """Calls that a worker had and will never begin: those from the given position on, by the batch's id.

    A batch of which nothing was begun is no longer with the worker at all.
    """

    worker: int
    positions: dict[int, int]


Event = WorkerReady | WorkerFailed | Finished | WorkerLost | Revoked


@dataclass(frozen=True)
class Terms:
    """What every worker of a crew is told once, when it starts.

    ``seed``: entropy of the run, from which each call's own random stream is derived;
    ``seed_globals``: whether ``random`` and NumPy's global generator are seeded before each call too, by workers that
    have these to themselves: in the caller's process they are the caller's, and threads would race for them.
    ``call_timeout``: seconds; only for crews that can kill (or cancel).
    ``stop_on_failure``: the first failure ends the run, unless it is repeated.
    """

    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    call_timeout: float | None = None
    seed: int = 0
    seed_globals: bool = False
    stop_on_failure: bool = False

    def initialize(self) -> None:
        """Runs the initializer, where there is one; what it raises is logged as ``concurrent.futures`` logs it."""
        if self.initializer is None:
            return
        try:
            self.initializer(*self.initargs)
        except BaseException:
            import logging

            logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
            raise
