"""What is behind an executor: a run on one backend whose outcomes become futures, and who drives it.

Usually a thread of the service's own does. But a call goes from thread to thread four times then, on its way out and
back. So where a caller submits one call after another and waits for each, that caller drives: it is the *leader* as
long as it waits, and the thread only looks now and then whether somebody left a call alone. It hands the call out while
it submits, so that all it has to do until it waits is done while the call runs. One lock says who drives.
"""

from __future__ import annotations

import math
import threading
from concurrent.futures import BrokenExecutor, Future, _base
from queue import Empty, SimpleQueue
from typing import Any

from lightwork import _context, _machine
from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import backend, usable
from lightwork._backends.base import Backend
from lightwork._calls import Finished, Outcomes
from lightwork._clock import SystemClock
from lightwork._dispatch import Chunk
from lightwork._engine import Live, Plan, Run
from lightwork._lean import RLock, attrgetter, deque, get_ident
from lightwork._lock import Guarding, new_lock
from lightwork._mapped import Mapped
from lightwork._options import Settings, check_fit, how_many
from lightwork._record import Slotted, replace
from lightwork._submitted import Submitted
from lightwork.errors import Failure, UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    Drive = Callable[["LedFuture", float | None], None]
    Outcome = Future[Any] | Mapped
else:
    Protocol = object


ALONE = 3
"""Calls that were waited for at once, one after another, from which on their callers are expected to."""

_CANCELLED = frozenset({_base.CANCELLED, _base.CANCELLED_AND_NOTIFIED})
_DONE = _CANCELLED | {_base.FINISHED}
"""States of a future."""

PATIENCE = 2.0
"""Seconds that workers are given to become ready, and take the call that they have, once the others are cancelled."""


GUARD = 0.002
"""Seconds between two looks for calls that were left alone."""

TURNS = 500
"""Such looks that the main thread is given to take its turn."""

QUIET = 25
"""Looks without any call after which the thread sleeps until there is one."""


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


class _Condition(threading.Condition):
    """A condition whose lock no Ctrl-C leaves taken: ``Condition``'s own methods for that are written in Python.

    What it has of its lock is looked up when it is asked for, not copied into each: that took 1.5 µs a future.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._waiters: deque[Any] = deque()

    __enter__, __exit__ = Guarding.__enter__, Guarding.__exit__
    acquire: Any = property(attrgetter("_lock.acquire"))
    release: Any = property(attrgetter("_lock.release"))
    locked: Any = property(attrgetter("_lock.locked"))
    _release_save: Any = property(attrgetter("_lock._release_save"))
    _acquire_restore: Any = property(attrgetter("_lock._acquire_restore"))
    _is_owned: Any = property(attrgetter("_lock._is_owned"))

    def notify_all(self) -> None:
        """As ``threading.Condition.notify_all``."""
        if self._waiters:
            super().notify_all()


class LedFuture(Future[Any]):
    """A future for whose outcome its caller may work instead of waiting."""

    def __init__(self, service: Service) -> None:
        # What ``Future`` has, with a condition of its own kind.
        self._condition = _Condition()
        self._state = _base.PENDING
        self._result = self._exception = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Callable[[Future[Any]], object]] = []
        self.service = service
        """Who makes the call; another one, once it was handed on."""

    # Each is one word, for a look at which nobody has to be kept from changing it.

    def done(self) -> bool:
        """As ``concurrent.futures.Future.done``."""
        return self._state in _DONE

    def running(self) -> bool:
        """As ``concurrent.futures.Future.running``."""
        return self._state == _base.RUNNING

    def cancelled(self) -> bool:
        """As ``concurrent.futures.Future.cancelled``."""
        return self._state in _CANCELLED

    def result(self, timeout: float | None = None) -> Any:
        """As ``concurrent.futures.Future.result``."""
        timeout = self._led(timeout)
        if self._state == _base.FINISHED and self._exception is None:
            return self._result
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As ``concurrent.futures.Future.exception``."""
        return super().exception(self._led(timeout))

    def _led(self, timeout: float | None) -> float | None:
        if self._state in _DONE:
            return timeout
        if timeout is None:
            self.service.lead(self, None)
            return None
        end = SystemClock.now() + timeout
        self.service.lead(self, end)
        return max(0.0, end - SystemClock.now())


_serving: set[Service] = set()
"""Services whose thread runs. An executor that was dropped is gone, its calls are not."""


def join_all() -> None:
    """Waits for the end of all calls of services that take no more."""
    for service in list(_serving):
        service.join()


def abandon_all() -> None:
    """Ends all services now, with their workers."""
    services = list(_serving)
    for service in services:
        service.abandon()
    for service in services:
        service.join()


def forget_all() -> None:
    """In a forked child: these services' threads are not there to be waited for."""
    _serving.clear()


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
        self._ship(instruction)
        return True

    def _note(self, number: int, live: Live, event: Finished) -> None:
        if live.backend.capabilities.needs_pickling and event.worker not in self._warm:
            self._warm.add(event.worker)  # its first call paid for imports
        elif self._saw is not None:
            lane = self.dispatch.lanes[number]
            sent = lane.workers[event.worker].sent[event.outcomes.batch]
            self._saw(sent.batch.first, event.outcomes, len(lane.workers) - len(lane.idle))


class Service:
    """One backend's share of an executor."""

    def __init__(self, made: Backend, settings: Settings, router: Router | None) -> None:
        self.name = made.name
        self.can_kill = made.capabilities.can_kill
        self._coroutines = made.capabilities.coroutines
        self.inline = made.capabilities.in_caller
        self._backend, self._settings = made, settings
        self._inbox: SimpleQueue[Work | Works] = SimpleQueue()
        self._condemned: SimpleQueue[Future[Any]] = SimpleQueue()
        self._lock = new_lock()
        self._futures: dict[int, Outcome] = {}
        self._indices: dict[int, int] = {}
        self._closing = self._cancelling = self._abandoned = False
        self._cancelled_at = 0.0
        self._broken: BaseException | None = None
        self._router = None if self._coroutines or self.inline else router
        self._works: dict[int, Work] = {}
        """Calls that are not done, where there is a router."""
        self._run = self._opened()
        self._depth = _context.depth()
        self._main = threading.main_thread().ident
        self._turning = 0
        """The thread that makes a call of an inline service now."""
        self._driving = new_lock()
        """Held by whoever drives the run now: the thread, or a leader."""
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._led = self._guarding = self._asleep = False
        """Whether callers lead; whether the thread waits for the bell meanwhile; whether for nothing else."""
        self._leader: Future[Any] | None = None
        """What the leader waits for; left behind by one whom Ctrl-C struck between two steps."""
        self._wanted = False
        """Whether the main thread waits for its turn to lead."""
        self._begun = 0
        """How many calls had been taken when a caller handed out all that there was, while it submitted."""
        self._taken = self._alone = 0
        """Calls that were taken; the last ones of them that came when there was no other."""
        self._thread: threading.Thread | None = None
        if not self.inline:
            name, daemon = f"lightwork-{self.name}", _machine.daemon_threads()
            self._thread = threading.Thread(target=self._serve, name=name, daemon=daemon)
            _serving.add(self)
            try:
                self._thread.start()
            except BaseException:
                _serving.discard(self)
                raise

    def _opened(self) -> _ServiceRun:
        workers, growth = how_many(self._backend, self._settings.max_workers)
        settings = self._settings
        plan = Plan(
            self._backend,
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

    # called from any thread

    def future(self) -> Future[Any]:
        """What a call that is to be taken will have as its future."""
        return Future() if self.inline else LedFuture(self)

    def check(self, fn: Any) -> None:
        """BackendUnavailable where ``fn`` does not suit the backend, BrokenExecutor where the executor is broken."""
        if self._broken is not None:
            raise self._broken_error()
        if self._turning and self._turning == get_ident():
            raise RuntimeError(
                f"a call of this executor submits to it, and its backend {self.name!r} makes one call at a time, in "
                "the thread that submits; backend='threads' can"
            )
        if is_coroutine_function(fn) != self._coroutines:
            check_fit(fn, self._backend, self._settings, is_coroutine_function(fn))

    def take(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], future: Outcome, routed: int = 0
    ) -> None:
        """Takes a call. Not after ``shutdown``. ``routed``: as of ``Work``."""
        self._taken += 1
        self._alone = 0 if self._futures else self._alone + 1
        self._inbox.put(Work(fn, args, kwargs, future, routed))

    def take_all(
        self,
        fn: Callable[..., Any],
        argses: Sequence[tuple[Any, ...]],
        futures: Sequence[Mapped],
        together: int,
        routed: int,
    ) -> bool:
        """Takes calls of a map, for whose outcomes nobody leads. Not after ``shutdown``, and for one thread at a time.

        Returns whether to ``proceed``: not where others are to be taken in before these, of which the thread was told,
        or is about to be.
        """
        self._taken, self._alone = self._taken + len(argses), 0
        if self._router is None and len(argses) > 1:
            self._inbox.put(Works(fn, argses, futures, together))
        else:
            for args, future in zip(argses, futures, strict=True):  # each may be handed on, or joined by the next
                self._inbox.put(Work(fn, args, {}, future, routed))
        return self._led or self._inbox.qsize() <= len(argses)

    def proceed(self, future: Outcome) -> None:
        """Sees to it that a call which was taken is made: by the service's thread, or here and now."""
        if isinstance(future, Mapped):
            self._leave_to_thread()
            return
        if isinstance(future, LedFuture):
            if not self._led or self._asleep or self._driving.locked():
                self._rouse()
            elif self._router is None and not self._futures and self._inbox.qsize() == 1:
                # The only one: it is under way before its caller comes to wait for it.
                self._drive(future, None, self._begin, False)
            return
        with self._lock:
            self._turning = get_ident()
            try:
                while not future.done():
                    self._turn(0.0)
            finally:
                self._turning = 0

    def lead(self, future: LedFuture, end: float | None) -> None:
        """Drives the run until ``future`` is done, or the clock shows ``end``; returns at once where others do."""
        entering = not self._led
        if entering:
            if self._alone < ALONE or self._closing:
                return
            self._led = True
            self._rouse()  # the thread drives until now
        elif self._driving.locked():
            return
        self._drive(future, end, self._lead, entering)
        if self._led and (self._futures or not self._inbox.empty()):
            self._leave_to_thread()

    def _drive(self, future: LedFuture, end: float | None, how: Drive, entering: bool) -> None:
        """Has the calling thread drive as ``how`` says, if nobody does. ``entering``: waits until nobody does."""
        if self._leader is not None:
            self._leave_to_thread()
        elif get_ident() == self._main:
            self._drive_in_main_thread(future, end, how)
        elif self._driving.acquire(entering, GUARD if entering else -1):
            try:
                how(future, end)
            finally:
                self._driving.release()

    def _drive_in_main_thread(self, future: LedFuture, end: float | None, how: Drive) -> None:
        """There Ctrl-C may strike between any two steps. It may cost no call but the one that is waited for."""
        if len(self._futures) + self._inbox.qsize() > 1:
            self._leave_to_thread()
            return
        try:
            self._wanted = True
            if self._driving.locked():
                self._rouse()
            # Not ``acquire``: Ctrl-C could strike after it, before anything is there that would release.
            with self._driving:
                self._wanted = False
                how(future, end)
        finally:
            self._wanted = False

    def _begin(self, future: LedFuture, _: float | None) -> None:
        self._leader = future
        if self._led and not self._wanted:
            if self._broken is not None or self._cancelling or not self._send_alone(future):
                self._hand_out()
            self._begun = self._taken
        self._leader = None

    def _send_alone(self, future: LedFuture) -> bool:
        """Whether the only call, whose caller is still submitting it, could begin with nothing else looked at."""
        try:
            work = self._inbox.get_nowait()
        except Empty:  # another leader has taken it meanwhile
            return False
        if not isinstance(work, Work) or work.future is not future:
            self._enter(work)
            return False
        item = (work.args, work.kwargs)
        run = self._run
        self._keep(run.dispatch.fed, work)
        if not run.send_alone(work.fn, item):
            run.dispatch.feed_call(work.fn, "full", item)
            return False
        future._state = _base.RUNNING  # nobody else has it yet, who could cancel it or wait for it
        return True

    def _lead(self, future: LedFuture, end: float | None) -> None:
        self._leader = future
        begun, self._begun = self._begun == self._taken, 0
        try:
            while self._led and not self._wanted and future._state not in _DONE and future.service is self:
                left = None if end is None else end - SystemClock.now()
                if left is not None and left <= 0:
                    break
                self._turn(left, begun)
                begun = False
        except KeyboardInterrupt:
            crews = self._run.crews()
            if all(crew.asleep for crew in crews):
                for crew in crews:
                    crew.asleep = False
                self._leader = None
            raise
        self._leader = None

    def _start_anew(self) -> None:
        """After Ctrl-C struck a leader between two steps: what is where is not known any more."""
        from lightwork._crashed import WorkerCrashed

        last, torn, self._run = self._leader, self._run, self._opened()
        self._leader = None
        torn.close()
        untouched = [self._inbox.get() for _ in range(self._inbox.qsize())]
        lost = {*self._futures.values(), *([] if last is None else [last])} - {
            future for work in untouched for future in _futures_of(work)
        }
        self._futures.clear()
        self._indices.clear()
        self._works.clear()
        for future in lost:
            _settle(future, WorkerCrashed(reason="was ended: Ctrl-C struck while its result was taken in"))
        for work in untouched:
            self._inbox.put(work)

    def _leave_to_thread(self) -> None:
        self._led, self._alone = False, 0
        self._rouse()

    def _rouse(self) -> None:
        """Has whoever drives, and the thread, look at what is to be done."""
        if self._guarding:
            self._bell.put(None)
        self._run.wake()

    def knows(self, future: Future[Any]) -> bool:
        """Whether the call behind ``future`` was taken and is not done."""
        return id(future) in self._indices

    def kill(self, future: Future[Any]) -> None:
        """Ends the call behind ``future`` as soon as it runs."""
        self._condemned.put(future)
        self._leave_to_thread()

    def shutdown(self, cancel_futures: bool) -> None:
        """Takes no more calls."""
        self._cancelling |= cancel_futures
        self._closing = True
        if self.inline:
            self._run.close()
        else:
            self._leave_to_thread()

    def abandon(self) -> None:
        """Ends everything now: calls that run are ended where that can be, the others are cancelled."""
        self._abandoned = True
        self.shutdown(cancel_futures=True)

    def join(self) -> None:
        """Waits for the end of all calls. Raises RuntimeError inside one of them, as it would wait for itself."""
        if any(crew.inside() for crew in self._run.crews()):
            raise RuntimeError("a call cannot wait for the end of the executor that runs it; shutdown(wait=False) can")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    # in the service thread

    def _serve(self) -> None:
        _context.descend(self._depth)
        doomed: set[int] = set()
        try:
            while not (self._closing and self._inbox.empty() and not self._futures) and not self._abandoned:
                if self._led:
                    self._guard()
                with self._driving:
                    if not self._wanted:
                        if self._leader is not None:
                            self._start_anew()
                        self._take_in()
                        self._execute(doomed)
                        self._turn(None)
                self._stand_back()
        finally:
            with self._driving:
                self._end()

    def _end(self) -> None:
        self._run.close()
        self._take_in()
        for future in self._futures.values():
            if self._broken is not None or not future.cancel():
                _settle(future, self._broken_error())
        self._futures.clear()
        _serving.discard(self)

    def _guard(self) -> None:
        """As long as callers lead: looks whether a call was left alone, and goes back to driving then."""
        self._guarding, quiet, before = True, 0, self._taken
        while self._led:
            idle = self._inbox.empty() and not self._futures
            quiet = quiet + 1 if idle else 0
            self._asleep = quiet > QUIET and self._taken == before
            if self._asleep and not self._inbox.empty():
                continue  # it came between two looks
            if self._listen(None if self._asleep else GUARD):
                quiet = 0
            left_alone = not idle and self._taken == before
            if (left_alone or self._leader is not None) and not self._driving.locked():
                self._led, self._alone = False, 0
            before = self._taken
        self._guarding = self._asleep = False

    def _stand_back(self) -> None:
        """Lets the main thread have its turn. It alone says when it has: a thread that drove on meanwhile could sleep
        with the lock while the main thread waits for that. Only where it is gone for good, struck twice by Ctrl-C,
        nobody would say so."""
        for _ in range(TURNS):
            if not self._wanted:
                return
            self._listen(GUARD)
        self._wanted = False

    def _listen(self, timeout: float | None) -> bool:
        """Whether the bell rang within so many seconds."""
        try:
            self._bell.get(timeout=timeout)
        except Empty:
            return False
        return True

    def _hand_out(self) -> None:
        """Calls for which a worker is free begin."""
        self._take_in()
        if not self._abandoned:
            self._run.hand_out()

    def _turn(self, timeout: float | None, begun: bool = False) -> None:
        """Hands out, waits and takes in. ``begun``: there was nothing left to be handed out a moment ago."""
        run = self._run
        if not begun or not self._inbox.empty():
            # Even if the word to cancel the others came sooner than this thread.
            self._hand_out()
        if self._cancelling:
            for future in list(self._futures.values()):
                future.cancel()
            run.hand_out()
            left = self._end_starting()
            if left < math.inf:
                timeout = left if timeout is None else min(timeout, left)
        if chunks := run.dispatch.take():
            self._resolve(chunks)
        if self._closing and not self._futures and self._inbox.empty():
            return
        run.absorb(timeout)
        if chunks := run.dispatch.take():
            self._resolve(chunks)
        if run.dispatch.broken is not None and self._broken is None:
            self._break(run.dispatch.broken)

    def _end_starting(self) -> float:
        """After ``cancel_futures``: ends calls whose workers take too long to become ready, which some never do.

        Returns in how many seconds to look again.
        """
        run = self._run
        if not self.can_kill:
            return math.inf
        now = run.clock.now()
        self._cancelled_at = self._cancelled_at or now
        left = self._cancelled_at + PATIENCE - now
        if left > 0:
            return left
        for index, ready in list(run.dispatch.running().values()):
            if not ready and (worker := run.dispatch.condemn(index)) is not None:
                run.crews()[worker[0]].kill(worker[1])
        return PATIENCE

    def _take_in(self) -> None:
        while not self._inbox.empty():  # whoever drives is the only one who takes
            work = self._inbox.get()
            if self._broken is None:
                self._enter(work)
                continue
            for future in _futures_of(work):
                _settle(future, self._broken_error())

    def _enter(self, work: Work | Works) -> None:
        dispatch = self._run.dispatch
        if isinstance(work, Work):
            self._keep(dispatch.feed_call(work.fn, "full", (work.args, work.kwargs)), work)
            return
        items: list[Any] = [(args, {}) for args in work.argses]
        first = dispatch.feed_calls(work.fn, "full", items, work.together)
        self._futures.update(enumerate(work.futures, first))

    def _keep(self, index: int, work: Work) -> None:
        self._futures[index] = work.future
        self._indices[id(work.future)] = index
        if self._router is not None:
            self._works[index] = work

    def _begins(self, index: int) -> bool:
        """Whether a call is to be sent: not where its future was cancelled, or its function belongs elsewhere now."""
        future = self._futures.get(index)
        if future is None or future.running():
            return future is not None
        if self._router is not None and not future.cancelled():
            work = self._works[index]
            if work.routed != self._router.changes and self._router.hand_on(self.name, work):
                self._forget(index)
                self._run.wake()  # whoever drives may have nothing to wait for now
                return False
        return future.set_running_or_notify_cancel()

    def _forget(self, index: int) -> Outcome | None:
        if self._router is not None:
            self._works.pop(index, None)
        future = self._futures.pop(index, None)
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
                if future is None or future._state in _CANCELLED:
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

    def _execute(self, doomed: set[int]) -> None:
        while True:
            try:
                future = self._condemned.get_nowait()
            except Empty:
                break
            index = self._indices.get(id(future))
            if index is not None:
                doomed.add(index)
        for index in list(doomed):
            if index not in self._futures:
                doomed.discard(index)
            elif (worker := self._run.dispatch.condemn(index)) is not None:
                doomed.discard(index)
                self._run.crews()[worker[0]].kill(worker[1])

    def _break(self, cause: BaseException) -> None:
        """No worker can start: all that waits fails, as in the standard library."""
        self._broken = cause
        for index, future in list(self._futures.items()):
            self._indices.pop(id(future), None)
            del self._futures[index]
            _settle(future, self._broken_error())

    def _broken_error(self) -> BrokenExecutor:
        """Why no call can be made, for one future: each raises its own, with a traceback of its own."""
        kind: type[BrokenExecutor] = BrokenExecutor
        if self.name == "processes":
            from concurrent.futures.process import BrokenProcessPool as kind
        elif self.name == "threads":
            from concurrent.futures.thread import BrokenThreadPool as kind
        if self._broken is None:
            return kind("the executor was ended while this call ran")
        error = kind(f"the initializer failed, or no worker could be started: {self._broken!r}")
        error.__cause__ = self._broken
        return error


def _never_left(value: Any) -> bool:
    """Whether a call failed before it began, because it could not travel."""
    return isinstance(value, Failure) and isinstance(value.exception, UnpicklableError) and not value.exception.begun


def _futures_of(work: Work | Works) -> Sequence[Outcome]:
    return work.futures if isinstance(work, Works) else (work.future,)


def _settle(future: Outcome, error: BaseException) -> None:
    if not future.done() and (future.running() or future.set_running_or_notify_cancel()):
        future.set_exception(error)


def open_service(name: str, settings: Settings, router: Router | None) -> Service:
    """A service on the backend of this name, with the executor's rules; BackendUnavailable where it cannot be."""
    made = settings.backend if isinstance(settings.backend, Backend) else backend(name)
    usable(made.name) if made.unavailable() else None
    coroutines = made.capabilities.coroutines
    check_fit(_nothing if not coroutines else _anothing, made, settings, coroutines)
    if settings.rules.max_tasks_per_child is not None and made.capabilities.in_caller:
        settings = replace(settings, rules=replace(settings.rules, max_tasks_per_child=None))
    return Service(made, settings, router)


def _nothing() -> None:
    """Stands for a plain function where only the backend is checked."""


async def _anothing() -> None:
    """Stands for a coroutine function where only the backend is checked."""
