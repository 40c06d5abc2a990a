"""How a run begins, and what that means for its crews: on which terms, how many calls at a time, how far ahead."""

from __future__ import annotations

from lightwork._batching import AHEAD, FAR_AHEAD, SHARED, Batching
from lightwork._library_threads import share
from lightwork._machine import gil_enabled
from lightwork._record import Record, fresh, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lightwork._attempts import Rules
    from lightwork._backends.base import Backend, Capabilities, Crew
    from lightwork._calls import Terms
    from lightwork._dispatch import Dispatch
    from lightwork._growth import Growth
    from lightwork._trace import Decision, Progress


MOST_AHEAD = 1024
"""Calls that a lazy run draws ahead of what was consumed, at most, where the caller gave no ``buffersize``."""


class Plan(Record):
    """With which backend a run begins, and how many workers.

    ``growth``: how the number of workers may grow; ``window``: calls that may be drawn and not yet consumed
    (None: no bound but the work ahead); ``chunksize`` the caller's; ``on_send``: asked before a call goes out,
    False drops it (a future that was cancelled meanwhile); ``crew``: one of the backend's that is open already;
    ``submitted``: calls come one by one, with all their arguments; ``stall_timeout``: seconds without an end of a call
    after which the workers' stacks are shown.
    """

    backend: Backend
    workers: int
    terms: Terms
    rules: Rules
    growth: Growth | None = None
    window: int | None = None
    lazy: bool = False
    chunksize: int | None = None
    on_send: Callable[[int], bool] | None = None
    submitted: bool = False
    crew: Crew | None = None
    stall_timeout: float | None = None
    progress: Callable[[Progress], None] | None = None
    decisions: list[Decision] = fresh(factory=list)

    def terms_for(self, capabilities: Capabilities, workers: int) -> Terms:
        """On which terms one of so many workers runs calls."""
        if capabilities.in_caller or capabilities.coroutines or not capabilities.local:
            return self.terms
        return replace(self.terms, library_threads=share(workers))

    def batching(self, capabilities: Capabilities, workers: int) -> Batching:
        """How many calls at a time one of so many workers is to get."""
        # A batch of a lazy run is at most a quarter of what may be drawn ahead, so that several workers share it.
        cap = max(1, (self.window or MOST_AHEAD) // (4 * max(1, workers))) if self.lazy else 1 << 16
        # Coroutines that are submitted begin in their order, so that none has to help out beside those that there may
        # be: no more are often allowed, by a server say.
        in_order = self.submitted and capabilities.coroutines
        shared = SHARED if capabilities.can_revoke and not in_order else 0.0
        threads = capabilities.shares_memory and not capabilities.in_caller and not capabilities.coroutines
        ahead = FAR_AHEAD if threads and not gil_enabled() else AHEAD
        return Batching(capabilities.per_call, self.chunksize, cap, shared=shared, ahead=ahead)

    def queued(self, capabilities: Capabilities) -> int:
        """Batches that may be with one worker at a time."""
        # Nothing is put behind a submitted call, which may take long, where it cannot be taken back.
        return capabilities.max_queued if capabilities.can_revoke or not self.submitted else 1

    def room(self, dispatch: Dispatch, consumed: int) -> int:
        """Calls that may be drawn now, as results of so many were ``consumed``; there may be too many already."""
        ahead = sum(
            max(1, lane.target) * lane.max_queued * lane.batching.size(1 << 30, max(1, lane.target), True)
            for lane in dispatch.lanes.values()
        )
        room = max(64, 2 * ahead) - dispatch.pending
        if self.lazy:
            window = self.window
            if window is None:
                window = min(MOST_AHEAD, max(16, 4 * ahead))
            room = min(room, window - (dispatch.fed - consumed))
        return room
