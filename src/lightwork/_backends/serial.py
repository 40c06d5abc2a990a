"""Calls one after another in the caller's own thread: the plain loop, and the place where ``auto`` begins."""

from __future__ import annotations

from lightwork import _context, _per_worker
from lightwork._backends._local import FIRST, GLANCE, run_batch
from lightwork._backends.base import CLOSING, Backend, Capabilities, Crew
from lightwork._calls import Batch, Event, Finished, Outcomes, Terms, Turn, WorkerFailed, WorkerReady
from lightwork._gate import opened, outside
from lightwork._lean import Empty, SimpleQueue, deque, suppress


class SerialCrew(Crew):
    """One worker, which is the thread that calls ``wait``."""

    opens_gate = True

    def __init__(self, terms: Terms, held: frozenset[object] | None = None) -> None:
        """``held``: what this thread held of ``lw.per_worker`` before the run, where some of its calls were made."""
        self._terms = terms
        self._events: list[Event] = []
        self._batches: deque[tuple[int, Batch]] = deque()
        self._started = 0
        self._held = _per_worker.held() if held is None else held
        _context.mark_records()
        self._last: Outcomes | None = None
        self._word: SimpleQueue[None] = SimpleQueue()

    def start_worker(self) -> int:
        self._started += 1
        worker = self._started
        try:
            with outside():
                self._terms.initialize()
            self._events.append(WorkerReady(worker, 0.0))
        except Exception as error:  # noqa: BLE001 - whatever an initializer raises is the event
            self._events.append(WorkerFailed(worker, error))
        return worker

    def send(self, worker: int, batch: Batch) -> None:
        self._batches.append((worker, batch))

    def wait(self, timeout: float | None) -> list[Event]:
        """Runs at most one batch. Where there is none it blocks for as long as the caller knows that nothing is to be
        done, and never for ever: nobody else has something to tell."""
        if timeout and not (self._batches or self._events):
            self._rest(timeout)
        if self._batches and not any(isinstance(event, WorkerFailed) for event in self._events):
            worker, batch = self._batches.popleft()
            outcomes = Outcomes(batch.id, batch.start, [])
            if self.results is not None and len(self.results) == batch.first + batch.start:
                outcomes.values, outcomes.placed = self.results, len(self.results)
            # In the list before it runs: what ended before a Ctrl-C is then found there.
            self._events.append(Finished(worker, outcomes, last=True))
            try:
                if self.around is None or batch.style == "full":
                    pace = self._pace()
                    with outside():
                        run_batch(outcomes, batch, self._terms, "serial", self.patience, self.meter, None, pace)
                else:
                    turn = Turn(worker, batch, outcomes)
                    with self.around(turn), outside():
                        run_batch(outcomes, batch, self._terms, "serial", self.patience, self.meter, turn)
                self._last = None if outcomes.failures else outcomes
            finally:
                if outcomes.failures:
                    outcomes.withdraw()
                outcomes.settle()
        events, self._events = self._events, []
        return events

    def _rest(self, timeout: float) -> None:
        with suppress(Empty):
            self.asleep = True
            with opened():
                self._word.get(timeout=timeout)
        self.asleep = False

    def _pace(self) -> int:
        """Calls that may be made before the clock is looked at: what the last batch leads to expect."""
        last = self._last
        if last is None or not last.count or not last.seconds:
            return 1
        many = min(max(FIRST, last.position), min(self.patience, GLANCE) * last.count / last.seconds)
        return max(1, int(many))

    def wake(self) -> None:
        if self._word.empty():  # one word is enough, and it may be that nobody ever waits
            self._word.put(None)

    def retire(self, worker: int) -> None:
        """Nothing to do: the worker is the caller's thread."""

    def kill(self, worker: int) -> None:
        raise TypeError("the caller's own thread cannot be killed")

    def close(self, patience: float = CLOSING) -> int:
        self._batches.clear()
        self._last = None
        with outside():
            _per_worker.release(keep=self._held)
        return 0


class SerialBackend(Backend):
    """The plain loop."""

    name = "serial"
    capabilities = Capabilities(
        shares_memory=True,
        needs_pickling=False,
        can_kill=False,
        parallel_python=False,
        coroutines=False,
        local=True,
        in_caller=True,
        startup=0.0,
        per_call=1e-7,
        max_queued=1,
    )

    def open(self, terms: Terms) -> SerialCrew:
        return SerialCrew(terms)
