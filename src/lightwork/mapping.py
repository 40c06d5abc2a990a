"""``map`` and its family for synchronous callers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, Unpack, cast

from lightwork._calls import Style
from lightwork._dispatch import Chunk, Reorder
from lightwork._engine import Run, Source
from lightwork._opening import Opening
from lightwork._options import Options, begins_here, prepare, settle
from lightwork._trace import Report
from lightwork.errors import Failure, Interrupted

if TYPE_CHECKING:
    from typing import Self

R = TypeVar("R")


class Results(list[R], Generic[R]):
    """The results in input order: a list with a ``report`` of what ran where and why, and the ``failures``.

    ``failures`` holds what stands in failed items' places with ``errors="return"``, in input order.
    """

    report: Report

    @property
    def failures(self) -> list[Failure]:
        """The failed items, in input order; empty unless ``errors="return"``."""
        return [value for value in self if isinstance(value, Failure)]


def map(fn: Callable[..., R], *iterables: Iterable[Any], **options: Unpack[Options]) -> Results[R]:
    """Calls ``fn`` with each item and returns the list of results, in the items' order, as fast as this machine can.

    With several iterables ``fn`` gets one argument from each; the shortest ends the map (``strict=True`` insists on
    equal lengths). The options are described in ``Options``. Each item is called exactly once unless ``retries`` say
    otherwise.

    Raises what ``fn`` raised first, with a note that names the item, or ``WorkerCrashed``, ``CallTimeout``,
    ``UnpicklableError``, ``BackendUnavailable``; ``Interrupted`` on Ctrl-C. ``lw.partial(exc)`` then has the results
    that were finished.
    """
    style: Style = "one" if len(iterables) == 1 else "star"
    return _collect(fn, _checked("map", fn, iterables), style, cast(dict[str, Any], options))


def starmap(fn: Callable[..., R], tuples: Iterable[Iterable[Any]], **options: Unpack[Options]) -> Results[R]:
    """Like ``map`` for items that are tuples of arguments: ``fn(*item)``."""
    return _collect(fn, _checked("starmap", fn, (tuples,)), "star", cast(dict[str, Any], options))


def imap(
    fn: Callable[..., R], *iterables: Iterable[Any], buffersize: int | None = None, **options: Unpack[Options]
) -> Stream[R]:
    """Like ``map``, lazily: an iterator over the results in the items' order, for long or endless input.

    At most ``buffersize`` items are drawn from the input and not yet given back as results (default: a bound that
    follows the speed of the calls, at most about a thousand). Input is drawn and work is handed out only inside
    ``next``. The iterator has ``close()``, works as a context manager and has a ``report``.
    """
    style: Style = "one" if len(iterables) == 1 else "star"
    return _stream("imap", fn, iterables, style, buffersize, True, cast(dict[str, Any], options))


def imap_unordered(
    fn: Callable[..., R], *iterables: Iterable[Any], buffersize: int | None = None, **options: Unpack[Options]
) -> Stream[R]:
    """Like ``imap``, with the results in the order in which they are finished."""
    style: Style = "one" if len(iterables) == 1 else "star"
    return _stream("imap_unordered", fn, iterables, style, buffersize, False, cast(dict[str, Any], options))


def gather(*callables: Callable[[], Any], **options: Unpack[Options]) -> list[Any]:
    """Calls different functions side by side, all started at once, and returns their results in order.

    Coroutine functions run on one event loop where all are such; otherwise each callable has a thread, or what
    ``backend`` says. Arguments go in with ``functools.partial``. Raises BackendUnavailable where not all can be
    started at once.
    """
    from lightwork._gathering import how

    fn, settings_options = how(callables, cast(dict[str, Any], options))
    items = list(callables)
    if not items:
        settle(settings_options)
        return Results()
    return _collect(fn, [items], "one", settings_options)


def partial(exception: BaseException) -> dict[int, Any]:
    """The results that were finished when a map raised ``exception``: a dict from item index to result.

    Empty for an exception that no map raised.
    """
    found: dict[int, Any] = getattr(exception, _PARTIAL, {})
    return dict(found)


_PARTIAL = "_lightwork_partial"


# from arguments to a run


def _checked(name: str, fn: Any, iterables: tuple[Any, ...]) -> Sequence[Iterable[Any]]:
    if not callable(fn):
        hint = ""
        if iterables and callable(iterables[0]):
            hint = ": the function comes first"
        raise TypeError(f"lw.{name} needs a function first, not {type(fn).__name__} {_short(fn)}{hint}")
    if not iterables:
        raise TypeError(f"lw.{name} needs items after the function: lw.{name}(fn, items)")
    for position, iterable in enumerate(iterables):
        try:
            iter(iterable)
        except TypeError:
            hint = ""
            if position and isinstance(iterable, int):
                hint = f" (for the number of workers: max_workers={iterable})"
            elif hasattr(iterable, "__aiter__"):
                hint = " (it is asynchronous: lw.aimap takes that)"
            raise TypeError(
                f"argument {position + 2} of lw.{name} must be iterable, not {type(iterable).__name__} "
                f"{_short(iterable)}{hint}"
            ) from None
    return iterables


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# eager


def _collect(
    fn: Callable[..., Any], iterables: Sequence[Iterable[Any]], style: Style, options: dict[str, Any]
) -> Results[Any]:
    settings = settle(options)
    source = Source(iterables, style, settings.strict)
    results: Results[Any] = Results()
    opening = None
    if source.whole and begins_here(fn, settings):
        opening = Opening(fn, source.whole, source.total or 0, style, settings.terms, results)
        if (report := opening.report()) is not None:
            results.report = report
            return results
    run = prepare(fn, settings, lazy=False, window=None, blocking=True, opening=opening)
    order = Reorder()
    run.place(results)
    try:
        run.attach(fn, source)
        if opening is not None and opening.interrupt is not None:
            raise opening.interrupt
        sort(run, order, results)
        fail_if_broken(run, results, order)
        while not run.finished:
            run.step()
            sort(run, order, results)
            fail_if_broken(run, results, order)
        run.close()
        if run.input_error is not None:
            fail(run, run.input_error, results, order)
        results.report = run.report()
        return results
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
    for chunk in run.take():
        order.put(chunk)
    order.move(results)


def fail_if_broken(run: Run, results: Sequence[Any], order: Reorder) -> None:
    """Raises the run's failure, if there is one that ends it."""
    failure = run.dispatch.failure
    if failure is not None:
        fail(run, failure.exception, results, order, failure)
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
            note += f"; {run.unstoppable} call(s) in other threads could not be stopped and go on"
        if note not in getattr(exception, "__notes__", ()):
            exception.add_note(note)
    raise exception


def interruption(run: Run, results: Sequence[Any], order: Reorder) -> Interrupted:
    """The exception for a Ctrl-C, with what was finished."""
    finished = run.dispatch.done - run.dispatch.failed
    text = f"interrupted after {finished:,} finished calls; lw.partial(exc) has their results"
    if run.unstoppable:
        text += f"; {run.unstoppable} call(s) in other threads could not be stopped and go on"
    exception = Interrupted(text)
    remember(exception, results, order)
    return exception


def remember(exception: BaseException, results: Sequence[Any], order: Reorder) -> None:
    """Attaches the finished results for ``partial``; ``results`` are those from index 0 on."""
    finished = {index: value for index, value in enumerate(results) if not isinstance(value, Failure)}
    for chunk in order.waiting.values():
        for offset, value in enumerate(chunk.values):
            if not isinstance(value, Failure):
                finished[chunk.first + offset] = value
    setattr(exception, _PARTIAL, finished)


# lazy


def _stream(
    name: str,
    fn: Callable[..., Any],
    iterables: tuple[Any, ...],
    style: Style,
    buffersize: int | None,
    ordered: bool,
    options: dict[str, Any],
) -> Stream[Any]:
    if buffersize is not None:
        if isinstance(buffersize, bool) or not isinstance(buffersize, int):
            raise TypeError(f"buffersize must be a whole number, not {buffersize!r}")
        if buffersize < 1:
            raise ValueError(f"buffersize must be at least 1, not {buffersize}")
    checked = _checked(name, fn, iterables)
    settings = settle(options)
    run = prepare(fn, settings, lazy=True, window=buffersize, blocking=True)
    run.attach(fn, Source(checked, style, settings.strict))
    return Stream(run, ordered)


class Stream(Iterator[R]):
    """The results of ``imap``: an iterator; ``close()`` ends the work, as does the end of a ``with`` block."""

    def __init__(self, run: Run, ordered: bool) -> None:
        self._run = run
        self._order: Reorder | None = Reorder() if ordered else None
        self._ready: deque[Any] = deque()
        self._ended = False

    def __iter__(self) -> Stream[R]:
        return self

    def __next__(self) -> R:
        run, ready = self._run, self._ready
        try:
            while not ready:
                if self._ended:
                    raise StopIteration
                failure, broken = run.dispatch.failure, run.dispatch.broken
                if failure is not None or broken is not None:
                    self._ended = True
                    fail_if_broken(run, (), self._unsent())
                if run.finished:
                    self._finish()
                    continue
                run.step()
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
        run.consumed += 1
        return cast(R, ready.popleft())

    def _take(self) -> None:
        stop = self._run.dispatch.failure
        for chunk in self._run.take():
            if self._order is None:
                self._ready.extend(value for value in chunk.values if value is not stop or stop is None)
            else:
                self._order.put(chunk)
        if self._order is not None:
            self._order.move(self._ready, self._run.consumed, stop)

    def _unsent(self) -> Reorder:
        """What was finished and not given out yet."""
        rest = Reorder()
        if self._order is not None:
            rest.waiting.update(self._order.waiting)
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
        self._ended = True
        self._ready.clear()
        self._run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_run") and not self._run.closed:
            self._run.close()
