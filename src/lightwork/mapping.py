"""``map`` and its family for synchronous callers.

Light to import: what carries out a map is loaded by the first one, and where that names processes, while they boot.
"""

from __future__ import annotations

from lightwork import _context
from lightwork._at_hand import at_hand
from lightwork._prelude import Prelude, prelude
from lightwork._typing import TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Unpack

    from lightwork._calls import Style
    from lightwork._collecting import Collection, Stream
    from lightwork._options import Options
    from lightwork._report import Report
    from lightwork.errors import Failure

R = TypeVar("R")


class Results(list[R]):
    """The results in input order: a list with a ``report`` of what ran where and why, and the ``failures``.

    ``failures`` holds what stands in failed items' places with ``errors="return"``, in input order.
    """

    _told: Report | Prelude

    @property
    def report(self) -> Report:
        """What ran where and why."""
        if isinstance(self._told, Prelude):  # told when somebody asks: the shortest maps do without
            self._told = self._told.report
        return self._told

    @report.setter
    def report(self, told: Report | Prelude) -> None:
        self._told = told

    @property
    def failures(self) -> list[Failure]:
        """The failed items, in input order; empty unless ``errors="return"``."""
        from lightwork.errors import Failure

        return [value for value in self if isinstance(value, Failure)]


def map(fn: Callable[..., R], *iterables: Iterable[Any], **options: Unpack[Options]) -> Results[R]:
    """Calls ``fn`` with each item and returns the list of results, in the items' order, as fast as this machine can.

    With several iterables ``fn`` gets one argument from each; the shortest ends the map (``strict=True`` insists on
    equal lengths). The options are described in ``Options``. Each item is called exactly once unless ``retries`` say
    otherwise. A list that becomes longer meanwhile is mapped as it was; one that becomes shorter is a RuntimeError. Of
    an iterator the items that come at once are drawn before the first call, for 5 ms at most, and later ones ahead of
    theirs: one that waits for what a call does may wait for ever, and what calls add to what it goes through may be
    missed.

    Raises what ``fn`` raised first, with a note that names the item, or ``WorkerCrashed``, ``CallTimeout``,
    ``UnpicklableError``, ``BackendUnavailable``; ``Interrupted`` on Ctrl-C. ``lw.partial(exc)`` then has the results
    that were finished.
    """
    style: Style = "one" if len(iterables) == 1 else "star"
    return _collect(fn, _checked("map", fn, iterables), style, {**options})


def starmap(fn: Callable[..., R], tuples: Iterable[Iterable[Any]], **options: Unpack[Options]) -> Results[R]:
    """Like ``map`` for items that are tuples of arguments: ``fn(*item)``."""
    return _collect(fn, _checked("starmap", fn, (tuples,)), "star", {**options})


def imap(
    fn: Callable[..., R], *iterables: Iterable[Any], buffersize: int | None = None, **options: Unpack[Options]
) -> Stream[R]:
    """Like ``map``, lazily: an iterator over the results in the items' order, for long or endless input.

    At most ``buffersize`` items are drawn from the input and not yet given back as results (default: a bound that
    follows the speed of the calls, at most about a thousand). Input is drawn and work is handed out only inside
    ``next``. The iterator has ``close()``, works as a context manager and has a ``report``; threads may share it.
    """
    style: Style = "one" if len(iterables) == 1 else "star"
    return _stream("imap", fn, iterables, style, buffersize, True, {**options})


def imap_unordered(
    fn: Callable[..., R], *iterables: Iterable[Any], buffersize: int | None = None, **options: Unpack[Options]
) -> Stream[R]:
    """Like ``imap``, with the results in the order in which they are finished."""
    style: Style = "one" if len(iterables) == 1 else "star"
    return _stream("imap_unordered", fn, iterables, style, buffersize, False, {**options})


def gather(*callables: Callable[[], Any], **options: Unpack[Options]) -> list[Any]:
    """Calls different functions side by side, all started at once, and returns their results in order.

    Coroutine functions run on one event loop where all are such; otherwise each callable has a thread, or what
    ``backend`` says. Functions whose earlier calls, by ``gather`` or an ``Executor``, computed have a process instead.
    Arguments go in with ``functools.partial``. Raises BackendUnavailable where not all can be started at once.
    """
    from lightwork._gathering import how, learn, routed, told

    fn, settled, free = how(callables, {**options})
    if not callables:
        return _collect(fn, [()], "one", settled)
    with routed(callables, free) as (items, places):
        results = _collect(fn, [items], "one", settled)
    results.report = told(results.report, places)
    if free:
        learn(callables, results, results.report)
    return results


def partial(exception: BaseException) -> dict[int, Any]:
    """The results that were finished when a map raised ``exception``: a dict from item index to result.

    Empty for an exception that no map raised.
    """
    from lightwork.errors import PARTIAL

    found: dict[int, Any] = getattr(exception, PARTIAL, {})
    return dict(found)


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


def _collect(
    fn: Callable[..., Any], iterables: Sequence[Iterable[Any]], style: Style, options: dict[str, Any]
) -> Results[Any]:
    results: Results[Any] = Results()
    first = None
    if style != "full" and not options:
        iterables = [at_hand(iterables)]

        def take_over(first: Prelude) -> Collection:
            from lightwork._collecting import Collection

            return Collection(fn, iterables, style, options, results, first, taken=True)

        def load(computes: bool) -> None:
            _load(computes, fn, iterables)

        first = prelude(fn, iterables[0], style, results, load, take_over)
    if first is not None:
        try:
            over = first.play(fn, iterables[0], results)  # type: ignore[arg-type]
        except KeyboardInterrupt as interrupt:
            first.interrupt = interrupt
            over = first.end(results)
        if over:
            results.report = first
            return results
        taken, first.taken = first.taken, None
        if taken is not None:
            results.report = taken.collect()
            return results
    from lightwork._gate import guarded

    # From here, not only where work is in hand: CPython swallows a Ctrl-C that falls into what its import system does
    # when a module's lock goes away.
    try:
        with guarded():
            if first is not None and first.computes:
                _foresee(fn, iterables)
            _hasten(fn, options, iterables)
            from lightwork._collecting import Collection

            results.report = Collection(fn, iterables, style, options, results, first).collect()
    except KeyboardInterrupt as interrupt:
        from lightwork._collecting import kept

        raise kept(interrupt, results) from None
    return results


def _load(computes: bool, fn: object, iterables: Sequence[Iterable[Any]]) -> None:
    """Loads what a longer map takes, whose calls of ``fn`` wait, or are seen to be such as ``computes``."""
    from lightwork._gate import guarded
    from lightwork._turns import Punctual

    with guarded():
        if computes:
            _foresee(fn, iterables)
        with Punctual():
            from lightwork import _collecting, _preparing

            assert _collecting
            _preparing.load(computes)


def _foresee(fn: object, iterables: Sequence[Iterable[Any]]) -> None:
    """Begins processes before anything else is loaded where ``fn`` computes for long: mostly they are wanted."""
    from lightwork._machine import gil_enabled, usable_cores

    if gil_enabled() and usable_cores() > 1 and not _context.depth():
        from lightwork._turns import Punctual

        with Punctual():
            from lightwork._backends import _spawning

            assert _spawning
        _hasten(fn, {"backend": "processes"}, iterables, likely=True)


def _hasten(fn: object, options: dict[str, Any], iterables: Sequence[Iterable[Any]], likely: bool = False) -> None:
    """The one thing that takes longer than all the rest is begun before the rest is even loaded."""
    if options.get("backend") == "processes":
        from lightwork._backends._spawning import hasten

        bounds = [len(each) for each in iterables if isinstance(each, (list, tuple))]
        if isinstance(asked := options.get("max_workers"), int):
            bounds.append(asked)
        hasten(fn, min(bounds) if bounds else None, tuple(iterables), likely)


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
    from lightwork._gate import guarded

    with guarded():
        _hasten(fn, options, iterables)
        from lightwork._collecting import stream

        return stream(fn, checked, style, buffersize, ordered, options)
