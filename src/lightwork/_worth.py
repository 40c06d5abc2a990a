"""Below how much work nobody needs to be asked who could share it. Pure, and light: the shortest maps know no more."""

from __future__ import annotations

from itertools import pairwise

from lightwork._loops import GIL

WORTH_ASKING = 0.12 if GIL else 0.06
"""Seconds of remaining computing under which nothing is asked: in a program's first map the answers cost some 25 ms,
most of it for the modules that know them, and processes need 50 more to start. Without a GIL threads start at once, and
modules are loaded beside the calls; a map of 60 ms still loses by that as much as it gains."""

WORTH_SHARING = 0.12 if GIL else 0.04
"""The same where what knows the answers has been loaded, and time has gone by meanwhile."""

HANDED = 3e-7
"""Seconds of a call that is over before it could be handed to anybody: the least ``per_item`` of all backends."""

FIRST, MANY = 0.01, 32
"""Seconds of a single call that say nothing yet where at least so many are left, and the more the more there are:
imports, caches and fresh memory often make the first one many times as long as those to come. Another one is at most a
thirtieth of what they take."""

SPARED = 0.04
"""Seconds of such a call that say nothing, in any case: in a map of 60 ms one may take 25 for memory that the kernel
clears. What is decided later for that is late by half of this or so, and less than a tenth of what is worth sharing."""

SLOWED = 4.0
"""Times as long as the next one a first call takes that says nothing of those to come, where they are many."""

QUICKER = 0.8
"""Times as long as those before it a call takes at most that says: what slowed the first ones down is not over yet."""

SOON, LATE = 0.015, 1.5
"""Seconds that a call's end is waited for, after which what decisions take is loaded in a third of the time; times as
long as those before it that it may take."""

DEAR = 0.1
"""Part of the time that is left that another worker may take to begin where it replaces the caller's thread: that is as
good as a worker, but for a few per cent."""

GAINED, BRIEF = 0.85, 0.5
"""Part of its time that a call has to take on the average of several cores to be worth spreading out; seconds of
calls under which it is worth to find out quickly that none are."""

SETTLED = 0.1
"""Seconds of calls for which it is waited that other threads of this process leave a core to who would help: those of a
BLAS spin for 60 ms after NumPy was imported, and after each time that they were used."""

MOSTLY_WAITING = 0.3
"""CPU share of a call under which the GIL cannot be what binds on few cores, so that it is not asked about."""


def computes(wall: float, cpu: float) -> bool:
    """Whether a call of ``wall`` seconds, ``cpu`` of them computing, does more than wait."""
    return cpu > MOSTLY_WAITING * wall


def too_little_to_ask(seconds: float) -> bool:
    """Whether it does not even pay to ask who could share so many seconds of computing."""
    return seconds < WORTH_ASKING


def too_little(seconds: float) -> bool:
    """Whether nobody need share so many seconds of computing, where that has been asked."""
    return seconds < WORTH_SHARING


def too_bulky(call: float, down: float, up: float, cores: int) -> bool:
    """Whether nothing is gained where calls that take so long are spread over so many cores, because each result is
    written ``down`` there and read, ``up``, here, one after another."""
    return max(up, (call + down + up) / cores) >= GAINED * call


def says_little(lasted: float, left: int) -> bool:
    """Whether a first call that computed for so long is no reason yet to ask who could make the ``left`` ones."""
    return left >= MANY and lasted < max(SPARED, FIRST * left / MANY)


def is_slow(first: float, each: float, left: int) -> bool:
    """Whether a first call that took so long says nothing of the ``left`` ones, now that another one took ``each``."""
    return left >= MANY and first > SLOWED * each


def shareable(each: float, mean: float, paused: float) -> float:
    """Seconds of a call to come, of ``each``, that threads can share: not the part of its time, ``paused``, for which
    collections stop them all. ``each`` may be that of calls which none has hit; the ``mean`` is of all."""
    return min(each, max(each, mean) * (1.0 - paused))


def soon_over(lasted: float, each: float) -> float:
    """In how many seconds a call that has ``lasted`` so long is over, where those before it took ``each``, and is to be
    waited for: who loads beside it what decisions take keeps it from what it computes with, and is kept by it. 0 where
    that is not worth waiting for."""
    if not GIL or each - lasted > SOON:
        return 0.0
    return max(0.0, LATE * each - lasted)


def is_dear(cold: float, ahead: float) -> bool:
    """Whether another worker, who is ``cold`` seconds later with its first call than it takes, is not worth it, where
    all is done in ``ahead`` seconds and somebody who is past that would do what it is to do."""
    return cold > DEAR * ahead


def settles(each: float, left: int, before: tuple[int, float], since: tuple[int, float]) -> bool:
    """Whether calls still become quicker, and ``left`` are many, so that it is soon known better how long those take.

    ``each``: seconds of a latest one. Those right before it began at the position and the time ``before``, and it
    ``since``.
    """
    calls, seconds = since[0] - before[0], since[1] - before[1]
    return calls > 0 and left >= MANY and each * calls < QUICKER * seconds


def pace(each: float, mean: float, *began: tuple[int, float]) -> float:
    """Seconds that calls to come will take, as far as those say that were made: ``mean`` of all, ``each`` of the last
    ones. Those and the ones right before ``began`` at these positions then.

    A call that took longer than others, for nobody's fault or its own, says nothing of those to come. Where all of the
    last ones did, calls grow.
    """
    former = [(end - start) / (after - first) for (first, start), (after, end) in pairwise(began) if after > first]
    return min(each, max(mean, min(former, default=0.0)))
