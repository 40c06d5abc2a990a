"""How many workers memory has room for. Pure arithmetic on what was measured."""

from __future__ import annotations

RESERVE = 64_000_000
"""Bytes that are left alone: the caller goes on working, and so does everybody else."""


def affordable(wanted: int, alive: int, each: int, available: int | None) -> int:
    """How many workers to have of ``wanted``, when ``alive`` are there, at least 1.

    ``each``: bytes that one of them takes, or is expected to; ``available``: what can be taken now without swapping
    (None: nobody knows, and nothing is capped), with those of ``alive`` taken off. Where it is less than the reserve,
    there are fewer than now.
    """
    if available is None:
        return wanted
    return max(1, min(wanted, alive + (available - RESERVE) // max(1, each)))
