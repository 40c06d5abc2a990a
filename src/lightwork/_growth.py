"""How many workers waiting work should have. Pure arithmetic on what was measured so far."""

from __future__ import annotations

import math

from lightwork._record import Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST_THREADS = 128
"""Threads that waiting work may grow to by itself. ``max_workers`` may say more."""

MANY = 64
"""Threads to begin with where all that is known is that one call waits: twice as many as the standard library's pool
has. They take 6 ms to start, where growing from half of them takes two rounds of calls (``regret.py --jobs http*``)."""

MOST_COROUTINES = 512
"""Coroutines that may be in flight where ``max_workers`` says nothing."""

STEP = 4
"""A generation of workers is at most so many times larger than the last."""

WAITING = 0.25
"""CPU share of a call under which it is taken to wait. A busy machine lowers the share of computing calls as well,
but hardly that far."""

IDLE = 0.4
"""Part of the ceiling under which the workers' CPU use leaves room for more of them, where it is not known how long
they had to wait for cores. Low, because computing threads on a busy machine use little, too."""

STILL = 0.08
"""The same for calls that only computed so far, where it is not known how long their threads had to wait for cores:
however busy the machine is, they would use more."""

MIXED, SATED = 0.6, 0.8
"""CPU share of a call under which it is taken to do both, and part of the ceiling under which there are too few
threads of such calls, or of calls that certainly wait."""

BRIEF = 0.005
"""Seconds that a batch of calls that wait is meant to last at most, as long as there may be more threads: what comes in
tells how many it should be, and the next threads have calls that nobody has begun."""

SPARE = 2
"""Threads more than the ceiling takes when the calls take turns in waiting: they seldom do."""

SHORT = 5e-4
"""Seconds: calls shorter than this are not waited for in more threads; handing them out costs as much."""

CROWDED = 0.5
"""Part of the cores in whose use more threads than cores are tried as fewer: computing threads may not get more of
them on a busy machine."""

BEAT = 0.01
"""Seconds in which threads use next to no processor until there are more of them, though no call has ended."""

SELDOM = 0.1
"""Seconds between two such looks at most; of calls that only computed so far, where it is not known how long their
threads had to wait for cores, at least."""

KEPT = 0.85
"""Part of the throughput that must be left with as many threads as cores; else they did not only compute."""


RESTS = 64
"""Calls for each thread that are made before more threads are tried again, where they were in vain; then twice as many
each time."""

AT_WORK = 0.5
"""Part of the time for which all threads must have had calls, for their pace to say whether so many are worth it: they
may be starting, or have had nothing to do."""

LEFT_OVER = 1.5
"""Times as many threads as there are to be that had calls at least, where those that are given up had most of them."""

WORTH = 0.02
"""Seconds that the calls which wait must take at the pace of the last ones for more threads to be started at once."""


def _unknown() -> float | None:
    return None


class Growth(Slotted):
    """How many threads (or coroutines) to have when the caller did not say: multiplied while that helps.

    Threads that wait need no core, so more of them than cores pay; threads that queue for a core or for the GIL
    do not. The CPU seconds that the workers used in a wall second tell which: ``ceiling`` of them is all there is
    (one under the GIL, else the number of cores). Throughput must have grown with the last step, too.

    Threads that compute, with the GIL given up, are cut to ``cores`` where they were more, and are more again when
    the calls wait. 0: they are not cut. They are up to ``many`` at once where next to nothing is computed while calls
    wait for a thread: the first calls may last long.

    Calls that wait for each other, for a database's lock or for room in memory, leave cores idle, too. So where a step
    up has made them end no sooner, the step is taken back; and it is taken again where that did not help.
    """

    __slots__ = (
        "_began",
        "_busy",
        "_calls",
        "_cpu",
        "_crowd",
        "_delay",
        "_look",
        "_process",
        "_rate",
        "_rests",
        "_since",
        "_step",
        "_until",
        "both",
        "ceiling",
        "cores",
        "due",
        "limit",
        "many",
        "workers",
    )

    def __init__(self, ceiling: float, limit: int, workers: int, cores: int = 0, many: int = 0) -> None:
        self.cores = cores
        self.many = many
        self.both = True
        """Whether calls may wait and compute: of calls that only compute a busy machine makes such ones, it seems,
        where it is not known how long their threads had to wait for cores."""
        self.due: float | None = None
        """When to look again, where that is not to wait for the end of a call."""
        self._look: tuple[float, float, int] | None = None
        self._began = workers
        self._crowd: tuple[int, float] | None = None
        self.ceiling = ceiling
        self.limit = limit
        self.workers = workers
        self._since = 0.0
        self._cpu = self._delay = 0.0
        self._busy = 0.0
        self._calls = 0
        self._rate = self._process = 0.0
        self._step: tuple[int, float] | None = None
        """How many workers there were before the last step, and how many calls a second they ended."""
        self._until, self._rests = 0, RESTS
        """Calls before which no more workers are tried, and how many for each worker come before the next time."""

    def look(
        self, now: float, hungry: bool, cpu: float, delay: float | None = None, calls: int = 0, left: float = math.inf
    ) -> None:
        """Whether nothing is computed, which is to be found out as long as there are fewer than ``many``. ``hungry``:
        calls wait for a worker, and all that there are to be have one; ``cpu``: seconds that the process has used;
        ``delay``: seconds for which the workers were ready and had no core, where that is known; ``calls`` have ended
        so far, and so many are ``left``."""
        sure = self.both or delay is not None
        cpu += delay or 0.0
        if not hungry or self.workers >= self.many or calls < self._until or self._crowd is not None:
            self.due = self._look = None
        elif self._look is None or cpu < self._look[1]:  # workers have gone, and with them what they had waited
            self._look, self.due = (now, cpu, calls), now + (BEAT if sure else SELDOM)
        elif self.due is not None and now >= self.due:
            since, before, ended = self._look
            level = (cpu - before) / (self.ceiling * (now - since))
            if level < (IDLE if sure else STILL) and left * (now - since) >= WORTH * (calls - ended):
                # No more than will keep the cores busy: calls that end one after another may be in each other's way.
                enough = self.workers / level + SPARE if level > 0 else math.inf
                self.workers = self._began = max(self.workers, int(min(self.many, enough)))
                self._look = self.due = None
            else:
                self._look, self.due = (now, cpu, calls), now + min(2 * (now - since), SELDOM)

    def look_anew(self, now: float, calls: int, busy: float, cpu: float) -> None:
        """What was until ``now`` says nothing: the workers had nothing to do."""
        self._since, self._calls, self._busy, self._cpu = now, calls, busy, cpu

    def observe(
        self,
        now: float,
        calls: int,
        busy: float,
        cpu: float,
        delay: Callable[[], float | None] = _unknown,
        process_cpu: Callable[[], float] = float,
        batch: int = 1,
    ) -> int:
        """``calls``, seconds ``busy`` in them and ``cpu`` seconds so far, all workers added up. ``delay`` tells for how
        long they were ready and had no core, where that is known; ``process_cpu`` what they use whose calls go on, too;
        ``batch``: calls of which is told at a time.

        Returns how many workers to have.
        """
        done = calls - self._calls
        enough = self.workers * batch if self._crowd is None else 2 * self._crowd[0]
        if self.workers >= self.limit or done < enough or now <= self._since:
            return self.workers
        # The first calls came with the start of the threads: of how many wait they say nothing.
        first = not self._since
        lasted, worked, used = now - self._since, max(busy - self._busy, 1e-9), cpu - self._cpu
        rate, process, before = done / lasted, process_cpu(), self._process
        self._since, self._cpu, self._busy, self._calls, self._process = now, cpu, busy, calls, process
        used_by_all = max(used, process - before)
        at_work = worked / lasted
        if self._crowd is not None and at_work > LEFT_OVER * self.workers:
            pass
        elif self._crowd is not None:
            before, with_them = self._crowd
            self._crowd = None
            if rate < KEPT * with_them:
                self.workers = self.limit = before
            elif self._step is not None:
                self._until, self._rests = calls + self._rests * self.workers, 2 * self._rests
            self._step = None
        elif self.workers > self.cores > 0 and used > CROWDED * self.cores * lasted:
            self._crowd, self.workers, self._rate = (self.workers, rate), self.cores, 0.0
        elif first or calls < self._until or (self._step is not None and at_work < AT_WORK * self.workers):
            pass
        elif self._step is not None and rate < self._step[1]:
            self._crowd, self.workers, self._rate = (self.workers, rate), self._step[0], 0.0
        elif worked <= SHORT * done or not (wanted := self._wanted(lasted, worked, used, used_by_all, delay)):
            self._rate, self._step = 0.0, None  # what comes later may be otherwise
        elif rate <= self._rate:
            self.limit = max(self.workers, self._began)
        else:
            self._step = self.workers, rate
            self.workers = min(wanted, self.limit)
            # The step must bring a third of what it adds, or it was the last.
            self._rate = rate * (1 + (self.workers / self._step[0] - 1) / 3)
        return self.workers

    def _wanted(
        self, lasted: float, worked: float, used: float, used_by_all: float, delay: Callable[[], float | None]
    ) -> int:
        """More workers where calls wait, which in ``lasted`` seconds took ``worked`` ones and computed for ``used``;
        with those that go on it was ``used_by_all``. 0 where they do not, or wait for cores alone."""
        share, level = used / worked, used / (self.ceiling * lasted)
        if share >= MIXED:
            return 0
        wants, idle = share, IDLE  # a part of the time in which they compute, or would if they had a core
        if (until := delay()) is not None:
            # Since the last time that this was asked: in doubt too much, and then it is right the next time.
            wants, self._delay, idle = share + max(0.0, until - self._delay) / worked, until, SATED
        if wants < WAITING and level < idle:
            return self.workers * (STEP if level * STEP < 1 else 2)
        # What does both has the more of busy cores the more threads there are.
        mixed = self.both or (until is not None and wants < MIXED)
        level = used_by_all / (self.ceiling * lasted)
        if mixed and wants >= WAITING and 0 < level < SATED:
            return min(math.ceil(self.workers / level), 2 * self.workers) + SPARE
        return 0


AT_ONCE = 8
"""Calls that threads are given before it is looked whether they compute."""

CONTENDED = 0.002
"""Seconds for which the GIL is not to be had where several threads compute: these give it away every 5 ms. Calls that
begin to wait have done with it in 0.05 ms each."""


class Pace(Slotted):
    """How many calls threads may have at a time, when their number is for lightwork to find.

    Hundreds that wait are welcome. Of those that compute each one more keeps all the others from the GIL for longer,
    the caller's thread too, which hands out, and cannot be taken back. Which they are is seen by how soon the GIL is
    to be had once some have begun.
    """

    __slots__ = ("most",)

    def __init__(self) -> None:
        self.most = 1 << 30

    def room(self, busy: int) -> int:
        """Calls that may be given before the next look, when threads have ``busy`` ones."""
        return max(0, min(AT_ONCE, self.most - busy))

    def looked(self, busy: int, late: float) -> None:
        """The GIL was to be had after ``late`` seconds."""
        self.most = max(AT_ONCE, busy) if late > CONTENDED else max(AT_ONCE, 2 * self.most)
        self.most = min(self.most, 1 << 30)
