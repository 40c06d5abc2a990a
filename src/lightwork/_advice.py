"""What would make a run faster still: rules over what was measured while it ran. Pure.

Each rule looks at one thing, and gives a ``Finding`` with the evidence and a remedy, or nothing. A rule that would have
to guess says that there is not enough evidence. How many times faster something would be is the model's word, which
``lw.compare`` puts beside measurements.
"""

from __future__ import annotations

from functools import cached_property

from lightwork._account import Account, account, learnt
from lightwork._backends._registry import NAMES
from lightwork._backends._registry import backend as made
from lightwork._demand import Demand, seconds, size
from lightwork._finding import COSTS, GOOD_TO_KNOW, ORDER, UNKNOWN, Finding
from lightwork._growth import MOST_THREADS
from lightwork._model import Prediction, predict_for, suggest_workers
from lightwork._record import replace
from lightwork._worth import computes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightwork._trace import Lane, Ran


WORTH_SAYING = 1.15
"""Times by which something must be predicted to be faster to be worth a word."""

TOO_SHORT = 0.05
"""Seconds of a run below which it is no use to think about it."""

TINY = 1e-4
"""Seconds for a call's way that no array is the cause of."""

A_LOT = 0.2
"""Share of a run's, or of its workers', time that is worth a remedy."""


class Case:
    """A run as the rules see it. ``cores`` and ``gil``: of the machine and the Python that it ran on."""

    def __init__(self, report: Ran, cores: int, gil: bool) -> None:
        self.report, self.cores, self.gil = report, cores, gil

    @cached_property
    def account(self) -> Account:
        return account(self.report, self.gil)

    @cached_property
    def lane(self) -> Lane:
        """The one that ran most."""
        return max(self.report.lanes, key=lambda lane: lane.busy)

    @property
    def fixed(self) -> bool:
        """Whether nobody measured what a call asks for: the backend was named."""
        return self.report.demand is None

    @cached_property
    def demand(self) -> Demand:
        """What one call asks for. Where it was not measured alone: what it took beside others, all under the GIL."""
        known = learnt(self.report)
        if known is not None:
            return known if self.report.gil_known or not self.gil else replace(known, gil=known.cpu)
        lane, calls = self.lane, max(1, self.lane.calls)
        cpu = min(lane.cpu, lane.busy) / calls
        return Demand(
            # What looks like waiting where the GIL is never free is standing in line for it.
            wait=0.0 if self.gil_is_never_free else max(0.0, lane.busy - lane.cpu) / calls,
            cpu=cpu,
            gil=cpu if self.gil else 0.0,
            wire_caller=lane.sending / calls,
            calls=calls,
        )

    @cached_property
    def gil_is_never_free(self) -> bool:
        """Whether threads computed about as much as one core can."""
        used = sum(lane.cpu for lane in self.report.lanes) / self.report.seconds
        return self.gil and self.lane.backend == "threads" and self.lane.workers > 1 and 0.8 < used < 1.15

    @property
    def computes(self) -> bool:
        """Whether a call does more than wait."""
        return computes(self.demand.wall, self.demand.cpu - self.demand.hidden)

    def predicted(
        self,
        backend: str,
        workers: int | None = None,
        demand: Demand | None = None,
        cores: int | None = None,
        calls: int | None = None,
    ) -> Prediction:
        """What the model says of this run's calls on a backend."""
        demand, calls, cores = demand or self.demand, calls or max(1, self.report.calls), cores or self.cores
        if workers is None:
            workers = suggest_workers(demand, backend, cores, self.gil, calls)
            workers = min(workers, cores) if backend == "processes" else workers
        can = made(backend if backend in NAMES else "processes").capabilities
        return predict_for(backend, can, demand, workers=workers, calls=calls, cores=cores, gil=self.gil)

    @cached_property
    def now(self) -> Prediction:
        """The same for the backend that was used."""
        return self.predicted(self.report.backend, max(1, self.lane.workers))

    def gain(self, other: Prediction) -> float:
        """How many times faster than what was used another way is predicted to be."""
        return self.now.seconds / other.seconds if other.seconds > 0 else 1.0


def advice(report: Ran, cores: int, gil: bool) -> tuple[Finding, ...]:
    """All that the rules find in one run, what is certain first; empty for a run too short to be worth a thought."""
    if not report.lanes or not report.calls or report.seconds < TOO_SHORT:
        return ()
    case = Case(report, cores, gil)
    if case.lane.busy <= 0:
        return ()
    found = [finding for rule in RULES for finding in rule(case)]
    if not found:
        found += [*not_measured(case), *binds(case)]
    return tuple(sorted(found, key=lambda one: ORDER.index(one.verdict)))


# what keeps the calls where they are


RETURN = "Let it return what it finds, and put the results together after the map."
MAKE = "Make it in the function, or once in each worker with lw.per_worker; lw.check(fn, items) says where it is."


def shared_state(case: Case) -> Iterator[Finding]:
    """A function that changes what others see stays in the calling thread, however much others could do."""
    stays = case.report.stays
    if stays is None:
        return
    best = _best(case, ("threads", "processes") if case.report.demand is not None else ())
    if best is not None and case.gain(best) >= WORTH_SAYING:
        yield Finding(
            "shared-state",
            COSTS,
            f"The function {stays}, so that all calls were made one after another. Without that {_would(case, best)}.",
            "",
            RETURN,
            (best.backend,),
        )


def refused(case: Case) -> Iterator[Finding]:
    """Processes would be faster, and something about the function or its items keeps them out."""
    reasons = dict(case.report.refused)
    if case.fixed or "processes" not in reasons or case.report.stays is not None:
        return
    best = case.predicted("processes")
    if case.gain(best) >= WORTH_SAYING:
        yield Finding(
            "refused",
            COSTS,
            f"{_sentence(_would(case, best))}, and cannot be used: {reasons['processes']}.",
            "",
            RETURN if "the function changes" in reasons["processes"] else MAKE,
            ("processes",),
        )


def _best(case: Case, names: tuple[str, ...]) -> Prediction | None:
    return min((case.predicted(name) for name in names), key=lambda one: one.seconds, default=None)


def _would(case: Case, other: Prediction) -> str:
    return f"{other.workers} {other.backend} would be {_times(case.gain(other))} as fast"


# what binds the backend that was used


def under_the_gil(case: Case) -> Iterator[Finding]:
    """Threads of which only one computes at a time."""
    demand, report = case.demand, case.report
    if not case.gil or case.cores < 2 or report.backend != "threads" or report.calls < 2 or not case.computes:
        return
    best = case.predicted("processes")
    if case.gain(best) < WORTH_SAYING or "processes" in dict(report.refused):
        return
    if report.gil_known:
        share = demand.gil / demand.wall
        if share * case.cores <= 1:
            return  # it leaves room for as many threads as there are cores
        what = (
            f"{100 * share:.0f} % of a call holds the GIL: threads cannot pass {_times(1 / share)} the speed of "
            "a plain loop"
        )
    elif case.gil_is_never_free:
        computed = sum(lane.cpu for lane in report.lanes)
        what = (
            f"{case.lane.workers} threads computed for {seconds(computed)} in {seconds(report.seconds)}: as much as "
            "one core can, which is what threads do that take turns for the GIL"
        )
    else:
        return
    yield Finding(
        "gil",
        COSTS,
        f"{what}. {_sentence(_would(case, best))}.",
        "",
        'backend="processes"' + (", or none: then it is found out which is best." if case.fixed else "."),
        ("threads",),
    )


def wire(case: Case) -> Iterator[Finding]:
    """What travels costs as much as a good part of the work."""
    demand, report = case.demand, case.report
    used = report.backend in ("processes", "interpreters")
    if used:
        found, calls = case.account, max(1, case.lane.calls)
        each = found.serialising / calls
        share = found.serialising / max(found.whole - found.starting - found.idle, 1e-9)
    elif report.wire_known and "processes" not in dict(report.refused):
        each = demand.wire_caller + demand.wire_worker
        share = each / (each + demand.wall)
    else:
        return
    free = case.predicted("processes", demand=replace(demand, wire_caller=0.0, wire_worker=0.0))
    pays = case.gain(free) >= WORTH_SAYING
    out, back = demand.bytes_out, demand.bytes_back
    if share < A_LOT or each < TINY or not (used or pays):
        return
    if case.fixed:
        what, remedy = f"What travels ({size(report.sent / report.calls)} a call, out and back) costs", _SEND_LESS
    elif out >= back:
        what, remedy = f"The arguments ({size(out)} a call) cost", _SEND_LESS
    else:
        what, remedy = f"The results ({size(back)} a call) cost", _RETURN_LESS
    yield Finding(
        "wire",
        COSTS,
        f"{what} {seconds(each)} a call on the way to processes and back, and the work takes {seconds(demand.wall)}"
        + ("" if used else ": too much for processes")
        + (f". With nothing to send {_would(case, free)}" if pays else "")
        + ".",
        "",
        remedy,
        ("processes",),
    )


_SEND_LESS = (
    "Send less: lw.share(array) sends a handle in place of an array that many calls read, or of a slice of it; or the "
    "name of a file in place of its contents."
)
_RETURN_LESS = (
    "Return less: a sum, or the name of a file, in place of an array; or let the calls write into "
    "lw.share(array, writable=True)."
)


def too_few_threads(case: Case) -> Iterator[Finding]:
    """Calls wait, and more of them could wait at once."""
    report, lane = case.report, case.lane
    if case.computes or report.stays is not None or report.backend not in ("threads", "processes"):
        return
    if report.backend == "threads" and lane.idle > 0.5 * lane.busy:
        return
    if any(one.fewer for one in report.decisions):
        return  # the system refused more than there were, and the report says so
    best = case.predicted("threads")
    if case.gain(best) < 1.3 or (report.backend == "threads" and lane.workers > 0.6 * best.workers):
        return
    share = 100 * case.demand.wait / max(case.demand.wall, 1e-9)
    yield Finding(
        "more-workers",
        COSTS,
        f"A call waits for {share:.0f} % of its time, and {lane.workers} could wait at once. "
        f"{_sentence(_would(case, best))}, if what they wait for allows it.",
        "",
        "Leave backend and max_workers out: then there are more of them as long as that helps. Or "
        f'backend="threads", max_workers={best.workers}.',
        (report.backend,),
    )


def most_threads(case: Case) -> Iterator[Finding]:
    """As many threads as there will ever be."""
    lane, report = case.lane, case.report
    if report.backend != "threads" or lane.workers < MOST_THREADS or report.calls <= 2 * lane.workers or case.computes:
        return
    yield Finding(
        "more-workers",
        GOOD_TO_KNOW,
        f"All {lane.workers} threads were waiting, and lightwork makes no more of its own accord.",
        "",
        "As a coroutine function (async def, with a client that has one) a thousand calls can wait at once.",
        ("threads",),
    )


def start_up(case: Case) -> Iterator[Finding]:
    """Nothing was done while workers started."""
    report = case.report
    worked = any(lane.backend == "serial" and lane.calls for lane in report.lanes)
    if worked or report.backend not in ("processes", "interpreters") or report.startup < A_LOT * report.seconds:
        return
    yield Finding(
        "start-up",
        COSTS,
        f"Until the first of the {report.backend} could take a call {seconds(report.startup)} of the "
        f"{seconds(report.seconds)} were over.",
        "",
        "Leave backend out: then your own thread makes calls meanwhile. For several maps, one "
        f'lw.Executor(backend="{report.backend}") keeps its workers; its map is lazy.',
        (report.backend,),
    )


# what the items are to blame for


def straggler(case: Case) -> Iterator[Finding]:
    """One call that the end of the map had to wait for."""
    report = case.report
    # What stood in line for the GIL or a core is not long because of its item.
    alone = (span for span in report.spans if span.calls == 1 and span.cpu > 0.7 * span.seconds)
    longest = max(alone, key=lambda span: span.seconds, default=None)
    if longest is None or report.calls < 2 or case.lane.workers < 2 or not case.computes:
        return
    if longest.seconds < 0.5 * report.seconds or case.account.idle < A_LOT * case.account.whole:
        return
    # Begun at once it would have been over so much sooner; the rest has room beside it.
    sooner = longest.began > (1 - 1 / WORTH_SAYING) * report.seconds
    yield Finding(
        "straggler",
        COSTS,
        f"Item {longest.first} took {seconds(longest.seconds)} of the {seconds(report.seconds)}, and began at "
        f"{seconds(longest.began)}: no map ends before its longest call.",
        "",
        "Put the longest items first; and split them, if that can be." if sooner else "Split the longest items.",
        (report.backend,),
    )


def few_items(case: Case) -> Iterator[Finding]:
    """Calls that do not share out among the cores."""
    report, cores = case.report, case.cores
    calls, rounds = report.calls, -(-report.calls // cores)
    if not case.computes or case.demand.hidden or report.stays is not None or calls > (1 - A_LOT) * rounds * cores:
        return
    if calls < cores:
        what = f"{calls} {'call keeps one' if calls == 1 else f'calls keep {calls}'} of {cores} cores busy at most"
    else:
        what = f"{calls} calls do not share out among {cores} cores: in the last round some have none"
    yield Finding(
        "few-items",
        COSTS,
        f"{what}.",
        "",
        f"Split the work into more items: {4 * cores} or so, of much the same length.",
        (report.backend,),
    )


def no_length(case: Case) -> Iterator[Finding]:
    """An input that does not say how long it is."""
    report = case.report
    change = next((one for one in report.decisions if one.what.startswith("changed over")), None)
    if report.counted or change is None or change.at < A_LOT * report.seconds:
        return
    yield Finding(
        "no-length",
        COSTS,
        f"It {change.what} only after {seconds(change.at)}, because the input does not say how many items "
        "there are: what is left was taken to be as much as was done.",
        "",
        "Give a list, where the items fit into memory: lw.map(fn, list(items)).",
        (report.backend,),
    )


def small_calls(case: Case) -> Iterator[Finding]:
    """Calls that are over sooner than they could be handed to anybody."""
    if case.fixed or case.report.backend != "serial" or case.demand.wall > 20e-6 or case.report.stays is not None:
        return
    yield Finding(
        "small-calls",
        COSTS,
        f"One call takes {seconds(case.demand.wall)}, less than it takes to hand it to a worker.",
        "",
        "Give each call more to do: a slice of the items, a line's or a file's worth of them; or an array to NumPy.",
        ("threads", "processes"),
    )


# what others are to blame for


def no_core(case: Case) -> Iterator[Finding]:
    """Workers that were ready to compute, and waited for a core."""
    found = case.account
    share = found.in_line / max(found.in_line + found.computing, 1e-9)
    threads = case.gil and "threads" in {lane.backend for lane in case.report.lanes}
    if share < A_LOT or threads or case.lane.workers > case.cores:
        return
    yield Finding(
        "no-core",
        COSTS,
        f"For {seconds(found.in_line)} calls were ready to compute and had no core, though no more ran at a time than "
        "there are cores: other programs use those, it seems.",
        "",
        "Run it when the machine has less to do.",
        (case.report.backend,),
    )


def not_measured(case: Case) -> Iterator[Finding]:
    """A run whose backend was named shows how that went, and not what others would do."""
    report = case.report
    if case.fixed and report.backend not in ("serial", "asyncio"):
        yield Finding(
            "not-measured",
            UNKNOWN,
            "The backend was named, so that nobody measured what a call asks for when it is alone, and whether others "
            f"than {report.backend} would be faster.",
            "",
            "lw.map without backend finds out while it runs; lw.compare(fn, items) tries all of them.",
            (report.backend,),
        )


def binds(case: Case) -> Iterator[Finding]:
    """What the backend that was used cannot pass."""
    report = case.report
    if case.fixed or report.backend == "serial":
        return
    now = case.predicted(report.backend, max(1, case.lane.workers), calls=case.lane.calls)
    what = f"Nothing was found that would make it faster here. What binds: {now.reason}"
    if now.binding == "cores":
        twice = case.predicted(report.backend, cores=2 * case.cores)
        if case.gain(twice) >= WORTH_SAYING:
            what += f"; {2 * case.cores} cores would be {_times(case.gain(twice))} as fast"
    yield Finding("bound", GOOD_TO_KNOW, f"{what}.", "", "", (report.backend,))


RULES = (
    shared_state,
    refused,
    under_the_gil,
    wire,
    too_few_threads,
    most_threads,
    start_up,
    straggler,
    few_items,
    no_length,
    small_calls,
    no_core,
)


def _times(gain: float) -> str:
    return f"{gain:.0f} times" if gain >= 9.95 else f"{gain:.1f} times"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
