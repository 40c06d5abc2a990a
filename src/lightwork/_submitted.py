"""The dispatch of an executor: calls come one by one, and each is waited for by itself.

So a call goes out alone, or with a few others of its function that take next to nothing; what waits behind a longer one
is soon taken back for whoever is free; and calls that may wait for each other get workers enough to begin in the order
in which they came.
"""

from __future__ import annotations

from lightwork._calls import Batch
from lightwork._dispatch import LATE, Dispatch, Instruction, Revoke, Send, WorkerId
from lightwork._lanes import Lane, Sent, Worker
from lightwork._record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._calls import Style

MOST_JOINED = 64
"""Calls that came one by one and may go out together, at most: once they are out they cannot be cancelled."""

STANDSTILL = 1.0
"""Seconds after which more workers than are wanted help where calls may wait for some that came before them."""

DEEP = 64
"""Calls that must be pending for that: while fewer are they begin nearly in the order in which they came."""

PROMPTLY = 0.02
"""Seconds that a batch may take before any workers are given what is left of it: it is meant to take 1 ms."""


class Submitted(Dispatch):
    """The state of an executor's run."""

    soonest = PROMPTLY

    def feed_call(self, fn: Callable[..., Any], style: Style, item: Any) -> int:
        """Adds one call, to go with those before it where they are of the same function; returns its index."""
        index = self.fed
        self._backlog.add_one(fn, style, index, item, MOST_JOINED)
        self.fed += 1
        return index

    def feed_calls(self, fn: Callable[..., Any], style: Style, items: Sequence[Any], together: int) -> int:
        """Adds calls each of which is waited for by itself; returns the index of the first. ``together``: so many may
        go out together, if they are more than of others."""
        first, together = self.fed, max(together, MOST_JOINED)
        for at in range(0, len(items), together):
            self.feed(fn, style, items[at : at + together])
        return first

    def send_alone(self, fn: Callable[..., Any], style: Style, item: Any, now: float) -> Send | None:
        """Adds a call for which a worker is free, and gives it to that worker, where nothing else is to be decided:
        as ``feed_call`` and ``plan`` would, in a third of the time. None, and nothing is done, where there is more to
        it."""
        lane, backlog = self.lanes[0], self._backlog
        if backlog.count or backlog.delayed or len(self.lanes) > 1 or self.rules.max_tasks_per_child is not None:
            return None
        if not lane.idle or not lane.open or lane.worn or lane.helpers or len(lane.workers) > lane.target:
            return None
        name, worker = next(iter(lane.idle.items()))
        if not worker.ready or worker.asked or worker.revoked or worker.worn:
            return None
        batch = Batch(self._batches, fn, style, self.fed, [item])
        self.fed += 1
        self._batches += 1
        del lane.idle[name]
        worker.since = now
        worker.given += 1
        worker.sent[batch.id] = Sent(batch)
        return Send((0, name), batch)

    def condemn(self, index: int) -> WorkerId | Revoke | None:
        """Gives a call no further attempt; returns the worker that runs it or would next, which gets nothing more and
        is to be killed. None as long as none does.

        Where it has other calls, too, these are to be taken back first: it may be at one of them by now, or come to one
        before it dies. It may be a worker that is starting, and that may hang.
        """
        for number, lane in self.lanes.items():
            for name, worker in lane.workers.items():
                head = worker.head
                if head is None or head.batch.first + head.done != index:
                    continue
                self._attempts.condemn(index, self.rules)
                if not lane.revocable or (len(worker.sent) == 1 and head.batch.stop - head.done == 1):
                    worker.worn = True
                    return number, name
                if worker.revoked:
                    return None
                worker.revoked = True
                return Revoke((number, name))
        return None

    def end_attempts(self) -> None:
        """Gives no call a further attempt: those that wait for one have failed as they did the last time."""
        self.rules = replace(self.rules, retries=0)
        for block in self._backlog.take_failed():
            assert block.failed is not None
            self._fail(block.first, block.failed, self._attempts.made.pop(block.first, 1))

    def waits(self, index: int) -> bool:
        """Whether a call is with nobody, or is to be tried again later."""
        blocks = (*self._backlog.blocks, *(block for _, block in self._backlog.delayed))
        return any(block.first + block.at <= index < block.first + block.end for block in blocks)

    def next_deadline(self) -> float | None:
        """When ``plan`` has something to do even without an event."""
        due = super().next_deadline()
        if not self._backlog.count:
            return due
        times = [] if due is None else [due]
        for lane in self.lanes.values():
            times += self._stuck(lane)[lane.helpers :]
        return min(times, default=None)

    def _takes_back(self, lane: Lane) -> bool:
        return (lane.revocable and lane.open and lane.target > 1) or super()._takes_back(lane)

    def _late(self, worker: Worker) -> float:
        return worker.since + (PROMPTLY if worker.warm else LATE)

    def _size(self, lane: Lane) -> int:
        return 1 if self._backlog.count < DEEP else super()._size(lane)

    def _plan_lane(self, number: int, lane: Lane, instructions: list[Instruction], now: float) -> None:
        if lane.helpers or (self._backlog.count and len(lane.idle) < len(lane.workers)):
            helpers = sum(due <= now for due in self._stuck(lane))
            if helpers != lane.helpers:
                lane.helpers = helpers
                lane.want(lane.wanted)
        super()._plan_lane(number, lane, instructions, now)

    def _stuck(self, lane: Lane) -> list[float]:
        """From when on another worker is to help, one for each that is at a call that came after one that is pending.

        As many calls as there are workers may wait for each other. They would all be running had they begun in the
        order in which they came. A call that is pending for another attempt has begun in its turn.
        """
        if not (lane.revocable and self._backlog.count):
            return []
        firsts = (block.first + block.at for block in self._backlog.blocks)
        pending = next((index for index in firsts if index not in self._attempts.made), self.fed)
        found = []
        for worker in lane.workers.values():
            head = next(iter(worker.sent.values()), None)
            if head is not None and head.batch.first + head.done > pending:
                found.append(worker.since + STANDSTILL)
        return sorted(found)
