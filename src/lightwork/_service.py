"""The thread behind an executor: it owns a run on one backend and turns its outcomes into futures."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from queue import Empty, SimpleQueue
from typing import Any

from lightwork import _context, _machine
from lightwork._backends._registry import usable
from lightwork._backends.base import Backend
from lightwork._calls import Finished
from lightwork._dispatch import Chunk
from lightwork._engine import Live, Plan, Run
from lightwork._options import Settings, check_fit, how_many, is_coroutine_function
from lightwork._record import Record, replace
from lightwork.errors import Failure, UnpicklableError

PATIENCE = 2.0
"""Seconds that workers are given to become ready, and take the call that they have, once the others are cancelled."""


class Work(Record):
    """A submitted call; ``number`` is its place in the order of submission to the executor."""

    number: int
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any]


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


class _ServiceRun(Run):
    """A run whose calls come one by one, each with a function of its own."""

    def __init__(self, plan: Plan, learn: Callable[[Callable[..., Any], float, float], None] | None) -> None:
        super().__init__(plan)
        self._learn = learn

    def _note(self, number: int, live: Live, event: Finished) -> None:
        if self._learn is not None:
            sent = self.dispatch.lanes[number].workers[event.worker].sent[event.outcomes.batch]
            self._learn(sent.batch.fn, event.outcomes.seconds, event.outcomes.cpu)


class Service:
    """One backend's share of an executor."""

    def __init__(self, made: Backend, settings: Settings, learn: Callable[..., None] | None) -> None:
        self.name = made.name
        self.can_kill = made.capabilities.can_kill
        self._coroutines = made.capabilities.coroutines
        self._inline = made.capabilities.in_caller
        self._backend, self._settings = made, settings
        self._inbox: SimpleQueue[Work] = SimpleQueue()
        self._condemned: SimpleQueue[Future[Any]] = SimpleQueue()
        self._lock = threading.Lock()
        self._futures: dict[int, Future[Any]] = {}
        self._indices: dict[int, int] = {}
        self._closing = self._cancelling = self._abandoned = False
        self._cancelled_at = 0.0
        self._broken: BaseException | None = None
        workers, growth = how_many(made, settings.max_workers)
        stall = settings.stall_timeout
        plan = Plan(made, workers, settings.terms, settings.rules, growth, on_send=self._begins, stall_timeout=stall)
        self._run = _ServiceRun(plan, learn if made.capabilities.shares_memory and not self._coroutines else None)
        self._depth = _context.depth()
        self._turning = 0
        """The thread that makes a call of an inline service now."""
        self._thread: threading.Thread | None = None
        if not self._inline:
            name, daemon = f"lightwork-{self.name}", _machine.daemon_threads()
            self._thread = threading.Thread(target=self._serve, name=name, daemon=daemon)
            _serving.add(self)
            try:
                self._thread.start()
            except BaseException:
                _serving.discard(self)
                raise

    # called from any thread

    def check(self, fn: Any) -> None:
        """BackendUnavailable where ``fn`` does not suit the backend, BrokenExecutor where the executor is broken."""
        if self._broken is not None:
            raise self._broken_error()
        if self._turning == threading.get_ident():
            raise RuntimeError(
                f"a call of this executor submits to it, and its backend {self.name!r} makes one call at a time, in "
                "the thread that submits; backend='threads' can"
            )
        if is_coroutine_function(fn) != self._coroutines:
            check_fit(fn, self._backend, self._settings, is_coroutine_function(fn))

    def take(self, work: Work) -> None:
        """Takes a call. Not after ``shutdown``."""
        self._inbox.put(work)

    def proceed(self, future: Future[Any]) -> None:
        """Sees to it that a call which was taken is made: by the service's thread, or here and now."""
        if not self._inline:
            self._run.wake()
            return
        with self._lock:
            self._turning = threading.get_ident()
            try:
                while not future.done():
                    self._turn(0.0)
            finally:
                self._turning = 0

    def knows(self, future: Future[Any]) -> bool:
        """Whether the call behind ``future`` was taken and is not done."""
        return id(future) in self._indices

    def kill(self, future: Future[Any]) -> None:
        """Ends the call behind ``future`` as soon as it runs."""
        self._condemned.put(future)
        self._run.wake()

    def shutdown(self, cancel_futures: bool) -> None:
        """Takes no more calls."""
        self._cancelling |= cancel_futures
        self._closing = True
        if self._inline:
            self._run.close()
        else:
            self._run.wake()

    def abandon(self) -> None:
        """Ends everything now: calls that run are ended where that can be, the others are cancelled."""
        self._abandoned = True
        self.shutdown(cancel_futures=True)

    def join(self) -> None:
        """Waits for the end of all calls."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    # in the service thread

    def _serve(self) -> None:
        _context.descend(self._depth)
        doomed: set[int] = set()
        try:
            while not (self._closing and self._inbox.empty() and not self._futures) and not self._abandoned:
                self._turn(None)
                self._execute(doomed)
        finally:
            self._run.close()
            self._take_in()
            for future in self._futures.values():
                if self._broken is not None or not future.cancel():
                    _settle(future, self._broken_error())
            self._futures.clear()
            _serving.discard(self)

    def _turn(self, timeout: float | None) -> None:
        run = self._run
        self._take_in()
        # Calls for which a worker is free begin, even if the word to cancel the others came sooner than this thread.
        hungry = run.prepare() if not self._abandoned else False
        if self._cancelling:
            for future in list(self._futures.values()):
                future.cancel()
            hungry = run.prepare()
            left = self._end_starting()
            if left < math.inf:
                timeout = left if timeout is None else min(timeout, left)
        self._resolve(run.take())
        if self._closing and not self._futures and self._inbox.empty():
            return
        run.absorb(0.0 if hungry else timeout)
        self._resolve(run.take())
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
        dispatch = self._run.dispatch
        while True:
            try:
                work = self._inbox.get_nowait()
            except Empty:
                return
            if self._broken is not None:
                _settle(work.future, self._broken_error())
                continue
            index = dispatch.feed(work.fn, "full", [(work.args, work.kwargs)])
            self._futures[index] = work.future
            self._indices[id(work.future)] = index

    def _begins(self, index: int) -> bool:
        """Whether a call is to be sent: not where its future was cancelled."""
        future = self._futures.get(index)
        return future is not None and (future.running() or future.set_running_or_notify_cancel())

    def _resolve(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            for offset, value in enumerate(chunk.values):
                future = self._futures.pop(chunk.first + offset, None)
                if future is None:
                    continue
                self._indices.pop(id(future), None)
                if future.cancelled():
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


def _settle(future: Future[Any], error: BaseException) -> None:
    if not future.done() and (future.running() or future.set_running_or_notify_cancel()):
        future.set_exception(error)


def open_service(made: Backend, settings: Settings, learn: Callable[..., None] | None) -> Service:
    """A service on a backend, with the executor's rules; BackendUnavailable where it cannot be."""
    usable(made.name) if made.unavailable() else None
    coroutines = made.capabilities.coroutines
    check_fit(_nothing if not coroutines else _anothing, made, settings, coroutines)
    if settings.rules.max_tasks_per_child is not None and made.capabilities.in_caller:
        settings = replace(settings, rules=replace(settings.rules, max_tasks_per_child=None))
    return Service(made, settings, learn)


def _nothing() -> None:
    """Stands for a plain function where only the backend is checked."""


async def _anothing() -> None:
    """Stands for a coroutine function where only the backend is checked."""
