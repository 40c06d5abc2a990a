"""How many workers waiting work should have. Pure arithmetic on what was measured so far.

``Spells`` cuts what is told into spells that say something, ``Stillness`` sees that nothing is computed before a call
has ended, and ``Growth`` takes its steps, up and down.
"""

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

TOLD = 0.8
"""Part of the workers' time since the last spell that must be told for fewer calls than come in a batch to make one.
The inverse of it is what may be told at most: more is of the time before, and so are calls with it."""

OTHERS = 3.0, 0.25
"""Times as long, or as short, as calls were, and by how much their CPU share is another, for what was known of them to
be true no more."""


def _unknown() -> float | None:
    return None


class Spell(Slotted):
    """What workers did for a while: ``done`` calls in ``lasted`` seconds, in which they were for ``worked`` seconds and
    computed for ``used`` ones; with those whose calls go on it was ``used_by_all``. ``first``: they were starting."""

    __slots__ = ("done", "first", "lasted", "used", "used_by_all", "worked")

    def __init__(self, first: bool, lasted: float, done: int, worked: float, used: float, used_by_all: float) -> None:
        self.first = first
        self.lasted = lasted
        self.done = done
        self.worked = max(worked, 1e-9)
        self.used = used
        self.used_by_all = max(used, used_by_all)

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.done / self.lasted

    @property
    def at_work(self) -> float:
        """How many workers had calls, on average."""
        return self.worked / self.lasted

    @property
    def share(self) -> float:
        """The CPU share of a call."""
        return self.used / self.worked

    @property
    def short(self) -> bool:
        """Whether its calls are not worth a thread of their own."""
        return self.worked <= SHORT * self.done

    def unlike(self, before: Spell) -> bool:
        """Whether its calls are others than those ``before``."""
        times, by = OTHERS
        longer = (self.worked / self.done) / (before.worked / before.done)
        return not 1 / times < longer < times or abs(self.share - before.share) > by


class Spells(Slotted):
    """Cuts what is told into spells that say something: all workers had a say in them."""

    __slots__ = ("_busy", "_calls", "_cpu", "_process", "_since")

    def __init__(self) -> None:
        self._since = self._busy = self._cpu = self._process = 0.0
        self._calls = 0

    def begin(self, now: float, calls: int, busy: float, cpu: float) -> None:
        """What was until ``now`` says nothing."""
        self._since, self._calls, self._busy, self._cpu = now, calls, busy, cpu

    def lasted(self, now: float) -> float:
        """Seconds since the last one ended."""
        return now - self._since

    def end(
        self, now: float, calls: int, busy: float, cpu: float, process_cpu: Callable[[], float], workers: int, most: int
    ) -> Spell | None:
        """The spell that ends ``now``, and the next begins; None where it is to go on. ``most`` calls are enough
        whatever they took, one of each of the ``workers`` where what is told is all that those did since."""
        done, lasted, worked = calls - self._calls, now - self._since, busy - self._busy
        if lasted <= 0 or done < min(workers, most):
            return None
        if done < most and not TOLD * lasted <= worked / workers <= lasted / TOLD:
            return None
        process = process_cpu()
        spell = Spell(not self._since, lasted, done, worked, cpu - self._cpu, process - self._process)
        self._process = process
        self.begin(now, calls, busy, cpu)
        return spell


class Stillness(Slotted):
    """Looks whether next to nothing is computed while calls wait for a worker: they may last long, and none may have
    ended. ``due``: when to look again, where that is not to wait for the end of a call."""

    __slots__ = ("_before", "due")

    def __init__(self) -> None:
        self.due: float | None = None
        self._before: tuple[float, float, int] | None = None

    def forget(self) -> None:
        """Nobody wants to know."""
        self.due = self._before = None

    def level(self, now: float, cpu: float, calls: int, sure: bool, left: float) -> float | None:
        """CPU seconds a second since the last look, where one was due and calls take long enough; ``sure``: calls that
        compute are known not to seem to wait."""
        if self._before is None or cpu < self._before[1]:  # workers have gone, and with them what they had waited
            self._before, self.due = (now, cpu, calls), now + (BEAT if sure else SELDOM)
        elif self.due is not None and now >= self.due:
            since, used, ended = self._before
            lasted = now - since
            self._before, self.due = (now, cpu, calls), now + min(2 * lasted, SELDOM)
            if left * lasted >= WORTH * (calls - ended):
                return (cpu - used) / lasted
        return None


def _with_a_third(rate: float, times: float) -> float:
    """What so many times as many workers must do: a third of what they add, or it was the last step."""
    return rate * (1 + (times - 1) / 3)


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

    What was found of calls holds for calls like those: of others nothing is known.
    """

    __slots__ = (
        "_apart",
        "_began",
        "_delay",
        "_fewer",
        "_found",
        "_last",
        "_needed",
        "_rests",
        "_spells",
        "_stay",
        "_step",
        "_still",
        "_until",
        "_vain",
        "both",
        "ceiling",
        "cores",
        "family",
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
        self.family = False
        """Whether it is child processes that compute, so that what is used beside the workers is their calls', too."""
        self.ceiling = ceiling
        self.limit = limit
        self.workers = workers
        self._began = workers
        self._still = Stillness()
        self._spells = Spells()
        self._delay = 0.0
        self._needed = 0.0
        """Calls a second that must be ended for one more step."""
        self._step: tuple[int, float] | None = None
        """How many workers there were before the last step, and how many calls a second they ended."""
        self._fewer: tuple[int, Spell] | None = None
        """How many there were, and what they did, while it is tried whether fewer do as much."""
        self._found: Spell | None = None
        """Calls of which it was found that they have as many workers as are of use."""
        self._apart: tuple[Spell, int] | None = None
        """Calls of which it was found that fewer workers than those do less, and how many end before others are tried
        with fewer."""
        self._stay = RESTS
        """So many for each worker the next time."""
        self._last: tuple[int, Spell] | None = None
        """The last spell, and how many workers there were then."""
        self._vain: Spell | None = None
        """Calls of which more workers did no more."""
        self._until, self._rests = 0, RESTS
        """Calls before which no more workers are tried, as long as they are such, and how many for each worker come
        before the next time."""

    @property
    def due(self) -> float | None:
        """When to look again, where that is not to wait for the end of a call."""
        return self._still.due

    @property
    def over(self) -> bool:
        """Whether there will be no more of them, as far as is known."""
        return self.workers >= self.limit or self._found is not None

    @property
    def sated(self) -> bool:
        """Whether the workers had all that there is of cores, or of the GIL, in the last spell: their calls wait for
        that, and no longer for what comes in."""
        if self._last is None:
            return False
        _, spell = self._last
        return spell.used >= SATED * self.ceiling * spell.lasted

    def looks(self, calls: int) -> bool:
        """Whether there may be more of them at once, when so many ``calls`` have ended."""
        return self.workers < self.many and calls >= self._until and self._fewer is None

    def mind_no_more(self) -> None:
        """Nobody looks for now."""
        self._still.forget()

    def look_anew(self, now: float, calls: int, busy: float, cpu: float) -> None:
        """What was until ``now`` says nothing: the workers had nothing to do."""
        self._spells.begin(now, calls, busy, cpu)

    def look(
        self, now: float, hungry: bool, cpu: float, delay: float | None = None, calls: int = 0, left: float = math.inf
    ) -> None:
        """Whether nothing is computed, which is to be found out as long as there are fewer than ``many``. ``hungry``:
        calls wait for a worker, and all that there are to be have one; ``cpu``: seconds that the process has used;
        ``delay``: seconds for which the workers were ready and had no core, where that is known; ``calls`` have ended
        so far, and so many are ``left``."""
        if not hungry or not self.looks(calls):
            self._still.forget()
            return
        # Of processes that run the kernel says only now and then what they have used.
        sure = (self.both or delay is not None) and not self.family
        used = self._still.level(now, cpu + (delay or 0.0), calls, sure, left)
        if used is not None and (level := used / self.ceiling) < (IDLE if sure else STILL):
            # No more than will keep the cores busy: calls that end one after another may be in each other's way.
            enough = self.workers / level + SPARE if level > 0 else math.inf
            self.workers = self._began = max(self.workers, int(min(self.many, enough)))
            self._still.forget()

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
        enough = self.workers * batch if self._fewer is None else self._enough(now, *self._fewer)
        least = self.workers if self._fewer is None else enough
        spell = self._spells.end(now, calls, busy, cpu, process_cpu, least, enough)
        if spell is None or self.workers >= self.limit:
            return self.workers
        if self.family:
            spell.used = spell.used_by_all
        (workers, before), self._last = self._last or (0, spell), (self.workers, spell)
        if self._vain is not None and spell.unlike(self._vain) and before.unlike(self._vain):
            self._until, self._vain = 0, None
        if self._fewer is not None:
            self._judge(spell, calls, *self._fewer)
        elif self._crowded(spell, calls):
            self._try_fewer(self.cores, spell)
        elif self._found is not None and not (spell.unlike(self._found) and before.unlike(self._found)):
            pass  # one that is may have had a giant
        elif not (spell.first or calls < self._until or self._still_starting(spell)):
            self._found = None
            mixed = workers == self.workers and before.short
            self._climb(spell, delay)
            if mixed:  # with calls such as those before: its pace is no measure of what comes
                self._step, self._needed = None, 0.0
        return self.workers

    # fewer

    def _crowded(self, spell: Spell, calls: int) -> bool:
        """Whether more threads than cores use these for all they are worth: computing ones are better off as few."""
        if not self.workers > self.cores > 0 or spell.used <= CROWDED * self.cores * spell.lasted:
            return False
        return self._apart is None or (calls >= self._apart[1] and spell.unlike(self._apart[0]))

    def _try_fewer(self, workers: int, spell: Spell) -> None:
        self._fewer, self.workers, self._needed = (self.workers, spell), workers, 0.0

    def _enough(self, now: float, before: int, with_them: Spell) -> int:
        """Calls that tell whether fewer do as much as those ``before``: any, once it is too late for that. They may now
        be others, that take a thousand times as long."""
        enough = 2 * before
        return enough if KEPT * with_them.rate * self._spells.lasted(now) <= enough else 1

    def _judge(self, spell: Spell, calls: int, before: int, with_them: Spell) -> None:
        """Whether fewer did as much as those ``before``."""
        if spell.at_work > LEFT_OVER * self.workers:
            return  # those that are given up had most of the calls
        self._fewer = None
        if spell.rate < KEPT * with_them.rate:
            if with_them.rate <= _with_a_third(spell.rate, before / self.workers):
                self._found = with_them
            # Calls that more and more threads make take longer, too, and so would seem to be others.
            self._apart, self._stay = (with_them, calls + self._stay * before), 2 * self._stay
            self.workers = before
        elif self._step is not None:
            self._until, self._rests = calls + self._rests * self.workers, 2 * self._rests
            self._vain = spell
        self._step = None

    # more

    def _still_starting(self, spell: Spell) -> bool:
        """Whether those of the last step have had nothing to do yet."""
        return self._step is not None and spell.at_work < AT_WORK * self.workers

    def _climb(self, spell: Spell, delay: Callable[[], float | None]) -> None:
        """A step up, where the last one helped and calls wait; down again, where it did harm."""
        if self._step is not None and spell.rate < self._step[1]:
            self._try_fewer(self._step[0], spell)
        elif spell.short or not (wanted := self._wanted(spell, delay)):
            self._needed, self._step = 0.0, None  # what comes later may be otherwise
        elif spell.rate <= self._needed:
            if self.workers >= self._began:
                self._found = spell
        else:
            self._step = self.workers, spell.rate
            self.workers = min(wanted, self.limit)
            self._needed = _with_a_third(spell.rate, self.workers / self._step[0])

    def _wanted(self, spell: Spell, delay: Callable[[], float | None]) -> int:
        """More workers where calls wait; 0 where they do not, or wait for cores alone."""
        level = spell.used / (self.ceiling * spell.lasted)
        if spell.share >= MIXED:
            return 0
        wants, idle = spell.share, IDLE  # a part of the time in which they compute, or would if they had a core
        if (until := delay()) is not None:
            # Since the last time that this was asked: in doubt too much, and then it is right the next time.
            wants, self._delay, idle = wants + max(0.0, until - self._delay) / spell.worked, until, SATED
        if wants < WAITING and level < idle:
            return self.workers * (STEP if level * STEP < 1 else 2)
        # What does both has the more of busy cores the more threads there are.
        mixed = self.both or (until is not None and wants < MIXED)
        level = spell.used_by_all / (self.ceiling * spell.lasted)
        if mixed and wants >= WAITING and 0 < level < SATED:
            return math.ceil(min(self.workers / level, 2 * self.workers)) + SPARE
        return 0
