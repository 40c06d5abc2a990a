"""From when workers are wanted until they have the calls: which the caller's thread makes meanwhile, or leaves to them.

Short calls go on there until a worker has *ended* one: its first may have to import what all others find there. A long
one would be waited for by all, so that these are left to the workers at once; where none ends one in time, the caller's
thread helps out. And where a first call of all is running that lets others have the GIL, it may make what each worker's
first call has to make anew: until one of those is over nobody is as quick as that thread.

What this says to the ``run`` is in ``Sharing``.
"""

from __future__ import annotations

from lightwork._demand import seconds
from lightwork._policy import MOSTLY_COMPUTING
from lightwork._sizes import workers as counted
from lightwork._worth import computes, is_dear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lightwork._backends.base import Backend
    from lightwork._clock import Clock
    from lightwork._demand import Demand
    from lightwork._dispatch import Dispatch
    from lightwork._lanes import Lane
    from lightwork._policy import Policy

    class Sharing(Protocol):
        """A run as it is seen from here: see ``_auto``."""

        clock: Clock
        dispatch: Dispatch
        demand: Demand | None
        first: int

        @property
        def total(self) -> int | None: ...
        @property
        def policy(self) -> Policy: ...
        @property
        def inside(self) -> bool: ...
        @property
        def newest(self) -> int: ...
        def backend_of(self, number: int) -> Backend: ...
        def measure(self) -> Demand: ...
        def close_lane(self, number: int) -> None: ...
        def leave(self) -> None: ...
        def decide(self, what: str, why: str) -> None: ...


OVERDUE = 2.0
"""Times as long as workers should take to start and to end their first call, after which the caller's thread makes
calls again: they may be importing what it has."""


class HandOver:
    """Of one run, which may come to several, one after another.

    ``lane``: the one that takes over when one of its workers has ended a call, None where none is awaited; ``left``:
    when calls were left to workers of which none has ended one yet.
    """

    def __init__(self) -> None:
        self.lane: int | None = None
        self.left: float | None = None
        self._ahead = False
        """Whether workers took over in the first call of all, which none of them is past yet."""
        self._since = 0.0
        """When they did."""
        self._ended: float | None = None
        """When one had ended a call."""
        self._goes_on = False
        """Whether the caller's thread goes on, though one has."""

    def begin(self, run: Sharing, lane: int) -> None:
        """Has the calls go to the workers of ``lane`` from now on, or from when one of them is there."""
        assert run.demand is not None
        wall, can = run.demand.wall, run.backend_of(lane).capabilities
        self._since, self._ended, self._goes_on = run.clock.now(), None, False
        first = run.inside and run.demand.calls == 1 and not can.shares_memory
        self._ahead = first and computes(wall, run.demand.cpu)
        if can.startup > wall or self._ahead:
            self.lane = lane
            return
        run.close_lane(run.first)
        if can.can_revoke and not can.shares_memory:
            self.left = self._since

    def call_off(self) -> None:
        """They cannot take over: the caller's thread goes on."""
        self.lane, self.left, self._ahead = None, None, False

    # calls that were left to them

    def due(self, run: Sharing) -> float | None:
        """When it is looked again whether the workers have ended a call; None where that is not waited for."""
        if self.left is None:
            return None
        # Not as long as was known then: what a call that ran then would take has been seen since.
        return self.left + OVERDUE * (run.backend_of(run.newest).capabilities.startup + run.measure().wall)

    def help_out(self, run: Sharing) -> None:
        """Has the caller's thread make calls again, where no worker has ended one in time."""
        due = self.due(run)
        if due is None:
            return
        if run.dispatch.lanes[run.newest].calls:
            self.left = None
        elif run.clock.now() >= due and not run.inside:
            self.left, self.lane = None, run.newest
            run.dispatch.set_lane(run.first, 1)

    # calls that go on meanwhile

    def note(self, lane: int, ended: float) -> None:
        """Workers of ``lane`` had ended calls by then, which may be known only when the caller's thread is back."""
        if lane == self.lane and self._ended is None:
            self._ended = ended

    def end(self, run: Sharing) -> None:
        """Has the workers make all further calls, if one of them has ended one, and they do better alone."""
        # Not when a worker is ready: its first call may have to import what all others find there.
        lane = self.lane
        if lane is None or not (theirs := run.dispatch.lanes[lane]).calls:
            return
        why = self._is_needed(run, theirs)
        if why is not None:
            if not self._goes_on and run.dispatch.left:
                self._goes_on = True
                beside = counted(theirs.target, run.backend_of(lane).name)
                run.decide(f"went on in the calling thread, beside {beside}", why)
            return
        for number in range(run.first, lane):
            run.close_lane(number)
        self.lane, self._ahead = None, False
        run.leave()
        self.make_room(run, lane)  # the core that this thread leaves is another worker's at once

    def _is_needed(self, run: Sharing, theirs: Lane) -> str | None:
        """Why the caller's thread does better to go on than to leave its core to another worker, if so, now that one of
        ``theirs`` has ended a call."""
        if not self._ahead or self._ended is None or run.total is None or not run.dispatch.lanes[run.first].calls:
            return None
        each = run.measure().wall
        cold, ahead = self._ended - self._since - each, run.dispatch.left * each / (theirs.target + 1)
        if not is_dear(cold, ahead):
            return None
        return (
            f"a worker's first call ended {seconds(cold)} later than one would here, as that of a further worker "
            f"would, and all that is left takes about {seconds(ahead)}"
        )

    def conclude(self, run: Sharing) -> None:
        """The run is over."""
        if self.lane is not None and run.dispatch.finished and not run.dispatch.lanes[self.lane].calls:
            others = any(lane.calls for number, lane in run.dispatch.lanes.items() if number != run.first)
            what = f"made all {'further ' if others else ''}calls in the calling thread"
            run.decide(what, "they were over before a worker had ended one")

    def make_room(self, run: Sharing, newest: int) -> None:
        """Has one worker less as long as the caller's thread computes itself: three on two cores would share them, and
        a call that nobody has begun by then would wait for all three."""
        lane, demand = run.dispatch.lanes[newest], run.demand
        busy = self._ahead if self.lane is not None else run.inside
        busy = busy and demand is not None and demand.cpu_share > MOSTLY_COMPUTING
        run.dispatch.hold_back(newest, max(0, lane.wanted + 1 - run.policy.cores) if busy else 0)
