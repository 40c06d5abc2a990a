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

from lightwork._batching import Batching
from lightwork._calls import Batch, Death, Event, Finished, Revoked, WorkerFailed, WorkerLost, WorkerReady
from lightwork._lean import deque, heapq
from lightwork._record import Record, Slotted
from lightwork.errors import CallTimeout, Failure, LightworkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence, Sequence
    from typing import Any

    from lightwork._calls import Style
    from lightwork.errors import WorkerCrashed

WorkerId = tuple[int, int]
"""Lane (one a crew) and the worker's number in that crew."""

NO_CAP = 1 << 30
"""Workers: a lane never has so many."""

MOST_JOINED = 64
"""Calls that came one by one and may go out together, at most: once they are out they cannot be cancelled."""

STANDSTILL = 1.0
"""Seconds after which more workers than are wanted help where calls may wait for some that came before them."""

DEEP = 64
"""Calls that must be pending for that: while fewer are they begin nearly in the order in which they came."""

LATE = 0.2
"""Seconds that a batch may take before idle workers are given what is left of it. None is meant to take so long."""

PROMPTLY = 0.02
"""The same where each call is waited for by itself, for any workers: such batches are meant to take 1 ms."""

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


class Rules(Record, frozen=True):
    """What the caller asked for. ``stop_on_failure``: the first final failure ends the run."""

    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    retry_delay: float = 0.0
    stop_on_failure: bool = True
    call_timeout: float | None = None
    max_tasks_per_child: int | None = None


class _Block(Slotted):
    """Pending calls with consecutive indices, ``first + at … first + end - 1``, cut from the left. ``joined``: those
    that came one by one, behind which others may be put."""

    __slots__ = ("at", "end", "first", "fn", "items", "joined", "style")

    def __init__(
        self, fn: Callable[..., Any], style: Style, first: int, items: Sequence[Any], end: int, at: int = 0
    ) -> None:
        self.fn = fn
        self.style = style
        self.first = first
        self.items = items
        self.end = end
        self.at = at
        self.joined: list[Any] | None = None

    def __len__(self) -> int:
        return self.end - self.at


class _Sent(Slotted):
    """A batch with a worker; calls before ``done`` are reported, the last ``untimed`` of them without their time: the
    next report has it."""

    __slots__ = ("batch", "done", "untimed")

    def __init__(self, batch: Batch, done: int = 0, untimed: int = 0) -> None:
        self.batch = batch
        self.done = done
        self.untimed = untimed


class _Worker(Slotted):
    """``since``: when the batch that it works on came to it, or its turn. ``revoked``: it was told to begin nothing
    more of what it has, ``asked``: so that others of its lane come first next time. ``worn``: it said that it will
    begin nothing more. ``warm``: it has ended a call."""

    __slots__ = ("asked", "given", "ready", "revoked", "sent", "since", "warm", "worn")

    def __init__(
        self,
        sent: dict[int, _Sent] | None = None,
        ready: bool = False,
        since: float = 0.0,
        revoked: bool = False,
        given: int = 0,
        worn: bool = False,
    ) -> None:
        self.sent: dict[int, _Sent] = {} if sent is None else sent
        self.worn = worn
        self.asked = self.warm = False
        self.ready = ready
        self.since = since
        self.revoked = revoked
        self.given = given


class _Lane(Slotted):
    """``asked``: the worker whose answer is awaited to the question what it has not begun. ``worn``: whether one of its
    workers ever was."""

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
        "prompt",
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
        target: int = 0,
        peak: int = 0,
        workers: dict[int, _Worker] | None = None,
        starting: int = 0,
        stillborn: int = 0,
        calls: int = 0,
        busy: float = 0.0,
        cpu: float = 0.0,
        open: bool = True,
        prompt: bool = False,
    ) -> None:
        self.prompt = prompt
        self.batching = batching
        self.max_queued = max_queued
        self.crash = crash
        self.whole = whole
        self.revocable = revocable
        self.target = self.wanted = target
        self.cap = NO_CAP
        self.held = self.helpers = 0
        self.peak = peak
        self.workers: dict[int, _Worker] = {} if workers is None else workers
        # Those of them that have nothing: with a thousand workers nobody is to look through all at every event.
        self.idle: dict[int, _Worker] = {name: one for name, one in self.workers.items() if not one.sent}
        self.starting = starting
        self.stillborn = stillborn
        self.calls = calls
        self.busy = busy
        self.cpu = cpu
        self.open = open
        self.asked: int | None = None
        self.worn = False
        self.room = NO_CAP
        """Calls that may go out before it is looked what became of them."""


def _plain_crash() -> type[WorkerCrashed]:
    from lightwork._crashed import WorkerCrashed  # see there

    return WorkerCrashed


class Dispatch:
    """The state of one run."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.lanes: dict[int, _Lane] = {}
        self.fed = 0
        self.done = 0
        self.failed = 0
        self.retried = 0
        self.lost = 0
        self.pending = 0
        self.more = True
        self.away = 0.0
        """Seconds for which nobody looks here while the input is asked for more."""
        self.total: int | None = None
        self.failure: Failure | None = None
        self.broken: BaseException | None = None
        self._blocks: deque[_Block] = deque()
        self._delayed: list[tuple[float, int, _Block]] = []
        self._attempts: dict[int, int] = {}
        self._condemned: set[int] = set()
        self._chunks: list[Chunk] = []
        self._batches = 0

    def let_go(self) -> None:
        """The run is over: keeps no item and no result, only what is counted."""
        self._blocks.clear()
        self._delayed.clear()
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
            self._blocks.append(_Block(fn, style, first, items, count))
            self.fed += count
            self.pending += count
        return first

    def feed_call(self, fn: Callable[..., Any], style: Style, item: Any) -> int:
        """Adds one call, to go with those before it where they are of the same function; returns its index."""
        index = self.fed
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.joined is None or last.fn is not fn or last.end == MOST_JOINED:
            self._blocks.append(last := _Block(fn, style, index, [], 0))
            last.joined = last.items = []
        last.joined.append(item)
        last.end += 1
        self.fed += 1
        self.pending += 1
        return index

    def send_alone(self, fn: Callable[..., Any], style: Style, item: Any, now: float) -> Send | None:
        """Adds a call for which a worker is free, and gives it to that worker, where nothing else is to be decided:
        as ``feed_call`` and ``plan`` would, in a third of the time. None, and nothing is done, where there is more to
        it."""
        lane = self.lanes[0]
        if self.pending or self._delayed or len(self.lanes) > 1 or self.rules.max_tasks_per_child is not None:
            return None
        if not lane.idle or not lane.open or lane.worn or lane.helpers or len(lane.workers) > lane.target:
            return None
        name, worker = next(iter(lane.idle.items()))
        if not worker.ready or worker.asked or worker.revoked:
            return None
        batch = Batch(self._batches, fn, style, self.fed, [item])
        self.fed += 1
        self._batches += 1
        del lane.idle[name]
        worker.since = now
        worker.given += 1
        worker.sent[batch.id] = _Sent(batch)
        return Send((0, name), batch)

    def feed_calls(self, fn: Callable[..., Any], style: Style, items: Sequence[Any], together: int) -> int:
        """Adds calls each of which is waited for by itself; returns the index of the first. ``together``: so many may
        go out together, if they are more than of others."""
        first, together = self.fed, max(together, MOST_JOINED)
        for at in range(0, len(items), together):
            self.feed(fn, style, items[at : at + together])
        return first

    def end_of_input(self) -> None:
        """No ``feed`` will follow."""
        self.more, self.away = False, 0.0

    @property
    def finished(self) -> bool:
        """The input has ended and every call is done."""
        return not self.more and self.done == self.fed

    @property
    def left(self) -> int:
        """Calls that are with nobody, those included that are not drawn yet where their number is known."""
        return self.pending if self.total is None else max(self.pending, self.total - self.fed + self.pending)

    # workers

    def add_lane(
        self,
        lane: int,
        batching: Batching,
        max_queued: int,
        crash: Callable[[], type[WorkerCrashed]] | None = None,
        whole: bool = False,
        revocable: bool = False,
        prompt: bool = False,
    ) -> None:
        """Makes a crew known, with no worker wanted yet.

        ``crash`` gives the class for calls that its workers' deaths cost; ``whole``: a batch may be all that there is,
        for its worker hands back what it does not come to; ``revocable``: what a worker has not begun can be taken
        back; ``prompt``: it is as soon as that is late, for whoever is free first.
        """
        self.lanes[lane] = _Lane(batching, max_queued, crash or _plain_crash, whole, revocable, prompt=prompt)

    def set_lane(self, lane: int, target: int) -> None:
        """Wants ``target`` workers in a lane: more are started when there is work, idle ones too many retire."""
        one = self.lanes[lane]
        one.wanted = target
        one.target = min(target, one.cap) + one.helpers
        if one.held and one.target:
            one.target = max(1, one.target - one.held)

    def cap_lane(self, lane: int, most: int) -> None:
        """A lane has at most so many workers, and at least 1, whatever is wanted."""
        self.lanes[lane].cap = max(1, most)
        self.set_lane(lane, self.lanes[lane].wanted)

    def hold_back(self, lane: int, count: int) -> None:
        """A lane has so many workers less than are wanted, but at least 1: for now others have what they would use."""
        if self.lanes[lane].held != count:
            self.lanes[lane].held = count
            self.set_lane(lane, self.lanes[lane].wanted)

    def not_started(self, lane: int, count: int) -> None:
        """So many workers of a ``Start`` were not, and will not be, started."""
        self.lanes[lane].starting -= count

    def started(self, worker: WorkerId) -> None:
        """A ``Start`` was carried out for this worker."""
        lane = self.lanes[worker[0]]
        lane.starting -= 1
        lane.workers[worker[1]] = lane.idle[worker[1]] = _Worker()
        lane.peak = max(lane.peak, len(lane.workers))

    def drop(self, to: WorkerId, batch: Batch, position: int) -> bool:
        """Nobody wants the result of the call at ``position`` of a batch that is being sent: it is done, and what comes
        after it does not go with the batch. Returns whether something is left to be sent."""
        lane = self.lanes[to[0]]
        worker = lane.workers[to[1]]
        if position + 1 < batch.stop:
            self._put_back(_rest(batch, position + 1))
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
                for sent in worker.sent.values():
                    found[number, name] = sent.batch.first + sent.done, worker.ready
                    break
        return found

    def condemn(self, index: int) -> WorkerId | None:
        """Gives a call no further attempt; returns the worker that runs it or would next, or None as long as none does.

        It may be a worker that is starting, and that may hang.
        """
        for number, lane in self.lanes.items():
            for name, worker in lane.workers.items():
                sent = next(iter(worker.sent.values()), None)
                if sent is not None and sent.batch.first + sent.done == index:
                    self._attempts[index] = self.rules.retries
                    self._condemned.add(index)
                    return number, name
        return None

    # decisions

    def plan(self, now: float) -> list[Instruction]:
        """What to do now. Carry all of it out, in this order."""
        while self._delayed and self._delayed[0][0] <= now:
            self._put_back(heapq.heappop(self._delayed)[2])
        instructions: list[Instruction] = []
        # The newest first: it is the one that is to take over.
        for number, lane in reversed(self.lanes.items()):
            if (lane.open and lane.target) or lane.workers:
                self._plan_lane(number, lane, instructions, now)
        return instructions

    def next_deadline(self) -> float | None:
        """When ``plan`` has something to do even without an event."""
        times = [self._delayed[0][0]] if self._delayed else []
        for lane in self.lanes.values():
            if self._takes_back(lane):
                for worker in lane.workers.values():
                    if worker.sent and self._holds_back(worker):
                        times.append(self._late(lane, worker))
            if self.pending:
                times += self._stuck(lane)[lane.helpers :]
        return min(times, default=None)

    def _takes_back(self, lane: _Lane) -> bool:
        """Whether another worker would take what one has and has not begun."""
        if not (lane.revocable and lane.open):
            return False
        idles = not self.pending and (len(lane.workers) < lane.target or bool(lane.idle))
        return idles or (lane.prompt and lane.target > 1)

    @staticmethod
    def _late(lane: _Lane, worker: _Worker) -> float:
        """When that is to be."""
        return worker.since + (PROMPTLY if lane.prompt and worker.warm else LATE)

    @staticmethod
    def _holds_back(worker: _Worker) -> bool:
        """Whether a worker has calls that it does not seem to have begun."""
        if worker.revoked or not worker.sent:
            return False
        head = next(iter(worker.sent.values()))
        return len(worker.sent) > 1 or head.batch.stop - head.done > 1 or not worker.ready

    def _plan_lane(self, number: int, lane: _Lane, instructions: list[Instruction], now: float) -> None:
        busy = len(lane.idle) < len(lane.workers)
        if lane.prompt and (lane.helpers or (busy and self.pending)):
            helpers = sum(due <= now for due in self._stuck(lane))
            if helpers != lane.helpers:
                lane.helpers = helpers
                self.set_lane(number, lane.wanted)
        if lane.worn or len(lane.workers) > lane.target or self.rules.max_tasks_per_child is not None:
            self._retire(number, lane, instructions)
        if self.pending and lane.open:
            for name, worker in list(lane.idle.items()):
                if lane.room <= 0:
                    break
                if self._has_room(lane, worker, 0):
                    lane.room -= 1
                    worker.since = now
                    del lane.idle[name]
                    instructions.append(Send((number, name), self._next_batch(lane, worker)))
                    if not self.pending:
                        break
            if self.pending and lane.room > 0:
                self._queue_ahead(number, lane, instructions)
            if self.pending and not lane.idle:
                wanted = min(lane.target - len(lane.workers), self.pending) - lane.starting
                if wanted > 0:
                    lane.starting += wanted
                    instructions.append(Start(number, wanted))
        if not lane.calls and self._waited_for(lane):
            self._take_one(number, lane, instructions)
        if self._takes_back(lane):
            for name, worker in lane.workers.items():
                if now - worker.since >= PROMPTLY and now >= self._late(lane, worker) and self._holds_back(worker):
                    worker.revoked = True
                    # The call that runs takes so long at least: what is taken back goes out in smaller batches.
                    lane.batching.observe(1, now - worker.since)
                    instructions.append(Revoke((number, name)))

    def _queue_ahead(self, number: int, lane: _Lane, instructions: list[Instruction]) -> None:
        """Gives workers further batches behind short ones."""
        for depth in range(1, lane.max_queued):
            if not (self.pending and self._queues_ahead(lane, 1)):
                return
            for name, worker in lane.workers.items():
                if not self.pending:
                    return
                if len(worker.sent) == depth and self._has_room(lane, worker, depth):
                    instructions.append(Send((number, name), self._next_batch(lane, worker)))

    def _stuck(self, lane: _Lane) -> list[float]:
        """From when on another worker is to help, one for each that is at a call that came after one that is pending.

        As many calls as there are workers may wait for each other. They would all be running had they begun in the
        order in which they came. A call that is pending for another attempt has begun in its turn.
        """
        if not (lane.prompt and lane.revocable and self.pending):
            return []
        firsts = (block.first + block.at for block in self._blocks)
        pending = next((index for index in firsts if index not in self._attempts), self.fed)
        found = []
        for worker in lane.workers.values():
            head = next(iter(worker.sent.values()), None)
            if head is not None and head.batch.first + head.done > pending:
                found.append(worker.since + STANDSTILL)
        return sorted(found)

    def _waited_for(self, lane: _Lane) -> bool:
        """Whether a lane that has not ended a call yet keeps the last ones, for which another one has time."""
        if self.pending or not lane.revocable or lane.asked is not None:
            return False
        return any(
            other is not lane and other.open and other.target and (other.idle or not other.workers)
            for other in self.lanes.values()
        )

    @staticmethod
    def _take_one(number: int, lane: _Lane, instructions: list[Instruction]) -> None:
        """Takes back what one worker has not begun: it may be long in importing what it needs. The last that came
        first; the others may be about to begin."""
        for name, worker in reversed(lane.workers.items()):
            if worker.sent and not worker.asked:
                worker.revoked = worker.asked = True
                lane.asked = name
                instructions.append(Revoke((number, name)))
                return

    def _retire(self, number: int, lane: _Lane, instructions: list[Instruction]) -> None:
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
                if worn and self.pending and lane.open and len(lane.workers) + lane.starting < lane.target:
                    lane.starting += 1
                    instructions.append(Start(number, 1))

    def _has_room(self, lane: _Lane, worker: _Worker, depth: int) -> bool:
        if len(lane.workers) > lane.target or worker.revoked or worker.worn:
            return False
        if worker.asked and not lane.calls:
            return False  # it still imports what took its calls too long
        limit = self.rules.max_tasks_per_child
        if limit is not None and worker.given >= limit:
            return False
        if depth == 0:
            return True
        if self.pending <= len(lane.workers) and not self.away:
            return False  # toward the end every call is kept for whoever is free first
        ahead = sum(len(sent.batch.items) - sent.done for sent in worker.sent.values())
        return worker.ready and self._queues_ahead(lane, ahead)

    def _queues_ahead(self, lane: _Lane, calls: int) -> bool:
        return lane.batching.queue_ahead(calls, self.away if lane.revocable else 0.0)

    def _next_batch(self, lane: _Lane, worker: _Worker) -> Batch:
        block = self._blocks[0]
        limit = self.rules.max_tasks_per_child
        at, size = block.at, block.end - block.at
        if lane.prompt and self.pending < DEEP:
            size = 1
        elif size > 1:
            size = min(size, lane.batching.size(self.left, max(lane.target, 1), self.more and self.total is None))
            if limit is not None:
                size = min(size, limit - worker.given)
        if len(block.items) < block.end:
            self.broken = self.broken or RuntimeError("the list of items became shorter while its items were mapped")
            block.items = [*block.items, *[None] * (block.end - len(block.items))]
        if lane.whole and lane.batching.fixed is None and limit is None:
            size = len(block)
            batch = Batch(self._batches, block.fn, block.style, block.first, block.items, at, block.end)
        else:
            items = block.items if size == len(block.items) else block.items[at : at + size]
            batch = Batch(self._batches, block.fn, block.style, block.first + at, items)
        block.at += size
        if block.at == block.end:
            self._blocks.popleft()
        self._batches += 1
        self.pending -= size
        worker.given += size
        worker.sent[batch.id] = _Sent(batch, batch.start)
        return batch

    def _put_back(self, block: _Block) -> None:
        """Calls are pending again, in their place."""
        sooner = []
        while self._blocks and self._blocks[0].first + self._blocks[0].at < block.first + block.at:
            sooner.append(self._blocks.popleft())
        self._blocks.appendleft(block)
        self._blocks.extendleft(reversed(sooner))
        self.pending += len(block)

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
            self._lost(lane_number, event, now)
        elif isinstance(event, Revoked):
            self._revoked(lane, event)
        elif isinstance(event, WorkerFailed):
            lane.idle.pop(event.worker, None)
            if (failed := lane.workers.pop(event.worker, None)) is not None:
                self._take_back(failed, None)
            if lane.peak == len(lane.workers) + 1:
                lane.peak -= 1  # it never was one more
            if event.scarce and lane.workers:
                self.set_lane(lane_number, min(lane.wanted, len(lane.workers)))
            else:
                self.broken = self.broken or event.exception

    def _finished(self, lane: _Lane, event: Finished, now: float) -> None:
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
        lane.busy += outcomes.seconds
        lane.cpu += outcomes.cpu
        if outcomes.seconds > 0:
            lane.batching.observe(count + sent.untimed, outcomes.seconds)
            sent.untimed = 0
        else:
            sent.untimed += count
        batch = sent.batch
        if event.last:
            del worker.sent[outcomes.batch]
            if not worker.sent:
                lane.idle[event.worker] = worker
            worker.since = now
            worker.revoked = worker.revoked and bool(worker.sent)
            if (left := batch.stop - sent.done) > 0:
                worker.given -= left
                self._put_back(_rest(batch, sent.done))
        first = batch.first + outcomes.start
        if not outcomes.failures:
            if self._attempts:
                for index in [index for index in self._attempts if first <= index < first + count]:
                    del self._attempts[index]
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
                self._attempts.pop(index, None)
                run.append(value)
                continue
            self._emit(Chunk(begin, run))
            run, begin = [], index + 1
            self._failed(batch, index, exception, now)
        outcomes.failures.clear()  # frames that the exceptions' tracebacks keep hold these outcomes
        self._emit(Chunk(begin, run))

    def _failed(self, batch: Batch, index: int, exception: BaseException, now: float) -> None:
        attempts = self._attempts.pop(index, 0) + 1
        self._condemned.discard(index)
        rules = self.rules
        if attempts <= rules.retries and isinstance(exception, rules.retry_on) and self.failure is None:
            self._attempts[index] = attempts
            self.retried += 1
            block = _Block(batch.fn, batch.style, index, [batch.items[index - batch.first]], 1)
            if rules.retry_delay > 0:
                heapq.heappush(self._delayed, (now + rules.retry_delay, index, block))
            else:
                self._put_back(block)
            return
        failure = Failure(index, exception, attempts)
        self.failed += 1
        if rules.stop_on_failure and self.failure is None:
            self.failure = failure
        self._emit(Chunk(index, [failure], failed=1))

    def _revoked(self, lane: _Lane, event: Revoked) -> None:
        worker = lane.workers.get(event.worker)
        if worker is None or not event.positions:
            return
        for number, position in reversed(event.positions.items()):
            batch = worker.sent[number].batch
            if batch.first + position in self._condemned:
                position += 1  # it ends with its worker, whose end is on its way, and does not begin elsewhere
            if position < batch.stop:
                worker.given -= batch.stop - position
                self._put_back(_rest(batch, position))
                batch.end = position
            if not position:
                del worker.sent[number]
        worker.revoked = bool(worker.sent)
        if not worker.sent:
            lane.idle[event.worker] = worker

    def _lost(self, lane_number: int, event: WorkerLost, now: float) -> None:
        lane = self.lanes[lane_number]
        worker = lane.workers.pop(event.worker, None)
        lane.idle.pop(event.worker, None)
        if worker is None:
            return
        self.lost += 1
        if event.death.starved:
            # It was one too many. As memory may run out within milliseconds, no measurement will have said so.
            self.set_lane(lane_number, max(1, min(lane.wanted, len(lane.workers) + 1) - 1))
        running = event.running
        head = next(iter(worker.sent.items()), None)
        if running is None and head is not None and head[1].batch.first + head[1].done in self._condemned:
            # It was to be ended, and its worker was, before it began: it does not begin elsewhere.
            running = (head[0], head[1].done)
        elif not worker.ready:
            lane.stillborn += 1
        broken_off = self._take_back(worker, running)
        if broken_off is not None:
            batch, position = broken_off
            self._failed(batch, batch.first + position, self._cause(lane, batch.first + position, event.death), now)
        if lane.stillborn >= STILLBORN_LIMIT and self.broken is None:
            self.broken = LightworkError(
                f"{lane.stillborn} workers died one after another before they could take a call: the last one "
                f"{event.death.reason}"
            )

    def _take_back(self, worker: _Worker, running: tuple[int, int] | None) -> tuple[Batch, int] | None:
        """Makes pending again what a worker had not begun; returns the call that it was running."""
        broken_off = None
        for batch_id, sent in reversed(worker.sent.items()):
            batch, rest = sent.batch, sent.done
            if running is not None and running[0] == batch_id:
                broken_off, rest = (batch, running[1]), running[1] + 1
            if rest < batch.stop:
                self._put_back(_rest(batch, rest))
        return broken_off

    def _cause(self, lane: _Lane, index: int, death: Death) -> LightworkError:
        if death.timed_out:
            return CallTimeout(index, self.rules.call_timeout or 0.0)
        return lane.crash()(index, death.pid, death.signal, death.exitcode, death.reason)

    # output

    def _emit(self, chunk: Chunk) -> None:
        if count := chunk.count:
            self.done += count
            self._chunks.append(chunk)

    def take(self) -> list[Chunk]:
        """Calls that were done since the last ``take``, in the order in which they ended."""
        chunks, self._chunks = self._chunks, []
        return chunks


def _rest(batch: Batch, position: int) -> _Block:
    """The calls of a batch from ``position`` on."""
    return _Block(batch.fn, batch.style, batch.first, batch.items, batch.stop, position)


class Reorder:
    """Puts chunks back into the input's order."""

    def __init__(self) -> None:
        self.waiting: dict[int, Chunk] = {}

    def put(self, chunk: Chunk) -> None:
        """Takes in a chunk; chunks never overlap. What was placed needs no ordering."""
        if chunk.values:
            self.waiting[chunk.first] = chunk

    def move(self, results: MutableSequence[Any], first: int = 0, stop: Failure | None = None) -> None:
        """Appends to ``results``, which begin with the call of index ``first``, what comes next in them; not the
        failure ``stop`` and what follows it.

        What comes next is told by the results alone: so a Ctrl-C between two steps puts none into a wrong place.
        """
        while True:
            index = first + len(results)
            chunk = self.waiting.get(index)
            if chunk is None or (stop is not None and stop.index <= index):
                return
            results.extend(chunk.values if stop is None else chunk.values[: stop.index - index])
            del self.waiting[index]
