"""Running a batch on the caller's own objects: what the serial and the threads backend share."""

from __future__ import annotations

import contextvars
import math
import os
import time
from itertools import islice, starmap

from lightwork import _context
from lightwork._backends.base import Crew
from lightwork._calls import Batch, Event, Outcomes, Terms, Turn, apply
from lightwork._demand import Meter
from lightwork._gate import opened
from lightwork._lean import Empty, SimpleQueue, deque, suppress
from lightwork._loops import inline, loop, stretch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

GLANCE = 1e-3
"""Seconds that a stretch of calls is meant to last at most, by the pace of the one before it, where the batch is to end
in time: what comes next may take a thousand times as long."""


FIRST = 8
"""Calls that may be made before a look at the clock, however few were made before them."""


def run_batch(
    outcomes: Outcomes,
    batch: Batch,
    terms: Terms,
    backend: str,
    patience: float = math.inf,
    meter: Meter | None = None,
    turn: Turn | None = None,
    size: int = 1,
) -> None:
    """Runs the calls of a batch in this thread and context, and fills ``outcomes``, each failure in its place.

    Begins no further call after ``patience`` seconds, nor after a failure that ends the run. KeyboardInterrupt passes
    through; ``outcomes`` then holds the calls that had ended. ``turn``: others may cut the batch short meanwhile.
    ``size``: calls before the first look at the clock.
    """
    began, cpu = time.perf_counter(), time.thread_time()
    if batch.style == "full":
        _one_by_one(batch, terms, backend, outcomes)
    else:
        _in_a_row(batch, terms, backend, outcomes, began + patience, meter, turn, size)
    outcomes.began = began
    outcomes.seconds = time.perf_counter() - began
    outcomes.cpu = time.thread_time() - cpu


def run_batch_in_copies(
    outcomes: Outcomes, batch: Batch, left: deque[Any], terms: Terms, backend: str, context: contextvars.Context
) -> None:
    """The same in a worker thread: every call runs in a copy of ``context`` of its own. ``left``: the batch's items,
    the last of which others may take back. Who asks for it times it.

    A KeyboardInterrupt here was raised by the function itself (a real one reaches the main thread alone) and is a
    failure like another.
    """
    with _context.stretch(batch.first, outcomes.values, terms.seed, backend):
        _in_copies(batch, left, context, outcomes)


def _in_a_row(
    batch: Batch,
    terms: Terms,
    backend: str,
    outcomes: Outcomes,
    until: float,
    meter: Meter | None,
    turn: Turn | None,
    size: int,
) -> None:
    """Calls with nothing between them but the loop itself; the length of the results says which one raised.

    They are made in stretches: between two of them is a look at the clock. Where somebody waits for that, none is
    longer than all before it, for what has begun is nobody else's, and the next calls may take longer.
    """
    fn, items, values, failures = batch.fn, batch.items, outcomes.values, outcomes.failures
    clock, end, process = time.perf_counter, batch.stop, os.getpid()
    metered = 0
    looped = batch.style == "one" and inline(fn)
    at = outcomes.position
    before = len(values) - at
    left = _from(items, at)
    with _context.stretch(batch.first - before, values, terms.seed, backend):
        now = clock()
        while at < end:
            if turn is not None:
                size, end = turn.begin(at, size)
                if size <= 0:
                    return
            else:
                size = min(size, end - at)
            exception: BaseException | None = None
            if meter is not None and not metered:
                meter.begin()
            try:
                if looped:
                    loop(fn, stretch(items, left, at, size), values)
                else:
                    # ``extend`` keeps what it has got when a call raises.
                    rest = islice(left, size)
                    values.extend(map(fn, rest) if batch.style == "one" else starmap(fn, rest))
                    if len(values) - before < min(at + size, len(items)):
                        raise StopIteration  # map took the function's own for the end
            except StopIteration as stop:
                exception = stop_iteration_error(stop)
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # SystemExit in fn is a failure like another
                if os.getpid() != process:
                    raise  # in a child that the call has forked: nobody there waits for an outcome
                exception = raised
            failed = exception is not None
            if exception is not None:
                failures[len(values) - before] = exception
                values.append(None)
                exception = None  # its traceback keeps this frame
            began, now, done = now, clock(), len(values) - before - at
            at += done
            metered += done
            # Not done: the list became shorter, which is not for this function to judge.
            ends = now >= until or at >= end or not done or (failed and terms.stop_on_failure)
            if meter is not None and metered and (ends or meter.first is None):
                meter.end(metered)
                metered = 0
            if ends:
                return
            each = (now - began) / done
            size = 8 * size
            if until < math.inf and each:
                size = max(1, min(max(FIRST, at), int(min(until - now, GLANCE) / each)))


def _from(items: Sequence[Any], position: int) -> Iterator[Any]:
    """The items from ``position`` on, which is reached at once."""
    left = iter(items)
    if position:
        left.__setstate__(position)  # type: ignore[attr-defined]
    return left


def _in_copies(batch: Batch, left: deque[Any], context: contextvars.Context, outcomes: Outcomes) -> None:
    fn, style, values, failures = batch.fn, batch.style, outcomes.values, outcomes.failures
    copy, add, items = context.copy, values.append, _taken(left)
    while True:
        try:
            if style == "one":
                for item in items:
                    add(copy().run(fn, item))
            elif style == "star":
                for item in items:
                    add(copy().run(fn, *item))
            else:
                for args, kwargs in items:
                    add(copy().run(fn, *args, **kwargs))
            return
        except StopIteration as stop:
            failures[len(values)] = stop_iteration_error(stop)
        except BaseException as raised:  # noqa: BLE001 - SystemExit in fn is a failure like another
            failures[len(values)] = raised
        add(None)


def _taken(left: deque[Any]) -> Iterator[Any]:
    """The items, each as it is asked for: those behind it may be gone by then."""
    with suppress(IndexError):
        while True:
            yield left.popleft()


def _one_by_one(batch: Batch, terms: Terms, backend: str, outcomes: Outcomes) -> None:
    values, process = outcomes.values, os.getpid()
    for offset, item in enumerate(batch.items):
        try:
            values.append(_call(batch, offset, item, terms, backend))
        except StopIteration as stop:
            outcomes.failures[len(values)] = stop_iteration_error(stop)
            values.append(None)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # SystemExit in fn is a failure like another
            if os.getpid() != process:
                raise  # as above
            outcomes.failures[len(values)] = raised
            values.append(None)


def _call(batch: Batch, offset: int, item: Any, terms: Terms, backend: str) -> Any:
    _context.enter(batch.first + offset, terms.seed, backend)
    try:
        return apply(batch.fn, batch.style, item)
    finally:
        _context.leave()


def stop_iteration_error(cause: StopIteration | None = None) -> RuntimeError:
    """What a call that raises StopIteration is reported as: it would else end the caller's own iteration."""
    error = RuntimeError("the function raised StopIteration")
    error.__cause__ = cause
    return error


class Reports:
    """What workers in this process tell their crew, which waits for it.

    The events and the word that there are some are apart: so a Ctrl-C that ends the wait can cost the word alone.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._events: deque[Event] = deque()
        self._word: SimpleQueue[None] = SimpleQueue()

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._word.put(None)

    def wake(self) -> None:
        self._word.put(None)

    @property
    def empty(self) -> bool:
        """Whether ``take`` would wait."""
        return not self._events

    def take(self, timeout: float | None) -> list[Event]:
        """All events that are there, after a wait for the first one, or for ``wake``."""
        word, events = self._word, self._events
        with suppress(Empty):
            if not events:
                self._crew.asleep = True
                with opened():
                    word.get(timeout is None or timeout > 0, timeout)
                self._crew.asleep = False
            while True:
                word.get_nowait()
        self._crew.asleep = False
        return [events.popleft() for _ in range(len(events))]
