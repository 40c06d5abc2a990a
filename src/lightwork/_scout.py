"""A thread that looks at the caller's thread while that is inside a call, and acts for it.

The caller's thread drives a run, and while it makes calls itself nobody would: four calls of ten seconds would be over
before anything was decided. So the caller gives the *baton* away with each batch that it runs and takes it back at the
batch's end. Whoever has the baton may touch the run; the scout takes it only when a batch has lasted longer than it was
meant to, lets the run decide on what the running call has shown so far, and drives what the decision has started.

It never makes a call of the job, draws no input and gives no results out: those are the caller's.

    caller   ──away──▶ run_batch ─────────────────────────────▶ back ──▶ drives
    scout    ─ sleeps ─┤ LOOK ├─ begin, look, drive, drive … ─┤ sleeps
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress

from lightwork import _context
from lightwork._beside import start_beside
from lightwork._clock import Clock, OwnCpu, SystemClock, alone, thread_cpu_clock
from lightwork._demand import Meter
from lightwork._machine import gil_enabled, run_delay
from lightwork._offspring import Offspring
from lightwork._turns import QuickTurns
from lightwork._watch import Imports, loading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from lightwork._calls import Event, Turn

    class Watched(Protocol):
        """A run that can be looked after from beside: see ``_auto``."""

        def look_in(self, turn: Turn, lasted: float, cpu: float) -> float | None: ...
        def overtake(self, events: Sequence[Event]) -> None: ...
        def wake(self) -> None: ...

    Begin = Callable[[Turn, float, float], Watched | None]

LOOK = 0.005
"""Seconds that a batch has lasted when the scout looks first; then each time it has become half as long again."""

SLOWER = 1.5

NEVER = 3600.0
"""Seconds that are as good as for ever, and that a lock takes for a timeout."""


class Scout:
    """``begin`` makes the run where there is none yet and one would pay, given how many seconds the batch has lasted
    and how many of them were computing; ``run`` is it from then on. ``load`` loads what a run takes.

    ``caller``: the thread, by its ``ident`` and native id, that is inside a batch already; the one that makes the scout
    is to ``look_at`` that, and then to ``watch``. ``watcher``: CPU seconds of a thread that looked on before it.
    ``delay``, ``rival``: what had been stolen of the caller's thread by then, see ``alone``.
    """

    def __init__(
        self,
        begin: Begin | None = None,
        load: Callable[[], None] | None = None,
        clock: Clock | None = None,
        caller: tuple[int, int] | None = None,
        delay: float | None = None,
        rival: float = 0.0,
        watcher: Callable[[], float] | None = None,
    ) -> None:
        self.run: Watched | None = None
        self.error: BaseException | None = None
        self._begin = begin
        self._load = load or (lambda: None)
        self._clock: Clock = clock or SystemClock()
        # Reentrant, because of a Ctrl-C that comes when the caller has just got it: it may take it once more then.
        self._baton = threading.RLock()
        self._process = os.getpid()
        self._alarm = threading.Lock()
        self._own_cpu, self._watcher = OwnCpu(), watcher or OwnCpu()
        self._own_delay: Callable[[], float] = lambda: 0.0
        self._over = False
        self.loading = self.loaded = False
        self._turn: Turn | None = None
        self._imports = Imports()
        self._since = 0.0
        self._cpu_began = 0.0
        self._depth = _context.depth()
        self._ident, self._caller = caller or _this_thread()
        self.caller_cpu = thread_cpu_clock(self._ident)
        """CPU seconds of the caller's thread."""
        self._alarm.acquire()
        self._stolen_before = delay or run_delay(self._caller) or 0.0, rival
        if caller is not None:
            self.loading = self.loaded = True
            return
        self._baton.acquire()
        try:
            start_beside(self.watch)
        except RuntimeError:  # no more threads, or none that may outlive its interpreter: then nobody looks
            self._over = True

    # the caller's side

    @contextmanager
    def __call__(self, turn: Turn) -> Iterator[None]:
        """Around a batch that the caller's thread runs."""
        if self._over:
            yield
            return
        if (self._ident, self._caller) != _this_thread():
            self._follow()
        self._stolen_before = self._stolen()
        self.look_at(turn, self._clock.now(), self.caller_cpu())
        self._baton.release()
        try:
            yield
        finally:
            self.take_back()

    def _follow(self) -> None:
        """A lazy map goes on in this thread, which another one had begun, or made some calls of."""
        self._baton = threading.RLock()  # nobody but that one could give the former away
        self._baton.acquire()
        self._ident, self._caller = _this_thread()
        self.caller_cpu = thread_cpu_clock(self._ident)

    def take_back(self) -> None:
        """The batch has ended. Raises what went wrong with the run meanwhile."""
        self._turn = None
        if os.getpid() != self._process:
            # The call has forked, and this is the child: who had the baton is not there to give it back.
            self._baton, self._over = threading.RLock(), True
            return
        self._take_back()
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _take_back(self) -> None:
        if self._baton.acquire(blocking=False):
            return
        if self.run is not None:
            self.run.wake()
        interrupt = None
        while True:
            try:
                self._baton.acquire()
                break
            except KeyboardInterrupt as raised:
                interrupt = raised
        if interrupt is not None:
            raise interrupt

    def process_cpu(self) -> float:
        """CPU seconds of this process but for those of who looks on, which are no call's."""
        return time.process_time() - self._own_cpu() - self._watcher()

    def meter(self, spinning: Callable[[], float]) -> Meter:
        """One for the caller's calls, which knows of this thread beside them, and of those that are ``spinning``."""
        return Meter(
            process_cpu=self.process_cpu,
            run_delay=lambda: run_delay(self._caller),
            rival=self._rival,
            spinning=spinning,
        )

    def offspring(self) -> Offspring:
        """What the caller's calls have child processes compute from now on."""
        return Offspring(self._caller)

    def _rival(self) -> float:
        """Seconds in which this thread had the GIL, or wanted it. Without one it keeps nobody from anything but a core,
        and that is known of who wants it."""
        return self._own_cpu() + self._own_delay() if gil_enabled() else 0.0

    def load(self) -> bool:
        """Has this thread load what decisions take, while the caller's calls wait; returns whether that is done."""
        if not self.loading and not self._over:
            self.loading = True
            self._ring()
        return self.loaded or self._over

    def forget(self) -> None:
        """After the end: lets go of the run."""
        self.run = self._begin = None

    def _ring(self) -> None:
        """Ends the scout's sleep."""
        with suppress(RuntimeError):  # it has been rung for already, and not been heard yet
            self._alarm.release()

    def dismiss(self) -> None:
        """Ends the watch. To be called with the baton; idempotent."""
        if self._over:
            return
        self._over = True
        self._ring()
        if threading.get_native_id() == self._caller:
            # The scout may be waiting for it, and nobody else will.
            with suppress(RuntimeError):  # it is not this thread's any more
                while True:
                    self._baton.release()

    # the scout's side

    def look_at(self, turn: Turn, since: float, cpu_began: float) -> None:
        """A batch runs ``since`` then, when the caller's thread had used ``cpu_began`` seconds."""
        self._cpu_began = cpu_began
        self._since = since
        self._turn = turn

    def watch(self) -> None:
        """What the scout's thread does."""
        _context.descend(self._depth)
        own = threading.get_native_id()
        self._own_cpu.begins()
        self._own_delay = lambda: run_delay(own) or 0.0
        try:
            self._look_on()
        finally:
            delay = run_delay() or 0.0
            self._own_delay = lambda: delay
            self._own_cpu.ends()

    def _look_on(self) -> None:
        pause = 0.0 if self._turn is not None else LOOK  # a call that has lasted already
        while not (self._alarm.acquire(timeout=pause) and self._over):
            if self.loading and not self.loaded:
                with loading:
                    self._load()
                self._imports.are_ours()
                self.loaded = True
            turn, lasted = self._turn, self._clock.now() - self._since
            if turn is None or lasted < LOOK:
                pause = LOOK if turn is None else LOOK - lasted + 1e-4
                continue
            if self._imports.go_on(self._clock.now(), self._since):
                pause = max(LOOK, (SLOWER - 1) * lasted)
                continue
            with QuickTurns():
                pause = self._act(turn)
            self._imports.are_ours()

    def _look(self, run: Watched, turn: Turn, lasted: float) -> float | None:
        cpu = min(self.caller_cpu() - self._cpu_began, lasted)
        delay, rival = (now - before for now, before in zip(self._stolen(), self._stolen_before, strict=True))
        return run.look_in(turn, alone(lasted, cpu, delay, rival), cpu)

    def _stolen(self) -> tuple[float, float]:
        """Seconds that the caller's thread wanted to run and had no core; those of this thread: see ``alone``."""
        return run_delay(self._caller) or 0.0, self._rival()

    def _act(self, turn: Turn) -> float:
        """Looks after the run until the caller is back or nothing is to be done; returns seconds to sleep."""
        while True:
            baton = self._baton
            if not baton.acquire(timeout=LOOK):
                return LOOK  # the caller is back
            try:
                if self._over or self._turn is not turn:
                    return LOOK
                lasted = self._clock.now() - self._since
                if self.run is None and self._begin is not None:
                    with loading:
                        self.run = self._begin(turn, lasted, self.caller_cpu() - self._cpu_began)
                    if self.run is not None:
                        continue  # that took a while: the batch has lasted longer by now, or it is over
                soon = None if self.run is None else self._look(self.run, turn, lasted)
                if soon is None or soon > 0:
                    pause = max(LOOK, (SLOWER - 1) * lasted)
                    return pause if soon is None else min(soon, pause)
            except BaseException as error:  # noqa: BLE001 - raised again where the caller is back
                self.error, self._over = error, True
                return NEVER
            finally:
                baton.release()


def _this_thread() -> tuple[int, int]:
    """Its ``ident`` and native id, each of which may have been another thread's before."""
    return threading.get_ident(), threading.get_native_id()
