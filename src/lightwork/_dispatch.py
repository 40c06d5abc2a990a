"""Which call goes to which worker, and what becomes of it: events in, instructions out.

A pure state machine. Time arrives as an argument, nothing here reads a clock, blocks or knows a backend: it can be
driven by live crews, by a simulated machine or by a recorded trace.

    feed(...)            calls from the input, in the input's order
    set_lane(...)        how many workers of a crew are wanted
    plan(now)            ──▶ [Start | Send | Retire | Revoke]
    handle(event, now)   what a crew reported
    take()               ──▶ [Chunk] finished calls: values and failures, as they end

A call is *pending* (not sent), *sent*, then *done*: it has a value or a final failure. Without retries a call that
may have begun is never sent again.
"""

from __future__ import annotations

from lightwork._attempts import Attempts, Rules, cause
from lightwork._backlog import Backlog, Block, rest_of
from lightwork._batching import Batching
from lightwork._calls import Batch, Event, Finished, Revoked, WorkerFailed, WorkerLost, WorkerReady
from lightwork._lanes import Lane, Sent, Worker
from lightwork._record import Slotted
from lightwork.errors import Failure, LightworkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._calls import Style
    from lightwork.errors import WorkerCrashed

WorkerId = tuple[int, int]
"""Lane (one a crew) and the worker's number in that crew."""

LATE = 0.2
"""Seconds that a batch may take before idle workers are given what is left of it. None is meant to take so long."""

STILLBORN_LIMIT = 5
"""Workers of a lane that may die before they became ready, with no other ready and no call done in between, before the
lane is given up."""


class Start(Slotted):
    """Start ``count`` workers in a lane."""

    __slots__ = ("count", "lane")

    def __init__(self, lane: int, count: int) -> None:
        self.lane = lane
        self.count = count


class Send(Slotted):
    """Hand a batch to a worker."""

    __slots__ = ("batch", "worker")

    def __init__(self, worker: WorkerId, batch: Batch) -> None:
        self.worker = worker
        self.batch = batch


class Retire(Slotted):
    """Let an idle worker end: it is not needed, has done its ``max_tasks_per_child`` calls, or is worn."""

    __slots__ = ("worker",)

    def __init__(self, worker: WorkerId) -> None:
        self.worker = worker


class Revoke(Slotted):
    """Take back what a worker has not begun: others have nothing to do."""

    __slots__ = ("worker",)

    def __init__(self, worker: WorkerId) -> None:
        self.worker = worker


Instruction = Start | Send | Retire | Revoke


class Chunk(Slotted):
    """Finished calls ``first … first + count - 1``; where one failed, its value is its ``Failure``.

    ``placed``: so many values stand in the caller's list of results already, and ``values`` is empty.
    """

    __slots__ = ("failed", "first", "placed", "values")

    def __init__(self, first: int, values: list[Any], failed: int = 0, placed: int = 0) -> None:
        self.first = first
        self.values = values
        self.failed = failed
        self.placed = placed

    @property
    def count(self) -> int:
        """How many calls these are."""
        return self.placed or len(self.values)


def _plain_crash() -> type[WorkerCrashed]:
    from lightwork._crashed import WorkerCrashed  # see there

    return WorkerCrashed


class Dispatch:
    """The state of one run."""

    soonest = LATE
    """Seconds before which no worker is asked for what it has not begun."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.lanes: dict[int, Lane] = {}
        self.fed = 0
        self.done = 0
        self.failed = 0
        self.retried = 0
        self.lost = 0
        self.more = True
        self.away = 0.0
        """Seconds for which nobody looks here while the input is asked for more."""
        self.total: int | None = None
        self.failure: Failure | None = None
        self.broken: BaseException | None = None
        self.short = False
        """Whether items were taken out of the list, so that no further call may begin."""
        self._backlog = Backlog()
        self._attempts = Attempts()
        self._chunks: list[Chunk] = []
        self._batches = 0

    def let_go(self) -> None:
        """The run is over: keeps no item and no result, only what is counted."""
        self._backlog.clear()
        self._chunks.clear()
        for lane in self.lanes.values():
            for worker in lane.workers.values():
                worker.sent.clear()

    # input

    def feed(self, fn: Callable[..., Any], style: Style, items: Sequence[Any], count: int | None = None) -> int:
        """Adds calls; returns the index of the first. ``count``: of items that others may add to and take from."""
        first = self.fed
        count = len(items) if count is None else count
        if count:
            self._backlog.add(Block(fn, style, first, items, count))
            self.fed += count
        return first

    def end_of_input(self) -> None:
        """No ``feed`` will follow."""
        self.more, self.away = False, 0.0

    @property
    def finished(self) -> bool:
        """The input has ended and every call is done."""
        return not self.more and self.done == self.fed

    @property
    def pending(self) -> int:
        """Calls that could begin now and are with nobody."""
        return self._backlog.count

    @property
    def left(self) -> int:
        """Calls that are with nobody, those included that are not drawn yet where their number is known."""
        pending = self._backlog.count
        return pending if self.total is None else max(pending, self.total - self.fed + pending)

    # workers

    def add_lane(
        self,
        lane: int,
        batching: Batching,
        max_queued: int,
        crash: Callable[[], type[WorkerCrashed]] | None = None,
        whole: bool = False,
        revocable: bool = False,
    ) -> None:
        """Makes a crew known, with no worker wanted yet.

        ``crash`` gives the class for calls that its workers' deaths cost; ``whole``: a batch may be all that there is,
        for its worker hands back what it does not come to; ``revocable``: what a worker has not begun can be taken
        back.
        """
        self.lanes[lane] = Lane(batching, max_queued, crash or _plain_crash, whole, revocable)

    def set_lane(self, lane: int, target: int) -> None:
        """Wants ``target`` workers in a lane: more are started when there is work, idle ones too many retire."""
        self.lanes[lane].want(target)

    def cap_lane(self, lane: int, most: int) -> None:
        """A lane has at most so many workers, and at least 1, whatever is wanted."""
        one = self.lanes[lane]
        one.cap = max(1, most)
        one.want(one.wanted)

    def hold_back(self, lane: int, count: int) -> None:
        """A lane has so many workers less than are wanted, but at least 1: for now others have what they would use."""
        one = self.lanes[lane]
        if one.held != count:
            one.held = count
            one.want(one.wanted)

    def recall(self, lane: int) -> None:
        """What the workers of a lane have not begun is for others, where it can be taken back."""
        one = self.lanes[lane]
        one.recalled = one.revocable

    def rest(self, lane: int, resting: bool) -> None:
        """The workers of a lane stay, and get nothing for now; what they have not begun is for others."""
        self.lanes[lane].open = not resting
        if resting:
            self.recall(lane)

    def not_started(self, lane: int, count: int) -> None:
        """So many workers of a ``Start`` were not, and will not be, started."""
        self.lanes[lane].starting -= count

    def started(self, worker: WorkerId) -> None:
        """A ``Start`` was carried out for this worker."""
        self.lanes[worker[0]].started(worker[1])

    def drop(self, to: WorkerId, batch: Batch, position: int) -> bool:
        """Nobody wants the result of the call at ``position`` of a batch that is being sent: it is done, and what comes
        after it does not go with the batch. Returns whether something is left to be sent."""
        lane = self.lanes[to[0]]
        worker = lane.workers[to[1]]
        if position + 1 < batch.stop:
            self._backlog.put_back(rest_of(batch, position + 1))
        worker.given -= batch.stop - position
        batch.items, batch.end = batch.items[:position], None
        self._emit(Chunk(batch.first + position, [None]))
        if position > batch.start:
            return True
        del worker.sent[batch.id]
        if not worker.sent:
            lane.idle[to[1]] = worker
        return False

    def in_flight(self, lane: int) -> bool:
        """Whether a batch is with one of this lane's workers."""
        return len(self.lanes[lane].idle) < len(self.lanes[lane].workers)

    def running(self) -> dict[WorkerId, tuple[int, bool]]:
        """The call that each busy worker is at, by its index, and whether the worker was ready for it."""
        found = {}
        for number, lane in self.lanes.items():
            for name, worker in lane.workers.items():
                if (head := worker.head) is not None:
                    found[number, name] = head.batch.first + head.done, worker.ready
        return found

    # decisions

    def plan(self, now: float) -> list[Instruction]:
        """What to do now. Carry all of it out, in this order."""
        if self._backlog.delayed:
            self._backlog.ripen(now)
        instructions: list[Instruction] = []
        for number, lane in self.lanes.items():
            if lane.recalled:  # before others are started, which takes its time: they are to have that, too
                lane.recalled = False
                for name, worker in lane.workers.items():
                    if worker.holds_back():
                        worker.revoked = True
                        instructions.append(Revoke((number, name)))
        # The newest first: it is the one that is to take over.
        for number, lane in reversed(self.lanes.items()):
            if (lane.open and lane.target) or lane.workers:
                self._plan_lane(number, lane, instructions, now)
        return instructions

    def next_deadline(self) -> float | None:
        """When ``plan`` has something to do even without an event."""
        times = [] if (due := self._backlog.due) is None else [due]
        for lane in self.lanes.values():
            if self._takes_back(lane):
                for worker in lane.workers.values():
                    if worker.sent and worker.holds_back():
                        times.append(self._late(worker))
        return min(times, default=None)

    def _takes_back(self, lane: Lane) -> bool:
        """Whether another worker would take what one has and has not begun."""
        if self._backlog.count or not (lane.revocable and lane.open):
            return False
        return len(lane.workers) < lane.target or bool(lane.idle)

    def _late(self, worker: Worker) -> float:
        """When that is to be."""
        return worker.since + self.soonest

    def _plan_lane(self, number: int, lane: Lane, instructions: list[Instruction], now: float) -> None:
        backlog = self._backlog
        if lane.worn or len(lane.workers) > lane.target or self.rules.max_tasks_per_child is not None:
            self._retire(number, lane, instructions)
        if backlog.count and lane.open:
            for name, worker in list(lane.idle.items()):
                if lane.room <= 0:
                    break
                if self._has_room(lane, worker, 0):
                    lane.room -= 1
                    worker.since = now
                    del lane.idle[name]
                    instructions.append(Send((number, name), self._next_batch(lane, worker)))
                    if not backlog.count:
                        break
            if backlog.count and lane.room > 0:
                self._queue_ahead(number, lane, instructions)
            if backlog.count and not lane.idle:
                wanted = min(lane.target - len(lane.workers), backlog.count) - lane.starting
                if wanted > 0:
                    lane.starting += wanted
                    instructions.append(Start(number, wanted))
        if not lane.calls and self._waited_for(lane):
            self._take_one(number, lane, instructions)
        if self._takes_back(lane):
            for name, worker in lane.workers.items():
                if now >= worker.since + self.soonest and now >= self._late(worker) and worker.holds_back():
                    worker.revoked = True
                    # The call that runs takes so long at least: what is taken back goes out in smaller batches.
                    lane.batching.observe(1, now - worker.since)
                    instructions.append(Revoke((number, name)))

    def _queue_ahead(self, number: int, lane: Lane, instructions: list[Instruction]) -> None:
        """Gives workers further batches behind short ones."""
        for depth in range(1, lane.max_queued):
            if not (self._backlog.count and self._queues_ahead(lane, 1)):
                return
            for name, worker in lane.workers.items():
                if not self._backlog.count:
                    return
                if len(worker.sent) == depth and self._has_room(lane, worker, depth):
                    instructions.append(Send((number, name), self._next_batch(lane, worker)))

    def _waited_for(self, lane: Lane) -> bool:
        """Whether a lane that has not ended a call yet keeps the last ones, for which another one has time."""
        if self._backlog.count or not lane.revocable or lane.asked is not None:
            return False
        return any(
            other is not lane and other.open and other.target and (other.idle or not other.workers)
            for other in self.lanes.values()
        )

    @staticmethod
    def _take_one(number: int, lane: Lane, instructions: list[Instruction]) -> None:
        """Takes back what one worker has not begun: it may be long in importing what it needs. The last that came
        first; the others may be about to begin."""
        for name, worker in reversed(lane.workers.items()):
            if worker.sent and not (worker.asked or worker.revoked):
                worker.revoked = worker.asked = True
                lane.asked = name
                instructions.append(Revoke((number, name)))
                return

    def _retire(self, number: int, lane: Lane, instructions: list[Instruction]) -> None:
        """Lets idle workers go that are too many or worn: before others get calls, which they may only when there are
        not too many."""
        limit = self.rules.max_tasks_per_child
        surplus = len(lane.workers) - lane.target
        for name, worker in list(lane.idle.items()):
            worn = worker.worn or (limit is not None and worker.given >= limit)
            if not worker.sent and (worn or surplus > 0):
                del lane.workers[name], lane.idle[name]
                surplus -= 1
                instructions.append(Retire((number, name)))
                if worn and self._backlog.count and lane.open and len(lane.workers) + lane.starting < lane.target:
                    lane.starting += 1
                    instructions.append(Start(number, 1))

    def _has_room(self, lane: Lane, worker: Worker, depth: int) -> bool:
        if len(lane.workers) > lane.target or worker.revoked or worker.worn:
            return False
        if worker.asked and not lane.calls:
            return False  # it still imports what took its calls too long, as far as is known
        limit = self.rules.max_tasks_per_child
        if limit is not None and worker.given >= limit:
            return False
        if depth == 0:
            return True
        if self._backlog.count <= len(lane.workers) and not self.away:
            return False  # toward the end every call is kept for whoever is free first
        return worker.ready and self._queues_ahead(lane, worker.ahead)

    def _queues_ahead(self, lane: Lane, calls: int) -> bool:
        return lane.batching.queue_ahead(calls, self.away if lane.revocable else 0.0)

    def _next_batch(self, lane: Lane, worker: Worker) -> Batch:
        backlog, limit = self._backlog, self.rules.max_tasks_per_child
        block = backlog.blocks[0]
        if len(block.items) < block.end:
            self.broken = self.broken or RuntimeError("the list of items became shorter while its items were mapped")
            self.short = True
            block.fill_up()
        size: int | None = None
        if not lane.whole or lane.batching.fixed is not None or limit is not None:
            size = block.end - block.at
            if size > 1:
                size = min(size, self._size(lane))
                if limit is not None:
                    size = min(size, limit - worker.given)
        batch = backlog.cut(self._batches, size)
        self._batches += 1
        worker.given += batch.stop - batch.start
        worker.sent[batch.id] = Sent(batch, batch.start)
        return batch

    def _size(self, lane: Lane) -> int:
        """Calls that the next batch is meant to have."""
        return lane.batching.size(self.left, max(lane.target, 1), self.more and self.total is None)

    # events

    def handle(self, lane_number: int, event: Event, now: float) -> None:
        """Takes in what a crew reported."""
        lane = self.lanes[lane_number]
        if lane.asked == event.worker and not isinstance(event, WorkerReady):
            lane.asked = None
        if isinstance(event, Finished):
            self._finished(lane, event, now)
        elif isinstance(event, WorkerReady):
            if worker := lane.workers.get(event.worker):
                worker.ready = True
                lane.stillborn = 0
        elif isinstance(event, WorkerLost):
            self._lost(lane, event, now)
        elif isinstance(event, Revoked):
            self._revoked(lane, event)
        elif isinstance(event, WorkerFailed):
            if (failed := lane.gone(event.worker)) is not None:
                self._take_back(failed, None)
            if lane.peak == len(lane.workers) + 1:
                lane.peak -= 1  # it never was one more
            if event.scarce and lane.workers:
                lane.want(min(lane.wanted, len(lane.workers)))
            else:
                self.broken = self.broken or event.exception

    def _finished(self, lane: Lane, event: Finished, now: float) -> None:
        outcomes = event.outcomes
        worker = lane.workers[event.worker]
        if event.worn:
            worker.worn = lane.worn = True
        sent = worker.sent[outcomes.batch]
        count = outcomes.count
        sent.done = outcomes.start + count
        lane.calls += count
        if count:
            lane.stillborn, worker.warm = 0, True
            lane.batching.tell(count)
        lane.busy += outcomes.seconds
        lane.cpu += outcomes.cpu
        if outcomes.seconds > 0:
            lane.batching.observe(count + sent.untimed, outcomes.seconds)
            sent.untimed = 0
        else:
            sent.untimed += count
        batch = sent.batch
        if event.last:
            worker.asked = False  # also where it has refused the first call
            del worker.sent[outcomes.batch]
            if not worker.sent:
                lane.idle[event.worker] = worker
            worker.since = now
            worker.revoked = worker.revoked and bool(worker.sent)
            if (left := batch.stop - sent.done) > 0:
                worker.given -= left
                self._backlog.put_back(rest_of(batch, sent.done))
        first = batch.first + outcomes.start
        if not outcomes.failures:
            if self._attempts.made:
                self._attempts.succeeded(first, count)
            if count:
                self.done += count
                values, placed = (outcomes.values, 0) if outcomes.placed is None else ([], count)
                self._chunks.append(Chunk(first, values, placed=placed))
            return
        run: list[Any] = []
        begin = first
        for offset, value in enumerate(outcomes.values):
            exception = outcomes.failures.get(outcomes.start + offset)
            index = first + offset
            if exception is None:
                self._attempts.made.pop(index, None)
                run.append(value)
                continue
            self._emit(Chunk(begin, run))
            run, begin = [], index + 1
            self._failed(batch, index, exception, now)
        outcomes.failures.clear()  # frames that the exceptions' tracebacks keep hold these outcomes
        self._emit(Chunk(begin, run))

    def _failed(self, batch: Batch, index: int, exception: BaseException, now: float) -> None:
        if batch.style == "star" and type(exception) is TypeError:
            from lightwork._spread import explained

            exception = explained(exception, batch.items[index - batch.first], index)
        attempts = self._attempts.failed(index, exception, self.rules, over=self.failure is not None)
        if attempts is not None:
            self._fail(index, exception, attempts)
            return
        self.retried += 1
        block = Block(batch.fn, batch.style, index, [batch.items[index - batch.first]], 1, failed=exception)
        if self.rules.retry_delay > 0:
            self._backlog.delay(block, now + self.rules.retry_delay)
        else:
            self._backlog.put_back(block)

    def _fail(self, index: int, exception: BaseException, attempts: int) -> None:
        """A call has no further attempt."""
        failure = Failure(index, exception, attempts)
        self.failed += 1
        if self.rules.stop_on_failure and self.failure is None:
            self.failure = failure
        self._emit(Chunk(index, [failure], failed=1))

    def _revoked(self, lane: Lane, event: Revoked) -> None:
        worker = lane.workers.get(event.worker)
        if worker is None:
            return
        if not event.positions:
            worker.asked = False  # it has come to them, so that it imports no more
            return
        for number, position in reversed(event.positions.items()):
            batch = worker.sent[number].batch
            if batch.first + position in self._attempts.condemned:
                position += 1  # it ends with its worker, whose end is on its way, and does not begin elsewhere
            if position < batch.stop:
                worker.given -= batch.stop - position
                self._backlog.put_back(rest_of(batch, position))
                batch.end = position
            if not position:
                del worker.sent[number]
        worker.revoked = bool(worker.sent)
        if not worker.sent:
            lane.idle[event.worker] = worker

    def _lost(self, lane: Lane, event: WorkerLost, now: float) -> None:
        worker = lane.gone(event.worker)
        if worker is None:
            return
        self.lost += 1
        if event.death.starved:
            # It was one too many. As memory may run out within milliseconds, no measurement will have said so.
            lane.want(max(1, min(lane.wanted, len(lane.workers) + 1) - 1))
        running = event.running
        if running is not None and not event.begun:
            batch_id, position = running
            if self._attempts.begins_elsewhere(worker.sent[batch_id].batch.first + position):
                running = None  # as those behind it
        head = next(iter(worker.sent.items()), None)
        if running is None and head is not None and head[1].batch.first + head[1].done in self._attempts.condemned:
            # It was to be ended, and its worker was, before it began: it does not begin elsewhere.
            running = (head[0], head[1].done)
        elif not worker.ready and not event.death.beside:
            lane.stillborn += 1
        broken_off = self._take_back(worker, running)
        if broken_off is not None:
            batch, position = broken_off
            index = batch.first + position
            self._failed(batch, index, cause(index, event.death, lane.crash, self.rules), now)
        if lane.stillborn >= STILLBORN_LIMIT and self.broken is None:
            self.broken = LightworkError(
                f"{lane.stillborn} workers died one after another before they could take a call: the last one "
                f"{event.death.reason}"
            )

    def _take_back(self, worker: Worker, running: tuple[int, int] | None) -> tuple[Batch, int] | None:
        """Makes pending again what a worker had not begun; returns the call that it was running."""
        broken_off = None
        for batch_id, sent in reversed(worker.sent.items()):
            batch, rest = sent.batch, sent.done
            if running is not None and running[0] == batch_id:
                broken_off, rest = (batch, running[1]), running[1] + 1
            if rest < batch.stop:
                self._backlog.put_back(rest_of(batch, rest))
        return broken_off

    # output

    def _emit(self, chunk: Chunk) -> None:
        if count := chunk.count:
            self.done += count
            self._chunks.append(chunk)

    def take(self) -> list[Chunk]:
        """Calls that were done since the last ``take``, in the order in which they ended."""
        chunks, self._chunks = self._chunks, []
        return chunks
