"""The choice of a run that has changed over, opened again: its work has become another, or more of it is to come.

What these functions say to the ``run`` is in ``Rechoosing``. Few runs load them, and only when they come to that.
"""

from __future__ import annotations

import math

from lightwork._change import ENOUGH, Change
from lightwork._policy import CLEARLY, CROWD, Ask
from lightwork._record import replace
from lightwork._worth import computes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lightwork._backends.base import Backend
    from lightwork._clock import Clock
    from lightwork._demand import Demand
    from lightwork._dispatch import Dispatch
    from lightwork._evidence import Evidence
    from lightwork._handing_over import HandOver
    from lightwork._policy import Policy, Seen, Verdict
    from lightwork._way_back import WayBack

    class Rechoosing(Protocol):
        """A run as it is seen from here: see ``_auto``."""

        clock: Clock
        began: float
        dispatch: Dispatch
        evidence: Evidence
        demand: Demand | None
        change: Change | None
        back: WayBack | None
        first: int
        chosen: int
        trial: int
        tried: tuple[float, int]
        handover: HandOver
        further: int | None
        parted: bool

        @property
        def total(self) -> int | None: ...
        @property
        def policy(self) -> Policy: ...
        def backend_of(self, number: int) -> Backend: ...
        def measure(self) -> Demand: ...
        def seen(self, elapsed: float) -> Seen: ...
        def find_out(self, ask: Ask) -> bool: ...
        def switch(self, verdict: Verdict, what: str) -> tuple[int, Backend]: ...
        def keep_apart(self, why: str | None) -> None: ...
        def take_over(self, number: int, backend: Backend) -> None: ...
        def close_lane(self, number: int) -> None: ...
        def rest(self, number: int, resting: bool) -> None: ...
        def try_here(self) -> None: ...
        def stay_here(self) -> None: ...
        def decide(self, what: str, why: str) -> None: ...


FORGETS = 4
"""Times as long as before until another backend is tried again, where the last trial was in vain."""

SURELY_WAITS = 0.15
"""CPU share of calls in a process below which they are for threads: with more of it, as many processes as ``CROWD``
allows do at least as much as one GIL, and on a busy machine what only computes has no larger one."""

ROUNDED = 0.98
"""What computes for nearly all of its time is worth no further worker."""


def look_further(run: Rechoosing) -> None:
    """Where so many calls of an input without a length have come that more are to follow than it was chosen for: what
    takes longer to start may pay by now."""
    run.further = 2 * run.dispatch.done
    run.demand = run.measure()  # a call that was still running then has ended
    current = run.backend_of(run.chosen).name
    verdict = _advised(run, run.clock.now() - run.began)
    if verdict.switch is None or verdict.switch == current:
        return
    took = {option.backend: option.seconds for option in verdict.predictions}
    if took[verdict.switch] < CLEARLY * took.get(current, 0.0):
        number, backend = run.switch(verdict, f"changed over again, to {verdict.workers} {verdict.switch}")
        run.change = Change(backend.capabilities.shares_memory)
        run.handover.lane = run.chosen = run.trial = number
        if run.back is not None:
            run.back.look_anew()


def follow(run: Rechoosing, change: Change, wall: float, cpu: float) -> None:
    """Calls seem to take so long by now, of which they compute for ``cpu`` seconds."""
    lane, current, now = run.dispatch.lanes[run.chosen], run.backend_of(run.chosen), run.clock.now()
    assert run.demand is not None
    before = run.demand, run.evidence.gil_known
    verdict = _advised_of(run, run.demand, wall, cpu, threads=change.shared, given=change.shared or not lane.revocable)
    if verdict.switch is None or verdict.switch == current.name:
        run.demand, run.evidence.gil_known = before  # what was measured alone tells more
        return
    if change.shared:
        # The threads stand in line for the GIL, behind which it is not seen whether their calls wait, too. In a
        # process it is, and a core is idle.
        run.trial, _ = run.switch(verdict, f"tried {verdict.workers} {verdict.switch} beside the threads")
        run.tried = now - run.began, lane.calls
        return
    old = run.chosen
    run.chosen, _ = run.switch(verdict, f"changed over again, to {verdict.workers} {verdict.switch}")
    run.trial = run.chosen
    run.change = change.changed()
    if run.back is not None:
        run.back.look_anew()
    run.close_lane(old)
    # Batches of calls that were taken for short ones may last for seconds now.
    run.dispatch.recall(old)


def judge(run: Rechoosing) -> None:
    """Goes on with what was tried, or without it, once its calls have shown what they take there."""
    trial, old = run.trial, run.chosen
    lane, backend = run.dispatch.lanes[trial], run.backend_of(trial)
    if lane.calls < ENOUGH or not lane.busy or run.change is None or not run.dispatch.pending:
        return
    assert run.demand is not None
    settles = run.change.settles
    wall, cpu = lane.busy / lane.calls, lane.cpu / lane.calls
    # Where others have the cores that looks like waiting, too. As long as a thread's call keeps the GIL, which it
    # does while it is ready and has no core, it is none.
    since, before = run.tried
    ended = run.dispatch.lanes[old].calls - before
    turn = (run.clock.now() - run.began - since) / ended if ended else wall
    verdict = _advised_of(run, run.demand, wall, min(wall, max(cpu, turn)), threads=True)
    if verdict.switch != backend.name and run.demand.cpu_share < SURELY_WAITS:
        run.change = Change(True, FORGETS * settles)
        run.trial = old
        run.close_lane(trial)
        if run.back is not None:
            run.back.look_anew()
        run.decide(f"went on without {backend.name}", verdict.why)
        return
    run.chosen, run.change = trial, run.change.changed()
    if run.back is not None:
        run.back.look_anew()
    if run.policy.max_workers is None:
        wanted = math.ceil(run.policy.cores / max(run.demand.cpu_share, SURELY_WAITS) * ROUNDED)
        run.dispatch.set_lane(trial, max(lane.wanted, min(wanted, CROWD * run.policy.cores, run.dispatch.left)))
    run.close_lane(old)
    run.decide(f"changed over again, to {lane.wanted} {backend.name}", f"there a call takes {run.demand}")


def look_back(run: Rechoosing, back: WayBack) -> None:
    """The workers are hardly faster than the caller's thread was: either all would take turns, which processes do not,
    or that is to make some calls again."""
    change, lane = run.change, run.dispatch.lanes[run.chosen]
    assert run.demand is not None
    if change is not None and change.shared and run.policy.gil and not back.elsewhere:
        back.elsewhere, each = True, 1 / back.before
        follow(run, change, each, min(each, run.demand.cpu))
        if run.trial != run.chosen:
            return
    back.workers = lane.wanted
    back.begin_trial(run.clock.now() - run.began, run.dispatch.lanes[run.first].calls)
    run.rest(run.chosen, True)
    run.try_here()


def try_caller(run: Rechoosing, back: WayBack) -> None:
    """Goes on with the trial of the caller's thread, which counts from when the workers have nothing any more."""
    now, calls = run.clock.now() - run.began, run.dispatch.lanes[run.first].calls
    if run.dispatch.in_flight(run.chosen):
        if back.overdue(now):
            give_up(run, back)
        return
    judgement = back.judge(now, calls)
    if judgement is None or (back.contend and _parts(run, back)):
        return
    if judgement == "not faster":
        give_up(run, back)
        return
    run.decide("came back to the calling thread", _paces(run, back))
    _go_home(run, back)
    run.change = None
    run.stay_here()


def _go_home(run: Rechoosing, back: WayBack) -> None:
    """The workers, which have nothing any more, get no further calls."""
    back.come_home(run.clock.now() - run.began, run.dispatch.lanes[run.first].calls)
    run.further = None
    run.rest(run.chosen, False)
    run.close_lane(run.chosen)


def _parts(run: Rechoosing, back: WayBack) -> bool:
    """Whether calls that compute, and in threads keep each other from that though there is no GIL (by the counts of
    references to what they share), go to processes from here, which share nothing. Asked once: what is taken for that
    may be something else, as a busy machine."""
    change, evidence, before = run.change, run.evidence, run.demand
    shared = run.backend_of(run.chosen).capabilities.shares_memory
    if run.parted or run.policy.gil or change is None or not shared:
        return False
    if not evidence.effects_known or not computes(1.0, back.own_share):
        return False
    run.parted = True
    run.keep_apart("there its calls keep each other from going on")
    if any(one.refused is None and one.capabilities.needs_pickling for one in run.policy.candidates):
        if evidence.wire is None:
            run.find_out(Ask.WIRE)
        each = 1 / back.here
        verdict = _advised_of(run, run.measure(), each, min(each, each * back.own_share), threads=False, given=False)
        if verdict.switch is not None:
            verdict = replace(verdict, why=f"{_paces(run, back)}; {verdict.why}")
            _go_home(run, back)
            run.take_over(*run.switch(verdict, f"changed over again, to {verdict.workers} {verdict.switch}"))
            run.change = change.changed()
            return True
    run.demand = before
    run.keep_apart(None)
    return False


def give_up(run: Rechoosing, back: WayBack) -> None:
    """The workers go on, without the caller's thread."""
    run.decide(f"went on with {back.workers} {run.backend_of(run.chosen).name}", _paces(run, back))
    back.stay_away(run.clock.now() - run.began)
    run.close_lane(run.first)
    run.rest(run.chosen, False)


def regret(run: Rechoosing, back: WayBack) -> None:
    """The workers get the calls again, for good: what was compared was not alike."""
    backend = run.backend_of(run.chosen)
    run.decide(f"changed over again, to {back.workers} {backend.name}", _paces(run, back))
    run.back, run.change = None, Change(backend.capabilities.shares_memory)
    run.rest(run.chosen, False)
    run.dispatch.set_lane(run.chosen, back.workers)
    run.close_lane(run.first)


def _paces(run: Rechoosing, back: WayBack) -> str:
    name = run.backend_of(run.chosen).name
    since = f", and {back.here:,.3g} since" if back.here else ""
    return (
        f"together {back.workers} {name} ended {back.there:,.3g} calls a second, "
        f"the calling thread alone {back.before:,.3g} before them{since}"
    )


def _advised_of(run: Rechoosing, known: Demand, wall: float, cpu: float, threads: bool, given: bool = True) -> Verdict:
    """The choice for what is left if its calls, of which so much was ``known``, take so long, and compute for ``cpu``
    seconds of that; in ``threads`` they have filled the GIL. ``given``: see ``_advised``."""
    children = min(cpu, known.children)
    held = 0.0 if not run.policy.gil else cpu - children if threads else min(cpu, known.gil_share * cpu)
    run.demand = replace(known, wait=max(0.0, wall - cpu), cpu=cpu, gil=held, hidden=0.0, children=children)
    run.evidence.gil_known = run.evidence.effects_known = True
    return _advised(run, run.clock.now() - run.began, given)


def _advised(run: Rechoosing, now: float, given: bool = False) -> Verdict:
    """``given``: what is with workers cannot be given to others."""

    def advised() -> Verdict:
        seen = run.seen(now)
        if given and run.total is not None:
            seen = replace(seen, done=run.total - run.dispatch.left)
        return run.policy.advise(seen)

    verdict = advised()
    return advised() if verdict.ask is Ask.WIRE and run.find_out(Ask.WIRE) else verdict
