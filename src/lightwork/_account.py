"""Where the time of a run's workers went. Pure arithmetic on its lanes and on what one call asks for."""

from __future__ import annotations

from lightwork._demand import seconds, size
from lightwork._record import Record, replace
from lightwork._trace import Lane, Ran, wrapped
from lightwork._worth import computes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._demand import Demand


WORTH_TELLING = 0.005
"""Share of the whole below which a line is left out."""

ENOUGH = 3
"""Calls that must have ended before all of them are believed more than the first."""

UNLIKE = 1.5
"""Times by which all calls must compute longer than the first ones did to be called unlike them."""

NAMES = {
    "threads": ("thread", "threads"),
    "processes": ("process", "processes"),
    "interpreters": ("interpreter", "interpreters"),
    "asyncio": ("coroutine", "coroutines"),
}
"""Workers by backend: one, and several."""


class Account(Record, frozen=True):
    """Seconds of all workers of a run, the calling thread as far as it made calls, added up.

    ``held``: the part of ``computing`` under the GIL, None where nobody listened. ``in_line``: in calls, ready to
    compute, while others had the GIL or the core; reckoned from what a call asks for when it is alone, and so only
    where that was measured. ``between``: of the calling thread between calls, where it made all of them.
    """

    computing: float = 0.0
    held: float | None = None
    waiting: float = 0.0
    in_line: float = 0.0
    serialising: float = 0.0
    starting: float = 0.0
    idle: float = 0.0
    between: float = 0.0

    @property
    def whole(self) -> float:
        """All of it."""
        parts = (self.computing, self.waiting, self.in_line, self.serialising, self.starting, self.idle, self.between)
        return sum(parts)


def learnt(report: Ran) -> Demand | None:
    """What one call asks for, with what all of them showed; None where no call was measured alone.

    The first calls may be unlike the rest, and of one that was still running only its beginning was seen. How long the
    others computed, the workers' clocks tell, whoever had the core meanwhile.
    """
    known = report.demand
    if known is None or known.hidden:
        return known
    if computes(known.wall, known.children):  # no worker's clock tells of those
        here = [lane for lane in report.lanes if lane.backend == "serial" and lane.calls]
        lasted = max((lane.busy / lane.calls for lane in here), default=0.0)
        return known.lasting(max(known.wall, lasted))
    calls = sum(lane.calls for lane in report.lanes)
    cpu = sum(lane.cpu for lane in report.lanes) / max(1, calls)
    rest = sum(max(0.0, lane.busy - lane.cpu) for lane in report.lanes) / max(1, calls)
    if calls < ENOUGH or not cpu > UNLIKE * known.cpu:
        return known
    return replace(known, cpu=cpu, gil=cpu * known.gil_share, wait=min(known.wait, rest))


def account(report: Ran, gil: bool) -> Account:
    """The time of a run, taken apart. ``gil``: whether this Python has one."""
    computing = waiting = in_line = serialising = 0.0
    alone = learnt(report)
    for lane in report.lanes:
        one = _in_calls(lane, alone)
        computing, waiting, in_line = computing + one.computing, waiting + one.waiting, in_line + one.in_line
        serialising += lane.sending
        if lane.sending and report.demand is not None and report.wire_known:
            # What a worker does to its arguments and results is part of the time that it takes for its calls.
            of_worker = min(one.computing, report.demand.wire_worker * lane.calls)
            computing, serialising = computing - of_worker, serialising + of_worker
    held = None
    if not gil:
        held = 0.0
    elif report.demand is not None and report.gil_known:
        held = report.demand.gil_share * computing
    return Account(
        computing=computing,
        held=held,
        waiting=waiting,
        in_line=in_line,
        serialising=serialising,
        starting=sum(lane.starting for lane in report.lanes),
        idle=sum(lane.idle for lane in report.lanes),
        between=max(0.0, report.seconds - report.lanes[0].busy) if _in_one_thread(report) else 0.0,
    )


def _in_one_thread(report: Ran) -> bool:
    return len(report.lanes) == 1 and report.backend == "serial"


def _in_calls(lane: Lane, alone: Demand | None) -> Account:
    """One lane's calls. ``alone``: what one asks for with nobody beside it, where that is known."""
    rest = max(0.0, lane.busy - lane.cpu)
    if alone is None or not lane.calls:
        return Account(computing=lane.cpu, waiting=rest)
    seen = alone.cpu - alone.hidden
    # A worker's thread shows its own computing; that of children and of a library's threads fills its waits.
    others = seen * lane.calls - lane.cpu if lane.cpu < 0.5 * seen * lane.calls else 0.0
    others = min(rest, max(0.0, others))
    computing, rest = lane.cpu + others, rest - others
    if not computes(alone.wall, seen):
        return Account(computing=computing, waiting=rest)
    # Items differ; that a call waits so long for each second that it computes is what they have in common.
    waiting = min(rest, computing * alone.wait / seen) if seen > 0 else rest
    return Account(computing=computing, waiting=waiting, in_line=rest - waiting)


def told(report: Ran, found: Account, gil: bool) -> list[tuple[str, float, str]]:
    """The lines of an account: a name, seconds, and a remark."""
    lanes = {lane.backend for lane in report.lanes}
    threads = gil and "threads" in lanes
    under = doubt = ""
    if found.held is not None and gil and found.computing:
        share = found.held / found.computing
        how_much = "all" if share > 0.99 else "none" if share < 0.01 else f"{100 * share:.0f} %"
        under = f"{how_much} of it under the GIL"
    free = found.held is not None and found.held < 0.1 * found.computing
    line = "for the GIL, or for a core" if threads and not free else "for a core"
    if "asyncio" in lanes:
        doubt = "or computing: coroutines are not told apart"
    elif report.demand is None and found.computing > 0.1 * found.waiting:
        doubt = f"or standing in line {'for the GIL' if threads else 'for a core'}"
    starts = [_workers(lane) for lane in report.lanes if lane.starting and lane.workers]
    costless = "without a call; that costs no core" if lanes <= {"serial", "threads", "asyncio"} else "without a call"
    lines = [
        ("computing", found.computing, under),
        ("waiting", found.waiting, doubt),
        ("standing in line", found.in_line, line),
        ("serialising", found.serialising, f"and handing over, {size(report.sent)}" if report.sent else ""),
        ("starting", found.starting, f"of {' and '.join(starts)}" if starts else ""),
        ("idle", found.idle, costless),
        ("between calls", found.between, "lightwork itself, and what gives the items"),
    ]
    least = WORTH_TELLING * found.whole
    return [line for line in lines if line[1] > least or (line[0] == "serialising" and report.sent)]


def drawn(report: Ran, found: Account, gil: bool) -> list[str]:
    """An account as lines of 80 columns at most; none where there was no time to speak of."""
    if found.whole <= 0:
        return []
    whose = "the calling thread"
    if not _in_one_thread(report):
        crews = [whose if lane.backend == "serial" else _workers(lane) for lane in report.lanes]
        whose = f"{' and '.join(dict.fromkeys(crews))}, added up"
    lines = wrapped(f"where the time went ({seconds(found.whole)} of {whose}):", 80, "    ", first="  ")
    for name, value, remark in told(report, found, gil):
        took = seconds(value) if value else "0 s"
        lines.append(f"    {name:<17}{took:>8}{100 * value / found.whole:>5.0f} %  {remark}".rstrip())
    return lines


def _workers(lane: Lane) -> str:
    one, several = NAMES.get(lane.backend, (lane.backend, lane.backend))
    return f"{lane.workers:,} {one if lane.workers == 1 else several}"
