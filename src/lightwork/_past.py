"""What is remembered of a function's past runs, and what may be made of it. Pure: nothing here reads a file.

A run that has a past begins with the backend that the model chooses for the remembered demand, before any call was
made. The first calls are compared with what was remembered; where they differ, it is forgotten for this run, which goes
back to the caller's thread and learns anew.
"""

from __future__ import annotations

from lightwork._demand import Demand, seconds
from lightwork._policy import Ask, Policy, Seen, Verdict
from lightwork._record import Record, replace
from lightwork._sizes import workers as counted
from lightwork._stats import median, relative_mad
from lightwork._worth import computes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


ENOUGH = 3
"""Batches that must have ended before they are compared: the first one often pays for imports."""

FACTOR = 3.0
"""How many times longer or shorter the first calls may take. A busy machine makes a factor of two."""

CHANGED = 0.5
"""By how much the share of computing may differ, of 1."""

WORTH_KEEPING = 0.02
"""Seconds that a run must have taken to be remembered: writing takes about one millisecond, as does reading."""


class Past(Record, frozen=True):
    """What a function's calls asked for when it was last learnt, and how that run went.

    ``demand.gil`` counts only where ``gil_known``, its wire parts only where ``wire_known``; ``refused``: backends that
    cannot run the function, each with the reason. ``backend`` ran most of the ``calls``, with ``workers`` at a time;
    ``throughput``: calls a second of the whole run. ``runs``: how many have been remembered.
    """

    demand: Demand
    gil_known: bool
    wire_known: bool
    refused: tuple[tuple[str, str], ...]
    backend: str
    workers: int
    throughput: float
    calls: int
    runs: int = 1

    def __str__(self) -> str:
        runs = "1 run" if self.runs == 1 else f"{self.runs:,} runs"
        rate = f"{self.throughput:,.0f}" if self.throughput >= 100 else f"{self.throughput:.3g}"
        return f"{runs}, the last one {rate} calls a second on {counted(self.workers, self.backend)}"


def begin(policy: Policy, past: Past, total: int | None, effects: str | None, effects_known: bool) -> Verdict:
    """With which backend to begin, if with another than the plain loop; it may ask for effects first."""
    for name, why in past.refused:
        policy = policy.refuse(name, why)
    calls = past.calls if total is None else total
    seen = Seen(0.0, 0, calls, past.demand, past.gil_known, past.wire_known, effects, effects_known)
    verdict = policy.advise(seen)
    if verdict.ask is Ask.WIRE:
        # Nobody needed to know when others ran it: those are as good now.
        for one in policy.candidates:
            if one.capabilities.needs_pickling:
                policy = policy.refuse(one.name, "what travels was not found out")
        verdict = policy.advise(seen)
    # What was not found out then takes calls to find out now.
    return verdict if verdict.ask in (Ask.NOTHING, Ask.EFFECTS) else Verdict(why="not enough was remembered")


def differs(past: Past, walls: Sequence[float], cpus: Sequence[float]) -> str | None:
    """Why the first calls, of ``walls`` and ``cpus`` seconds each, are not those that were remembered; None if so."""
    wall, cpu, then = median(walls), median(cpus), past.demand
    if wall <= 0:
        return None
    if not then.wall / FACTOR <= wall <= FACTOR * then.wall:
        return f"the first calls took {seconds(wall)} each, and {seconds(then.wall)} were remembered"
    share, before = min(1.0, cpu / wall), (then.here - then.hidden) / then.wall  # of the thread that makes them
    if abs(share - before) > CHANGED and computes(1.0, share) != computes(1.0, before):
        now, once = ("compute", "wait") if share > before else ("wait", "compute")
        return f"the first calls {now}, and calls that {once} were remembered"
    return None


def seen_since(before: Demand, walls: Sequence[float], cpus: Sequence[float]) -> Demand:
    """The demand of calls that took ``walls`` and ``cpus`` seconds each; what was not timed is that of ``before``."""
    wall, own = median(walls), min(median(walls), median(cpus))
    children = min(wall - own, before.children * wall / before.wall) if before.wall else 0.0
    return replace(
        before,
        wait=max(0.0, wall - own - children),
        cpu=own + children,
        gil=own * min(1.0, before.gil / before.here) if before.here > 0 else 0.0,
        hidden=0.0,
        children=children,
        calls=len(walls),
        spread=relative_mad(walls),
    )


def still(policy: Policy, seen: Seen, name: str) -> bool:
    """Whether what was seen speaks for the backend that the run has begun with."""
    return policy.advise(seen).switch == name
