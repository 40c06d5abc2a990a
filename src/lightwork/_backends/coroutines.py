"""Coroutine functions on an event loop: many waits in one thread.

A worker is a place for one task at a time. ``AsyncioCrew`` has a loop in a thread of its own, so that it also works
where the caller's thread already runs one (a notebook); ``OwnLoopCrew`` uses the loop that the caller is on.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from lightwork import _context, _per_worker
from lightwork._backends._local import Reports, stop_iteration_error
from lightwork._backends.base import CLOSING, HEEDS, Backend, Capabilities, Crew
from lightwork._calls import Batch, Event, Finished, Outcomes, Revoked, Terms, WorkerFailed, WorkerReady, apply
from lightwork._gate import opened
from lightwork._machine import daemon_threads
from lightwork.errors import CallTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


CLOSE_SECONDS = 0.5
"""How long ``close`` waits for cancelled tasks to end; a coroutine that refuses to is left and counted."""


GLIMPSE = 0.05
"""Seconds between two looks for results whose batch goes on with a call that takes longer."""


class _Work:
    """A batch that a worker has: ``begun`` of its calls have, ``end`` are to; the outcomes of so many were
    ``reported``; ``seen``: it was under way at the last look."""

    __slots__ = ("batch", "begun", "end", "outcomes", "reported", "seen", "worker")

    def __init__(self, worker: int, batch: Batch) -> None:
        self.worker, self.batch = worker, batch
        self.outcomes = Outcomes(batch.id, 0, [])
        self.begun = self.reported = 0
        self.end = len(batch.items)
        self.seen = False

    def news(self) -> Outcomes:
        """What has ended since the last time."""
        whole, start = self.outcomes, self.reported
        self.reported = len(whole.values)
        # Taken out: a frame that an exception's traceback keeps holds the batch's outcomes, and they it.
        failures, whole.failures = whole.failures, {}
        return Outcomes(whole.batch, start, whole.values[start:], failures, whole.began, whole.seconds)


class _Tasks:
    """The tasks on one loop; all its methods run in that loop's thread."""

    def __init__(self, terms: Terms, report: Callable[[Event], None]) -> None:
        self.terms = terms
        self.report = report
        self.context = contextvars.copy_context()
        self.running: set[asyncio.Task[None]] = set()
        self._works: dict[int, _Work] = {}
        self._looks = False

    def start(self, worker: int, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        work = self._works[worker] = _Work(worker, batch)
        task = loop.create_task(self._run(work), context=self.context.copy())
        self.running.add(task)
        task.add_done_callback(partial(self._ended, work))
        if work.end > 1 and not self._looks:
            self._looks = True
            loop.call_later(GLIMPSE, self._look)

    def _ended(self, work: _Work, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if self._works.get(work.worker) is work:  # it was cancelled before it began, and has not come to its end
            del self._works[work.worker]

    def revoke(self, worker: int) -> None:
        """Takes back what a worker has not begun; the first call of its batch, which is about to begin, stays."""
        work, positions = self._works.get(worker), {}
        if work is not None and (begun := max(1, work.begun)) < work.end:
            work.end = positions[work.batch.id] = begun
        self.report(Revoked(worker, positions))

    def _look(self) -> None:
        """Reports what has ended of batches that go on: somebody may wait for it."""
        self._looks = False
        for work in self._works.values():
            if work.seen and len(work.outcomes.values) > work.reported:
                self.report(Finished(work.worker, work.news(), last=False))
            work.seen = True
            self._looks |= work.end > 1
        if self._looks:
            asyncio.get_running_loop().call_later(GLIMPSE, self._look)

    async def _run(self, work: _Work) -> None:
        outcomes = work.outcomes
        outcomes.began = time.perf_counter()
        try:
            await self._make(work)
        finally:
            del self._works[work.worker]
        outcomes.seconds = time.perf_counter() - outcomes.began
        self.report(Finished(work.worker, work.news() if work.reported else outcomes, last=True))

    async def _make(self, work: _Work) -> None:
        """Makes the calls of a batch."""
        batch, outcomes = work.batch, work.outcomes
        for offset, item in enumerate(batch.items):
            if offset >= work.end:
                return  # the rest was taken back
            work.begun = offset + 1
            index = batch.first + offset
            _context.enter(index, self.terms.seed, "asyncio")
            try:
                async with asyncio.timeout(self.terms.call_timeout) as scope:
                    value = await apply(batch.fn, batch.style, item)
                outcomes.values.append(value)
                continue
            except TimeoutError as raised:
                # The scope's own alarm, or a TimeoutError of the function's: the scope knows.
                late = scope.expired() and self.terms.call_timeout is not None
                failure: BaseException = CallTimeout(index, self.terms.call_timeout or 0.0) if late else raised
            except StopIteration as stop:
                failure = stop_iteration_error(stop)
            except asyncio.CancelledError as cancelled:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                failure = cancelled
            except BaseException as raised:  # noqa: BLE001 - SystemExit in fn is a failure like another
                failure = raised
            finally:
                _context.leave()
            outcomes.failures[offset] = failure
            del failure  # its traceback keeps this frame
            outcomes.values.append(None)

    async def cancel_all(self, seconds: float) -> int:
        """Cancels what runs and returns how many tasks did not end within ``seconds``."""
        running = set(self.running)
        for task in running:
            task.cancel()
        if not running:
            return 0
        _, stubborn = await asyncio.wait(running, timeout=seconds)
        return len(stubborn)


class _CoroutineCrew(Crew):
    opens_gate = True

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._reports = Reports(self)
        self._tasks = _Tasks(terms, self._report)
        self._started = 0
        self._initialized = False
        self._broken = False
        _context.mark_records()

    def _report(self, event: Event) -> None:
        self._reports.put(event)

    def start_worker(self) -> int:
        self._started += 1
        try:
            if not self._initialized:
                self._terms.initialize()
            self._initialized = True
            self._report(WorkerReady(self._started, 0.0))
        except Exception as error:  # noqa: BLE001 - whatever an initializer raises is the event
            self._broken = True
            self._report(WorkerFailed(self._started, error))
        return self._started

    def wait(self, timeout: float | None) -> list[Event]:
        return self._reports.take(timeout)

    def retire(self, worker: int) -> None:
        """Nothing to do: an idle place holds nothing."""

    def kill(self, worker: int) -> None:
        raise TypeError("a coroutine can be cancelled, not killed")


class AsyncioCrew(_CoroutineCrew):
    """Coroutines on a loop in a thread of the crew's own."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._sent: deque[tuple[int, Batch]] = deque()
        self._roused = threading.Lock()
        """Held from when the loop is told of what is there until it comes to that."""
        self._words: SimpleQueue[str] = SimpleQueue()
        """That the thread has closed what its coroutines hold, or that nobody wants to wait for that any more."""
        self._told_to_stop = False
        self._taken = threading.Lock()
        """Held by who is to close the loop: its thread, or who could not start that."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="lightwork-loop", daemon=daemon_threads())
        try:
            self._thread.start()
        except BaseException:  # there can be no more, or a signal's handler has raised, and it may have begun
            if self._taken.acquire(blocking=False):
                self._loop.close()
            else:
                self._loop.call_soon_threadsafe(self._loop.stop)
            raise

    def _serve(self) -> None:
        if not self._taken.acquire(blocking=False):
            return
        try:
            self._loop.run_forever()
            _per_worker.release()
        finally:
            self._words.put("closed")
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def send(self, worker: int, batch: Batch) -> None:
        if self._broken:
            return
        self._sent.append((worker, batch))
        try:
            # Each time would cost two calls of the kernel, more than a coroutine that does little.
            if self._roused.acquire(blocking=False):
                self._loop.call_soon_threadsafe(self._start_sent)
        except BaseException:  # a Ctrl-C: the next one tells it again
            self._calm_down()
            raise

    def _start_sent(self) -> None:
        self._calm_down()  # at first: what comes from now on is told of anew, whether it is taken here or not
        while self._sent:
            self._tasks.start(*self._sent.popleft())

    def _calm_down(self) -> None:
        with suppress(RuntimeError):  # a Ctrl-C, or the loop, was quicker
            self._roused.release()

    def revoke(self, worker: int) -> None:
        self._loop.call_soon_threadsafe(self._tasks.revoke, worker)

    def wake(self) -> None:
        self._reports.wake()

    def inside(self) -> bool:
        return self._thread is threading.current_thread()

    def hurry(self) -> None:
        self._words.put("hurry")

    def close(self, patience: float = CLOSING) -> int:
        if not self._thread.is_alive() or self._loop.is_closed():
            return 0
        if self._told_to_stop:  # and a Ctrl-C ended the wait
            self._await_end(patience)
            return 0
        ending = asyncio.run_coroutine_threadsafe(self._tasks.cancel_all(CLOSE_SECONDS), self._loop)
        try:
            left = ending.result(2 * CLOSE_SECONDS)
        except TimeoutError:
            # A coroutine computes and never gives the loop back: its thread is left with it.
            return len(self._tasks.running)
        self._told_to_stop = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._await_end(patience)
        return left

    def _await_end(self, patience: float) -> None:
        """Waits for the thread, ``patience`` seconds while it closes what coroutines hold by ``lw.per_worker``."""
        until, word = time.perf_counter() + max(patience, CLOSE_SECONDS), ""
        while not word and (left := until - time.perf_counter()) > 0:
            with suppress(Empty), opened() if patience > CLOSE_SECONDS else suppress(Empty):
                word = self._words.get(timeout=min(left, HEEDS))
        if word == "closed":
            self._thread.join(CLOSE_SECONDS)


class OwnLoopCrew(_CoroutineCrew):
    """Coroutines on the loop that the caller is on; to be awaited with ``arrival`` instead of ``wait``."""

    def __init__(self, terms: Terms) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        super().__init__(terms)

    def _report(self, event: Event) -> None:
        super()._report(event)
        self._arrived.set()

    def send(self, worker: int, batch: Batch) -> None:
        if not self._broken:
            self._tasks.start(worker, batch)

    def revoke(self, worker: int) -> None:
        self._tasks.revoke(worker)

    def wake(self) -> None:
        self._reports.wake()
        self._loop.call_soon_threadsafe(self._arrived.set)

    def inside(self) -> bool:
        return asyncio.current_task() in self._tasks.running

    async def arrival(self, timeout: float | None) -> None:
        """Returns when ``wait(0)`` has something to give, or after ``timeout`` seconds."""
        if self._reports.empty:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def end(self) -> int:
        """Cancels what runs and waits for its end."""
        return await self._tasks.cancel_all(CLOSE_SECONDS)

    def close(self, patience: float = CLOSING) -> int:
        for task in list(self._tasks.running):
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(task.cancel)  # the collection of garbage may be any thread's
        return 0


class AsyncioBackend(Backend):
    """An event loop: for coroutine functions."""

    name = "asyncio"
    capabilities = Capabilities(
        shares_memory=True,
        needs_pickling=False,
        can_kill=False,
        parallel_python=False,
        coroutines=True,
        local=True,
        in_caller=False,
        startup=1e-3,
        per_call=4e-5,
        per_item=1e-5,
        can_revoke=True,
        max_queued=1,
    )

    def __init__(self, own_loop: bool = False) -> None:
        self._own_loop = own_loop

    def open(self, terms: Terms) -> AsyncioCrew | OwnLoopCrew:
        return OwnLoopCrew(terms) if self._own_loop else AsyncioCrew(terms)
