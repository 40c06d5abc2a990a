"""The first milliseconds of a map of many items for which nothing was asked: the loop alone.

Nothing else is loaded, and nothing built, but what the calls themselves may ask for: their index, their random streams.
Most such maps are over by then, or compute for so short a while that nobody could help. For a longer one these were the
first calls of the run that goes on from here: none is made twice, and what was timed counts.
"""

from __future__ import annotations

import sys
import time
from itertools import islice

from lightwork import _context
from lightwork._awaitable import is_coroutine_function
from lightwork._defaults import unsaid
from lightwork._worth import computes, too_little

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from lightwork._report import Report

FEW = 400
"""Items of which the first call may be worth watching from another thread, which takes 0.3 ms to start: of more items
even a giant is a small part, and what comes after it is watched once it is plain that the job is no short one."""

ALONE = 0.002
"""Seconds after which it is asked whether others could help."""

UNDISTURBED = 0.05
"""Seconds after which it is asked again, where they could not: calls may become longer."""

_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
_FUNCTION = type(lambda: None)


class Prelude:
    """The first calls, from position 0 on, and how they ended.

    ``total`` items there were when it began, ``calls`` were made. ``began`` on the system clock's scale, ``seconds``
    and ``cpu`` of the calling thread in all of them. ``failure`` is what the last one raised, ``interrupt`` the Ctrl-C
    that ended it.
    """

    def __init__(self) -> None:
        self.seed = _context.entropy()
        per_worker = sys.modules.get("lightwork._per_worker")
        self.held: frozenset[object] = per_worker.held() if per_worker else frozenset()
        """What this thread held before, of ``lw.per_worker``."""
        _context.mark_records()
        self.calls = self.total = 0
        self.failure: BaseException | None = None
        self.interrupt: KeyboardInterrupt | None = None
        self.seconds = 0.0
        self._cpu_began = time.thread_time()
        self.cpu = 0.0
        self.began = time.perf_counter()

    def play(self, fn: Callable[..., Any], items: Sequence[Any], results: list[Any]) -> bool:
        """Makes calls as long as nobody need ask whether others could help; returns whether all were made."""
        self.total = len(items)
        try:
            self._play(fn, items, self.total, results)
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
        except BaseException as raised:  # noqa: BLE001 - SystemExit in fn is a failure like another
            self.failure = raised
        self.calls = len(results)
        self.seconds = time.perf_counter() - self.began
        self.cpu = time.thread_time() - self._cpu_began
        over = self.failure is self.interrupt is None and self.calls >= self.total
        if over and (per_worker := sys.modules.get("lightwork._per_worker")):
            per_worker.release(keep=self.held)
        return over

    def _play(self, fn: Callable[..., Any], items: Sequence[Any], end: int, results: list[Any]) -> None:
        # The interpreter calls Python functions from bytecode without leaving it; ``map`` suits C functions, and
        # builds without the GIL, where a list's append takes a lock each time.
        inline = type(fn) is _FUNCTION and _GIL
        clock, left, at, size = time.perf_counter, iter(items), 0, 1
        now, until = self.began, self.began + ALONE
        with _context.stretch(0, results, self.seed, "serial"):
            while at < end:
                size = min(size, end - at)
                # A slice of a range takes nothing, one of a list more than ``islice``.
                stretch: Iterable[Any] = items[at : at + size] if type(items) is range else islice(left, size)
                if inline:
                    _loop(fn, stretch, results)
                else:
                    # ``extend`` keeps what it has got when a call raises.
                    results.extend(map(fn, stretch))
                    if len(results) < min(at + size, len(items)):
                        raise StopIteration  # map took the function's own for the end
                before, now, done = now, clock(), len(results) - at
                if not done:
                    return  # the list became shorter, which is not for this function to judge
                at += done
                each = (now - before) / done
                if now >= until:
                    cpu = time.thread_time() - self._cpu_began
                    if not (computes(now - self.began, cpu) and too_little((end - at) * each)):
                        return
                    until = now + UNDISTURBED
                size = max(1, min(8 * size, int((until - now) / each))) if each else 8 * size

    @property
    def report(self) -> Report:
        """Of a map that was over with it."""
        from lightwork._report import Report
        from lightwork._trace import Decision, Lane, Span

        return Report(
            backend="serial",
            workers=1,
            calls=self.calls,
            seconds=self.seconds,
            lanes=(Lane("serial", 1, self.calls, self.seconds, self.cpu),),
            decisions=(Decision(self.seconds, "stayed in the calling thread", DONE_EARLY),),
            spans=(Span("serial", 1, 0, self.calls, 0.0, self.seconds, self.cpu),),
        )


DONE_EARLY = "it was done before another backend could pay"


def _loop(fn: Any, items: Iterable[Any], results: list[Any]) -> None:
    for item in items:
        results.append(fn(item))


def prelude(fn: Callable[..., Any], items: Iterable[Any]) -> Prelude | None:
    """One for these calls, where nobody has said how they are to run and they may all be plain ones."""
    if type(items) not in (list, tuple, range) or len(items) <= FEW:  # type: ignore[arg-type]
        return None
    if _context.importing or not unsaid() or is_coroutine_function(fn):
        return None
    return Prelude()
