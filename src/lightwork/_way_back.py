"""Whether calls end sooner in the caller's thread, after all, than with the workers that took over. Pure arithmetic.

What the choice rests on was seen in one thread. That calls keep each other from going on (by a database's lock, by the
counts of references to what they share where there is no GIL, by a GIL that changes hands at each short system call)
comes out only when several run at a time. So the pace of the workers is held against that of the caller's thread before
them; and where it is hardly any better, some of the next calls are made there once more. For that alone tells: calls
may have become longer by themselves. Work that steadily grows, or shrinks, is never quicker both before *and* after the
workers had it; and of calls that differ much from each other it takes the more to be sure.
"""

from __future__ import annotations

import math

from lightwork._record import Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Judgement = Literal["faster", "not faster"]

HARDLY = 1.15
"""Times the pace of the caller's thread below which the workers are not what they were chosen for: two that compute are
twice as fast, and what a busy machine takes of that it takes from the caller's thread, too."""

MOST_DOUBT = 100.0
"""As good as infinite: among a million short calls one giant makes for more than ``exp`` can tell."""

CLEARLY = 1.08
"""Times the pace of the workers that the caller's thread must have ..."""

SURE = 1.5
"""... with so many standard errors of both to spare."""

SPELL = 0.02
"""Seconds of the workers' work that are looked at, at first; twice as many each time that all is well."""

ENOUGH = 12
"""Calls that must have ended meanwhile."""

SPELLS = 2
"""Spells in a row in which one side must have been so slow: in one of them the machine may have stood still, or a
giant have been made."""

SUPPOSED = 1.0
"""How many batches count as much as the supposition that the standard deviation of a call is its mean."""

STEADY = 4
"""Batches of each worker, from which the number of calls that ended tells the pace. Of fewer it depends on which of
them just ended, so that the pace is that of the calls which these were, if it is higher."""

FEWEST = 4
"""Calls that a trial in the caller's thread takes at least."""

SHARE = 0.1
"""Part of the time that is left, as it seems, that such a trial may take. The workers could have done with half of that
or so, if it is in vain."""

FORGETS = 4
"""Times as long as calls were with the workers, until the next trial after one that was in vain."""


class Lengths(Slotted):
    """How much calls differ from each other, by the seconds that batches of them took."""

    __slots__ = ("_batches", "_squares", "calls", "seconds")

    def __init__(self) -> None:
        self._batches = self.calls = 0
        self.seconds = self._squares = 0.0

    def add(self, calls: int, seconds: float) -> None:
        """So many calls took so long, one after another."""
        self._batches += 1
        self.calls += calls
        self.seconds += seconds
        self._squares += seconds * seconds / calls

    @property
    def variation(self) -> float:
        """The standard deviation of one call's seconds over their mean, if they were not alike until shown to be."""
        if not self.seconds:
            return 1.0
        # Roots: the squares of next to nothing are nothing, and what is divided by them is too much for a float.
        among = math.sqrt(max(0.0, self._squares - self.seconds**2 / self.calls)) * self.calls / self.seconds
        return math.hypot(among, math.sqrt(SUPPOSED)) / math.sqrt(self._batches - 1 + SUPPOSED)


class WayBack(Slotted):
    """The caller's thread took ``each`` seconds for one of ``calls`` calls before workers took over; whether these are
    such as ``computes``.

    ``trying``: whether it makes some now, to see; ``home``: whether it has all of them again.
    """

    __slots__ = (
        "_asked",
        "_calls",
        "_due",
        "_lengths",
        "_own",
        "_own_cpu",
        "_since",
        "_slow",
        "_spell",
        "_timed",
        "_took_over",
        "_workers",
        "allowed",
        "before",
        "calls",
        "computes",
        "contend",
        "elsewhere",
        "here",
        "home",
        "there",
        "trying",
        "workers",
        "workers_ended",
    )

    def __init__(self, calls: int, each: float, computes: bool) -> None:
        self.calls = calls
        self.computes = computes
        self.before = 1 / each
        """Calls that ended in a second in the caller's thread, before."""
        self.there = 0.0
        """The same of the workers, of late, in ``workers_ended`` calls."""
        self.workers_ended = 0
        self.here = 0.0
        """The same of the caller's thread since."""
        self.workers = 0
        """How many there were, when it began to try."""
        self.allowed = self._asked = 0.0
        """Seconds that the trial may take."""
        self.trying = self.home = self.contend = False
        """``contend``: whether the last trial has shown that all workers together end hardly more calls than one would
        alone."""
        self._own_cpu = 0.0
        """CPU seconds of the calls that it took."""
        self.elsewhere = False
        """Whether it was asked already who else would do better than the first workers."""
        self._took_over: float | None = None
        self._due = 0.0
        self.look_anew()

    def look_anew(self) -> None:
        """Others make the calls from now on."""
        self._since: float | None = None
        self._spell = SPELL
        self._calls = self._workers = self._slow = 0
        self._lengths, self._own = Lengths(), Lengths()
        self._timed = 0, 0.0, 0
        """Calls, seconds and batches that were noted in this spell."""

    def pause(self, seconds: float) -> None:
        """For so long the calls waited for those who take their results, or for items."""
        if self._since is not None:
            self._since += seconds

    def note(self, calls: int, seconds: float, cpu: float) -> None:
        """Those who have the calls just now made so many in so long, one after another, of which they computed for
        ``cpu`` seconds."""
        if calls and seconds > 0:
            timed, took, batches = self._timed
            self._timed = timed + calls, took + seconds, batches + 1
            # How long calls wait for each other does not make them differ.
            self._lengths.add(calls, cpu if self.computes else seconds)

    def note_own(self, calls: int, seconds: float, cpu: float) -> None:
        """The caller's thread, which tries, made so many in so long, ``cpu`` of it computing: what others have of the
        cores differs, too."""
        if calls and seconds > 0:
            self._own.add(calls, seconds)
            self._own_cpu += cpu

    @property
    def own_share(self) -> float:
        """The part of its calls' time that the caller's thread computed in the trial."""
        return self._own_cpu / self._own.seconds if self._own.seconds else 0.0

    # the workers have the calls

    def doubtful(self, now: float, calls: int, workers: int, left: int) -> bool:
        """Whether it is worth trying the caller's thread again. ``calls`` have ended with ``workers``, so many are
        ``left``."""
        if calls < workers:
            return False  # the first calls came with the start of the workers
        if self._took_over is None:
            self._took_over = now
        if self._since is None or workers != self._workers:
            self._begin(now, calls)
            self._workers = workers
            return False
        ended, lasted = calls - self._calls, now - self._since
        if lasted < self._spell or ended < ENOUGH:
            return False
        self.there, self.workers_ended = ended / lasted, ended
        timed, seconds, batches = self._timed
        if batches < STEADY * workers and seconds:
            self.there = max(self.there, workers * timed / seconds)
        self.allowed = SHARE * left / self.there
        if self.there >= HARDLY * self.before:
            self._begin(now, calls)
            self._spell *= 2
            self._slow = 0
            return False
        self._slow += 1
        if self._slow < SPELLS:
            self._begin(now, calls)
            return False
        if now >= self._due and FEWEST / self.before < self.allowed:
            return True
        if lasted > 2 * self._spell:
            self._begin(now, calls)  # what is compared is to be of late
        return False

    def _begin(self, now: float, calls: int) -> None:
        self._since, self._calls, self._timed = now, calls, (0, 0.0, 0)

    # the caller's thread has some of them

    def begin_trial(self, now: float, calls: int) -> None:
        """The caller's thread, which has ended ``calls``, gets the next ones; the workers end what they have."""
        self.trying, self.here, self.contend, self._own_cpu = True, 0.0, False, 0.0
        self._own = Lengths()
        self._asked, self._since, self._calls = now, None, calls

    def overdue(self, now: float) -> bool:
        """Whether the workers take far longer for what they have than they would at their pace."""
        return now - self._asked > self.allowed + 2 * self.workers / self.there

    def judge(self, now: float, calls: int) -> Judgement | None:
        """What the trial says, now that the caller's thread is alone; None: it is to go on."""
        if self._since is None:
            self._since, self._calls = now, calls
            return None
        ended, lasted = calls - self._calls, now - self._since
        over = lasted >= self.allowed
        if ended < FEWEST or lasted <= 0:
            return "not faster" if over else None
        self.here = ended / lasted
        known = min(self.calls, ended)
        both = (known + ended) / (known / self.before + lasted)
        enough, unsure = CLEARLY * self.there, self._unsure(known + ended)
        self.contend = self.there * unsure < HARDLY * self.here
        if min(self.here, both / unsure) > enough:
            return "faster"
        return "not faster" if over or self.here * unsure < enough else None

    def _unsure(self, calls: int) -> float:
        """By what factor the pace of so many calls, over that of the workers, is in doubt."""
        variation = max(self._lengths.variation, self._own.variation if self._own.calls else 0.0)
        doubt = SURE * variation * math.sqrt(1 / calls + 1 / self.workers_ended)
        return math.exp(min(doubt, MOST_DOUBT))

    def stay_away(self, now: float) -> None:
        """The trial was in vain, or could not be made."""
        self.trying = False
        self._due = now + FORGETS * (now - (self._took_over or now))
        self.look_anew()

    # it has all of them again

    def come_home(self, now: float, calls: int) -> None:
        """They stay there."""
        self.trying, self.home = False, True
        self.look_anew()
        self._begin(now, calls)
        self._spell = 2 * SPELL

    def regrets(self, now: float, calls: int) -> bool:
        """Whether the workers were faster, as it turns out: the calls have become other ones."""
        assert self._since is not None
        ended, lasted = calls - self._calls, now - self._since
        if lasted < self._spell or ended < FEWEST:
            return False
        self.here = ended / lasted
        self._slow = self._slow + 1 if self.here * self._unsure(ended) * CLEARLY < self.there else 0
        if self._slow == SPELLS:
            return True
        self._begin(now, calls)
        self._lengths = Lengths()  # calls that have become other ones are to be compared with each other
        return False
