"""How often a call is tried: what the caller asked for, and how often each has failed or got lost so far."""

from __future__ import annotations

from lightwork._calls import Death
from lightwork._record import Record, Slotted
from lightwork.errors import CallTimeout, LightworkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lightwork.errors import WorkerCrashed

MOST_LOST = 5
"""Times that a call may be lost before it began: it may have led to that somehow."""


class Rules(Record, frozen=True):
    """What the caller asked for. ``stop_on_failure``: the first final failure ends the run."""

    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    retry_delay: float = 0.0
    stop_on_failure: bool = True
    call_timeout: float | None = None
    max_tasks_per_child: int | None = None


class Attempts(Slotted):
    """Of one run. ``made``: how often a call that is to be tried again has failed, by its index. ``condemned``: calls
    that are to end with their workers, and to begin nowhere else."""

    __slots__ = ("_lost", "condemned", "made")

    def __init__(self) -> None:
        self.made: dict[int, int] = {}
        self.condemned: set[int] = set()
        self._lost: dict[int, int] = {}

    def succeeded(self, first: int, count: int) -> None:
        """These calls are done, whatever became of them before."""
        for index in [index for index in self.made if first <= index < first + count]:
            del self.made[index]

    def failed(self, index: int, exception: BaseException, rules: Rules, over: bool) -> int | None:
        """A call has failed: how often by now, where that is final; None where it is to be tried again. ``over``: the
        run is, so that nothing is."""
        attempts = self.made.pop(index, 0) + 1
        self.condemned.discard(index)
        if over or attempts > rules.retries or not isinstance(exception, rules.retry_on):
            return attempts
        self.made[index] = attempts
        return None

    def condemn(self, index: int, rules: Rules) -> None:
        """It gets no further attempt."""
        self.made[index] = rules.retries
        self.condemned.add(index)

    def begins_elsewhere(self, index: int) -> bool:
        """Whether a call that its worker's death kept from beginning does so with another; not for ever."""
        self._lost[index] = times = self._lost.get(index, 0) + 1
        return times < MOST_LOST


def cause(index: int, death: Death, crash: Callable[[], type[WorkerCrashed]], rules: Rules) -> LightworkError:
    """What a call has failed with whose worker died; ``crash`` gives the class where it was not ended for its time."""
    if death.timed_out:
        return CallTimeout(index, rules.call_timeout or 0.0)
    return crash()(index, death.pid, death.signal, death.exitcode, death.reason)
