"""The contract between the engine and whatever runs calls: threads, processes, a cluster.

The engine knows a *backend* (a way to run calls, with declared capabilities) and opens a *crew* from it: workers
for one map or executor. A crew never decides: it starts, sends, kills and reports what happened, as events.
Nothing here assumes that a worker is on this machine: workers are integers, a worker's death is described by a
``Death`` whose fields may all be None, and ``Capabilities.local`` says whether cores of this machine are used.

    engine ── start_worker() ─ send(worker, batch) ─ kill(worker) ─ retire(worker) ──▶ crew
    engine ◀── WorkerReady, Finished, WorkerLost, WorkerFailed ──── wait(timeout) ──── crew

All methods but ``wake`` and ``hurry`` are called from one thread at a time: the one that drives the engine.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from lightwork._calls import Batch, Event, Terms, Turn
from lightwork._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from lightwork._crashed import WorkerCrashed
    from lightwork._demand import Meter


CLOSING = 60.0
"""Seconds that the end of the work waits for workers which close what they hold by ``lw.per_worker``."""
HEEDS = 0.5
"""Seconds of such a wait after which the interpreter looks for signals: one that comes just before a thread blocks does
not end that, and here nothing else may for long."""


class Capabilities(Record, frozen=True):
    """What a backend can do; the engine and the chooser ask these and never a backend's name."""

    shares_memory: bool
    """Calls see and may change the caller's own objects."""
    needs_pickling: bool
    """Functions, arguments and results are pickled on their way."""
    can_kill: bool
    """A running call can be ended, whatever it does."""
    parallel_python: bool
    """Python bytecode of several calls runs at the same time."""
    coroutines: bool
    """Calls are coroutine functions, awaited on an event loop."""
    local: bool
    """Workers use cores and memory of this machine."""
    in_caller: bool
    """Calls run in the caller's own thread, within ``wait``."""
    startup: float
    """Seconds until a first worker can take calls, as measured on an ordinary machine."""
    per_call: float
    """Seconds of overhead for one call that travels alone."""
    per_item: float = 0.0
    """Seconds of overhead for one call in a long batch, pickling aside."""
    can_revoke: bool = False
    """Calls that a worker has not begun can be taken back from it."""
    memory: int = 0
    """Bytes that a worker takes of this machine's memory before its first call; 0: nothing to mind."""
    can_limit_memory: bool = False
    """Workers have memory of their own, and a ceiling can be set for it."""
    can_show_stacks: bool = False
    """What a worker is doing can be asked for."""
    startup_each: float = 0.0
    """Seconds by which each further worker can take calls later than the one before it."""
    max_queued: int = 2
    """Batches that may be with one worker at a time, the running one included."""


class Crew(ABC):
    """Workers of one backend for one map or executor."""

    meter: Meter | None = None
    """Times the calls of a crew that runs them in the caller's thread, where somebody wants to know."""
    around: Callable[[Turn], AbstractContextManager[None]] | None = None
    """Entered around each batch of a crew that runs it in the caller's thread, where somebody looks on."""
    results: list[Any] | None = None
    """The caller's list, to which a crew that runs in the caller's thread may append what comes next in it."""
    asleep: bool = False
    """Whether ``wait`` is at a place where an exception, such as that of Ctrl-C, may end it without any loss."""
    opens_gate: bool = False
    """Whether ``wait`` itself says where Ctrl-C may strike (see ``_gate``); else it may anywhere in it."""
    shipped: int = 0
    """Bytes that crossed to workers so far, functions and constants included."""
    patience: float = math.inf
    """Seconds after which a crew that runs in the caller's thread hands a batch's rest back, at the end of a call."""

    @abstractmethod
    def start_worker(self) -> int:
        """Starts one worker and returns its number, unique in this crew, at once. ``WorkerReady`` follows."""

    def stand_by(self) -> None:  # noqa: B027 - most start workers whenever they are wanted
        """Begins what no worker could begin later: while the program ends. RuntimeError where it is late already."""

    @abstractmethod
    def send(self, worker: int, batch: Batch) -> None:
        """Hands a batch to a worker, without blocking; also to one that is not ready yet.

        What cannot be sent (unpicklable arguments, say) is reported as ``Finished`` with failures.
        """

    def deliver(self) -> None:  # noqa: B027 - most have nothing on its way
        """Before its caller computes: waits as long as workers that have nothing else to do are taking what ``send``
        left on its way to them."""

    @abstractmethod
    def wait(self, timeout: float | None) -> list[Event]:
        """Events since the last call; blocks for the first one, at most ``timeout`` seconds (None: for ever).

        KeyboardInterrupt passes through.
        """

    @abstractmethod
    def wake(self) -> None:
        """Makes a ``wait`` that is blocked, or the next one, return at once. Callable from any thread."""

    @abstractmethod
    def retire(self, worker: int) -> None:
        """Lets an idle worker end in peace; no event follows."""

    def revoke(self, worker: int) -> None:
        """Takes back what a worker was sent and has not begun; ``Revoked`` follows, or ``Finished`` before the batch's
        end where the worker went on meanwhile; not to be asked again before. Only where ``can_revoke``."""
        raise TypeError("calls cannot be taken back from these workers")

    @abstractmethod
    def kill(self, worker: int) -> None:
        """Ends a worker whatever it does; ``WorkerLost`` follows. Only where ``can_kill``."""

    @abstractmethod
    def close(self, patience: float = CLOSING) -> int:
        """Ends all workers, at once where that can be, and frees everything but events: the next ``wait`` gives them.

        Waits up to ``patience`` seconds for those that make no call and close what they hold by ``lw.per_worker``.
        Idempotent. Where a Ctrl-C ends that wait, it is to be called again, with none.

        Returns how many calls could not be stopped and go on (threads).
        """

    def hurry(self) -> None:
        """Has a ``close`` that waits for workers which close what they hold wait no more. Callable from any
        thread."""
        return

    def glance(self) -> float:
        """Lets the workers have the GIL for a moment; returns for how many seconds longer it was not to be had."""
        return 0.0

    def delay(self) -> float | None:
        """Seconds for which its workers, those that there are, were ready to run and had no core, because others had
        them; None where that is not known."""
        return None

    def inside(self) -> bool:
        """Whether the calling thread is one of the workers: one that waited for them would wait for itself."""
        return False

    def stacks(self, workers: Sequence[int]) -> dict[int, str]:
        """The Python stacks of those of these workers that answer, the most recent call first; takes up to a second.
        Only where ``can_show_stacks``."""
        raise TypeError("these workers cannot be asked what they do")

    def memory(self) -> list[int]:
        """Bytes of memory of their own that workers have in use now, as far as that can be found out."""
        return []


class Backend(ABC):
    """A way to run calls. Cheap to create; nothing starts before ``open``."""

    name: str
    capabilities: Capabilities

    def unavailable(self) -> str | None:
        """Why this backend cannot run here and what would help; None where it can."""
        return None

    def crash_error(self) -> type[WorkerCrashed]:
        """The class of the error for a call whose worker died."""
        from lightwork._crashed import WorkerCrashed  # see there

        return WorkerCrashed

    def hasten(  # noqa: B027 - most have nothing that takes long
        self, fn: object, sample: object = None, likely: bool = False
    ) -> None:
        """Begins what a first worker for ``fn`` would wait for, where one is wanted soon, or is ``likely`` to be; what
        is in ``sample`` is of the kind of its items. Never raises."""

    def begun(self) -> float:
        """Seconds for which that has been under way; 0 where it is not."""
        return 0.0

    def relax(self, fn: object) -> None:  # noqa: B027 - as above
        """What was likely is not: ends what takes a core from those who are wanted. Never raises."""

    def tidy(self) -> None:  # noqa: B027 - as above
        """Sees to what ``relax`` has ended, when those have their work behind them. Never raises."""

    @abstractmethod
    def open(self, terms: Terms) -> Crew:
        """A crew without workers."""
