"""What every backend is predicted to take, from one call's demand. Pure arithmetic.

A call asks for ``wall`` = wait + cpu seconds when it is alone, ``gil`` of them under the GIL, and travels
``wire`` seconds. With P cores and K workers no backend can finish more calls a second than each of its
resources allows (the asymptotic bounds of operational analysis: Denning & Buzen, "The Operational Analysis of Queueing
Network Models", 1978; Lazowska et al., "Quantitative System Performance", 1984, chapter 5):

    backend                    throughput is at most the least of
    serial                     1/wall
    threads, with the GIL      K/wall            P/cpu          1/gil
    threads, free-threaded     K/wall            P/cpu
    interpreters, processes    K/(wall+wire)     P/(cpu+wire)   1/wire in the caller
    coroutines                 K/wall            1/cpu

The time for N calls follows, with two things that bounds for long runs leave out. Calls are not divisible:
four on three workers take two rounds. And a station that all pass through one by one is busy for N turns, while
one of the calls has its other parts to do besides. The term that binds is the reason to report.
"""

from __future__ import annotations

import math

from lightwork._backends.base import Capabilities
from lightwork._demand import Demand, seconds
from lightwork._growth import MOST_COROUTINES, MOST_THREADS
from lightwork._record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    Binding = Literal["start-up", "waiting", "cores", "the GIL", "the wire", "one at a time"]

MOST_PROCESSES = 32

BOOTS = 0.8
"""Part of a backend's start that can be over before its first worker is asked for."""

_BATCH_SHARE = 0.05  # short calls travel in batches, large enough to hold the overhead to this share ...
_BATCHES_EACH = 4  # ... but small enough for every worker to have this many


class Prediction(Record, frozen=True):
    """What a backend is predicted to do. ``seconds``: for all calls with the start; where their number is not
    known, of one call on average without the start. ``throughput``: calls a second once it runs. ``lifted``: how
    many times less it would take without what binds."""

    backend: str
    workers: int
    seconds: float
    throughput: float
    binding: Binding
    reason: str
    lifted: float

    def __str__(self) -> str:
        return f"{self.backend} × {self.workers}: {seconds(self.seconds)} ({self.reason})"


class _Case(Record, frozen=True):
    """One question to the model, with everything in seconds for one call."""

    backend: str
    workers: int
    calls: int | None
    cores: float
    startup: float
    service: float  # of a worker
    cpu: float  # of the cores
    gil: float  # of the one GIL that all share
    wire: float  # of the caller, for all that travels
    loop: float  # of the one thread that runs all coroutines

    def terms(self) -> dict[str, float]:
        """Seconds by what would take them alone."""
        one_by_one = {"the GIL": self.gil, "the wire": self.wire, "one thread": self.loop}
        if self.calls is None:
            return {"workers": self.service / self.workers, "cores": self.cpu / self.cores, **one_by_one}
        terms = {
            "workers": math.ceil(self.calls / self.workers) * self.service,
            "cores": self.calls * self.cpu / self.cores,
        }
        for name, turn in one_by_one.items():
            # Other parts of a call cannot be shorter than none, however the demand was measured.
            terms[name] = self.calls * turn + max(0.0, self.service - turn) if turn else 0.0
        return terms

    def seconds(self) -> float:
        """The whole time: the start, and then the slowest of the terms."""
        if self.calls == 0:
            return 0.0
        return (self.startup if self.calls is not None else 0.0) + max(self.terms().values())

    def pace(self) -> float:
        """Seconds for each call of a run without end."""
        return max(replace(self, calls=None).terms().values())


def predict(
    demand: Demand,
    *,
    backend: str,
    workers: int,
    calls: int | None,
    cores: float,
    gil: bool,
    startup: float,
    per_call: float,
) -> Prediction:
    """What ``calls`` calls take on one backend (None: their number is unknown).

    ``cores``: that can be used; ``gil``: whether this interpreter has one; ``startup``, ``per_call``: seconds
    of the backend's own. Raises ValueError for less than one worker or core, or a negative number of calls.
    """
    if workers < 1 or cores <= 0 or (calls is not None and calls < 0):
        raise ValueError(f"no such case: workers={workers}, cores={cores}, calls={calls}")
    case = _case(demand, backend, workers, calls, cores, gil, startup, per_call)
    took = case.seconds()
    binding, reason, without = _explain(case, demand)
    better = without.seconds()
    lifted = took / better if better > 0 else (1.0 if took <= 0 else math.inf)
    pace = case.pace()
    throughput = 1 / pace if pace > 0 else math.inf
    return Prediction(backend, case.workers, took, throughput, binding, reason, max(1.0, lifted))


def left_to_start(can: Capabilities, begun: float) -> float:
    """Seconds of a backend's start that are still to come, where it has been starting for ``begun`` so many."""
    return can.startup - min(begun, BOOTS * can.startup)


def predict_for(
    name: str,
    can: Capabilities,
    demand: Demand,
    *,
    workers: int,
    calls: int | None,
    cores: float,
    gil: bool,
    begun: float = 0.0,
) -> Prediction:
    """The same for a backend of lightwork's by what it can do, its own work for each call included; it has been
    starting for ``begun`` seconds."""
    held = can.per_item if gil and can.shares_memory and not can.in_caller else 0.0
    return predict(
        replace(demand, cpu=demand.cpu + can.per_item, gil=demand.gil + held),
        backend=name,
        workers=workers,
        calls=calls,
        cores=cores,
        gil=gil,
        startup=left_to_start(can, begun),
        per_call=can.per_call,
    )


def _case(
    demand: Demand,
    backend: str,
    workers: int,
    calls: int | None,
    cores: float,
    gil: bool,
    startup: float,
    per_call: float,
) -> _Case:
    if backend == "serial":
        workers = 1
    travels = backend in ("processes", "interpreters")
    wire_caller, wire_worker = (demand.wire_caller, demand.wire_worker) if travels else (0.0, 0.0)
    overhead = per_call / _batch(demand.wall + wire_worker, per_call, workers, calls)
    return _Case(
        backend,
        workers,
        calls,
        cores,
        startup,
        service=demand.wall + wire_worker + overhead,
        cpu=max(demand.cpu, demand.wall - demand.wait) + wire_worker + wire_caller + overhead,
        gil=demand.gil + overhead if gil and backend == "threads" else 0.0,
        wire=wire_caller + overhead if travels else 0.0,
        loop=demand.cpu - demand.hidden + overhead if backend == "asyncio" else 0.0,
    )


def _batch(work: float, per_call: float, workers: int, calls: int | None) -> float:
    """Calls that travel together: the way costs little, and every worker still gets several batches."""
    affordable = _BATCH_SHARE * work
    wanted = per_call / affordable if affordable > 0 else math.inf
    most = 1000.0 if calls is None else calls / (_BATCHES_EACH * workers)
    return max(1.0, min(wanted, most, 1e5))


def _explain(case: _Case, demand: Demand) -> tuple[Binding, str, _Case]:
    """What binds, in words, and the same case without it."""
    terms = case.terms()
    name = max(terms, key=lambda term: terms[term])
    waiting = demand.wait > 0.5 * demand.wall
    if waiting and _waits_longest(case, demand, name):
        name = "workers"
    if case.startup > terms[name] and case.calls is not None:
        reason = f"starting takes {seconds(case.startup)}, the calls only {seconds(terms[name])}"
        return "start-up", reason, replace(case, startup=0.0)
    freed = replace(case, workers=max(case.workers, case.calls or 1000 * case.workers))
    if case.backend == "serial":
        doing = "waits" if waiting else "computes"
        reason = f"one call after another: each {doing} while the others stand in line"
        return "one at a time", reason, freed
    if waiting and name == "the GIL" and demand.gil < 0.5 * case.gil:
        reason = f"handing a call to a thread takes {seconds(case.gil)}, one after another: at most {_rate(case.gil)}"
        return "the GIL", reason, replace(case, gil=0.0)
    if name == "the GIL" or case.gil > 0.8 * case.service:
        reason = "only one thread at a time runs Python code: the GIL allows " + _rate(case.gil)
        workers = max(case.workers, min(math.ceil(case.cores), case.calls or 1000))
        return "the GIL", reason, replace(case, gil=0.0, workers=workers)
    if name == "the wire":
        reason = f"sending and fetching keeps the caller busy for {seconds(case.wire)} a call"
        return "the wire", reason, replace(case, wire=0.0, service=case.service - demand.wire_worker)
    if name == "one thread" or (case.backend == "asyncio" and not waiting):
        reason = "all coroutines compute in one thread, which allows " + _rate(case.loop)
        return "one at a time", reason, replace(freed, loop=0.0)
    if name == "cores":
        reason = f"{_count(case.cores, 'core')} cannot compute more than {_rate(case.cpu / case.cores)}"
        return "cores", reason, replace(freed, cores=math.inf)
    if case.calls is not None and case.calls <= case.workers and not waiting:
        reason = f"each of the {_count(case.calls, 'call')} has a worker, and none is faster than one call"
        return "one at a time", reason, case
    if waiting:
        return _waiting(case, demand, freed)
    if case.workers == 1:
        return "one at a time", "there is one worker", freed
    reason = f"{_count(case.workers, 'worker')} compute, on {_count(case.cores, 'core')}"
    return "cores", reason, replace(freed, cores=math.inf)


def _waits_longest(case: _Case, demand: Demand, name: str) -> bool:
    """Whether rounds of waits last longer than what all calls pass through one by one.

    That adds to the last round, so that its term is the larger one as soon as it takes any time at all.
    """
    turn = {"the GIL": case.gil, "the wire": case.wire, "one thread": case.loop}.get(name)
    if turn is None or case.calls is None:
        return False
    return case.calls * turn < math.ceil(case.calls / case.workers) * demand.wait


def _waiting(case: _Case, demand: Demand, freed: _Case) -> tuple[Binding, str, _Case]:
    each = seconds(demand.wait)
    if case.calls is None:
        many = "one call waits at a time" if case.workers == 1 else f"{case.workers} calls wait at once"
        return "waiting", f"{many}, {each} each", freed
    together = min(case.workers, case.calls)
    many = "one call waits at a time" if together == 1 else f"{together:,} calls wait at once"
    rounds = math.ceil(case.calls / case.workers)
    if rounds == 1:
        # More workers would have nothing to do.
        return "waiting", f"{many}; 1 round of {each}", replace(case, service=case.service - demand.wait)
    return "waiting", f"{many}; {rounds:,} rounds of {each} each", freed


def _rate(turn: float) -> str:
    rate = 1 / turn if turn > 0 else math.inf
    return f"{rate:,.0f} calls a second" if rate >= 10 else f"a call every {seconds(turn)}"


def _count(number: float, word: str) -> str:
    return f"{number:g} {word}" + ("" if number == 1 else "s")


def suggest_workers(demand: Demand, backend: str, cores: float, gil: bool, calls: int | None = None) -> int:
    """How many workers are worth having: as many as it takes to keep the scarcest resource busy.

    That is the knee of the throughput curve: wall × min(cores/cpu, 1/gil), so ``cores`` for pure computing,
    and cores × (wait + cpu)/cpu for calls that wait. At most 128 threads, 32 processes or interpreters (but
    always one for each core), 1000 coroutines, and never more than there are calls.
    """
    if backend == "serial":
        return 1
    case = _case(demand, backend, 1, None, cores, gil, 0.0, 0.0)
    whole = max(1, math.ceil(cores))
    at_most = {"threads": MOST_THREADS, "asyncio": MOST_COROUTINES}.get(backend, MOST_PROCESSES)
    at_most = max(at_most, whole) if backend != "asyncio" else at_most
    scarcest = max(case.cpu / cores, case.gil, case.wire, case.loop)
    knee = case.service / scarcest if scarcest > 0 else math.inf
    # 2 % of grace: what computes 99 % of its time is not worth one worker more than there are cores.
    wanted = at_most if knee >= at_most else max(1, math.ceil(knee * 0.98))
    return max(1, wanted if calls is None else min(wanted, calls))


def rank(predictions: Iterable[Prediction]) -> list[Prediction]:
    """The fastest first; of equals the one with fewer workers."""
    return sorted(predictions, key=lambda one: (one.seconds, one.workers))
