"""A thread that looks at the prelude of few items, and takes the map over where one of its calls lasts long.

Four calls of ten seconds would be over before anybody asked whether others could help. So while the caller's thread is
inside a call that lasts, this one loads what can tell, and builds around that call what the opening would have built
before it: from then on it is the opening's scout (see ``_scout``), and the caller's thread finds that when it is back.
"""

from __future__ import annotations

import _thread
import os
import sys

from lightwork._beside import start_beside
from lightwork._clock import OwnCpu, SystemClock, alone, thread_cpu_clock
from lightwork._loops import GIL
from lightwork._turns import Loading, Punctual, QuickTurns, Recalled
from lightwork._worth import WORTH_ASKING, computes, says_little, soon_over, too_little_to_ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from lightwork._offspring import Offspring
    from lightwork._report import Report

    class Taken(Protocol):
        """What goes on with a map: ``watch`` in the thread that took it over, ``collect`` in the caller's."""

        def watch(self) -> None: ...
        def collect(self) -> Report: ...


LOOK = 0.005
"""Seconds that calls have lasted when they are looked at first; then each time they have become half as long again."""

SLOWER = 1.5

QUIET = 0.03
"""Seconds for which a call that has loaded modules must have loaded none, to do something else: as many as it was at
that if those are more."""

STILL = 0.1
"""Part of a pause in which the caller's thread computed, below which it waits for something just now."""

LONG = 1.0
"""Seconds in which a first call certainly begins."""

THREADING_FIRST = not hasattr(_thread, "_get_main_thread_ident")
"""Whether the caller's thread is to load ``threading``, 1 to 3 ms, before another one may: until Python 3.13, which has
that to ask, it takes the thread that loads it for the main one."""


loading = Loading()
"""Held while a thread that looks on loads modules: a child that was forked meanwhile could never load them."""

_forks = 0
"""How many forks lie between this process and the one that loaded this. A look at the process's id instead would be a
call of the kernel, after which some processors run the next call as slowly as one that they have never seen."""


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # elsewhere nothing forks
    os.register_at_fork(after_in_child=_count_fork)


class Imports:
    """Whether a call that runs is loading modules, as first calls often do: it says nothing of those to come then."""

    __slots__ = ("_grown", "_modules")

    def __init__(self) -> None:
        self._grown = 0.0
        self.are_ours()

    def go_on(self, now: float, since: float) -> bool:
        """Whether they do, in a call that began ``since`` then."""
        if len(sys.modules) > self._modules:
            self._grown = now
            self.are_ours()
        return self._grown > since and now - self._grown < max(QUIET, self._grown - since)

    def are_ours(self) -> None:
        """What was loaded until now was loaded by who asks."""
        self._modules = len(sys.modules)


class Watch:
    """Of a prelude of ``total`` calls that ``began`` then and has computed for ``spent`` seconds, whose ``results`` say
    how many calls were made. ``begun``: the position before which calls have begun. ``take_over`` builds what goes on
    from there; ``load`` loads what it takes, and is told whether the calls compute.
    """

    def __init__(
        self,
        began: float,
        spent: float,
        total: int,
        results: list[Any],
        load: Callable[[bool], None],
        take_over: Callable[[], Taken],
    ) -> None:
        if THREADING_FIRST and "threading" not in sys.modules:
            __import__("threading")
        self._total, self._results, self._load, self._take_over = total, results, load, take_over
        # Reentrant, because of a Ctrl-C that comes when the caller has just got it: it may take it once more then.
        self._gate = _thread.RLock()
        self._forks = _forks
        self._alarm = _thread.allocate_lock()
        self._alarm.acquire()
        self._turns = Recalled()
        self._over = self.loading = self._loaded = False
        """``loading``: whether this thread has begun to load what decisions take."""
        self.imported = False
        """Whether it has begun with that inside a call that had loaded modules itself."""
        self.held = False
        """Whether the calls were heard to hold the GIL."""
        self._imports = Imports()
        self._done = 0
        self._taken: Taken | None = None
        self._error: BaseException | None = None
        self.delay: float | None = None
        """Seconds for which the caller's thread had been ready and had no core when this one began to load, or when the
        calls ended that were left out."""
        self.offspring: Offspring | None = None
        """What the calls have child processes compute, where they seem to wait."""
        self.rival = 0.0
        """Seconds for which this thread had had, or wanted, the GIL by then."""
        self._caller = _thread.get_native_id()
        self._caller_cpu = thread_cpu_clock(_thread.get_ident())
        self._cpu_began = self._caller_cpu() - spent
        self.own_cpu = OwnCpu()
        self._stolen: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)
        self._apart = 0.0, 0.0, 0.0, 0.0
        """Seconds and CPU seconds of calls that were left out, and what was stolen from them."""
        self.begun = 0
        self._began, self._since = began, SystemClock.now()
        try:
            start_beside(self._look_on)
        except RuntimeError:  # no more threads, or none that may outlive its interpreter: then nobody looks
            self._over = self.loading = self._loaded = True

    # the caller's side

    def begin(self, position: int, now: float) -> bool:
        """Calls before ``position`` begin, if they may: not where the map was taken over."""
        self._mind_fork()
        with self._gate:
            if self._taken is not None:
                return False
            self.begun, self._since = position, now
            return True

    def leave_out(self, calls: int, seconds: float, cpu: float) -> None:
        """The first calls, which took so long, say nothing of those to come: they loaded modules, say."""
        self._mind_fork()
        with self._gate:
            apart, computed, delayed, _ = self._apart
            self._done, self._began, self._cpu_began = (
                calls,
                self._began + seconds - apart,
                self._cpu_began + cpu - computed,
            )
            delay, self.rival = self._stolen_so_far()
            self._apart = seconds, cpu, delay, self.rival
            if self.delay is not None:
                self.delay += delay - delayed

    def load(self) -> bool:
        """Has this thread load what decisions take, while the caller's calls wait; returns whether that is done."""
        if not self.loading:
            self.loading = True
            self._ring()
        return self._loaded

    def alone(self, seconds: float, cpu: float) -> float:
        """What calls that have taken so long, by both clocks, would have taken without what this thread loads."""
        self._mind_fork()
        delay, rival = self._stolen_so_far()
        apart, computed, delayed, lost = self._apart
        return apart + alone(seconds - apart, cpu - computed, delay - delayed, rival - lost)

    def _stolen_so_far(self) -> tuple[float, float]:
        try:
            return self._stolen()
        except OSError:  # the other thread has ended, and left word of all that it took
            return self._stolen()

    def dismiss(self) -> Taken | None:
        """Ends the watch; returns what goes on where the map was taken over. Raises what went wrong with that."""
        self._mind_fork()
        with self._gate:
            self._over = True
        self._turns.over()
        self._ring()
        if self._error is not None:
            raise self._error
        return self._taken

    def _mind_fork(self) -> None:
        """In a child that a call has forked there is no thread that looks on, and would give the gate back."""
        if self._forks != _forks:
            self._forks = _forks
            self._gate, self._over, self.loading, self._loaded = _thread.RLock(), True, True, True
            self._stolen = lambda: (0.0, 0.0)

    def _ring(self) -> None:
        try:
            self._alarm.release()
        except RuntimeError:  # it has been rung for already, and not been heard yet
            return

    # the watching side

    def _look_on(self) -> None:
        self.own_cpu.begins()
        try:
            taken = self._taken_over()
        except BaseException as error:  # noqa: BLE001 - raised again where the caller is back
            self._error, self._loaded, taken = error, True, None
        if taken is not None:
            taken.watch()
        stolen = self._stolen()
        self._stolen = lambda: stolen
        self.own_cpu.ends()

    def _taken_over(self) -> Taken | None:
        slept, used = SystemClock.now(), self._caller_cpu()
        pause = max(0.0, LOOK - (slept - self._since))  # this thread's own start waited for the GIL
        while not self._over:
            with self._turns:  # else each look comes 5 ms late, where the calls hold the GIL
                rung = self._alarm.acquire(timeout=pause)
            if rung:
                if not self._over:
                    self._load_all(False)
                continue
            now, done = SystemClock.now(), len(self._results)
            before, used = used, self._caller_cpu()
            stood, slept = now - slept > LOOK and used - before < STILL * (now - slept), now
            lasted = now - self._since
            if not self.begun and lasted > LONG:
                return None  # a Ctrl-C came before the first call
            if lasted < LOOK or not self.begun:
                pause = max(0.0, LOOK - lasted) + 1e-4
                continue
            if self._imports.go_on(now, self._since):
                pause = LOOK
                if stood and not self.loading:
                    self.imported = True
                    self._load_all(False)  # while that call waits this keeps it from nothing
                continue
            pause = max(LOOK, (SLOWER - 1) * lasted)
            # Calls may have ended, and been left out, since they were counted.
            so_far, left, begun = now - self._began, self._total - done - 1, max(1, done + 1 - self._done)
            busy = computes(so_far, self._caller_cpu() - self._cpu_began)
            if busy and too_little_to_ask(left * so_far / begun):
                if left > 0:  # it is enough then, if this call goes on
                    pause = min(pause, max(1e-3, WORTH_ASKING * begun / left - so_far))
                continue
            if left <= 0:
                continue
            if busy and begun == 1 and says_little(so_far, left):
                if not GIL and not self.loading:
                    self._load_all(busy)  # beside that call, which it keeps from nothing, and the next one may tell
                pause = LOOK
                continue
            if busy and (back := soon_over(lasted, (so_far - lasted) / max(1, begun - 1))):
                pause = back  # the caller's thread, alone, has loaded all that before this one has half of it
                continue
            self._load_all(busy)
            with QuickTurns(), self._gate:
                if self._over or SystemClock.now() - self._since < LOOK:
                    continue  # it has come back meanwhile
                self._taken = self._take_over()
            return self._taken
        return None

    def _load_all(self, busy: bool) -> None:
        self.loading = True
        with loading, Punctual():
            if not busy and self.offspring is None:
                from lightwork._offspring import Offspring

                self.offspring = Offspring(self._caller, self._began)
            self._load_beside(busy)
        if busy and GIL:
            self._listen()
        self._imports.are_ours()
        self._loaded = True

    def _listen(self) -> None:
        """Whether the calls hold the GIL is heard here, where the caller's thread waits for nobody: when the map has
        been taken over, its next call would wait until the knocks beside this one are over."""
        with loading:
            from lightwork._demand import surely_held
            from lightwork._machine import voluntary_switches

            voluntary_switches()  # loads what that takes
        if not self._over:
            held = surely_held(self._caller_cpu, self._turns)
            self.held = held and not self._over  # else it may have been this package's own doings

    def _load_beside(self, busy: bool) -> None:
        if self.delay is None:
            from lightwork._machine import gil_enabled, run_delay

            own, caller, cpu = _thread.get_native_id(), self._caller, thread_cpu_clock(_thread.get_ident())
            before = self.delay = run_delay(caller) or 0.0
            rivals = gil_enabled()  # without a GIL others keep nobody from anything but a core
            self._stolen = lambda: (
                (run_delay(caller) or before) - before,
                cpu() + (run_delay(own) or 0.0) if rivals else 0.0,
            )
        self._load(busy)
