"""What is behind an executor: who takes its calls in, and who drives the run that makes them (``_outstanding``).

Usually a thread of the service's own does. But a call goes from thread to thread four times then, on its way out and
back. So where a caller submits one call after another and waits for each, that caller drives: it is the *leader* as
long as it waits, and the thread only looks now and then whether somebody left a call alone. It hands the call out while
it submits, so that all it has to do until it waits is done while the call runs. One lock says who drives.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from lightwork import _context, _machine
from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import backend, usable
from lightwork._backends.base import Backend
from lightwork._clock import SystemClock
from lightwork._futures import DONE, LedFuture
from lightwork._lean import get_ident
from lightwork._lock import new_lock
from lightwork._mapped import ELSEWHERE, Mapped
from lightwork._options import Settings
from lightwork._outstanding import Outstanding, Router, Work, Works
from lightwork._preparing import check_fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightwork._outstanding import Outcome

    Drive = Callable[[LedFuture, float | None], None]


ALONE = 3
"""Calls that were waited for at once, one after another, from which on their callers are expected to."""

GUARD = 0.002
"""Seconds between two looks for calls that were left alone."""

TURNS = 500
"""Such looks that the main thread is given to take its turn."""

QUIET = 25
"""Looks without any call after which the thread sleeps until there is one."""


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
    """In a forked child: these services' threads are not there to be waited for, nor to end a call."""
    for service in _serving:
        service.elsewhere = True
    _serving.clear()


class Service:
    """One backend's share of an executor."""

    def __init__(self, made: Backend, settings: Settings, router: Router | None) -> None:
        self.name = made.name
        self.can_kill = made.capabilities.can_kill
        self._coroutines = made.capabilities.coroutines
        self.inline = made.capabilities.in_caller
        self._backend, self._settings = made, settings
        self._routed = router is not None and not (self._coroutines or self.inline)
        self._calls = Outstanding(made, settings, router if self._routed else None)
        self._lock = new_lock()
        self.elsewhere = False
        """Whether this is a forked child's copy: what calls come to is seen by its parent alone."""
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
        self._leads = 0
        """The thread of the leader who waits."""
        self._wanted = False
        """Whether the main thread waits for its turn to lead."""
        self._begun = 0
        """How many calls had been taken when a caller handed out all that there was, while it submitted."""
        self._taken = self._alone = 0
        """Calls that were taken; the last ones of them that came when there was no other."""
        self._thread: threading.Thread | None = None
        if not self.inline:
            _serving.add(self)
            try:
                self._start()
            except BaseException:  # no more threads can be started, or a signal's handler has raised: it may have begun
                self.abandon()
                _serving.discard(self)
                with self._driving:
                    self._calls.end()
                raise

    def _start(self) -> None:
        if not _machine.starts_threads_at_end():
            for crew in self._calls.run.crews():
                crew.stand_by()
        name, daemon = f"lightwork-{self.name}", _machine.daemon_threads()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=daemon)
        self._thread.start()

    @property
    def broken(self) -> BaseException | None:
        """Why no worker can start."""
        return self._calls.broken

    # called from any thread

    def future(self) -> Future[Any]:
        """What a call that is to be taken will have as its future."""
        return Future() if self.inline else LedFuture(self)

    def check(self, fn: Any) -> None:
        """BackendUnavailable where ``fn`` does not suit the backend, BrokenExecutor where the executor is broken."""
        if self.broken is not None:
            raise self._calls.broken_error()
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
        if not self._taken and self._settings.terms.initializer is None:
            self._backend.hasten(fn, (args, tuple(kwargs.values())))
        self._taken += 1
        self._alone = 0 if self._calls.futures else self._alone + 1
        self._calls.inbox.put(Work(fn, args, kwargs, future, routed))
        self._refuse_late()

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
        if not self._taken and self._settings.terms.initializer is None:
            self._backend.hasten(fn, tuple(argses[:1]))
        self._taken, self._alone = self._taken + len(argses), 0
        if not self._routed and len(argses) > 1:
            self._calls.inbox.put(Works(fn, argses, futures, together))
        else:
            for args, future in zip(argses, futures, strict=True):  # each may be handed on, or joined by the next
                self._calls.inbox.put(Work(fn, args, {}, future, routed))
        self._refuse_late()
        return self._led or self._calls.inbox.qsize() <= len(argses)

    def _refuse_late(self) -> None:
        """Refuses what was put into the inbox when whoever drove had looked there for the last time: the executor broke
        after ``check``."""
        if self._calls.ended:
            with self._driving:
                self._calls.take_in()

    def proceed(self, future: Outcome) -> None:
        """Sees to it that a call which was taken is made: by the service's thread, or here and now."""
        if isinstance(future, Mapped):
            self._leave_to_thread()
            return
        if isinstance(future, LedFuture):
            if not self._led or self._asleep or self._driving.locked():
                self._rouse()
            elif not self._routed and not self._calls.futures and self._calls.inbox.qsize() == 1:
                # The only one: it is under way before its caller comes to wait for it.
                self._drive(future, None, self._begin, False)
            return
        with self._lock:
            self._turning = get_ident()
            try:
                while not future.done():
                    self._calls.turn(None)
            finally:
                self._turning = 0

    def lead(self, future: LedFuture, end: float | None) -> None:
        """Drives the run until ``future`` is done, or the clock shows ``end``; returns at once where others do.

        RuntimeError in a forked child, which could wait for ever."""
        if self.elsewhere:
            raise RuntimeError(ELSEWHERE)
        entering = not self._led
        if entering:
            if self._alone < ALONE or self._calls.closing:
                return
            self._led = True
            self._rouse()  # the thread drives until now
        elif self._driving.locked():
            return
        self._drive(future, end, self._lead, entering)
        if self._led and not self._calls.idle:
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
        if len(self._calls.futures) + self._calls.inbox.qsize() > 1:
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
            calls = self._calls
            if calls.broken is not None or calls.cancelling or not calls.begin_alone(future):
                calls.hand_out()
            self._begun = self._taken
        self._leader = None

    def _lead(self, future: LedFuture, end: float | None) -> None:
        self._leader, self._leads = future, get_ident()
        begun, self._begun = self._begun == self._taken, 0
        try:
            while self._led and not self._wanted and future._state not in DONE and future.service is self:
                left = None if end is None else end - SystemClock.now()
                if left is not None and left <= 0:
                    break
                self._calls.turn(left, begun)
                begun = False
        except KeyboardInterrupt:
            crews = self._calls.run.crews()
            if all(crew.asleep for crew in crews):
                for crew in crews:
                    crew.asleep = False
                self._leader = None
            raise
        finally:
            self._leads = 0
        self._leader = None

    def _leave_to_thread(self) -> None:
        self._led, self._alone = False, 0
        self._rouse()

    def _rouse(self) -> None:
        """Has whoever drives, and the thread, look at what is to be done."""
        if self._guarding:
            self._bell.put(None)
        self._calls.run.wake()

    def drives_here(self) -> bool:
        """Whether this is the service's own thread, or the leader's."""
        return self._leads == get_ident() or self._thread is threading.current_thread()

    def knows(self, future: Future[Any]) -> bool:
        """Whether the call behind ``future`` was taken and is not done."""
        return self._calls.knows(future)

    def kill(self, future: Future[Any]) -> None:
        """Ends the call behind ``future`` as soon as it runs."""
        self._calls.condemned.put(future)
        self._leave_to_thread()

    def shutdown(self, cancel_futures: bool) -> None:
        """Takes no more calls."""
        self._calls.cancelling |= cancel_futures
        self._calls.closing = True
        if self.inline:
            self._calls.run.close()
        else:
            self._leave_to_thread()

    def abandon(self) -> None:
        """Ends everything now: calls that run are ended where that can be, the others are cancelled."""
        self._calls.abandoned = True
        self.shutdown(cancel_futures=True)
        for crew in self._calls.run.crews():
            crew.hurry()

    def join(self) -> None:
        """Waits for the end of all calls. Raises RuntimeError inside one of them, as it would wait for itself."""
        if any(crew.inside() for crew in self._calls.run.crews()):
            raise RuntimeError("a call cannot wait for the end of the executor that runs it; shutdown(wait=False) can")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    # in the service thread

    def _serve(self) -> None:
        _context.descend(self._depth)
        calls = self._calls
        try:
            while not (calls.closing and calls.idle) and not calls.abandoned:
                if self._led:
                    self._guard()
                with self._driving:
                    if not self._wanted:
                        if self._leader is not None:
                            calls.start_anew(self._leader)
                            self._leader = None
                        calls.take_in()
                        calls.end_condemned()
                        calls.turn(None)
                self._stand_back()
        except BaseException as problem:
            calls.broken = calls.broken or problem  # nobody would make further calls, which are refused so
            raise
        finally:
            with self._driving:
                calls.end()
                _serving.discard(self)

    def _guard(self) -> None:
        """As long as callers lead: looks whether a call was left alone, and goes back to driving then."""
        self._guarding, quiet, before = True, 0, self._taken
        while self._led:
            idle = self._calls.idle
            quiet = quiet + 1 if idle else 0
            self._asleep = quiet > QUIET and self._taken == before
            if self._asleep and not self._calls.inbox.empty():
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


def open_service(name: str, settings: Settings, router: Router | None) -> Service:
    """A service on the backend of this name, with the executor's rules; BackendUnavailable where it cannot be."""
    made = settings.backend if isinstance(settings.backend, Backend) else backend(name)
    usable(made.name) if made.unavailable() else None
    coroutines = made.capabilities.coroutines
    check_fit(_nothing if not coroutines else _anothing, made, settings, coroutines)
    return Service(made, settings, router)


def _nothing() -> None:
    """Stands for a plain function where only the backend is checked."""


async def _anothing() -> None:
    """Stands for a coroutine function where only the backend is checked."""
