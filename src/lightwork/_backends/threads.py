"""Calls in threads of the caller's process: for functions that wait, or compute in C with the GIL released.

Each worker is a thread with an inbox of its own, a ``queue.SimpleQueue``, whose waits Ctrl-C can interrupt. They are
daemon threads where such are allowed, because a thread that never returns from a call must not keep the program from
ending.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
import weakref

from lightwork import _context, _library_threads, _per_worker
from lightwork._backends import _whole_lines
from lightwork._backends._forked import end_fork
from lightwork._backends._local import Reports, run_batch_in_copies
from lightwork._backends.base import CLOSING, HEEDS, Backend, Capabilities, Crew
from lightwork._calls import Batch, Event, Finished, Outcomes, Revoked, Terms, WorkerFailed, WorkerReady
from lightwork._clock import process_cpu, thread_cpu_clock
from lightwork._gate import opened
from lightwork._lean import Empty, SimpleQueue, deque, suppress
from lightwork._machine import at_fork, daemon_threads, gil_enabled, run_delay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


JOIN_SECONDS = 0.2
"""How long ``close`` waits for threads that are in a call; those that take longer are left."""


GLIMPSE = 0.05
"""Seconds of silence after which results are reported while their batch goes on with a call that takes longer; of its
worker's silence where others speak."""


MOMENT = 2e-4
"""Seconds in which some threads begin calls that wait."""


ROOM = 400
"""Numbers that a new thread makes at once and lets go of again, where there is no GIL and each thread has a heap of its
own: that has as many places for numbers from then on. It gives them out in turns; when they are used up it looks, for
some 50 ns, which of them are free again, and makes new ones where none is. A thread that begins with few has fewer and
fewer the more results are kept, down to one, and pure Python takes up to a quarter longer. So many fit into a core's
first cache."""

ONE_DIGIT = 1 << 20
"""A number as large as most that Python makes; smaller ones are there for good, larger ones have other places."""


class _Worker:
    """``outcomes``: those of ``batch``, as they come; before ``reported`` they were reported, with the time until
    ``told``, when it had used ``used`` CPU seconds. ``left``: the items of its calls that have not begun, of the
    ``whole`` number that it is to make. ``begun``: batches that it has begun, of those that it was ``given`` and that
    were not taken back; ``seen``: how many it had when its crew last looked; ``asked``: to begin one call of the next
    at most. ``arrived``: its initializer has run. ``turn`` is held where all this changes."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self.thread: threading.Thread | None = None
        self.batch: Batch | None = None
        self.outcomes = Outcomes(0, 0, [])
        self.reported = 0
        self.left: deque[Any] = deque()
        self.given = self.begun = self.seen = self.whole = 0
        self.asked = self.arrived = False
        self.told = self.used = 0.0
        self.turn = threading.Lock()
        self._cpu = process_cpu

    def arrive(self) -> None:
        """Its thread runs."""
        self._cpu = thread_cpu_clock(threading.get_ident())
        self.arrived = True

    def lives(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def busy(self) -> bool:
        """Whether a call, or the initializer, goes on."""
        with self.turn:
            return not self.arrived or (self.batch is not None and len(self.outcomes.values) < self.whole)

    def begin(self, batch: Batch) -> tuple[Outcomes, bool]:
        """A batch begins; returns what will become of it, and whether all but its first call goes back. With ``turn``
        held."""
        self.batch, self.outcomes, self.reported = batch, Outcomes(batch.id, 0, []), 0
        self.whole = 1 if self.asked else len(batch.items)
        self.left.extend(batch.items[: self.whole])
        self.begun, self.asked = self.begun + 1, False
        self.told, self.used = time.perf_counter(), time.thread_time()
        return self.outcomes, self.whole < len(batch.items)

    def news(self) -> Outcomes | None:
        """What has ended since the last time, of a batch that goes on; None for nothing. With ``turn`` held."""
        if len(self.outcomes.values) == self.reported:
            return None
        news = self._unreported()
        if self._cpu is not process_cpu:  # else it alone knows what it used, and tells when the batch is over
            self._timed(news, self._cpu())
        return news

    def result(self) -> Outcomes:
        """What has ended since the last time, of a batch that is over. By its thread, with ``turn`` held."""
        result = self._unreported() if self.reported else self.outcomes
        self._timed(result, time.thread_time())
        return result

    def _unreported(self) -> Outcomes:
        whole, start = self.outcomes, self.reported
        values = whole.values[start:]
        self.reported += len(values)
        # Taken out: a frame that an exception's traceback keeps holds the batch's outcomes, and they it.
        failures = {at: whole.failures.pop(at) for at in list(whole.failures) if at < self.reported}
        return Outcomes(whole.batch, start, values, failures)

    def _timed(self, outcomes: Outcomes, used: float) -> None:
        now = time.perf_counter()
        outcomes.began, outcomes.seconds, outcomes.cpu = self.told, now - self.told, used - self.used
        self.told, self.used = now, used


class ThreadCrew(Crew):
    """Threads that share everything with the caller; each call runs in a copy of the caller's context."""

    opens_gate = True

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._context = contextvars.copy_context()
        self._depth = _context.depth()
        self._workers: dict[int, _Worker] = {}
        self._ahead: tuple[_Worker, SimpleQueue[tuple[int, float] | None]] | None = None
        """One whose thread has begun, and where that waits for its number and the moment of its start."""
        self._reports = Reports(self)
        self._started = 0
        self._together = False
        """Whether a worker may have several calls."""
        self._looked = time.perf_counter()
        """When it last looked what had ended of batches that go on."""
        self._closed = threading.Event()
        self._retired: dict[int, _Worker] = {}
        self._gone: SimpleQueue[int | None] = SimpleQueue()
        """Numbers of workers whose threads are about to end; None: nobody wants to wait for them any more."""
        self._process = os.getpid()
        self._standing_in = True
        _context.mark_records()
        _whole_lines.stand_in()
        _open.add(self)

    def stand_by(self) -> None:
        worker, word = self._ahead = _Worker(), SimpleQueue()
        thread = threading.Thread(
            target=self._await_start, args=(worker, word), name="lightwork-1", daemon=daemon_threads()
        )
        thread.start()
        worker.thread = thread

    def _await_start(self, worker: _Worker, word: SimpleQueue[tuple[int, float] | None]) -> None:
        if (started := word.get()) is not None:
            self._serve(worker, *started)

    def start_worker(self) -> int:
        self._started += 1
        number = self._started
        if self._ahead is not None:
            (self._workers[number], word), self._ahead = self._ahead, None
            word.put((number, time.perf_counter()))
            return number
        worker = self._workers[number] = _Worker()
        thread = threading.Thread(
            target=self._serve,
            args=(worker, number, time.perf_counter()),
            name=f"lightwork-{number}",
            daemon=daemon_threads(),
        )
        try:
            thread.start()
        except RuntimeError as problem:  # the system has no room for one more
            self._reports.put(WorkerFailed(number, problem, scarce=True))
        else:
            # Not before: a signal's handler may raise in there, and what has not begun cannot be joined. Where it has,
            # and was about to say so, it ends by itself when the crew is closed.
            worker.thread = thread
        return number

    def _serve(self, worker: _Worker, number: int, began: float) -> None:
        try:
            self._make_calls(worker, number, began)
            _per_worker.release()
        finally:
            self._gone.put(number)

    def _make_calls(self, worker: _Worker, number: int, began: float) -> None:
        terms = self._terms
        try:
            _context.descend(self._depth)
            _whole_lines.become_worker()
            if terms.library_threads is not None:
                _library_threads.become_worker(terms.library_threads)
            self._context.copy().run(terms.initialize)
        except BaseException as error:  # noqa: BLE001 - whatever an initializer raises is the event
            self._reports.put(WorkerFailed(number, error))
            return
        worker.arrive()
        if not gil_enabled():
            _make_room()
        self._reports.put(WorkerReady(number, time.perf_counter() - began))
        while (batch := worker.inbox.get()) is not None:
            with worker.turn:
                if self._closed.is_set():  # who closes knows from now on that it makes no call
                    return
                outcomes, alone = worker.begin(batch)
                if alone:
                    self._reports.put(Revoked(number, {batch.id: 1}))
            with _library_threads.kept_to(terms.library_threads):
                run_batch_in_copies(outcomes, batch, worker.left, terms, "threads", self._context)
                if os.getpid() != self._process:
                    end_fork(outcomes.failures.get(len(outcomes.values) - 1))
            _whole_lines.end_of_calls()
            with worker.turn:
                if worker.batch is not None:  # else all of it was taken back
                    outcomes = worker.result()
                    self._reports.put(Finished(number, outcomes, last=True))
                worker.batch, worker.outcomes = None, Outcomes(0, 0, [])
            del batch, outcomes  # while it waits for the next batch, a worker keeps nothing of the last one alive

    def send(self, worker: int, batch: Batch) -> None:
        self._together |= batch.stop > 1
        one = self._workers[worker]
        one.given += 1
        one.inbox.put(batch)

    def revoke(self, worker: int) -> None:
        one, positions = self._workers[worker], {}
        while (batch := self._queued(one)) is not None:
            positions[batch.id] = 0
            one.given -= 1
        with one.turn:
            # One that it has in hand and has not begun is in no place where it could be found.
            one.asked = one.given > one.begun
            taken = 0
            # Each item goes either to the worker or back: one takes them from the left, the other from the right.
            with suppress(IndexError):
                while True:
                    one.left.pop()
                    taken += 1
            if taken and one.batch is not None:
                begun = one.whole - taken
                positions = {one.batch.id: begun, **positions}
                one.batch = one.batch if begun else None
            self._reports.put(Revoked(worker, positions))

    @staticmethod
    def _queued(worker: _Worker) -> Batch | None:
        """The next batch that the worker has not begun; not to be asked after ``retire``."""
        try:
            return worker.inbox.get_nowait()
        except Empty:
            return None

    def wait(self, timeout: float | None) -> list[Event]:
        if not self._together:
            return self._reports.take(timeout)
        if time.perf_counter() >= self._looked + GLIMPSE:
            # Others may have something to say for ever, and who waits may never do so for long.
            self._glimpse(of_silent=True)
        if timeout is not None and timeout <= GLIMPSE:
            return self._reports.take(timeout)
        if events := self._reports.take(GLIMPSE):
            return events
        self._glimpse()
        return self._reports.take(0.0)

    def _glimpse(self, of_silent: bool = False) -> None:
        """Reports what has ended of batches that go on: somebody may wait for it. ``of_silent``: of those alone that
        went on the last time, too."""
        self._together, self._looked = False, time.perf_counter()
        for number, worker in self._workers.items():
            with worker.turn:
                goes_on, worker.seen = worker.seen == worker.begun, worker.begun
                self._together |= worker.given > worker.begun
                if worker.batch is None or worker.batch.stop == 1:
                    continue
                self._together = True
                if (goes_on or not of_silent) and (news := worker.news()) is not None:
                    self._reports.put(Finished(number, news, last=False))

    def glance(self) -> float:
        began = time.perf_counter()
        time.sleep(MOMENT)
        return time.perf_counter() - began - MOMENT

    def delay(self) -> float | None:
        whole = 0.0
        for worker in self._workers.values():
            native = worker.thread.native_id if worker.thread is not None else None
            delay = None if native is None else run_delay(native)
            if delay is None:
                return None
            whole += delay
        return whole

    def wake(self) -> None:
        self._reports.wake()

    def retire(self, worker: int) -> None:
        for number in [number for number, one in self._retired.items() if not one.lives()]:
            del self._retired[number]
        one = self._retired[worker] = self._workers.pop(worker)
        one.inbox.put(None)

    def kill(self, worker: int) -> None:
        raise TypeError("a thread cannot be killed")

    def inside(self) -> bool:
        current = threading.current_thread()
        return any(worker.thread is current for worker in list(self._workers.values()))

    def stacks(self, workers: Sequence[int]) -> dict[int, str]:
        from lightwork._backends import _stacks  # as seldom as it is asked for

        threads = {}
        for worker in workers:
            thread = self._workers[worker].thread if worker in self._workers else None
            if thread is not None and thread.ident is not None:
                threads[thread.ident] = worker
        return {threads[ident]: stack for ident, stack in _stacks.of_threads(threads).items()}

    def hurry(self) -> None:
        self._gone.put(None)

    def close(self, patience: float = CLOSING) -> int:
        if self._ahead is not None:
            (self._workers[0], word), self._ahead = self._ahead, None
            word.put(None)
        if os.getpid() != self._process:
            self._workers.clear()
            self._retired.clear()  # those of its parent: here there are none, some of which that one was just starting
        self._closed.set()
        for worker in self._workers.values():
            with worker.turn:
                worker.left.clear()  # what has not begun never does
            worker.inbox.put(None)
        running = self._await_ends(patience)
        self._glimpse()  # who was interrupted wants to know all that has ended
        self._workers.clear()
        self._retired.clear()
        if self._standing_in:
            self._standing_in = False
            _whole_lines.stand_aside()
        return running

    def _await_ends(self, patience: float) -> int:
        """Waits for the threads, ``patience`` seconds for those that close what they hold; returns how many calls go
        on."""
        began, here = time.perf_counter(), threading.current_thread()
        threads = {
            number: (worker, worker.thread)
            for number, worker in (self._retired | self._workers).items()
            if worker.thread is not None and worker.thread is not here and worker.thread.is_alive()
        }
        while threads:
            last = max(JOIN_SECONDS if worker.busy() else max(patience, JOIN_SECONDS) for worker, _ in threads.values())
            left = began + last - time.perf_counter()
            if left <= 0:
                break
            with suppress(Empty):
                # All that has ended is known: a Ctrl-C may end this wait, and what calls it does it again in a hurry.
                with opened() if patience > JOIN_SECONDS else suppress():
                    number = self._gone.get(timeout=min(left, HEEDS))
                if number is None:
                    patience = 0.0
                elif number in threads:
                    threads.pop(number)[1].join()
        return sum(worker.busy() for worker, thread in threads.values() if thread.is_alive())


def _make_room() -> None:
    """See ``ROOM``."""
    list(range(ONE_DIGIT, ONE_DIGIT + ROOM))


_open: weakref.WeakSet[ThreadCrew] = weakref.WeakSet()


def _keep_to_one_call() -> None:
    """In a child that a call has forked: the calls behind that one are its parent's."""
    for crew in list(_open):
        for worker in crew._workers.values():
            worker.left.clear()


at_fork(_keep_to_one_call)


class ThreadBackend(Backend):
    """Threads of the caller's process."""

    name = "threads"
    capabilities = Capabilities(
        shares_memory=True,
        needs_pickling=False,
        can_kill=False,
        parallel_python=False,
        coroutines=False,
        local=True,
        in_caller=False,
        startup=2e-4,
        startup_each=1e-4,
        per_call=2e-5,
        per_item=2e-6,
        can_show_stacks=True,
        can_revoke=True,
    )

    def open(self, terms: Terms) -> ThreadCrew:
        return ThreadCrew(terms)
