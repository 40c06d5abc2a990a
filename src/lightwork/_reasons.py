"""Why a backend won a comparison, in one sentence for a beginner, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightwork._verdicts import at_once
from lightwork.report.rows import Row
from lightwork.report.text import duration, times

MOSTLY = 0.5
"""Share of a call's time above which it is called mostly waiting, mostly computing, mostly under the GIL."""

TOO_SHORT = 0.01
"""Seconds for the whole plain loop under which starting any worker costs more than it can bring."""

CROWDED = 0.75
"""Cores that a plain loop of computing calls keeps busy; where it is less, other programs had the rest."""

SHORT = 1.0
"""Seconds for the whole plain loop above which starting workers (tens of milliseconds) no longer explains a loss."""


@dataclass(frozen=True)
class Facts:
    """What a comparison knows besides its rows: one call's demands in seconds, and the machine.

    ``gil`` is None where it was not measured; ``wire`` the seconds to send one call's arguments and result.
    """

    wait: float
    cpu: float
    gil: float | None
    wire: float
    cores: int
    gil_enabled: bool
    items: int
    coroutine: bool = False

    @property
    def wall(self) -> float:
        """Seconds of one call in a plain loop."""
        return max(self.wait + self.cpu, 1e-9)

    @property
    def waits(self) -> bool:
        """Whether a call mostly waits."""
        return self.wait / self.wall > MOSTLY

    @property
    def holds_gil(self) -> bool:
        """Whether a call's computing mostly holds the GIL."""
        return self.gil_enabled and (self.gil is None or self.gil > MOSTLY * self.cpu)


NAMES = {
    "serial": "A plain loop",
    "threads": "Threads",
    "processes": "Processes",
    "interpreters": "Sub-interpreters",
    "asyncio": "Coroutines on one event loop",
}


def reason(winner: Row, rows: Sequence[Row], facts: Facts, tied: Sequence[str]) -> str:
    """The sentence: who wins, by how much, and because of what."""
    who = NAMES.get(winner.backend, winner.backend)
    if winner.backend == "serial":
        verb = "wins" if not tied else f"is as fast as {_and(tied)}, and simpler"
        if not tied and any(row.verdict.endswith("?") for row in rows):
            verb = "seems to win, though the times vary too much to be sure"
        return f"{who} {verb}: {_why_serial(rows, facts)}."
    equal = f" ({_and(tied)}: equally fast)" if tied else ""
    why = _why_parallel(winner, rows, facts)
    if winner.speedup is None:
        return f"{who} {_win(winner)}{equal}: {why}."
    gain = f"{times(winner.speedup.value)} times faster than a plain loop"
    if winner.speedup.low <= 1.0:
        return f"{who} may be {gain}{equal}, but the times vary too much to be sure: {why}."
    return f"{who} {_win(winner)}, {gain}{equal}: {why}."


def _win(winner: Row) -> str:
    return "win" if winner.backend in NAMES else "wins"  # all names but the plain loop's are plural


BLOCKS = (
    "your function blocks the event loop: it waits without await (time.sleep instead of asyncio.sleep?), "
    "so nothing else can run meanwhile"
)


def _blocks(rows: Sequence[Row], facts: Facts) -> bool:
    """Whether a coroutine function waits, and the others do not go on meanwhile."""
    loop = next((row for row in rows if row.backend == "asyncio" and row.ran), None)
    return (
        facts.waits and facts.items > 1 and loop is not None and loop.speedup is not None and loop.speedup.value < 1.2
    )


def _why_serial(rows: Sequence[Row], facts: Facts) -> str:
    serial = next(row for row in rows if row.backend == "serial")
    assert serial.time is not None
    total = serial.time.value
    if facts.items == 0:
        return "there are no items"
    if facts.items == 1:
        return "there is one item only, so nothing can run beside it"
    if total < TOO_SHORT:
        return (
            f"all {facts.items:,} calls together take {duration(total)}, "
            "less than it costs to start workers and hand the calls to them"
        )
    if not facts.waits and serial.cpu is not None and serial.cpu < CROWDED:
        return (
            f"other programs use the cores just now (the loop itself got {serial.cpu:.1f} of one), "
            "so that more workers found none free; measure again on a quiet machine"
        )
    if _blocks(rows, facts):
        return BLOCKS
    if facts.waits:
        return "your function mostly waits, and waiting in several workers at once did not shorten it here"
    if (serial.cpu or 0) > 1.3:
        return (
            f"your function already keeps {serial.cpu:.1f} cores busy by itself (threads of a C library, "
            "or programs that it starts), so nothing is left for more workers"
        )
    if facts.cores == 1:
        return "your function computes, and this machine gives it one core only"
    if facts.wire > 0.5 * facts.wall:
        return (
            f"one call computes for {duration(facts.wall)}, and sending its data to a worker and back "
            f"costs {duration(facts.wire)}"
        )
    if facts.holds_gil and not any(row.ran and row.backend in ("processes", "interpreters") for row in rows):
        return "your function computes in Python, where threads must take turns, and processes were not compared"
    if facts.holds_gil:
        return "your function computes in Python, where threads must take turns, " + (
            "and the work is too short to pay for starting processes"
            if total < SHORT
            else "and processes brought no gain here: other programs use the cores, or the data is costly to send"
        )
    if total < SHORT:
        return "the work is too short to pay for starting workers"
    return "more workers brought no gain here, as when other programs use the cores, or one disk serves all"


def _why_parallel(winner: Row, rows: Sequence[Row], facts: Facts) -> str:
    backend, cores = winner.backend, facts.cores
    if backend == "asyncio" and _blocks(rows, facts):
        return BLOCKS
    at_once = f"{_number(cores)} cores" if cores > 1 else "a core"
    if facts.waits:
        share = f"{100 * facts.wait / facts.wall:.0f} % of the time"
        if backend == "processes" or backend == "interpreters":
            return f"your function mostly waits ({share}), and while one call waits, others go on"
        return f"your function mostly waits ({share}), and while one call waits, the others go on"
    if backend == "asyncio":
        return "while one coroutine waits, the others go on"
    if backend == "threads":
        if not facts.gil_enabled:
            return f"this Python has no GIL, so threads compute on {at_once} at once, and nothing has to be sent"
        if not facts.holds_gil:
            return (
                "the work is done outside of Python (C code that lets go of the GIL, or another program), "
                f"so threads use {at_once} at once, and nothing has to be sent"
            )
        return "part of each call waits or lets go of the GIL, and another thread uses that time"
    if backend == "interpreters":
        if facts.holds_gil:
            return (
                "your function computes in Python, and sub-interpreters, each with a GIL of its own, "
                f"let {at_once} compute at once"
            )
        return f"sub-interpreters let {at_once} compute at once"
    if backend == "processes":
        if facts.holds_gil:
            only = "" if any(row.ran and row.backend == "interpreters" for row in rows) else "only "
            return f"your function computes in Python, and {only}processes let {at_once} compute at once"
        return f"your function computes, and processes let {at_once} compute at once"
    return "it finished first"


def advice(winner: Row, facts: Facts, function: str) -> tuple[str, ...]:
    """What to do next, the most useful first."""
    name = function.rpartition(":")[2].rpartition(".")[2] or "fn"
    found = []
    if winner.backend == "serial":
        if facts.items > 1 and not facts.waits and facts.cores > 1 and facts.wall < 1e-3:
            found.append(
                f"One call takes {duration(facts.wall)}. Give each call more to do (a slice of the items, a whole "
                "file) and workers may pay."
            )
    else:
        found.append(
            f'In code: results = lightwork.map({name}, items)  # finds this by itself, or backend="{winner.backend}"'
        )
    if winner.backend in ("processes", "interpreters") and facts.wire > 0.2 * facts.wall:
        found.append(
            f"Sending data costs {duration(facts.wire)} a call beside {duration(facts.wall)} of work: "
            "send less: names of files instead of their contents, a sum instead of an array."
        )
    workers = winner.workers or 1
    if winner.backend != "serial" and workers > 1 and winner.speedup is not None:
        able = at_once(workers, None if facts.waits else facts.cores)
        share = winner.speedup.value / able
        if facts.waits and share > 0.8 and facts.items > workers:
            found.append(f"Each of the {workers} workers paid in full: try more of them with max_workers.")
        if not facts.waits and able > 1 and share < 0.6:
            what = f"{workers} workers" if able == workers else f"{able} cores"
            found.append(
                f"Only {100 * share:.0f} % of what {what} could bring arrived: "
                "longer calls, fewer and larger items, or less data to send would raise it."
            )
    return tuple(found)


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _number(count: int) -> str:
    words = (
        "no",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    )
    return words[count] if count < len(words) else f"{count}"
