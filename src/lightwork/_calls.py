"""What flows: calls in batches towards the workers, outcomes and events back.

A *call* is one application of the caller's function to one item; its *index* is the item's position in the
input. A *batch* is a stretch of calls with consecutive indices, sent to one worker in one message.
"""

from __future__ import annotations

from lightwork._lock import new_lock
from lightwork._record import Record, Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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


class Batch(Slotted):
    """Calls ``first + start … first + stop - 1`` of one function, for one worker.

    ``start``: positions before it are none of this batch's, nor are those from ``end`` on, where one is given.
    """

    __slots__ = ("end", "first", "fn", "id", "items", "start", "style")

    def __init__(
        self,
        id: int,
        fn: Callable[..., Any],
        style: Style,
        first: int,
        items: Sequence[Any],
        start: int = 0,
        end: int | None = None,
    ) -> None:
        self.id = id
        self.fn = fn
        self.style = style
        self.first = first
        self.items = items
        self.start = start
        self.end = end

    @property
    def stop(self) -> int:
        """The position after the last call."""
        return len(self.items) if self.end is None else self.end


class Outcomes(Slotted):
    """How ``count`` calls of a batch ended, those at positions ``start``, ``start + 1``, …

    ``values`` holds None where a call failed; ``failures`` maps such positions (within the batch) to exceptions.
    ``began`` is on the system clock's scale, ``seconds`` the time inside the worker on these calls, ``cpu`` the
    CPU seconds of the worker's thread in them, ``sent`` the bytes of their results on the wire.
    ``placed``: ``values`` is the caller's own list of results, in which these begin at ``placed``, and end at ``end``,
    or where the list does.
    """

    __slots__ = ("batch", "began", "cpu", "end", "failures", "placed", "seconds", "sent", "start", "values")

    def __init__(
        self,
        batch: int,
        start: int,
        values: list[Any],
        failures: dict[int, BaseException] | None = None,
        began: float = 0.0,
        seconds: float = 0.0,
        cpu: float = 0.0,
        sent: int = 0,
        placed: int | None = None,
    ) -> None:
        self.batch = batch
        self.start = start
        self.values = values
        self.failures: dict[int, BaseException] = {} if failures is None else failures
        self.began = began
        self.seconds = seconds
        self.cpu = cpu
        self.sent = sent
        self.placed = placed
        self.end: int | None = None

    def settle(self) -> None:
        """No more of them will come; others may be placed behind them."""
        if self.placed is not None:
            self.end = len(self.values)

    @property
    def count(self) -> int:
        """How many calls these are."""
        return (len(self.values) if self.end is None else self.end) - (self.placed or 0)

    @property
    def position(self) -> int:
        """The position in the batch of the call after these."""
        return self.start + self.count

    def withdraw(self) -> None:
        """Takes the values out of the caller's list, if they were placed there."""
        if self.placed is not None:
            placed, self.placed = self.placed, None
            self.values, whole = self.values[placed:], self.values
            del whole[placed:]


class Turn:
    """A batch that the caller's thread runs, with what others may know of it and do to it meanwhile.

    ``apart``: calls at its start that say nothing of the others, and whose time is not told."""

    __slots__ = ("_end", "_lock", "apart", "batch", "begun", "outcomes", "worker")

    def __init__(self, worker: int, batch: Batch, outcomes: Outcomes) -> None:
        self.worker = worker
        self.batch = batch
        self.outcomes = outcomes
        self.begun = batch.start
        self.apart = 0
        self._end = batch.stop
        self._lock = new_lock()

    def begin(self, at: int, size: int) -> tuple[int, int]:
        """Begins up to ``size`` calls at position ``at``; returns how many, and where the batch ends."""
        with self._lock:
            size = min(size, self._end - at)
            self.begun = at + size
            return size, self._end

    def cut(self) -> int:
        """Ends the batch behind what has begun; returns that position."""
        with self._lock:
            self._end = self.begun
            return self.begun


class Death(Slotted):
    """How a worker ended. ``timed_out``: by ``call_timeout``'s own alarm; ``starved``: by the kernel, for lack of
    memory; ``beside``: of what another one ended of, which is told of that one; ``apart``: certainly of nothing that it
    did itself."""

    __slots__ = ("apart", "beside", "exitcode", "pid", "reason", "signal", "starved", "timed_out")

    def __init__(
        self,
        pid: int | None = None,
        signal: int | None = None,
        exitcode: int | None = None,
        reason: str = "died",
        timed_out: bool = False,
        starved: bool = False,
        beside: bool = False,
        apart: bool = False,
    ) -> None:
        self.apart = apart
        self.starved = starved
        self.beside = beside
        self.pid = pid
        self.signal = signal
        self.exitcode = exitcode
        self.reason = reason
        self.timed_out = timed_out


class WorkerReady(Slotted):
    """A worker can take batches. ``seconds``: from its start to now."""

    __slots__ = ("seconds", "worker")

    def __init__(self, worker: int, seconds: float) -> None:
        self.worker = worker
        self.seconds = seconds


class WorkerFailed(Slotted):
    """A worker could not be started, or its initializer raised: no worker of this crew will do better.

    ``scarce``: the system had no room for one more (descriptors, processes), which says nothing of those that it has.
    """

    __slots__ = ("exception", "scarce", "worker")

    def __init__(self, worker: int, exception: BaseException, scarce: bool = False) -> None:
        self.worker = worker
        self.exception = exception
        self.scarce = scarce


class Finished(Slotted):
    """Some calls of a batch ended. ``last``: none of the batch is left with the worker. ``worn``: the worker has more
    memory in use than it should go on with (``max_memory``), and makes no further call."""

    __slots__ = ("last", "outcomes", "worker", "worn")

    def __init__(self, worker: int, outcomes: Outcomes, last: bool, worn: bool = False) -> None:
        self.worker = worker
        self.outcomes = outcomes
        self.last = last
        self.worn = worn


class WorkerLost(Slotted):
    """A worker is gone. Everything that it finished was reported before.

    ``running`` is (batch id, position) of the call that had begun and has no outcome, or None.
    Calls that were sent to it and are neither reported nor running have never begun. Not ``begun``: the worker was
    still importing the function of the one that is named, and died of something else.
    """

    __slots__ = ("begun", "death", "running", "worker")

    def __init__(self, worker: int, running: tuple[int, int] | None, death: Death, begun: bool = True) -> None:
        self.worker = worker
        self.running = running
        self.begun = begun
        self.death = death


class Revoked(Slotted):
    """Calls that a worker had and will never begin: those from the given position on, by the batch's id. None, where
    it has begun all, or has refused some itself; told also when it comes to calls that were taken back before.

    A batch of which nothing was begun is no longer with the worker at all.
    """

    __slots__ = ("positions", "worker")

    def __init__(self, worker: int, positions: dict[int, int]) -> None:
        self.worker = worker
        self.positions = positions


Event = WorkerReady | WorkerFailed | Finished | WorkerLost | Revoked


class Terms(Record, frozen=True):
    """What every worker of a crew is told once, when it starts.

    ``seed``: entropy of the run, from which each call's own random stream is derived;
    ``seed_globals``: whether ``random`` and NumPy's global generator are seeded before each call too, by workers that
    have these to themselves: in the caller's process they are the caller's, and threads would race for them.
    ``call_timeout``: seconds; only for crews that can kill (or cancel).
    ``max_memory``: bytes that a worker may have of its own while it runs a call; only where ``can_limit_memory``.
    ``stop_on_failure``: the first failure ends the run, unless it is repeated.
    ``library_threads``: how many threads a numerical library may use in each worker; None: as many as it likes.
    """

    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    call_timeout: float | None = None
    max_memory: int | None = None
    seed: int = 0
    seed_globals: bool = False
    stop_on_failure: bool = False
    library_threads: int | None = None

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
