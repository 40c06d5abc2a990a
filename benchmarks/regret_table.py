"""The table and the summary of ``regret.py``, from the seconds that were measured. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from regret_strategies import ADAPTIVE, LOOP, OURS

SHORT = 0.25
"""Seconds: jobs whose best is under this are held to the plain loop."""


@dataclass
class Times:
    """Seconds of each strategy on one job; None for a round in which it was given up, wrong or failed, and why."""

    job: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    picked: str = ""
    decisions: list[str] = field(default_factory=list)

    def median(self, strategy: str) -> float:
        """Infinite for what did not get to an end or not to the right one."""
        if strategy in self.refused or not self.seconds.get(strategy):
            return math.inf
        return statistics.median(self.seconds[strategy])

    def quietest(self) -> Times:
        """Each strategy by the best of its rounds: what others do with the machine makes runs longer, never shorter,
        and the best of ten noisy medians is better than any of them is."""
        return replace(self, seconds={name: [min(all_)] for name, all_ in self.seconds.items() if all_})

    def paired(self, strategy: str = OURS) -> float:
        """The regret by pairs of runs that followed each other: in each round over the fixed choice that was the best
        one of all *other* rounds. Hindsight that chose by the figures it is then told with would have chosen their
        luck, too: the least of seven noisy medians is less than what that choice takes the next time."""
        fixed = [name for name in self.seconds if name not in ADAPTIVE and name not in self.refused]
        whole = max((len(self.seconds[name]) for name in fixed), default=0)
        fixed = [name for name in fixed if len(self.seconds[name]) == whole]
        ours = self.seconds.get(strategy, [])
        if strategy in self.refused or not fixed or not 2 <= whole == len(ours):
            return math.inf

        def others(name: str, turn: int) -> float:
            return statistics.median(self.seconds[name][:turn] + self.seconds[name][turn + 1 :])

        rivals = [min(fixed, key=lambda name: others(name, turn)) for turn in range(whole)]
        return statistics.geometric_mean(ours[turn] / self.seconds[rival][turn] for turn, rival in enumerate(rivals))

    @property
    def best(self) -> tuple[str, float]:
        """The best fixed choice in hindsight."""
        fixed = [name for name in self.seconds if name not in ADAPTIVE]
        return min(((name, self.median(name)) for name in fixed), key=lambda pair: pair[1], default=("", math.inf))

    def regret(self, strategy: str = OURS) -> float:
        return self.median(strategy) / self.best[1]

    @property
    def short(self) -> bool:
        return self.best[1] < SHORT

    def over_loop(self, strategy: str = OURS) -> float:
        return self.median(strategy) / self.median(LOOP)


def percentile(values: Sequence[float], part: float) -> float:
    """The least value that so large a part of ``values`` does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def table(found: Sequence[Times], names: Sequence[str]) -> str:
    """One line a job, the worst regret last."""
    lines = [f"{'job':<36}" + "".join(f"{name[:8]:>9}" for name in names) + "  regret  best, picked"]
    for times in sorted(found, key=lambda one: one.regret()):
        cells = "".join(f"{cell(times, name):>9}" for name in names)
        lines.append(f"{times.job:<36}{cells}{times.regret():>8.2f}  {times.best[0]}, {times.picked}")
    return "\n".join(lines)


def cell(times: Times, name: str) -> str:
    return times.refused[name] if name in times.refused else f"{times.median(name):.3f}"


def summary(
    found: Sequence[Times], strategy: str = OURS, regret: Callable[[Times, str], float] = Times.regret
) -> dict[str, float]:
    """The figures of merit: see ``regret.py``."""
    each = [regret(times, strategy) for times in found if not times.short]
    long = [one for one in each if math.isfinite(one)]
    short = [times.over_loop(strategy) for times in found if times.short and math.isfinite(times.median(LOOP))]
    told: dict[str, float] = {"jobs": len(found), "lost": sum(math.isinf(t.median(strategy)) for t in found)}
    if long:
        told |= {"geometric mean": statistics.geometric_mean(long), "90th percentile": percentile(long, 0.9)}
        told["worst"] = max(long)
    if short:
        told["short jobs over the loop, worst"] = max(short)
    return told


def shown(name: str, told: Mapping[str, float]) -> str:
    return f"{name}: " + ", ".join(
        f"{key} {value:.2f}" if value % 1 else f"{key} {value:g}" for key, value in told.items()
    )
