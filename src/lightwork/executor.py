"""``lw.Executor``: a ``concurrent.futures.Executor`` on lightwork's engine.

Light to import, but for ``concurrent.futures``: where processes are named, the engine is loaded while they boot.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections import deque
from concurrent.futures import Executor as BaseExecutor

from lightwork._awaitable import is_coroutine_function
from lightwork._backends._spawning import hasten
from lightwork._clock import SystemClock
from lightwork._lock import new_lock
from lightwork._machine import at_end, at_fork
from lightwork._typing import TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Any

    from lightwork._backends.base import Backend
    from lightwork._mapped import Mapped
    from lightwork._outstanding import Work
    from lightwork._routing import Routes
    from lightwork._service import Service
    from lightwork.errors import BackendUnavailable

R = TypeVar("R")

_OPTIONS = (
    "backend",
    "max_workers",
    "initializer",
    "initargs",
    "max_tasks_per_child",
    "call_timeout",
    "max_memory",
    "stall_timeout",
    "retries",
    "retry_on",
    "retry_delay",
    "isolate",
    "seed",
)

AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"
AT_THE_END = "cannot schedule new futures after interpreter shutdown"
IN_A_CHILD = "cannot schedule new futures in a forked process: the executor, its threads and workers are its parent's"

HELPING = 1024
"""Calls of a map that are handed over together, where their arguments are there. Those of an iterator, which may wait
for what earlier calls do, begin one by one."""

_open: weakref.WeakSet[Executor] = weakref.WeakSet()


def _service() -> Any:
    """The module of that name. None where nobody has loaded it, or another thread is just about to: it has none."""
    module = sys.modules.get("lightwork._service")
    return module if hasattr(module, "open_service") else None


def _finish() -> None:
    """At the program's end submitted calls are still run, as those of the standard library's executors are.

    Ctrl-C ends the wait and the workers, which must be gone before the interpreter is taken down.
    """
    Executor._ended = True
    service = _service()
    try:
        for executor in list(_open):
            executor.shutdown(wait=False)
        if service is not None:
            service.join_all()
    except KeyboardInterrupt:
        if service is not None:
            service.abandon_all()
        raise


at_end(_finish)


def _forget() -> None:
    """In a forked child, whose executors have no threads: they take no calls, and nothing waits for them at its end."""
    for executor in list(_open):
        executor._lock = new_lock()
        executor._services = {}
        executor._refusal = IN_A_CHILD
    _open.clear()
    if (service := _service()) is not None:
        service.forget_all()


at_fork(_forget)


class Executor(BaseExecutor):
    """Runs submitted calls on threads, processes, sub-interpreters or an event loop.

    All that works with ``concurrent.futures`` executors works with it: ``as_completed``, ``wait``, callbacks,
    ``asyncio``'s ``run_in_executor``. Further:

    - ``backend="auto"``: functions begin in threads; calls of those that turn out to compute go on in processes, one
      for each core, beside those that wait. ``max_workers`` holds for threads and processes each.
    - A worker that dies costs only the call that it ran: its future has a ``WorkerCrashed``, the executor goes on.
    - ``call_timeout``, ``max_memory``, ``stall_timeout``, ``retries``, ``retry_on``, ``retry_delay``, ``isolate`` and
      ``seed`` mean what they mean for ``lw.map``; a call's index is its place in the order of submission.
    - ``kill(future)`` ends a running call, where the backend can.

    Calls begin about in the order in which they were submitted. Where dozens of one function wait that take less than
    a message, under 1 ms, up to 64 of them go to a thread or a process together, as the next ones go to another; once
    they are there they cannot be cancelled. Behind one that takes longer than 20 ms the others are taken back. Should
    calls wait for each other for a second, so that it matters in which order they began, a worker more than
    ``max_workers`` helps out until they have ended. Coroutines begin in their order, and there are never more of them.

    ``initializer(*initargs)`` runs in each worker first; where it raises, the executor is broken.
    ``max_tasks_per_child``: a worker process, or sub-interpreter, is replaced after so many calls.
    """

    _ended = False
    """Whether the program ends, and no executor takes calls any more."""

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        backend: str | Backend | tuple[str, ...] | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        call_timeout: float | None = None,
        max_memory: int | str | None = None,
        stall_timeout: float | None = None,
        retries: int = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (Exception,),
        retry_delay: float = 0.0,
        isolate: bool = False,
        seed: int | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name in _OPTIONS}
        if isinstance(max_workers, int) and max_workers <= 0:
            raise ValueError(f"max_workers must be greater than 0, not {max_workers}")
        if backend == "processes":
            hasten(workers=max_workers if isinstance(max_workers, int) else None)
        from lightwork._options import settle
        from lightwork._record import replace

        settings = settle(options, _OPTIONS)
        self._settings = replace(settings, rules=replace(settings.rules, stop_on_failure=False))
        self._services: dict[str, Service] = {}
        self._lock = new_lock()
        self._refusal: str | None = None
        """Why no further call is taken, once that is so."""
        self._fixed = self._fixed_backend()
        self._routes: Routes | None = None
        if self._fixed is not None:
            self._service(self._fixed)
        else:
            from lightwork._routing import routes

            self._routes = routes
        _open.add(self)

    def _fixed_backend(self) -> str | None:
        """The name of the one backend to use; None where functions are to be routed."""
        from lightwork._backends._registry import backend
        from lightwork._backends.base import Backend
        from lightwork._preparing import needs_processes

        settings = self._settings
        chosen = settings.backend
        if isinstance(chosen, Backend):
            return chosen.name
        isolating = needs_processes(settings)
        if isolating or settings.rules.max_tasks_per_child:
            if chosen == "auto":
                return "processes"
            if isinstance(chosen, tuple):
                for made in map(backend, chosen):
                    can = made.capabilities  # a worker that is to be replaced must have its memory to itself
                    if (can.can_kill if isolating else not can.shares_memory) and not made.unavailable():
                        return made.name
                return chosen[0]
        if isinstance(chosen, tuple):
            return chosen[0] if len(chosen) == 1 else None
        return None if chosen == "auto" else chosen

    def _service(self, name: str) -> Service:
        with self._lock:
            self._accepts()
            if name not in self._services:
                from lightwork._record import replace
                from lightwork._service import open_service

                settings, router = self._settings, None
                if self._routes is not None:
                    router = _Router(self, self._routes)
                    if name == "processes":
                        from lightwork._preparing import for_cores

                        settings = for_cores(settings)
                        # It counts its calls from 0, too: they draw other numbers than those in threads.
                        settings = replace(settings, terms=replace(settings.terms, seed=settings.terms.seed + 1))
                self._services[name] = open_service(name, settings, router)
            return self._services[name]

    def _accepts(self) -> None:
        if self._refusal is not None or self._ended:
            raise RuntimeError(self._refusal or AT_THE_END)

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Schedules ``fn(*args, **kwargs)`` and returns its future.

        Raises TypeError where ``fn`` cannot be called, RuntimeError after ``shutdown``, BrokenExecutor where the
        initializer failed.
        """
        if not callable(fn):
            raise TypeError(f"submit needs a function first, not {type(fn).__name__} {fn!r}")
        routed = 0 if self._routes is None else self._routes.changes
        service = self._service_for(fn, args, kwargs)
        future: Future[R] = service.future()
        with self._lock:  # a shutdown comes before this, or after it with the call
            self._accepts()
            service.take(fn, args, kwargs, future, routed)
        service.proceed(future)
        return future

    def _service_for(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Service:
        name = self._fixed or self._route(fn, args, kwargs)
        service = self._services.get(name) or self._service(name)
        service.check(fn)
        return service

    def _route(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        names = self._settings.backend if isinstance(self._settings.backend, tuple) else ("threads", "processes")
        if is_coroutine_function(fn):
            return "asyncio"
        # A seed holds for the order of submission, which only one service knows.
        seeded = self._settings.terms.seed_globals
        if "processes" in names and not seeded and self._routes is not None and self._routes.compute(fn, args, kwargs):
            return "processes"
        return next((name for name in names if name in ("threads", "serial")), names[0])

    def _hand_on(self, name: str, work: Work) -> bool:
        """Gives a call of the service ``name`` that has not begun to the one that it is for by now, if to another."""
        routed = 0 if self._routes is None else self._routes.changes
        other = self._route(work.fn, work.args, work.kwargs)
        if other == name or other not in ("threads", "processes"):
            return False
        try:
            service = self._service(other)
            with self._lock:
                self._accepts()
                service.take(work.fn, work.args, work.kwargs, work.future, routed)
        except (RuntimeError, OSError):  # it was shut down meanwhile, or the other cannot be had: made where it is
            return False
        if hasattr(work.future, "service"):
            work.future.service = service
        service.proceed(work.future)
        return True

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """The results in order, as an iterator, as the standard library's ``Executor.map`` gives them.

        ``timeout``: seconds from this call until a result must be there, else TimeoutError. ``buffersize``: at most
        so many calls are submitted whose results were not given out yet; default: all at once. ``chunksize``: so many
        calls that take next to nothing may be in one message, 64 at least; lightwork sizes its messages by time.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        now = SystemClock.now
        end = None if timeout is None else now() + timeout
        calls = zip(*iterables, strict=False)
        futures: deque[Future[R] | Mapped]
        if buffersize is None and type(self).submit is Executor.submit:
            helping = HELPING if all(isinstance(each, (list, tuple, range)) for each in iterables) else 1
            futures = self._submit_all(fn, calls, helping, chunksize)
        else:
            futures = deque(self.submit(fn, *args) for args in itertools.islice(calls, buffersize))
        owner = weakref.ref(self)

        def results() -> Iterator[R]:
            # Nothing here outlives its use: neither a result that was given out, nor the executor of an iterator that
            # somebody forgot.
            try:
                while futures:
                    executor = owner() if buffersize is not None else None
                    if executor is not None and (args := next(calls, None)) is not None:
                        futures.append(executor.submit(fn, *args))
                        del args
                    del executor
                    yield _result_or_cancel(futures.popleft(), None if end is None else max(0.0, end - now()))
            finally:
                while futures:
                    futures.pop().cancel()

        return results()

    def _submit_all(
        self, fn: Callable[..., Any], calls: Iterator[tuple[Any, ...]], helping: int, together: int
    ) -> deque[Future[Any] | Mapped]:
        """What will have the results of a map's calls, in order. ``helping``: how many are drawn before they begin;
        ``together``: how many the caller would have in one message."""
        from lightwork._mapped import Drawing, Mapped

        if not callable(fn):
            raise TypeError(f"map needs a function first, not {type(fn).__name__} {fn!r}")
        drawing = Drawing()
        futures: deque[Future[Any] | Mapped] = deque()
        while argses := list(itertools.islice(calls, helping)):
            routed = 0 if self._routes is None else self._routes.changes
            service = self._service_for(fn, argses[0], {})
            if service.inline or (self._routes is not None and self._routes.mean_processes(fn)):
                futures.extend(self.submit(fn, *args) for args in argses)  # each call's arguments have a say
                continue
            mapped = [Mapped(drawing) for _ in argses]
            with self._lock:
                self._accepts()
                unknown = service.take_all(fn, argses, mapped, together, routed)
            if unknown:
                service.proceed(mapped[0])
            futures.extend(mapped)
        return futures

    def kill(self, future: Future[Any]) -> bool:
        """Ends the call behind ``future``, running or not; False where it was done already.

        A running call's future gets a ``WorkerCrashed``. Raises BackendUnavailable where the backend cannot end a
        running call, ValueError where the future is not of this executor.
        """
        if future.done():
            return False
        services = list(self._services.values())
        if getattr(future, "service", None) not in services:
            raise ValueError("this future is not of this executor")
        if future.cancel():
            return True
        for service in services:
            if service.knows(future):
                if not service.can_kill:
                    raise _cannot_kill(service)
                service.kill(future)
                return True
        return False  # nobody knows of it any more: it is about to be done

    def kill_workers(self) -> None:
        """Ends everything at once: running calls with their workers; those that have not begun are cancelled.

        The futures of running calls get a BrokenExecutor. No further call is taken, as after ``shutdown``. Raises
        BackendUnavailable, and ends nothing, where a backend in use cannot end a running call.
        """
        services = list(self._services.values())
        for service in services:
            if not service.can_kill:
                raise _cannot_kill(service)
        self._abandon()

    def terminate_workers(self) -> None:
        """The same as ``kill_workers``, under the name of ``ProcessPoolExecutor``'s gentler method.

        There is no gentler way here: a worker that handles SIGTERM could go on.
        """
        self.kill_workers()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no further calls and frees everything when those submitted are done. Idempotent.

        ``wait``: returns only then. ``cancel_futures``: calls that have not begun are cancelled; those
        that wait for a worker to become ready wait 2 seconds longer at most, and then have a ``WorkerCrashed``. None is
        tried again: one that waits for its next attempt has failed as it did the last time.

        Raises RuntimeError with ``wait`` inside a call that the executor runs in a thread: it would wait for itself.
        """
        services = self._refuse(AT_THE_END if self._ended else AFTER_SHUTDOWN)
        for service in services:
            service.shutdown(cancel_futures)
        if wait:
            for service in services:
                service.join()
            _open.discard(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._abandon()
        try:
            self.shutdown(wait=True)
        except KeyboardInterrupt:  # it is here that most programs wait for their calls
            self._abandon()
            self.shutdown(wait=True)
            raise

    def _abandon(self) -> None:
        for service in self._refuse(AFTER_SHUTDOWN):
            service.abandon()

    def _refuse(self, reason: str) -> list[Service]:
        """Takes no further calls; returns the services, which have all that were taken."""
        with self._lock:
            self._refusal = self._refusal or reason
            return list(self._services.values())

    def __del__(self) -> None:
        if getattr(self, "_refusal", "") is None:
            self.shutdown(wait=False)


def _cannot_kill(service: Service) -> BackendUnavailable:
    from lightwork.errors import BackendUnavailable

    return BackendUnavailable(f"the {service.name!r} backend cannot end a running call; backend='processes' can")


def _result_or_cancel(future: Future[R] | Mapped, timeout: float | None) -> R:
    try:
        return future.result(timeout)
    finally:
        future.cancel()
        del future  # an exception's traceback keeps this frame, and with it would keep the exception


class _Router:
    """Says of an executor's calls which service they are for, without keeping an executor that nobody else holds."""

    def __init__(self, executor: Executor, routes: Routes) -> None:
        self._owner, self._routes = weakref.ref(executor), routes

    @property
    def changes(self) -> int:
        return self._routes.changes

    def learn(self, name: str, work: Work, seconds: float, cpu: float, beside: int, value: Any) -> None:
        """A call of the service ``name`` has ended."""
        if name == "processes":
            self._routes.saw_in_process(work.fn, seconds, cpu)
        else:
            self._routes.saw_in_thread(work.fn, seconds, cpu, beside, (work.args, work.kwargs), value)

    def hand_on(self, name: str, work: Work) -> bool:
        """Whether a call that is about to begin was given to another service."""
        executor = self._owner()
        return executor is not None and executor._hand_on(name, work)

    def take_back(self, work: Work) -> bool:
        """Whether a call that could not travel is made in a thread instead."""
        self._routes.stay(work.fn)
        return self.hand_on("processes", work)
