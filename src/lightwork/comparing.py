"""``compare``: one function over the same items on every backend, timed fairly, and the reason for what came out."""

from __future__ import annotations

import asyncio
import copy
import functools
import os
import statistics
from collections.abc import Callable, Iterable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from lightwork import _reasons
from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import NAMES
from lightwork._backends._registry import backend as registry_backend
from lightwork._by_code import MAINS
from lightwork._captured import ties
from lightwork._clock import SystemClock
from lightwork._demand import Demand
from lightwork._effects import effects
from lightwork._inventory import machine
from lightwork._options import positive, refuse_unknown
from lightwork._reasons import Facts
from lightwork._sameness import Same, first_difference
from lightwork._stats import Interval
from lightwork._trace import Progress
from lightwork._usage import PeakMemory, descendants_cpu_seconds, own_cpu_seconds
from lightwork._verdicts import Measured, judge
from lightwork.errors import LightworkError
from lightwork.mapping import _checked, starmap
from lightwork.probing import probe
from lightwork.report.comparison import Comparison
from lightwork.report.rows import Row
from lightwork.report.text import duration

__all__ = ["Comparison", "Interval", "Row", "compare"]

BUDGET = 60.0
"""Seconds that the counted runs of all backends may take together; where one round takes longer, its figures stand."""


class WrongRequest(ValueError):
    """``compare`` was asked for something that cannot be: no rounds, or a backend that does not exist."""


PROBE_SECONDS = 0.25
"""Seconds for measuring where one call's time goes, after the runs."""

GOLDEN = 0.6180339887498949
"""Whose multiples, modulo 1, are evenly spread however many they are."""

LONG_CALL = 2.0
"""Seconds of one call above which it is not probed any more: the probe would call it again."""


MOST_ITEMS = 10_000_000
"""Items of an input with a length above which it is refused: every run has all of them, and copies, in memory."""

MOST_DRAWN, PATIENCE = 1_000_000, 10.0
"""Items, and seconds, after which an input without a length is taken for endless."""

OPTIONS = ("backends", "max_workers", "rounds", "progress")


@dataclass
class _Run:
    """What one run of all items gave."""

    results: list[Any]
    items: list[tuple[Any, ...]]
    seconds: float
    cpu: float
    workers: int


def compare(
    fn: Callable[..., Any],
    *iterables: Iterable[Any],
    backends: Sequence[str] | None = None,
    max_workers: int | None = None,
    rounds: int = 5,
    progress: bool | Callable[[Progress], None] = False,
    **unknown: Any,
) -> Comparison:
    """Runs ``fn`` over the items on each backend and says which is fastest, by how much, and why.

    Every run gets fresh copies of the items (``copy.deepcopy``; items that cannot be copied are used again, and the
    notes say so), so ``fn`` is called ``(rounds + 1) × len(backends)`` times an item. The first run of each backend
    starts everything up, checks that its results equal those of the plain loop, and measures memory; it is shown
    but not counted. The further ``rounds`` go round robin, so that noise strikes all alike. Where they would take
    more than a minute in all there are fewer, down to the first run alone.

    ``backends``: names, by default all that suit ``fn``; those that cannot run here are in the table with the reason.
    ``"serial"`` is a plain loop written in Python, not an engine with one worker. ``max_workers``: for all backends;
    None lets each find its own number. ``progress`` is as for ``map``, and counts runs.

    Returns a Comparison. Raises what ``fn`` raises in the plain loop, and WrongRequest (a ValueError) for
    an unknown backend, or more items than can be gone through several times; TypeError and ValueError for options
    that cannot be. A backend that fails where the plain loop
    does not is no error: its row has the reason.
    """
    _checked("compare", fn, iterables)
    refuse_unknown(unknown, OPTIONS)
    positive("rounds", rounds)
    if max_workers is not None:
        positive("max_workers", max_workers)
    else:
        _check_environment()
    items = finite(*iterables)
    coroutine = is_coroutine_function(fn)
    entries = [_entry(name, coroutine) for name in _names(backends, coroutine)]
    session = _Session(
        fn, items, coroutine, max_workers, _listener(progress, sum(not entry.failed for entry in entries), rounds)
    )
    return session.run(entries, rounds)


def finite(*iterables: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The arguments of each call. Raises WrongRequest for endless input, and for more than can be kept in memory."""
    lengths = [length for length in map(_length, iterables) if length is not None]
    if lengths and min(lengths) > MOST_ITEMS:
        raise _too_many(f"{min(lengths):,.0f} items")
    items: list[tuple[Any, ...]] = []
    began = SystemClock.now()
    for item in zip(*iterables, strict=False):
        items.append(item)
        if lengths:
            continue
        if len(items) > MOST_DRAWN or (len(items) % 64 == 0 and SystemClock.now() - began > PATIENCE):
            raise _too_many(f"the input gave {len(items):,} items in {duration(SystemClock.now() - began)} and no end")
    return items


def _length(iterable: Iterable[Any]) -> float | None:
    if not isinstance(iterable, Sized):
        return None
    try:
        return len(iterable)
    except OverflowError:  # a range longer than any list
        return float("inf")


def _too_many(what: str) -> WrongRequest:
    return WrongRequest(
        f"compare runs the function over all items several times, and {what} are too many: give it fewer, "
        "e.g. --items 'range(1000)' or itertools.islice(items, 1000)"
        if what.endswith("items")
        else f"compare runs the function over all items several times, but {what}: give it fewer, "
        "e.g. --items 'range(1000)' or itertools.islice(items, 1000)"
    )


def _check_environment() -> None:
    """Said once, before anything runs, and not as the fault of every backend."""
    text = os.environ.get("LIGHTWORK_MAX_WORKERS")
    if not text:
        return
    try:
        valid = int(text) >= 1
    except ValueError:
        valid = False
    if not valid:
        raise WrongRequest(
            f"the environment variable LIGHTWORK_MAX_WORKERS must be a whole number of at least 1, not {text!r}"
        )


def _names(backends: Sequence[str] | None, coroutine: bool) -> list[str]:
    if backends is None:
        return ["serial", "asyncio"] if coroutine else [name for name in NAMES if name != "asyncio"]
    if isinstance(backends, str):
        backends = [backends]
    names = list(dict.fromkeys(backends))
    if not names:
        raise WrongRequest("backends is empty; leave it out to compare all of them")
    for name in names:
        try:
            registry_backend(name)
        except ValueError as error:
            raise WrongRequest(str(error)) from None
    return names


def _entry(name: str, coroutine: bool) -> Measured:
    if name == "serial":
        return Measured(name, workers=1)
    backend = registry_backend(name)
    reason = backend.unavailable()
    if reason is None and coroutine and not backend.capabilities.coroutines:
        reason = "it cannot await a coroutine function"
    if reason is None and not coroutine and backend.capabilities.coroutines:
        reason = "it awaits coroutine functions (async def), and this is an ordinary one"
    return Measured(name, reason=reason or "")


def _silent(_done: int, _backend: str, _seconds: float, _finished: bool) -> None:
    """Nobody wants to know."""


def _listener(
    progress: bool | Callable[[Progress], None], entries: int, rounds: int
) -> Callable[[int, str, float, bool], None]:
    if progress is False:
        return _silent
    if progress is True:
        from lightwork.report.progress import bar

        progress = bar("compare")
    tell = progress

    def listen(done: int, backend: str, seconds: float, finished: bool) -> None:
        total = done if finished else max(done, entries * (rounds + 1))
        tell(Progress(done, total, 0, seconds, backend, finished))

    return listen


class _Session:
    """The measuring itself: first runs, counted rounds, the demand of one call, and what follows from them."""

    def __init__(
        self,
        fn: Callable[..., Any],
        items: list[tuple[Any, ...]],
        coroutine: bool,
        max_workers: int | None,
        tell: Callable[[int, str, float, bool], None],
    ) -> None:
        self.fn = fn
        self.items = items
        self.coroutine = coroutine
        self.max_workers = max_workers
        self.tell = tell
        self.began = SystemClock.now()
        self.done = 0
        self.findings: list[str] = []
        self.notes: list[str] = []
        self.reference: tuple[str, list[Any]] | None = None
        self.uncopied = 0

    def run(self, entries: list[Measured], rounds: int) -> Comparison:
        try:
            for entry in entries:
                if not entry.failed:
                    self.first_run(entry)
            counted = self.rounds_within_budget(entries, rounds)
            for _ in range(counted):
                for entry in entries:
                    if not entry.failed:
                        self.counted_run(entry)
        finally:
            self.tell(self.done, "", SystemClock.now() - self.began, True)
        return self.conclude(entries, counted, self.probe(entries))

    # one run

    def execute(self, backend: str) -> _Run:
        """All items once on one backend, with fresh copies. Raises what the function raised."""
        self.tell(self.done, backend, SystemClock.now() - self.began, False)
        items = self.fresh_items()
        others = descendants_cpu_seconds()
        own, began = own_cpu_seconds(), SystemClock.now()
        if backend == "serial":
            results = self.plain_loop(items)
            seconds, own = SystemClock.now() - began, own_cpu_seconds() - own
            workers, by_workers = 1, 0.0
        else:
            found = starmap(self.fn, items, backend=backend, max_workers=self.max_workers)
            seconds, own = SystemClock.now() - began, own_cpu_seconds() - own
            results, workers = list(found), found.report.workers
            by_workers = sum(lane.cpu for lane in found.report.lanes)
        self.done += 1
        # Workers that have ended without a trace, or are elsewhere, show in their own account only.
        cpu = max(own + descendants_cpu_seconds() - others, by_workers)
        return _Run(results, items, seconds, cpu, workers)

    def plain_loop(self, items: list[tuple[Any, ...]]) -> list[Any]:
        """What a user would write; the yardstick for all others."""
        fn = self.fn
        results: list[Any] = []
        try:
            if self.coroutine:
                _await_one_by_one(fn, items, results)
            else:
                for item in items:
                    results.append(fn(*item))
        except Exception as error:
            error.add_note(f"lightwork: raised by item {len(results)} in a plain loop, so no backend can be compared")
            raise
        return results

    def fresh_items(self) -> list[tuple[Any, ...]]:
        try:
            return copy.deepcopy(self.items)
        except Exception:  # noqa: BLE001 - a class's own copying may raise anything; then item by item
            return [self.fresh(item) for item in self.items]

    def fresh(self, item: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            return copy.deepcopy(item)
        except Exception:  # noqa: BLE001 - it cannot be copied; counted, and said in the notes
            self.uncopied += 1
            return item

    # all runs

    def first_run(self, entry: Measured) -> None:
        self.uncopied = 0
        with PeakMemory() as peak:
            run = self.attempt(entry)
        if run is None:
            return
        entry.first, entry.memory, entry.workers = run.seconds, peak.bytes, run.workers
        entry.note_cpu(run.cpu, run.seconds)
        if self.reference is None:
            self.reference, entry.results = (entry.backend, run.results), "reference"
            if first_difference(self.items, run.items)[0] is Same.DIFFERENT and not self.uncopied:
                self.findings.append(
                    "The function changes its arguments. In processes and interpreters it gets copies, "
                    "so there the caller would not see the changes."
                )
        else:
            self.check(entry, run.results)

    def check(self, entry: Measured, results: list[Any]) -> None:
        assert self.reference is not None
        other, expected = self.reference
        alike, where = first_difference(expected, results)
        entry.results = alike.name.lower()
        if alike is not Same.DIFFERENT or where is None:
            return
        if other == "serial":
            again = self.execute("serial").results
            if first_difference(expected, again)[0] is Same.DIFFERENT:
                entry.results = "unknown"
                note = (
                    "Even a plain loop gives different results each time (random numbers, clocks, counters?), "
                    "so results cannot be compared between backends."
                )
                if note not in self.findings:
                    self.findings.append(note)
                return
        one, two = (_short(values[where]) if where < len(values) else "nothing" for values in (expected, results))
        self.findings.append(
            f"DIFFERENT RESULTS: item {where} gives {one} in {_place(other)} and {two} in {_place(entry.backend)}. "
            "The function depends on something besides its arguments, or calls disturb each other: "
            f"do not use {entry.backend} for it as it is."
        )

    def counted_run(self, entry: Measured) -> None:
        run = self.attempt(entry)
        if run is not None:
            if not entry.times:
                entry.cores.clear()
            entry.times.append(run.seconds)
            entry.note_cpu(run.cpu, run.seconds)
            entry.workers = max(entry.workers or 1, run.workers)

    def attempt(self, entry: Measured) -> _Run | None:
        """A run; a backend's failure becomes its row's reason. The plain loop's failure is the caller's."""
        try:
            return self.execute(entry.backend)
        except Exception as error:
            if entry.backend == "serial":
                raise
            entry.reason = _first_words(error)
            return None

    def rounds_within_budget(self, entries: list[Measured], rounds: int) -> int:
        once = sum(entry.first or 0.0 for entry in entries if not entry.failed)
        counted = min(rounds, int(BUDGET / once)) if once > 0 else rounds
        if counted == 0:
            self.notes.append(
                f"One run on every backend took {duration(once)} in all, so each ran once only, its start-up "
                "included, and how much the times vary is not known."
            )
        elif counted < rounds:
            self.notes.append(
                f"{counted} of {rounds} rounds, because one run on every backend took {duration(once)} in all."
            )
        if counted:
            self.notes.append("Each backend ran once more before the counted runs; that first run is not counted.")
        if self.uncopied:
            self.notes.append(f"{self.uncopied:,} items could not be copied and were used again in every run.")
        return counted

    def probe(self, entries: list[Measured]) -> Demand | None:
        """Where the time of one call goes, from a few more calls; fills in what the model predicts from that and from
        what a call takes in the plain loop: a few calls, made once, tell what for and not how long."""
        runs = [entry for entry in entries if entry.first is not None]
        if not runs or not self.items:
            return None
        slowest = max((entry.first or 0.0) * (entry.workers or 1) for entry in runs) / len(self.items)
        if slowest > LONG_CALL:
            self.notes.append("One call takes so long that none was made for the model: there are no predictions.")
            return None
        columns = list(zip(*_spread(self.fresh_items()), strict=True))
        if self.coroutine:  # in a thread of its own: a notebook's own thread runs a loop already
            with ThreadPoolExecutor(1) as thread:
                profile = thread.submit(probe, self.fn, *columns, budget=PROBE_SECONDS).result()
        else:
            profile = probe(self.fn, *columns, budget=PROBE_SECONDS)
        plain = next((statistics.median(one.counted) for one in runs if one.backend == "serial"), None)
        if plain:
            profile = replace(profile, demand=profile.demand.lasting(plain / len(self.items)))
        for entry in runs:
            entry.predicted = profile.predict(entry.backend, entry.workers or 1).seconds
        return profile.demand

    # what follows

    def conclude(self, entries: list[Measured], counted: int, demand: Demand | None) -> Comparison:
        here = machine()
        waits = None if demand is None else demand.wait > demand.cpu
        rows, winner, tied = judge(entries, len(self.items), here.cores, waits)
        facts = self.facts(rows, demand, here.cores, here.gil)
        name = _name_of(self.fn)
        kept = self.tied_down(winner)
        if any(row.verdict.endswith("?") for row in rows):
            self.notes.append(
                "Where a verdict has a question mark the times vary too much to be sure: is the machine busy with "
                "something else? More rounds, or more items, would tell."
            )
        ran = [row for row in rows if row.ran]
        if winner is None:
            why = "No backend ran to its end, so there is nothing to compare."
        elif len(ran) == 1:
            why = f"Only {_place(winner.backend)} ran, so there is nothing to compare it with."
        else:
            why = _reasons.reason(winner, rows, facts, tied)
        return Comparison(
            function=name,
            items=len(self.items),
            machine=f"{here.implementation} {here.python}, {'with' if here.gil else 'without'} the GIL, "
            f"{here.cores} usable {'core' if here.cores == 1 else 'cores'}",
            rows=rows,
            rounds=counted,
            winner=None if winner is None else winner.backend,
            reason=why,
            advice=() if winner is None or len(ran) == 1 else self.advice(winner, facts, name, kept),
            findings=tuple(self.findings),
            notes=tuple(self.notes),
            demand={}
            if demand is None
            else {
                "wait": demand.wait,
                "cpu": demand.cpu,
                "gil": demand.gil,
                "wire": facts.wire,
            },
        )

    def tied_down(self, winner: Row | None) -> bool:
        """Whether ``map`` would not use the winner, because of what the function changes or needs; tells why."""
        if self.coroutine:
            return False
        found = [effect for effect in effects(self.fn) if effect.certain]
        told = any("changes its arguments" in finding for finding in self.findings)
        for effect in found:
            if not (told and effect.what.startswith("changes its argument")):
                self.findings.append(
                    f"It {effect}: in processes that is lost, in threads it may be torn; "
                    "lw.map keeps it in the calling thread."
                )
        tied = ties(self.fn)
        for tie in tied:
            where = "in the calling thread" if tie.to == "thread" else "in this process"
            self.findings.append(f"It {tie}: lw.map keeps it {where}.")
        elsewhere = winner is not None and winner.backend in ("processes", "interpreters")
        return bool(found) or any(tie.to == "thread" or elsewhere for tie in tied)

    @staticmethod
    def advice(winner: Row, facts: Facts, name: str, kept: bool) -> tuple[str, ...]:
        advice = _reasons.advice(winner, facts, name)
        return tuple(text for text in advice if not (kept and text.startswith("In code:")))

    def facts(self, rows: tuple[Row, ...], demand: Demand | None, cores: int, gil: bool) -> Facts:
        if demand is not None:
            wire = demand.wire_caller + demand.wire_worker
            return Facts(demand.wait, demand.cpu, demand.gil, wire, cores, gil, len(self.items))
        by_name = {row.backend: row for row in rows if row.ran}
        plain = by_name.get("serial") or next(iter(by_name.values()), None)
        if plain is None or plain.time is None or not self.items:
            return Facts(0.0, 0.0, None, 0.0, cores, gil, len(self.items))
        wall = plain.time.value / len(self.items)
        cpu = wall * min(1.0, plain.cpu or 0.0)
        # More than one core's worth of CPU time in threads is only possible where the GIL is let go.
        threads = by_name.get("threads")
        held = 0.0 if threads is not None and (threads.cpu or 0.0) > 1.3 else cpu
        return Facts(wall - cpu, cpu, held, 0.0, cores, gil, len(self.items))


def _spread(items: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The items in another order, so that the first few, whichever number that is, are from everywhere among them:
    where they are sorted by what they take, those at the beginning tell nothing of the others."""
    total = len(items)
    places = dict.fromkeys(int(number * GOLDEN % 1.0 * total) for number in range(1, total))
    return [items[place] for place in [*places, *(rest for rest in range(total) if rest not in places)]]


def _await_one_by_one(fn: Callable[..., Any], items: list[tuple[Any, ...]], results: list[Any]) -> None:
    """The plain loop of coroutine functions, in a thread of its own: a notebook's own thread runs a loop already."""

    async def loop() -> None:
        for item in items:
            results.append(await fn(*item))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, loop()).result()


def _name_of(fn: Callable[..., Any]) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return f"{module}:{name}" if module and module not in (*MAINS, "builtins") else name


def _place(backend: str) -> str:
    return "a plain loop" if backend == "serial" else backend


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _first_words(error: BaseException) -> str:
    """An error in one line: lightwork's own speak for themselves, others with their type."""
    text = " ".join(str(error).split())
    if not isinstance(error, LightworkError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
