"""Carrying out a map: a run is driven to its end, its results are put in order, and kept if it ends early."""

from __future__ import annotations

import os
import sys

from lightwork import _context
from lightwork._dispatch import Chunk
from lightwork._engine import Run
from lightwork._gate import guarded, strike
from lightwork._lean import Iterator, RLock, deque, suppress
from lightwork._live import IN_A_FORK
from lightwork._options import settle
from lightwork._preparing import begins_here, load, prepare, remembered
from lightwork._report import Report
from lightwork._source import Source
from lightwork._typing import TypeVar
from lightwork.errors import PARTIAL, Failure, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableSequence, Sequence
    from types import TracebackType
    from typing import Any, NoReturn, Self

    from lightwork._calls import Style
    from lightwork._clock import Clock
    from lightwork._opening import Opening
    from lightwork._prelude import Prelude

R = TypeVar("R")


class Collection:
    """A map on its way to ``results``. ``prelude`` has made the first calls, or is inside one of them and was ``taken``
    over by the thread that makes this."""

    def __init__(
        self,
        fn: Callable[..., Any],
        iterables: Sequence[Iterable[Any]],
        style: Style,
        options: dict[str, Any],
        results: list[Any],
        prelude: Prelude | None = None,
        taken: bool = False,
    ) -> None:
        self._fn, self._results = fn, results
        self._settings = settings = settle(options, seed=prelude.seed if prelude else None)
        self._source = source = Source(iterables, style, settings.strict)
        if prelude is not None:
            source.total = prelude.total  # a list may have become longer, or shorter, meanwhile
        self._run: Run | None = None
        self._opening = self._memory = None
        here = begins_here(fn, settings)
        if here and settings.memory is not None:
            self._memory = remembered(fn, settings)
            # What is remembered need not be found out.
            here = self._memory is None or self._memory.past is None
        if source.whole is not None and source.total and here:
            from lightwork._opening import Opening

            whole, terms = source.whole, settings.terms
            self._opening = Opening(
                fn, whole, source.total, style, terms, results, self._begin_in_opening, load, prelude, taken
            )

    def watch(self) -> None:
        """In the thread that took a prelude over: looks after it, and what comes of it."""
        opening = self._opening
        if opening is not None and opening.scout is not None:  # the caller may be back already, and have done the rest
            opening.scout.watch()

    def _begin(self, opening: Opening | None) -> Run:
        run = prepare(
            self._fn, self._settings, lazy=False, window=None, blocking=True, opening=opening, memory=self._memory
        )
        run.place(self._results)
        self._run = run
        return run

    def _begin_in_opening(self, opening: Opening) -> Any:
        run = self._begin(opening)
        run.attach(self._fn, self._source)
        return run

    def collect(self) -> Report:
        """Makes all calls that are left; returns what ran where."""
        try:
            with guarded():
                return self._collect()
        except KeyboardInterrupt as interrupt:
            raise kept(interrupt, self._results) from None
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._opening is not None:
            self._opening.forget()
        if self._run is not None:
            self._run.let_go()
        self._opening = self._run = self._memory = None
        self._results = []
        self._source.let_go()

    def _collect(self) -> Report:
        opening, results = self._opening, self._results
        if opening is not None:
            opening.play()
            if (report := opening.report()) is not None:
                return report
        begun = self._run is not None
        run = self._run or self._begin(opening)
        order = Reorder()
        try:
            if not begun:
                run.attach(self._fn, self._source)
            if opening is not None and opening.interrupt is not None:
                raise opening.interrupt
            sort(run, order, results)
            fail_if_broken(run, results, order)
            while not run.dispatch.finished:
                run.step()
                sort(run, order, results)
                fail_if_broken(run, results, order)
            run.close()
            strike()
            if run.input_error is not None:
                fail(run, run.input_error, results, order)
            return run.report()
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, Interrupted):
                raise
            run.interrupted()
            sort(run, order, results)
            raise interruption(run, results, order) from None
        finally:
            run.close()


def sort(run: Run, order: Reorder, results: list[Any]) -> None:
    """Moves what has ended into ``results``, in order."""
    for chunk in run.dispatch.take():
        order.put(chunk)
    order.move(results)


def fail_if_broken(run: Run, results: Sequence[Any], order: Reorder) -> None:
    """Raises the run's failure, if there is one that ends it."""
    if run.dispatch.failure is not None:
        fail(run, run.dispatch.failure.exception, results, order, run.dispatch.failure)
    if run.dispatch.broken is not None:
        fail(run, run.dispatch.broken, results, order)


def fail(
    run: Run, exception: BaseException, results: Sequence[Any], order: Reorder, failure: Failure | None = None
) -> NoReturn:
    """Ends the run and raises ``exception``, with what was finished and a note that names the item."""
    run.close()
    remember(exception, results, order)
    if failure is not None:
        note = f"lightwork: raised by item {failure.index}"
        if failure.attempts > 1:
            note += f", in the last of {failure.attempts} attempts"
        if run.unstoppable:
            note += f"; {run.unstoppable} call(s) could not be stopped and go on"
        if note not in getattr(exception, "__notes__", ()):
            with suppress(Exception):  # one that takes no attributes (a frozen dataclass): it is raised all the same
                exception.add_note(note)
    try:
        raise exception
    finally:
        # Its traceback keeps this frame and those around it: whatever in them leads to it would keep it, and all of
        # them, alive until the next collection of garbage.
        run.forget_failure()
        order.waiting.clear()
        if isinstance(results, list):  # it has the failure in its place
            results.clear()
        del exception, failure


def interruption(run: Run, results: Sequence[Any], order: Reorder) -> Interrupted:
    """The exception for a Ctrl-C, with what was finished."""
    text = _finished(run.dispatch.done - run.dispatch.failed)
    if run.unstoppable:
        text += f"; {run.unstoppable} call(s) could not be stopped and go on"
    exception = Interrupted(text)
    remember(exception, results, order)
    return exception


def kept(interrupt: KeyboardInterrupt, results: Sequence[Any]) -> KeyboardInterrupt:
    """The same with what was finished, where that Ctrl-C has come when nothing was in hand any more."""
    if isinstance(interrupt, Interrupted):
        return interrupt
    exception = Interrupted(_finished(sum(not isinstance(value, Failure) for value in results)))
    remember(exception, results, Reorder())
    return exception


def _finished(calls: int) -> str:
    return f"interrupted after {calls:,} finished call{'s' * (calls != 1)}; lw.partial(exc) has their results"


def remember(exception: BaseException, results: Sequence[Any], order: Reorder) -> None:
    """Attaches the finished results for ``partial``; ``results`` are those from index 0 on."""
    finished = {index: value for index, value in enumerate(results) if not isinstance(value, Failure)}
    for chunk in order.waiting.values():
        for offset, value in enumerate(chunk.values):
            if not isinstance(value, Failure):
                finished[chunk.first + offset] = value
    with suppress(Exception):  # as above
        setattr(exception, PARTIAL, finished)


def stream(
    fn: Callable[..., Any],
    iterables: Sequence[Iterable[Any]],
    style: Style,
    buffersize: int | None,
    ordered: bool,
    options: dict[str, Any],
) -> Stream[Any]:
    """Begins a lazy map."""
    settings = settle(options)
    run = prepare(fn, settings, lazy=True, window=buffersize, blocking=True)
    source = _LazySource(iterables, style, settings.strict)
    run.attach(fn, source)
    return Stream(run, source, ordered)


BY_ITSELF = "a lazy map cannot be drawn from by its own input or function: it waits for these"

DROPPED = 2.0
"""Seconds that workers of an iterator which is dropped, and not closed, get to close what they hold."""

PATIENCE = 2.0
"""Seconds that ``close`` gives a call in the thread that draws, which nothing but its own end can end."""


def calls_here(run: Run) -> bool:
    """Whether a call of the run is what asks: it would wait for itself."""
    return _context.depth() > 0 and any(crew.inside() for crew in run.crews())


class _LazySource(Source):
    """The input of a lazy map. However long it is waited for, the run is nobody's meanwhile, and may be closed."""

    def __init__(self, iterables: Sequence[Iterable[Any]], style: Style, strict: bool) -> None:
        super().__init__(iterables, style, strict)
        self.run_held = RLock()
        """Held by the thread that is in the run."""
        self.advances = self.unwanted = False
        """Whether it is waited for; whether the run was closed, and what comes is nobody's."""

    def pull(self, room: int, clock: Clock) -> Sequence[Any]:
        self.advances = True
        self.run_held.release()
        try:
            items = super().pull(room, clock)
        finally:
            self.run_held.acquire()
            self.advances = False
        if self.unwanted:
            raise StopIteration
        return items


class Stream(Iterator[R]):
    """The results of ``imap``: an iterator; ``close()`` ends the work, as does the end of a ``with`` block.

    Several threads may draw from one, each result going to one of them; any may close it.
    """

    def __init__(self, run: Run, source: _LazySource, ordered: bool) -> None:
        self._run, self._source = run, source
        self._order: Reorder | None = Reorder() if ordered else None
        self._ready: deque[Any] = deque()
        self._ended = self._drawing = False
        self._turn = RLock()
        """Held by the thread that draws."""
        self._process = os.getpid()

    def __iter__(self) -> Stream[R]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("results of lw.imap that are still to come cannot be sent; list(...) has them")

    def __next__(self) -> R:
        turn = self._turn
        if not turn.acquire(False):
            if os.getpid() != self._process:
                raise RuntimeError(IN_A_FORK)  # who draws is another thread, and did not come along
            if calls_here(self._run):
                raise ValueError(BY_ITSELF)
            if self._ended:
                raise StopIteration  # whoever draws may still wait for an input that nobody wants any more
            turn.acquire()
        try:
            if not self._ready:
                with guarded():
                    self._draw()
            self._run.consumed += 1
            try:
                value: R = self._ready.popleft()
            except IndexError:  # another thread has closed it just now
                raise StopIteration from None
            return value
        finally:
            turn.release()

    def _draw(self) -> None:
        """Until something is ready. Raises StopIteration where nothing will be."""
        if self._drawing or calls_here(self._run):
            raise ValueError(BY_ITSELF)
        with self._source.run_held:
            self._drawing = True
            try:
                self._await()
            finally:
                self._drawing = False

    def _await(self) -> None:
        run, ready = self._run, self._ready
        try:
            while not ready:
                if self._ended:
                    run.close()  # where that was said meanwhile, by a call in this thread, or beside one
                    raise StopIteration
                if run.dispatch.failure is not None or run.dispatch.broken is not None:
                    self._ended = True
                    fail_if_broken(run, (), self._unsent())
                if run.dispatch.finished:
                    self._finish()
                    continue
                run.step()
                if not self._ended:
                    self._take()
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, Interrupted):
                raise
            self._ended = True
            run.interrupted()
            self._take()
            unsent = self._unsent()
            ready.clear()
            raise interruption(run, (), unsent) from None

    def _take(self) -> None:
        stop = self._run.dispatch.failure
        for chunk in self._run.dispatch.take():
            if self._order is None:
                self._ready.extend(value for value in chunk.values if value is not stop or stop is None)
            else:
                self._order.put(chunk)
        if self._order is not None:
            self._order.move(self._ready, self._run.consumed, stop)

    def _unsent(self) -> Reorder:
        """Takes what was finished and not given out yet."""
        rest = Reorder()
        if self._order is not None:
            rest.waiting, self._order.waiting = self._order.waiting, {}
            if self._ready:
                rest.put(Chunk(self._run.consumed, list(self._ready)))
        return rest

    def _finish(self) -> None:
        self._ended = True
        self._run.close()
        if self._run.input_error is not None:
            fail(self._run, self._run.input_error, (), self._unsent())

    @property
    def report(self) -> Report:
        """What ran where and why, so far."""
        return self._run.report()

    def close(self) -> None:
        """Ends the work: nothing more is drawn, running calls are ended where that can be. Idempotent."""
        self._ended = self._source.unwanted = True
        held = self._source.run_held
        if not held.acquire(blocking=False):
            if os.getpid() != self._process:
                self._ready.clear()
                self._run.close()
                return
            self._run.wake()  # whoever draws and only waits for results ends that
            if not held.acquire(timeout=PATIENCE):
                return  # whoever draws makes a call, and closes it behind that
        try:
            self._ready.clear()
            if not self._drawing or self._source.advances:  # else a call in this very thread does that, as above
                self._run.close()
        finally:
            held.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self, the_program_ends: Callable[[], bool] = sys.is_finalizing) -> None:
        # Where that is taken down, what this would call is gone, and so are the workers.
        if hasattr(self, "_run") and not (self._run.closed or the_program_ends()):
            self._run.close(DROPPED)


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
