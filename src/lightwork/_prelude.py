"""The first milliseconds of a map for which nothing was asked: the loop alone.

Nothing else is loaded, and nothing built, but what the calls themselves may ask for: their index, their random streams.
Most such maps are over by then, or compute for so short a while that nobody could help. For a longer one these were the
first calls of the run that goes on from here: none is made twice, and what was timed counts.
"""

from __future__ import annotations

import _thread
import gc
import sys
import time
from itertools import islice, starmap

from lightwork import _context
from lightwork._awaitable import is_coroutine_function
from lightwork._defaults import unsaid
from lightwork._loops import GIL, SLICE, inline, loop, self_contained, stretch
from lightwork._unfilled import leave, unfilled
from lightwork._watch import Watch
from lightwork._worth import (
    BRIEF,
    HANDED,
    SETTLED,
    computes,
    is_slow,
    pace,
    says_little,
    settles,
    shareable,
    too_bulky,
    too_little,
    too_little_to_ask,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from lightwork._calls import Style
    from lightwork._offspring import Offspring
    from lightwork._pauses import Pauses
    from lightwork._report import Report
    from lightwork._watch import Taken

    Load = Callable[[bool], None]
    TakeOver = Callable[["Prelude"], Taken]

FEW = 400
"""Items of which the first call may be worth watching from another thread, which takes 0.3 ms to start: of more items
even a giant is a small part, and what comes after it is watched once it is plain that the job is no short one."""

ALONE = 0.002
"""Seconds after which it is asked whether others could help."""

UNDISTURBED = 0.05
"""Seconds after which it is asked again, where they could not: calls may become longer. A run asks no later, either."""

GLANCE = 2.5e-4
"""Seconds that a stretch of calls is meant to last at most, by the pace of those before it, where nobody looks on: what
comes next may take a thousand times as long."""

LATER, LEAST = 16, 2.5e-5
"""Nor has such a stretch more than this part of the calls that are left, unless it is to be over in so many seconds: if
those that come next take a thousand times as long, the others can still be shared out. Over a whole map that takes
less than a hundred stretches more, each of which costs 1 µs."""

SLOWER = 4.0
"""Times as long as those before it a stretch of calls takes that the job becomes another one with."""

SHARE, STRETCH = 16, 1e-4
"""A watched stretch has this part of the calls before it at most, and as many as fit into so many seconds by the last
one's pace: giants among them are kept from others. Between two stretches 1 µs goes by."""

UNSURE = 0.02
"""Seconds that a call seems to have waited for which another one is made before that is believed: a computing thread
waits about so long for a core that several others want."""

PATIENT = 0.05
"""Seconds that another thread has for loading what decisions take while this one goes on with calls that compute: twice
what it takes. On a crowded machine it may not get a core for long."""

_ATOMS = (int, float, str, bytes, bool, complex, type(None))
"""What no call can change."""


class Prelude:
    """The first calls, from position 0 on, and how they ended.

    ``total`` items there were when it began, ``calls`` were made. ``began`` on the system clock's scale, ``seconds``
    and ``cpu`` of the calling thread in all of them, ``alone`` what they would have taken with nobody beside them.
    ``failure`` is what the last one raised, ``interrupt`` the Ctrl-C that ended it. ``print``: index of an item
    and its fingerprint from before its call, where there are few. ``taken``: what goes on with them, where it was taken
    over inside a call. ``unfilled``: locals of threads that held nothing in this thread before the first call.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        items: Sequence[Any],
        total: int,
        style: Style,
        results: list[Any],
        load: Load,
        take_over: TakeOver,
    ) -> None:
        self.total, self._style = total, style
        self.unfilled = unfilled(fn) if total > 1 else ()
        self.seed = _context.entropy()
        # Where nobody has loaded it, or another thread is just about to, this one holds nothing.
        held = getattr(sys.modules.get("lightwork._per_worker"), "held", None)
        self.held: frozenset[object] = held() if held else frozenset()
        """What this thread held before, of ``lw.per_worker``."""
        _context.mark_records()
        self.calls = 0
        self.failure: BaseException | None = None
        self.interrupt: KeyboardInterrupt | None = None
        self.taken: Taken | None = None
        self.print: tuple[int, int | None] | None = None
        self.caller = (0, 0)
        """The calling thread, by its ``ident`` and native id, where another one looks on."""
        self._watch: Watch | None = None
        self._load, self._take_over = load, take_over
        self._asked: float | None = None
        """When that was asked for, counted from the beginning."""
        self._delay: float | None = None
        self._held = False
        self._offspring: Offspring | None = None
        self.watcher: Callable[[], float] | None = None
        """CPU seconds of the thread that looked on, and that may still be loading what it began to."""
        self.seconds = self.alone = self.cpu = 0.0
        self.paid = 0, 0.0, 0.0
        """Calls, seconds and CPU seconds of what says nothing of the calls to come: of a first call that loaded
        modules, or took far longer than the next one, of all that were made before calls became longer."""
        self._first: tuple[int, float, float] | None = None
        """The same of the first call of those that count, where it took long and another one is to tell whether that
        was its own."""
        self.doubted = False
        """Whether calls were left out because they may have stood in line for a core: the next ones tell."""
        self._pauses: Pauses | None = None
        self._collected = None if GIL or total == 1 else gc.get_stats()
        """How often garbage was collected before the calls that count; nobody asks where that stops no threads."""
        self.began = time.perf_counter()
        self.cpu_began = time.thread_time()
        if 1 < total <= FEW and _context.watchable():
            self._be_watched(0, items[0], results)
            self.cpu_began = time.thread_time()
            self.began = time.perf_counter()

    def _be_watched(self, position: int, item: Any, results: list[Any]) -> None:
        """Has another thread look on, from the call of ``item`` on."""
        if type(item) not in _ATOMS:
            from lightwork._fingerprint import fingerprint

            self.print = position, fingerprint(item)
        self.caller = _thread.get_ident(), _thread.get_native_id()
        take_over = self._take_over
        spent = time.thread_time() - self.cpu_began
        self._watch = Watch(self.began, spent, self.total, results, self._load, lambda: take_over(self))

    @property
    def begun(self) -> int:
        """The position before which calls have begun."""
        return self._watch.begun if self._watch else self.calls

    @property
    def computes(self) -> bool:
        """Whether it ended because there is much to compute."""
        return self.failure is None and self.interrupt is None and computes(*self.like()[1:])

    def like(self) -> tuple[int, float, float]:
        """Calls that are like those to come, as far as can be told: how many, and what they would have taken alone, in
        seconds and CPU seconds."""
        calls, seconds, cpu = self.paid
        if self.calls <= calls:
            return self.calls, self.alone, self.cpu
        return self.calls - calls, max(0.0, self.alone - seconds), max(0.0, self.cpu - cpu)

    @property
    def delay(self) -> float | None:
        """How long the calling thread had waited for cores when the other one began to load."""
        return self._watch.delay if self._watch else self._delay

    @property
    def held_gil(self) -> bool:
        """Whether it was heard that its calls hold the GIL."""
        return self._watch.held if self._watch else self._held

    @property
    def offspring(self) -> Offspring | None:
        """What its calls have child processes compute, where they seemed to wait."""
        return self._watch.offspring if self._watch else self._offspring

    @property
    def rival(self) -> float:
        """For how long the other one had had, or wanted, the GIL by then."""
        return self._watch.rival if self._watch else 0.0

    def play(self, fn: Callable[..., Any], items: Sequence[Any], results: list[Any]) -> bool:
        """Makes calls as long as nobody need ask whether others could help; returns whether all were made."""
        try:
            with _context.stretch(0, results, self.seed, "serial"):
                self._play(fn, items, results)
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
        except StopIteration as stop:
            self.failure = RuntimeError("the function raised StopIteration")
            self.failure.__cause__ = stop
        except BaseException as raised:  # noqa: BLE001 - SystemExit in fn is a failure like another
            self.failure = raised
        return self.end(results)

    def end(self, results: list[Any]) -> bool:
        """Whether all calls were made. Also to be asked where a Ctrl-C ended ``play`` between two of its own steps."""
        self.calls = len(results)
        self.seconds = self.alone = time.perf_counter() - self.began
        self.cpu = time.thread_time() - self.cpu_began
        if (watch := self._watch) is not None:
            self.alone, self._delay = watch.alone(self.seconds, self.cpu), watch.delay
            self.watcher, self._held, self._offspring = watch.own_cpu, watch.held, watch.offspring
            self.taken = watch.dismiss()
        seconds, cpu = self.own
        self.alone, self.cpu = max(0.0, self.alone - seconds), max(0.0, self.cpu - cpu)
        self._watch = None  # it has the results, which are to have this
        self._load = self._take_over = _nobody
        ended = self.taken is not None or self.failure is not None or self.interrupt is not None
        over = not ended and self.calls >= self.total
        if self.unfilled:
            leave(self.unfilled)
        if over:
            self.unfilled = ()
            self.watcher = self._offspring = None  # this is the report now, which may be sent elsewhere
            if release := getattr(sys.modules.get("lightwork._per_worker"), "release", None):
                try:
                    release(keep=self.held)
                except KeyboardInterrupt as interrupt:  # in a function that closes something: all results are there
                    self.interrupt = interrupt
                    return False
        return over

    def _play(self, fn: Callable[..., Any], items: Sequence[Any], results: list[Any]) -> None:
        one, clock, modules = self._style == "one", time.perf_counter, len(sys.modules)
        looped = one and inline(fn)
        contained = looped and self_contained(fn)
        left, at, size, end = iter(items), 0, 1, self.total
        most = SLICE if contained and type(items) is not range else end
        now, until = self.began, self.began + ALONE
        lately = ((0, now),) * 3
        while at < end:
            size = min(size, most, end - at)
            if self._watch is not None and not self._watch.begin(at + size, now):
                return
            if looped:
                loop(fn, stretch(items, left, at, size, contained), results)
            else:
                rest = islice(left, size)
                # ``extend`` keeps what it has got when a call raises.
                results.extend(map(fn, rest) if one else starmap(fn, rest))
                if len(results) < min(at + size, len(items)):
                    raise StopIteration  # map took the function's own for the end
            before, now, done = now, clock(), len(results) - at
            if not done:
                return  # the list became shorter, which is not for this function to judge
            each, lately = (now - before) / done, (*lately[1:], (at, before))
            loaded = not at and len(sys.modules) > modules
            if self._pays(done, now) if loaded else self._changes(at, done, before, now, end):
                until = now + ALONE
            at += done
            if now >= until:
                own = self.own[0]
                calls, lasted = at - self.paid[0], now - self.began - self.paid[1] - own
                expected = pace(each, lasted / calls, *lately)
                quicker = settles(each, end - at, *lately[-2:])
                pause = self._goes_on(calls, lasted, expected, end - at, quicker, results[-1])
                if pause is None:
                    if expected * calls > lasted:
                        self._leave_out(*lately[0])
                    return
                if self.own[0] > own:
                    now = clock()  # that was no call's
                until = now + pause
            # What has begun is nobody else's, and the next calls may take longer.
            if self._watch is None:
                lasts = until - now if contained else min(GLANCE, until - now)
                size = min(8 * size if contained else max(8, at), int(lasts / each) if each else end)
                size = min(size, max((end - at) // LATER, int(LEAST / each) if each else end))
            else:
                size = min(at // SHARE, int(STRETCH / each) if each else end)
            size = max(1, size)

    def _pays(self, calls: int, now: float) -> bool:
        """The first calls have loaded modules, unless it was the thread that looks on: returns whether it was they."""
        if self._watch is not None and self._watch.loading and not self._watch.imported:
            return False
        self._begin_anew(*self._made(calls, now))
        return True

    def _changes(self, at: int, calls: int, before: float, now: float, end: int) -> bool:
        """Whether the ``at`` calls until then say nothing of those to come, now that ``calls`` more have been made,
        from ``before`` to ``now``: because the first one took far longer, or these did."""
        lasted, first = now - before, self._first
        if at == self.paid[0]:
            if lasted >= ALONE:
                self._first = self._made(at + calls, now)
            return False
        if first is not None:
            self._first = None
            if is_slow(first[1] - self.paid[1], lasted / calls, end - at - calls):
                self._begin_anew(*first)
                return True
        # What the job is by now is left to those that come next. Seldom: a giant now and then is part of the job.
        if lasted < ALONE or self._watch is not None or lasted * at <= SLOWER * (before - self.began) * calls:
            return False
        if at + calls < 2 * self.paid[0]:
            return False
        self._begin_anew(*self._made(at + calls, now))
        return True

    def _made(self, calls: int, now: float) -> tuple[int, float, float]:
        """So many calls until now, their seconds and CPU seconds."""
        seconds, cpu = self.own
        return calls, now - self.began - seconds, time.thread_time() - self.cpu_began - cpu

    @property
    def own(self) -> tuple[float, float]:
        """Seconds and CPU seconds of this thread since the beginning that were no call's."""
        return (self._pauses.seconds, self._pauses.cpu) if self._pauses is not None else (0.0, 0.0)

    def _begin_anew(self, calls: int, seconds: float, cpu: float) -> None:
        """These calls say nothing of those to come."""
        self.paid = calls, seconds, cpu
        if self._watch is not None:
            self._watch.leave_out(calls, seconds + self.own[0], cpu + self.own[1])
        self._pauses_begin()

    def _pauses_begin(self) -> None:
        """What was collected until now says nothing of the calls to come."""
        if self._collected is not None:
            self._collected = gc.get_stats()
            if self._pauses is not None:
                self._pauses.begin(self._collected)

    def _paused(self, computed: float) -> float:
        """The part of calls that have ``computed`` for so long for which collections may have stopped all threads."""
        if self._collected is None:
            return 0.0
        if self._pauses is None:
            from lightwork._pauses import Pauses

            self._pauses = Pauses(self._collected)
        return self._pauses.share(computed)

    def _leave_out(self, calls: int, until: float) -> None:
        """So many calls, made ``until`` then, say nothing of those to come, for calls grow."""
        paid, seconds, cpu = self.paid
        if calls > paid:
            _, lasted, computed = self._made(calls, time.perf_counter())
            before = self._pauses is not None and self._pauses.at is not None and self._pauses.at < until
            until -= self.began + (self.own[0] if before else 0.0)
            share = (until - seconds) / (lasted - seconds)
            self.paid = calls, until, cpu + share * (computed - cpu)

    def _goes_on(self, calls: int, lasted: float, each: float, left: int, quicker: bool, result: Any) -> float | None:
        """For how many seconds ``calls`` that have ``lasted`` so many, and with so many ``left`` of ``each`` so long,
        are for this thread still: there is nothing for others in them, or what tells that is being loaded. None: no
        longer. ``quicker``: whether they still become that; ``result``: what the latest one gave."""
        computed = time.thread_time() - self.cpu_began - self.paid[2] - self.own[1]
        if computes(lasted, computed):
            self.doubted = False
            if calls == 1 and says_little(lasted, left):
                return 0.0
            asked = self._asked is not None
            little = too_little if asked else too_little_to_ask
            if each < HANDED or little(left * each):
                return UNDISTURBED if self._watch is None else ALONE
            if little(left * shareable(each, lasted / calls, self._paused(computed))):
                return UNDISTURBED if self._watch is None else ALONE
            if quicker and not asked:
                return 0.0
            from lightwork._machine import crowded, gil_enabled, usable_cores

            if lasted < SETTLED and crowded(_thread.get_native_id()):
                return ALONE  # who helps would take turns with us
            if gil_enabled() and left * each < BRIEF:
                from lightwork._bulk import carriage

                if too_bulky(each, *carriage(result, time.perf_counter), usable_cores()):
                    return UNDISTURBED  # nor could anybody else give such results sooner
            if (gil_enabled() or usable_cores() < 2) and (self._watch is None or not self._watch.loading):
                return None  # who loads would keep the calls from what they compute with, and has not begun yet
            if self._asked is None:
                self._asked = lasted
            if lasted - self._asked > PATIENT:
                return None
        elif self._watch is None and not self.doubted and lasted - computed < UNSURE * calls:
            self.doubted = True
            self._begin_anew(calls + self.paid[0], lasted + self.paid[1], computed + self.paid[2])
            return 0.0 if calls == 1 else ALONE  # several are told from others by several
        return 0.0 if self._watch is not None and not self._watch.load() else None

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


def _nobody(_: object) -> Any:
    """What is loaded, or taken over, after the end."""


DONE_EARLY = "it was done before another backend could pay"


def prelude(
    fn: Callable[..., Any], items: Iterable[Any], style: Style, results: list[Any], load: Load, take_over: TakeOver
) -> Prelude | None:
    """One for these calls, where nobody has said how they are to run and they may all be plain ones.

    ``take_over`` builds what goes on with it while it is inside a call, in another thread; ``load`` loads what that
    takes, and is told whether the calls compute.
    """
    if type(items) not in (list, tuple, range):
        return None
    if _context.importing or not unsaid() or is_coroutine_function(fn):
        return None
    try:
        total = len(items)  # type: ignore[arg-type]
    except OverflowError:  # a range with more items than can be counted
        return None
    return Prelude(fn, items, total, style, results, load, take_over)  # type: ignore[arg-type]
