"""The measuring behind ``compare``: first runs, counted rounds, where one call's time goes, and what follows."""

from __future__ import annotations

import asyncio
import copy
import functools
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from lightwork import _reasons
from lightwork._apart import alone
from lightwork._by_code import MAINS
from lightwork._captured import ties
from lightwork._clock import SystemClock
from lightwork._demand import Demand
from lightwork._effects import effects
from lightwork._inventory import machine
from lightwork._reasons import Facts
from lightwork._sameness import Same, first_difference
from lightwork._unfilled import unfilled
from lightwork._usage import PeakMemory, descendants_cpu_seconds, own_cpu_seconds
from lightwork._verdicts import Measured, judge
from lightwork.errors import LightworkError
from lightwork.mapping import starmap
from lightwork.probing import probe
from lightwork.report.comparison import Comparison
from lightwork.report.rows import Row
from lightwork.report.text import duration

BUDGET = 60.0
"""Seconds that the counted runs of all backends may take together; where one round takes longer, its figures stand."""

PROBE_SECONDS = 0.25
"""Seconds for measuring where one call's time goes, after the runs."""

GOLDEN = 0.6180339887498949
"""Whose multiples, modulo 1, are evenly spread however many they are."""

LONG_CALL = 2.0
"""Seconds of one call above which it is not probed any more: the probe would call it again."""


@dataclass
class _Run:
    """What one run of all items gave."""

    results: list[Any]
    items: list[tuple[Any, ...]]
    seconds: float
    cpu: float
    workers: int


class Session:
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
        self.unfilled = unfilled(fn)
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
        changes = [effect for effect in found if effect.of_argument]
        own = changes if changes and alone(self.fn, self.items) else []
        for effect in found:
            if told and effect.what.startswith("changes its argument"):
                continue
            torn, where = (
                (", in threads it may be torn", "the calling thread") if effect not in own else ("", "threads")
            )
            self.findings.append(f"It {effect}: in processes that is lost{torn}; lw.map keeps it in {where}.")
        tied = ties(self.fn, self.unfilled)
        for tie in tied:
            where = "in the calling thread" if tie.to == "thread" else "in this process"
            self.findings.append(f"It {tie}: lw.map keeps it {where}.")
        elsewhere = winner is not None and winner.backend in ("processes", "interpreters")
        return len(found) > len(own) or any(tie.to == "thread" for tie in tied) or (elsewhere and bool(own or tied))

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
