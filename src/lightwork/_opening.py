"""The first milliseconds of ``auto``: the plain loop, before anything else is built.

A job that is over by then has paid for nothing but the loop, its options and its report. For a longer one these were
the first batches of the run that goes on from here: no call is made twice, and what was timed counts. Where there are
many items, calls were made before even this was loaded (see ``_prelude``).
"""

from __future__ import annotations

import _thread
import sys

from lightwork import _context
from lightwork._backends.serial import SerialCrew
from lightwork._calls import Batch, Event, Finished, Outcomes, Terms, Turn
from lightwork._clock import SystemClock
from lightwork._demand import Meter
from lightwork._engine import TRIAL_BATCH
from lightwork._fingerprint import fingerprint
from lightwork._prelude import DONE_EARLY, FEW, UNDISTURBED, UNSURE, Prelude
from lightwork._report import Report
from lightwork._scout import Scout
from lightwork._spinning import Spinning
from lightwork._trace import Decision, Lane, Span
from lightwork._unfilled import leave, unfilled
from lightwork._worth import computes, too_little

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._calls import Style
    from lightwork._scout import Watched


SOME, SURELY = 0.1, 0.7
"""CPU shares of a call below which it did wait, and above which it did not."""


class Opening:
    """Batches that are made in the caller's thread as long as nobody need ask whether another backend would pay.

    ``crew`` made them, with its ``worker``; ``events`` are what the crew told, for the run that goes on; ``meter``
    timed the calls; ``print`` is an item's index and its fingerprint from before its call, ``unfilled`` the locals of
    threads that held nothing before the first one; ``held_gil``: whether the calls were heard to hold the GIL;
    ``interrupt`` is the Ctrl-C that ended it. ``scout`` looks on: where a call lasts long it makes the run, with
    ``begin``, while a batch is ``running``. ``taken``: it is that thread that makes this, while the prelude is inside a
    call.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        items: Sequence[Any],
        total: int,
        style: Style,
        terms: Terms,
        results: list[Any],
        begin: Callable[[Opening], Watched] | None = None,
        load: Callable[[], None] | None = None,
        prelude: Prelude | None = None,
        taken: bool = False,
    ) -> None:
        self._clock = SystemClock()
        self.began = prelude.began if prelude else self._clock.now()
        self._fn, self.items, self._style, self._results = fn, items, style, results
        self._prelude = prelude
        self.crew = SerialCrew(terms, prelude.held if prelude else None)
        self.crew.results, self.crew.patience = results, TRIAL_BATCH
        self.print = prelude.print if prelude else None
        self.unfilled = prelude.unfilled if prelude else unfilled(fn)
        self.held_gil = prelude is not None and prelude.held_gil
        self.events: list[Event] = []
        self.interrupt: KeyboardInterrupt | None = None
        self.running = False
        self.computes = False
        """Whether it ended because there is much to compute."""
        self._total = total
        self.scout: Scout | None = None
        # Inside a parallel call what looks like waiting may be waiting for the GIL, which the siblings have.
        if begin is not None and (taken or (1 < total <= FEW and _context.watchable())):
            self.scout = self.crew.around = Scout(
                self._begin,
                load,
                caller=prelude.caller if prelude and taken else None,
                delay=prelude.delay if prelude else None,
                rival=prelude.rival if prelude else 0.0,
                watcher=prelude.watcher if prelude and not taken else None,
            )
            self._make_run = begin
        caller = prelude.caller[1] if prelude and taken else _thread.get_native_id()
        self.spinning = Spinning(self._clock.now() - self.began, caller, _thread.get_native_id())
        meter = self.scout.meter(self.spinning) if self.scout else Meter(spinning=self.spinning)
        self.meter = self.crew.meter = meter
        if prelude is not None:
            self.meter.offspring = prelude.offspring
        elif self.scout is not None:
            self.meter.offspring = self.scout.offspring()
        self.worker = self.crew.start_worker()
        self._modules = 0
        self._turn: Turn | None = None
        if prelude is not None and self.scout is not None and taken:
            batch = self._batch(0)
            self._turn = Turn(self.worker, batch, Outcomes(batch.id, 0, results, placed=0))
            self._turn.begun = prelude.begun
            self._turn.apart, seconds, cpu = prelude.paid
            own, own_cpu = prelude.own
            self.scout.look_at(self._turn, prelude.began + seconds + own, prelude.cpu_began + cpu + own_cpu)

    def play(self) -> None:
        """Makes calls until all are made, or others may help."""
        position: int | None = 0
        try:
            if self._prelude is not None:
                if self._take(self._taken_up(self._prelude)):
                    return
                position = self._go_on()
            self._modules = len(sys.modules)
            if self.print is None and position is not None:
                self.print = position, fingerprint(self.items[position])
            while position is not None:
                self.crew.send(self.worker, self._batch(position))
                if self._take(self.crew.wait(0.0)):
                    return
                position = self._go_on()
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            self._take(self.crew.wait(0.0))

    def _batch(self, position: int) -> Batch:
        return Batch(len(self._outcomes()), self._fn, self._style, 0, self.items, position, self._total)

    def _taken_up(self, prelude: Prelude) -> list[Event]:
        """The prelude's calls as a batch, which has ended."""
        turn, results = self._turn, self._results
        outcomes = turn.outcomes if turn else Outcomes(0, 0, results, placed=0)
        outcomes.began, outcomes.seconds, outcomes.cpu = prelude.began, prelude.alone, prelude.cpu
        if prelude.failure is not None:
            outcomes.failures[len(results)] = prelude.failure
            prelude.failure = None  # its traceback keeps frames that have the prelude
            results.append(None)
            outcomes.withdraw()
        outcomes.settle()
        if turn is not None and self.scout is not None:
            self.scout.take_back()
        if prelude.calls:
            self.meter.know(*prelude.like(), sure=not self._unclear())
        self.interrupt = prelude.interrupt
        return [*self.crew.wait(0.0), Finished(self.worker, outcomes, last=True)]

    def _take(self, events: list[Event]) -> bool:
        """Takes in what the crew told, or has the run do that; returns whether there is one."""
        if self.run is None:
            self.events += events
            return False
        self.run.overtake(events)
        return True

    def _begin(self, turn: Turn, lasted: float, cpu: float) -> Watched | None:
        """In the scout's thread: a batch has ``lasted`` so many seconds, ``cpu`` of them computing. A run, if it would
        find enough to do."""
        done = turn.outcomes.count
        left = self._total - turn.batch.start - done - 1
        busy = computes(lasted, cpu)
        if left <= 0 or (busy and too_little(left * lasted / (done + 1 - turn.apart))):
            return None
        self.running, self.computes = True, busy
        return self._make_run(self)

    @property
    def run(self) -> Watched | None:
        """The run that the scout has made, if so."""
        return None if self.scout is None else self.scout.run

    @property
    def _end(self) -> int:
        return min(self._total, len(self.items))  # a list may have become longer, or shorter, meanwhile

    def _outcomes(self) -> list[Outcomes]:
        return [event.outcomes for event in self.events if isinstance(event, Finished)]

    def _go_on(self) -> int | None:
        """From where to go on without asking anybody, if so."""
        outcomes = self._outcomes()
        last = outcomes[-1] if outcomes else None
        if last is None or last.failures or not last.count or last.position >= self._end or self.interrupt:
            return None
        calls, wall, cpu = last.count, last.seconds, last.cpu
        if len(outcomes) == 1 and self._prelude is not None:
            calls, wall, cpu = self._prelude.like()
            if self._unclear():
                return last.position
        elif len(outcomes) == 1 and self._loads():
            return last.position  # it says nothing of those to come
        wall, cpu = wall / calls, cpu / calls
        if self.scout is not None and not computes(wall, cpu) and not self.scout.load():
            return last.position
        self.computes = computes(wall, cpu) and not too_little((self._total - last.position) * wall)
        if self.computes or not computes(wall, cpu):
            return None
        self.crew.patience = UNDISTURBED
        return last.position

    def _loads(self) -> bool:
        """Whether the calls have loaded modules."""
        return len(sys.modules) > self._modules and not (self.scout is not None and self.scout.loading)

    def _unclear(self) -> bool:
        """Whether the prelude's calls may have waited for a core, or for something of their own while it was another
        thread of this process that had the GIL: what comes next tells."""
        prelude = self._prelude
        if prelude is None or not prelude.calls or prelude.doubted:
            return False
        calls, alone, cpu = prelude.like()
        if prelude.delay is not None and cpu < SOME * alone:
            return False  # somebody looked on, and they hardly computed
        return alone - cpu < UNSURE * calls and cpu < SURELY * (prelude.seconds - prelude.paid[1])

    def forget(self) -> None:
        """Lets go of the results, of which others know by way of this: they are to go with the caller's list."""
        self.crew.results, self.crew.around, self._results = None, None, []
        self.events, self._turn, self._prelude, self.unfilled = [], None, None, ()
        if self.scout is not None:
            self.scout.forget()

    def report(self) -> Report | None:
        """The report if all was done here and nothing failed, else None: then a run must take over."""
        outcomes = self._outcomes()
        if (
            self.run is not None
            or self.interrupt is not None
            or not outcomes
            or outcomes[-1].failures
            or outcomes[-1].position < self._total
        ):
            return None
        if self.scout is not None:
            self.scout.dismiss()
        try:
            self.crew.close()
        except KeyboardInterrupt as interrupt:  # in a function that closes something: all results are there
            self.interrupt = interrupt
            return None
        leave(self.unfilled)
        now, busy, cpu = self._clock.now() - self.began, 0.0, 0.0
        spans = []
        for one in outcomes:
            busy, cpu = busy + one.seconds, cpu + one.cpu
            began = one.began - self.began
            spans.append(Span("serial", self.worker, one.start, one.count, began, one.seconds, one.cpu))
        return Report(
            backend="serial",
            workers=1,
            calls=self._total,
            seconds=now,
            lanes=(Lane("serial", 1, self._total, busy, cpu),),
            decisions=(Decision(now, "stayed in the calling thread", DONE_EARLY),),
            spans=tuple(spans),
        )
