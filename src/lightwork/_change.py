"""Whether the work has become another than the one that the choice was made for. Pure arithmetic.

A lane's workers tell how long they were busy and how much CPU they used in it; for threads the process does, because
threads that compute side by side end all at once, and until then have told nothing. Calls that were chosen for
computing and now wait want more workers than cores; calls that were chosen for waiting and now fill the GIL want
processes.
"""

from __future__ import annotations

from lightwork._record import Slotted

WAITS = 0.08
"""CPU share of the recent calls under which work that computed has begun to wait. Low: on a machine that others keep
busy computing calls have little more."""

FULL = 0.8
"""CPU seconds in a wall second, all threads together, from which on the GIL is what they wait for; with those for which
they would have used a core if they had had one, or two threads that others leave one core would seem to share it ..."""

OVERFULL = 1.15
"""... unless they use more than it allows: then they compute outside of it."""

ASKING = 0.06
"""Seconds in a second for which a thread that stands in line for the GIL is ready and has no core, at most: it wakes
every 5 ms to ask for it, and as often as not on the core of the one that has it. Of 8 such threads it was 0.04 each, of
32 and of 2 it was 0.03."""

SPELL = 0.05
"""Seconds that computing must have gone on in threads, twice: to start processes takes as long, and a core is idle."""

BRIEF = 0.02
"""Seconds that waiting must have gone on in processes, twice: threads cost next to nothing."""

ENOUGH = 4
"""Calls that must have ended in a spell: of processes one for each, if they are fewer. Not more, for where they wait
each such call is one that hundreds of threads could have made meanwhile."""

FEWEST = 2
"""But so many: one of them may be odd, or its worker have stood still."""


class Change(Slotted):
    """Looks at one lane, spell after spell. ``shared``: its workers share one GIL; ``settles``: seconds between a
    change and the next look, which doubles with each: what alternates is not to be followed for ever. Processes that
    are the first choice are looked at from their first calls on: threads, while they start, fill the GIL."""

    __slots__ = ("_busy", "_calls", "_cpu", "_delay", "_since", "_spell", "_streak", "settles", "shared")

    def __init__(self, shared: bool, settles: float | None = None) -> None:
        self.shared = shared
        self.settles = settles if settles is not None else 2 * SPELL if shared else 0.0
        self._spell = SPELL if shared else BRIEF
        self._since = -1.0
        self._calls = self._streak = 0
        self._busy = self._cpu = self._delay = 0.0

    def changed(self) -> Change:
        """What looks at those who make the calls from now on, as these are others than they were chosen for."""
        return Change(not self.shared, 2 * max(self.settles, 2 * SPELL))

    def due(self, now: float, calls: int, workers: int = ENOUGH) -> bool:
        """Whether a spell is over, so that the figures for ``observe`` are worth fetching."""
        enough = ENOUGH if self.shared else max(FEWEST, min(ENOUGH, workers))
        return self._since < 0 or (now - self._since >= self._spell and calls - self._calls >= enough)

    def observe(
        self,
        now: float,
        calls: int,
        busy: float,
        cpu: float,
        workers: int = 1,
        delay: float = 0.0,
        in_line: int = 0,
    ) -> tuple[float, float] | None:
        """``calls``, seconds ``busy`` in them and ``cpu`` seconds so far, all ``workers`` added up. ``delay``: seconds
        for which threads were ready and had no core: the ``in_line`` ones that have calls, and so may stand in line
        for the GIL, seldom are.

        Returns wall and CPU seconds of one recent call where the work has changed: what it would take alone.
        """
        if self._since < 0:
            self._since = now + max(0.0, self.settles - self._spell)
            self._calls, self._busy, self._cpu, self._delay = calls, busy, cpu, delay
            return None
        if not self.due(now, calls, workers):
            return None
        done, lasted = calls - self._calls, now - self._since
        worked, used = busy - self._busy, cpu - self._cpu
        # Where a call takes no longer than it computes, it is before it that its thread has waited for a core.
        inside = min(delay - self._delay - ASKING * in_line * lasted, worked - used)
        wanted = used + max(0.0, inside)
        self._since, self._calls, self._busy, self._cpu, self._delay = now, calls, busy, cpu, delay
        if worked <= 0:
            return None
        if self.shared:
            changed = FULL < wanted / lasted < OVERFULL and wanted < FULL * workers * lasted
        else:
            changed = used < WAITS * worked
        self._streak = self._streak + 1 if changed else 0
        if self._streak < 2:
            return None
        self._streak = 0
        # Threads that stand in line for the GIL are no waiting calls: alone each would take its CPU time.
        return (used / done, used / done) if self.shared else (worked / done, used / done)
