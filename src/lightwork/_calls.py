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
    """Calls ``first … first + len(items) - 1`` of one function, for one worker."""

    id: int
    fn: Callable[..., Any]
    style: Style
    first: int
    items: Sequence[Any]


@dataclass(slots=True)
class Outcomes:
    """How the calls at positions ``start … start + len(values) - 1`` of a batch ended.

    ``values`` holds None where a call failed; ``failures`` maps such positions (within the batch) to exceptions.
    ``began`` is on the system clock's scale, ``seconds`` the time inside the worker on these calls, ``cpu`` the
    CPU seconds of the worker's thread in them, ``sent`` the bytes of their results on the wire.
    """

    batch: int
    start: int
    values: list[Any]
    failures: dict[int, BaseException] = field(default_factory=dict)
    began: float = 0.0
    seconds: float = 0.0
    cpu: float = 0.0
    sent: int = 0


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


Event = WorkerReady | WorkerFailed | Finished | WorkerLost


@dataclass(frozen=True)
class Terms:
    """What every worker of a crew is told once, when it starts.

    ``seed``: entropy of the run, from which each call's own random stream is derived;
    ``seed_globals``: whether ``random`` and NumPy's global generator are seeded before each call too, by workers that
    have these to themselves: in the caller's process they are the caller's, and threads would race for them.
    ``call_timeout``: seconds; only for crews that can kill (or cancel).
    """

    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    call_timeout: float | None = None
    seed: int = 0
    seed_globals: bool = False
