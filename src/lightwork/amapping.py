"""``amap`` and ``aimap``: the same work, driven from the caller's own event loop."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Generic, NoReturn, TypeVar, Unpack, cast

from lightwork._backends.coroutines import OwnLoopCrew
from lightwork._collecting import BY_ITSELF, Reorder, calls_here, fail, fail_if_broken, remember, sort
from lightwork._engine import Run
from lightwork._options import Options, settle
from lightwork._preparing import prepare
from lightwork._report import Report
from lightwork._source import Source
from lightwork.mapping import Results, _checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._calls import Style

R = TypeVar("R")


async def amap(fn: Callable[..., Any], *iterables: Iterable[Any], **options: Unpack[Options]) -> Results[Any]:
    """``map`` for asynchronous callers: the event loop goes on while the calls run.

    Coroutine functions run on the caller's own loop; for others worker threads or processes are used, never the
    loop's thread. The input is advanced in the loop's thread. Cancelling the awaiting task ends the calls;
    ``lw.partial`` of the CancelledError has what was finished.
    """
    style: Style = "one" if len(iterables) == 1 else "star"
    run = _begin("amap", fn, iterables, style, cast(dict[str, Any], options), lazy=False, window=None)
    results: Results[Any] = Results()
    order = Reorder()
    try:
        while not run.dispatch.finished:
            await _step(run)
            sort(run, order, results)
            await _fail_if_broken(run, results, order)
        await _end(run)
        if run.input_error is not None:
            fail(run, run.input_error, results, order)
        results.report = run.report()
        return results
    except asyncio.CancelledError as cancelled:
        remember(cancelled, results, order)
        raise
    finally:
        await _end(run)


def aimap(
    fn: Callable[..., Any], *iterables: Iterable[Any], buffersize: int | None = None, **options: Unpack[Options]
) -> AsyncStream[Any]:
    """``imap`` for asynchronous callers: ``async for result in lw.aimap(fn, items)``.

    The iterator has ``aclose()`` and a ``report``.
    """
    if buffersize is not None and (isinstance(buffersize, bool) or not isinstance(buffersize, int) or buffersize < 1):
        raise ValueError(f"buffersize must be a whole number, at least 1, not {buffersize!r}")
    style: Style = "one" if len(iterables) == 1 else "star"
    return AsyncStream(
        _begin("aimap", fn, iterables, style, cast(dict[str, Any], options), lazy=True, window=buffersize)
    )


def _begin(
    name: str,
    fn: Callable[..., Any],
    iterables: tuple[Any, ...],
    style: Style,
    options: dict[str, Any],
    lazy: bool,
    window: int | None,
) -> Run:
    checked = _checked(name, fn, iterables)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"lw.{name} is for coroutines: no event loop runs here; lw.{name[1:]} is what suits"
        ) from None
    settings = settle(options)
    source = Source(checked, style, settings.strict)
    run = prepare(fn, settings, lazy=lazy, window=window, blocking=False)
    run.attach(fn, source)
    return run


async def _step(run: Run) -> None:
    """One turn of the engine's loop without blocking the event loop."""
    hungry = run.prepare()
    if not hungry:
        crews = run.crews()
        own = next((crew for crew in crews if isinstance(crew, OwnLoopCrew)), None)
        timeout = run.timeout(None)
        if own is not None:
            await own.arrival(timeout)
        else:
            await _blocked(run, timeout)
            return
    run.absorb(0.0)
    # However fast the input and the calls are, the caller's other tasks get their turn.
    await asyncio.sleep(0)


async def _blocked(run: Run, timeout: float | None) -> None:
    """Waits for a crew in a thread; a cancellation ends that wait first, so that nobody is left in ``wait``."""
    waiting = asyncio.get_running_loop().run_in_executor(None, run.absorb, timeout)
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        while not waiting.done():
            run.wake()
            await asyncio.wait([waiting], timeout=0.05)
        raise


async def _end(run: Run) -> None:
    if run.closed:
        return
    for crew in run.crews():
        if isinstance(crew, OwnLoopCrew):
            run.unstoppable += await crew.end()
    run.close()


async def _fail_if_broken(run: Run, results: Any, order: Reorder) -> None:
    if run.dispatch.failure is not None or run.dispatch.broken is not None:
        await _end(run)
        fail_if_broken(run, results, order)


class AsyncStream(AsyncIterator[R], Generic[R]):
    """The results of ``aimap``, in the items' order. Several tasks may draw from one; any may close it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._order = Reorder()
        self._ready: deque[Any] = deque()
        self._ended = False
        self._turn = asyncio.Lock()
        """Held by the task that draws."""

    def __aiter__(self) -> AsyncStream[R]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("results of lw.aimap that are still to come cannot be sent; a list of them can")

    async def __anext__(self) -> R:
        if (self._turn.locked() or not self._ready) and calls_here(self._run):
            raise ValueError(BY_ITSELF)
        async with self._turn:
            while not self._ready:
                if self._ended:
                    raise StopAsyncIteration
                await self._advance()
            self._run.consumed += 1
            return cast(R, self._ready.popleft())

    async def _advance(self) -> None:
        run = self._run
        stopped = run.dispatch.failure is not None or run.dispatch.broken is not None
        if stopped or run.dispatch.finished:
            self._ended = True
            await _end(run)
            if stopped:
                fail_if_broken(run, (), self._order)
            if run.input_error is not None:
                fail(run, run.input_error, (), self._order)
            return
        try:
            await _step(run)
        except asyncio.CancelledError:
            self._ended = True
            await _end(run)
            raise
        stop = run.dispatch.failure
        for chunk in run.dispatch.take():
            self._order.put(chunk)
        self._order.move(self._ready, run.consumed, stop)

    @property
    def report(self) -> Report:
        """What ran where and why, so far."""
        return self._run.report()

    async def aclose(self) -> None:
        """Ends the work. Idempotent."""
        self._ended = True
        if self._turn.locked():
            self._run.wake()  # who waits for results ends that
        async with self._turn:
            self._ready.clear()
            await _end(self._run)

    def __del__(self, the_program_ends: Callable[[], bool] = sys.is_finalizing) -> None:
        # As of ``Stream``: an ``async for`` that somebody left needs no ``aclose``.
        if hasattr(self, "_run") and not (self._run.closed or the_program_ends()):
            self._run.close()
