"""Below how much work nobody needs to be asked who could share it. Pure, and light: the shortest maps know no more."""

from __future__ import annotations

WORTH_ASKING = 0.12
"""Seconds of remaining computing under which nothing is asked: in a program's first map the answers cost some 25 ms,
most of it for the modules that know them, and processes need 50 more to start."""

HANDED = 3e-7
"""Seconds of a call that is over before it could be handed to anybody: the least ``per_item`` of all backends."""

MOSTLY_WAITING = 0.3
"""CPU share of a call under which the GIL cannot be what binds on few cores, so that it is not asked about."""


def computes(wall: float, cpu: float) -> bool:
    """Whether a call of ``wall`` seconds, ``cpu`` of them computing, does more than wait."""
    return cpu > MOSTLY_WAITING * wall


def too_little(seconds: float) -> bool:
    """Whether it does not even pay to ask who could share so many seconds of computing."""
    return seconds < WORTH_ASKING
