"""The lesson's comparison: the same two calls one after another and by another way, several turns of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightwork.lab import _crew
from lightwork.lab._estimates import measured, ratio
from lightwork.lab._values import Figure, Settings

Way = Callable[[Sequence[_crew.Job]], _crew.Timing]


def compared(
    way: Way, name: str, job: _crew.Job, settings: Settings, by_work: bool = False, waits: bool = False
) -> list[Figure]:
    """Both times, and their ratio as "share of the sum" and as "speed-up".

    ``by_work``: the workers' starting is left out of the ratio, since it does not grow with the length of the
    work; the time with it is a figure too. Unless the job ``waits``, there are also "core each got", CPU seconds
    of a worker per second of work, and how much CPU time the same work took beside each other against alone.
    """
    serial, other = _crew.turns(settings.repeats, lambda: _crew.one_after_another([job, job]), lambda: way([job, job]))
    sums = [timing.work for timing in serial]
    others = [timing.work if by_work else timing.whole for timing in other]
    figures = [measured("one after another", sums, "s"), measured(name, others, "s")]
    if by_work:
        figures.append(measured(f"{name}, with the start", [timing.whole for timing in other], "s"))
    figures += [ratio("share of the sum", others, sums), ratio("speed-up", sums, others)]
    if waits:
        return figures
    return [
        *figures,
        measured("core each got", [timing.cpu / timing.work / 2 for timing in other]),
        ratio("CPU time beside each other / alone", [t.cpu for t in other], [t.cpu for t in serial]),
    ]
