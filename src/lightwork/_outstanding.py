"""Calls of an executor that are not done: from an inbox, over the run that makes them, to their futures' outcomes.

Any thread puts calls into the inbox. All else here is done by whoever drives, one thread at a time: ``_service`` says
who that is.
"""

from __future__ import annotations

import math
from concurrent.futures import BrokenExecutor, Future, _base
from queue import Empty, SimpleQueue
from typing import Any

from lightwork._backends.base import Backend
from lightwork._calls import Finished, Outcomes
from lightwork._dispatch import Chunk, Revoke
from lightwork._engine import Run
from lightwork._futures import CANCELLED
from lightwork._lean import suppress
from lightwork._live import Live
from lightwork._mapped import Mapped
from lightwork._options import Settings
from lightwork._plan import Plan
from lightwork._preparing import how_many
from lightwork._record import Slotted
from lightwork._submitted import Submitted
from lightwork.errors import Failure, UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    Outcome = Future[Any] | Mapped
else:
    Protocol = object

PATIENCE = 2.0
"""Seconds that workers are given to become ready, and take the call that they have, once the others are cancelled."""


class Work(Slotted):
    """A submitted call."""

    __slots__ = ("args", "fn", "future", "kwargs", "routed")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], future: Outcome, routed: int
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.future = future
        self.routed = routed
        """Changes of the router's mind that were known when it said who makes the call."""


class Works(Slotted):
    """Submitted calls of one function, whose futures ``Executor.map`` alone has. ``together``: so many of them may
    travel in one message."""

    __slots__ = ("argses", "fn", "futures", "together")

    def __init__(
        self, fn: Callable[..., Any], argses: Sequence[tuple[Any, ...]], futures: Sequence[Mapped], together: int
    ) -> None:
        self.fn = fn
        self.argses = argses
        self.futures = futures
        self.together = together


class Router(Protocol):
    """Who knows which service a function's calls are for, where an executor has several. ``changes``: how often that
    has changed for any function."""

    @property
    def changes(self) -> int: ...
    def learn(self, name: str, work: Work, seconds: float, cpu: float, beside: int, value: Any) -> None: ...
    def hand_on(self, name: str, work: Work) -> bool: ...
    def take_back(self, work: Work) -> bool: ...


class _ServiceRun(Run):
    """A run whose calls come one by one, each with a function of its own."""

    dispatch: Submitted
    dispatch_of = Submitted

    def __init__(self, plan: Plan, saw: Callable[[int, Outcomes, int], None] | None) -> None:
        super().__init__(plan)
        self._saw = saw
        self._warm: set[int] = set()

    def send_alone(self, fn: Callable[..., Any], item: Any) -> bool:
        """Begins a call at once, without asking ``on_send``; whether that could be."""
        now = self.clock.now()
        if now >= self._memory_look or (instruction := self.dispatch.send_alone(fn, "full", item, now)) is None:
            return False
        lane, worker = instruction.worker
        self._live[lane].send(worker, instruction.batch)
        return True

    def _note(self, number: int, live: Live, event: Finished) -> None:
        if live.backend.capabilities.needs_pickling and event.worker not in self._warm:
            self._warm.add(event.worker)  # its first call paid for imports
        elif self._saw is not None:
            lane = self.dispatch.lanes[number]
            sent = lane.workers[event.worker].sent[event.outcomes.batch]
            self._saw(sent.batch.first, event.outcomes, len(lane.workers) - len(lane.idle))


class Outstanding:
    """Calls that were taken and are not done."""

    def __init__(self, made: Backend, settings: Settings, router: Router | None) -> None:
        self.name = made.name
        self.inbox: SimpleQueue[Work | Works] = SimpleQueue()
        self.condemned: SimpleQueue[Future[Any]] = SimpleQueue()
        """What is to be ended."""
        self.futures: dict[int, Outcome] = {}
        """Of the calls that the run has."""
        self.closing = self.cancelling = self.abandoned = False
        """Whether no more calls come; whether those that have not begun are cancelled; whether all are."""
        self.broken: BaseException | None = None
        """Why no worker can start."""
        self.ended = False
        """Whether whoever drove is gone, and looks no more into the inbox."""
        self._made, self._settings, self._router = made, settings, router
        self._indices: dict[int, int] = {}
        self._works: dict[int, Work] = {}
        """Calls that are not done, where there is a router."""
        self._doomed: set[int] = set()
        self._cancelled_at = 0.0
        self.run = self._opened()

    def _opened(self) -> _ServiceRun:
        workers, growth = how_many(self._made, self._settings.max_workers)
        settings = self._settings
        plan = Plan(
            self._made,
            workers,
            settings.terms,
            settings.rules,
            growth,
            chunksize=1,  # but calls that take less than a message may share one
            on_send=self._begins,
            submitted=True,
            stall_timeout=settings.stall_timeout,
        )
        return _ServiceRun(plan, None if self._router is None else self._saw)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do, in the order in which calls pass by."""
        return self.inbox.empty() and not self.futures

    def knows(self, future: Future[Any]) -> bool:
        """Whether the call behind ``future`` was taken and is not done."""
        return id(future) in self._indices

    def begin_alone(self, future: Future[Any]) -> bool:
        """Whether the only call, whose caller is still submitting it, could begin with nothing else looked at."""
        try:
            work = self.inbox.get_nowait()
        except Empty:  # another leader has taken it meanwhile
            return False
        if not isinstance(work, Work) or work.future is not future:
            self._enter(work)
            return False
        item = (work.args, work.kwargs)
        run = self.run
        self._keep(run.dispatch.fed, work)
        if not run.send_alone(work.fn, item):
            run.dispatch.feed_call(work.fn, "full", item)
            return False
        future._state = _base.RUNNING  # nobody else has it yet, who could cancel it or wait for it
        return True

    def hand_out(self) -> None:
        """Calls for which a worker is free begin."""
        self.take_in()
        if not self.abandoned:
            self.run.hand_out()

    def turn(self, timeout: float | None, begun: bool = False) -> None:
        """Hands out, waits and takes in. ``begun``: there was nothing left to be handed out a moment ago."""
        run = self.run
        if not begun or not self.inbox.empty():
            # Even if the word to cancel the others came sooner than this thread.
            self.hand_out()
        if self.cancelling:
            for future in list(self.futures.values()):
                future.cancel()
            run.dispatch.end_attempts()
            run.hand_out()
            left = self._end_starting()
            if left < math.inf:
                timeout = left if timeout is None else min(timeout, left)
        if chunks := run.dispatch.take():
            self._resolve(chunks)
        if self.closing and not self.futures and self.inbox.empty():
            return
        run.absorb(timeout)
        if chunks := run.dispatch.take():
            self._resolve(chunks)
        if run.dispatch.broken is not None and self.broken is None:
            self._break(run.dispatch.broken)

    def _end_starting(self) -> float:
        """After ``cancel_futures``: ends calls whose workers take too long to become ready, which some never do.

        Returns in how many seconds to look again.
        """
        run = self.run
        if not self._made.capabilities.can_kill:
            return math.inf
        now = run.clock.now()
        self._cancelled_at = self._cancelled_at or now
        left = self._cancelled_at + PATIENCE - now
        if left > 0:
            return left
        for index, ready in list(run.dispatch.running().values()):
            if not ready:
                self._end_call(index)
        return PATIENCE

    def take_in(self) -> None:
        """Takes in what came."""
        while not self.inbox.empty():  # whoever drives is the only one who takes
            work = self.inbox.get()
            if self.broken is None:
                self._enter(work)
                continue
            for future in _futures_of(work):
                _settle(future, self.broken_error())

    def _enter(self, work: Work | Works) -> None:
        dispatch = self.run.dispatch
        if isinstance(work, Work):
            self._keep(dispatch.feed_call(work.fn, "full", (work.args, work.kwargs)), work)
            return
        items: list[Any] = [(args, {}) for args in work.argses]
        first = dispatch.feed_calls(work.fn, "full", items, work.together)
        self.futures.update(enumerate(work.futures, first))

    def _keep(self, index: int, work: Work) -> None:
        self.futures[index] = work.future
        self._indices[id(work.future)] = index
        if self._router is not None:
            self._works[index] = work

    def _begins(self, index: int) -> bool:
        """Whether a call is to be sent: not where its future was cancelled, or its function belongs elsewhere now, or
        it is to be ended and waits for another attempt."""
        future = self.futures.get(index)
        if future is None:
            return False
        if future.running():
            if index in self._doomed:
                self._give_up(index)
                return False
            return True
        if self._router is not None and not future.cancelled():
            work = self._works[index]
            if work.routed != self._router.changes and self._router.hand_on(self.name, work):
                self._forget(index)
                self.run.wake()  # whoever drives may have nothing to wait for now
                return False
        return future.set_running_or_notify_cancel()

    def _give_up(self, index: int) -> None:
        """Ends a call that is with no worker, and was with one before."""
        if (future := self._forget(index)) is not None:
            reason = "was not given it again, for it was to be ended"
            future.set_exception(self._made.crash_error()(index, reason=reason))

    def _forget(self, index: int) -> Outcome | None:
        if self._router is not None:
            self._works.pop(index, None)
        future = self.futures.pop(index, None)
        if future is not None:
            self._indices.pop(id(future), None)
        return future

    def _saw(self, index: int, outcomes: Outcomes, beside: int) -> None:
        work = self._works.get(index)
        if work is not None and self._router is not None and outcomes.count and not outcomes.failures:
            seconds, cpu = outcomes.seconds / outcomes.count, outcomes.cpu / outcomes.count
            self._router.learn(self.name, work, seconds, cpu, beside, outcomes.values[0])

    def _resolve(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            for index, value in enumerate(chunk.values, chunk.first):
                work = None if self._router is None else self._works.get(index)
                future = self._forget(index)
                if future is None or future._state in CANCELLED:
                    continue
                if self._router and work and _never_left(value) and self._router.take_back(work):
                    continue
                if isinstance(value, Failure):
                    future.set_exception(self._as_there(value.exception))
                else:
                    future.set_result(value)

    def _as_there(self, exception: BaseException) -> BaseException:
        """The exception, made one that is caught where the standard library's would be."""
        if self.name != "processes" or not isinstance(exception, UnpicklableError) or not exception.sent:
            return exception
        from lightwork._backends._crash import NotRebuilt

        error = NotRebuilt(exception.message, exception.path, exception.remedy)
        error.begun, error.sent, error.__cause__ = exception.begun, exception.sent, exception.__cause__
        return error

    def end_condemned(self) -> None:
        """Ends the calls that are to be ended, as soon as they run, or wait for another attempt."""
        doomed = self._doomed
        while True:
            try:
                future = self.condemned.get_nowait()
            except Empty:
                break
            index = self._indices.get(id(future))
            if index is not None:
                doomed.add(index)
        for index in list(doomed):
            outcome = self.futures.get(index)
            if outcome is None or self._end_call(index):
                doomed.discard(index)
            elif outcome.running() and self.run.dispatch.waits(index):
                self._give_up(index)
                doomed.discard(index)

    def _end_call(self, index: int) -> bool:
        """Whether the worker was killed that runs a call, or would next; not as long as others may be lost by that."""
        told, crews = self.run.dispatch.condemn(index), self.run.crews()
        if isinstance(told, Revoke):
            lane, worker = told.worker
            crews[lane].revoke(worker)
        elif told is not None:
            lane, worker = told
            crews[lane].kill(worker)
            return True
        return False

    def _break(self, cause: BaseException) -> None:
        """No worker can start: all that waits fails, as in the standard library."""
        self.broken = cause
        for index, future in list(self.futures.items()):
            self._indices.pop(id(future), None)
            del self.futures[index]
            _settle(future, self.broken_error())

    def broken_error(self) -> BrokenExecutor:
        """Why no call can be made, for one future: each raises its own, with a traceback of its own."""
        kind: type[BrokenExecutor] = BrokenExecutor
        with suppress(RuntimeError):  # the program ends, and it is too late to load them
            if self.name == "processes":
                from concurrent.futures.process import BrokenProcessPool as kind
            elif self.name == "threads":
                from concurrent.futures.thread import BrokenThreadPool as kind
        if self.broken is None:
            return kind("the executor was ended while this call ran")
        error = kind(f"the initializer failed, no worker could be started, or what sees to them: {self.broken!r}")
        error.__cause__ = self.broken
        return error

    def start_anew(self, last: Future[Any]) -> None:
        """After Ctrl-C struck a leader between two steps: what is where is not known any more."""
        from lightwork._crashed import WorkerCrashed

        torn, self.run = self.run, self._opened()
        torn.close()
        untouched = [self.inbox.get() for _ in range(self.inbox.qsize())]
        lost = {*self.futures.values(), last} - {future for work in untouched for future in _futures_of(work)}
        self.futures.clear()
        self._indices.clear()
        self._works.clear()
        for future in lost:
            _settle(future, WorkerCrashed(reason="was ended: Ctrl-C struck while its result was taken in"))
        for work in untouched:
            self.inbox.put(work)

    def end(self) -> None:
        """Ends the run, and settles what is left."""
        self.run.close()
        self.ended = True
        self.take_in()
        for future in self.futures.values():
            if self.broken is not None or not future.cancel():
                _settle(future, self.broken_error())
        self.futures.clear()


def _never_left(value: Any) -> bool:
    """Whether a call failed before it began, because it could not travel."""
    return isinstance(value, Failure) and isinstance(value.exception, UnpicklableError) and not value.exception.begun


def _futures_of(work: Work | Works) -> Sequence[Outcome]:
    return work.futures if isinstance(work, Works) else (work.future,)


def _settle(future: Outcome, error: BaseException) -> None:
    if not future.done() and (future.running() or future.set_running_or_notify_cancel()):
        future.set_exception(error)
