"""What ran where, when and why: the record that a run leaves behind; and its form for Perfetto and Chrome."""

from __future__ import annotations

from lightwork._record import Record, Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from lightwork._demand import Demand

    Row = tuple[int, int]
    """Process and thread, as the Trace Event Format has it: here a backend and its worker, or a lock."""


_QUANTITY = r"(?<=\d) (?=(?:%|[nµm]?s|k?B|[KMG]i?B|calls?|cores?|workers?|times|×)(?!\w))"
_NO_BREAK = "\u00a0"


def unbroken(text: str) -> str:
    """The same with no-break spaces between numbers and their units, for whatever breaks lines afterwards."""
    import re

    return re.sub(_QUANTITY, _NO_BREAK, text)


def wrapped(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """Lines of ``width`` columns at most. Quantities are kept together, and words longer than a line (paths) whole.

    ``indent`` is put before every line, or ``first`` before the first one.
    """
    import textwrap

    lines = textwrap.wrap(
        unbroken(text),
        max(width, 20),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


class Span(Slotted):
    """One worker's uninterrupted work on ``calls`` calls, the first of them item ``first``.

    ``began`` in seconds since the run's start, ``seconds`` wall time in the worker, ``cpu`` its thread's CPU seconds.
    """

    __slots__ = ("backend", "began", "calls", "cpu", "first", "seconds", "worker")

    def __init__(
        self, backend: str, worker: int, first: int, calls: int, began: float, seconds: float, cpu: float
    ) -> None:
        self.backend = backend
        self.worker = worker
        self.first = first
        self.calls = calls
        self.began = began
        self.seconds = seconds
        self.cpu = cpu


class Decision(Record, frozen=True):
    """What was decided ``at`` seconds after the run's start, and the evidence, each a full sentence."""

    at: float
    what: str
    why: str


class Lane(Record, frozen=True):
    """One backend's part of a run. ``busy``: seconds its workers spent in calls, added up."""

    backend: str
    workers: int
    calls: int
    busy: float
    cpu: float


class Progress(Record, frozen=True):
    """How far a run is: handed to the callable given as ``progress=``. ``total`` is None where it is unknown."""

    done: int
    total: int | None
    failed: int
    seconds: float
    backend: str
    finished: bool = False


class Turn(Record, frozen=True):
    """One thread's wait for a lock, or the hold of it that somebody waited for.

    ``began`` in seconds since the run's start; ``item``: index of the call in which it was, None outside of calls.
    """

    what: str
    """``waited`` or ``held``."""
    process: int
    thread: int
    item: int | None
    began: float
    seconds: float


class Contended(Record, frozen=True):
    """A checked lock that was waited for while a run went on. Seconds, all processes together; ``waiters`` are
    (process id, thread id, seconds), the longest first."""

    made: str
    """Where the lock was made."""
    acquired: int
    waited_for: int
    waiting: float
    holding: float
    waiters: tuple[tuple[int, int, float], ...] = ()
    turns: tuple[Turn, ...] = ()
    """The waits, and the holds that somebody waited for: the latest, in the order of their beginnings."""

    def __str__(self) -> str:
        said = (
            f"the lock made at {self.made} was waited for {self.waited_for:,} of {_counted(self.acquired, 'time')}, "
            f"{self.waiting:.3g} s in all; it was held for {self.holding:.3g} s"
        )
        several = {process for process, _, _ in self.waiters}
        for process, thread, seconds in self.waiters[:3]:
            who = f"process {process}" if len(several) == len(self.waiters) else f"thread {thread} of process {process}"
            said += f"; {who} waited {seconds:.3g} s"
        return said


class Report(Record, frozen=True):
    """What a run did, and why. ``str(report)`` is the text for people, 80 columns wide.

    ``backend`` is the one that ran most of the calls, ``workers`` the most that it had at a time; ``seconds`` is
    wall time from the call of map to its end, ``sent`` the bytes that crossed to workers and back.
    """

    backend: str
    workers: int
    calls: int
    seconds: float
    lanes: tuple[Lane, ...] = ()
    decisions: tuple[Decision, ...] = ()
    spans: tuple[Span, ...] = ()
    demand: Demand | None = None
    startup: float = 0.0
    sent: int = 0
    retries: int = 0
    failures: int = 0
    lost_workers: int = 0
    unstoppable: int = 0
    contention: tuple[Contended, ...] = ()
    """Checked locks (``LIGHTWORK_DEBUG=1``) that were waited for meanwhile, the worst first."""

    def __str__(self) -> str:
        ran = f"{_counted(self.calls, 'call')} in {self.seconds:.3g} s"
        lines = [f"{ran} on {self.backend} ({_counted(self.workers, 'worker')})"]
        if len(self.lanes) > 1:
            parts = (f"{lane.calls:,} on {lane.backend}" for lane in self.lanes)
            lines += _told("where: " + ", ".join(parts))
        # The decision to change the backend begins with the demand it rests on.
        if self.demand is not None and not any("one call takes" in decision.why for decision in self.decisions):
            lines += _told(f"one call: {self.demand}")
        for decision in self.decisions:
            lines += _told(f"at {decision.at:.3g} s: {decision.what}: {decision.why}")
        for count, what in (
            (self.retries, "retried"),
            (self.failures, "failed"),
            (self.lost_workers, "worker lost and replaced" if self.lost_workers == 1 else "workers lost and replaced"),
            (self.unstoppable, "could not be stopped and went on"),
        ):
            if count:
                lines.append(f"  {count:,} {what}")
        if self.sent:
            lines.append(f"  {_counted(self.sent, 'byte')} crossed between processes")
        for lock in self.contention:
            lines += _told(str(lock))
        return "\n".join(lines)

    __repr__ = __str__

    def to_trace(self, path: str | Path) -> Path:
        """Writes the run as a timeline that https://ui.perfetto.dev and chrome://tracing show, and returns its path.

        A row for each worker, with its calls and its waits for checked locks, and one for each such lock, with its
        holds. Of a long run the first 20,000 batches are there, and of each lock the latest waits.
        """
        import json
        from pathlib import Path

        path = Path(path)
        path.write_text(json.dumps(_timeline(self)), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"


def _told(text: str) -> list[str]:
    return wrapped(text, 80, indent="    ", first="  ")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# the timeline


LOCKS = 1
"""Of the format's processes the one whose rows are locks; backends come after it."""


def _timeline(report: Report) -> dict[str, Any]:
    """The run in the Trace Event Format; times in microseconds since the run's start."""
    backends = list(dict.fromkeys([*(lane.backend for lane in report.lanes), *(s.backend for s in report.spans)]))
    groups = {backend: LOCKS + 1 + number for number, backend in enumerate(backends)}
    events = [_named("process_name", (group, 0), backend) for backend, group in groups.items()]
    rows = dict.fromkeys((groups[span.backend], span.worker) for span in report.spans)
    events += [_named("thread_name", row, f"worker {row[1]}") for row in rows]
    for span in report.spans:
        what = f"item {span.first}" if span.calls == 1 else f"items {span.first} to {span.first + span.calls - 1}"
        more = {"calls": span.calls, "CPU seconds": span.cpu}
        events.append(_slice((groups[span.backend], span.worker), what, span.began, span.seconds, more))
    for decision in report.decisions:
        where = {"name": decision.what, "ph": "i", "s": "g", "pid": LOCKS, "tid": 0}
        events.append({**where, "ts": decision.at * 1e6, "args": {"why": decision.why}})
    if report.contention:
        events.append(_named("process_name", (LOCKS, 0), "locks"))
        workers = _Workers(report.spans, groups)
        for number, lock in enumerate(report.contention, 1):
            events += _turns(lock, number, workers)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _turns(lock: Contended, number: int, workers: _Workers) -> Iterator[dict[str, Any]]:
    """A lock's holds in a row of its own, since those of several locks may overlap in a worker; waits where they
    were."""
    yield _named("thread_name", (LOCKS, number), f"the lock made at {lock.made}")
    for turn in lock.turns:
        who = f"thread {turn.thread} of process {turn.process}" if turn.item is None else f"item {turn.item}"
        more = {"process": turn.process, "thread": turn.thread, "item": turn.item, "lock": lock.made}
        if turn.what == "held":
            yield _slice((LOCKS, number), f"held by {who}", turn.began, turn.seconds, more)
            continue
        row = workers.at(turn.item, turn.began)
        if row is not None:
            yield _slice(row, "waits for a lock", turn.began, turn.seconds, more)
        else:  # of a thread that is no worker; or the call is not in the record
            yield _named("thread_name", (turn.process, turn.thread), who)
            yield _slice((turn.process, turn.thread), "waits for a lock", turn.began, turn.seconds, more)


class _Workers:
    """Which worker had an item at a moment."""

    def __init__(self, spans: tuple[Span, ...], groups: dict[str, int]) -> None:
        self._spans = sorted(spans, key=lambda span: span.first)
        self._firsts = [span.first for span in self._spans]
        self._groups = groups

    def at(self, item: int | None, moment: float) -> Row | None:
        if item is None:
            return None
        from bisect import bisect_right

        end = bisect_right(self._firsts, item)
        for span in reversed(self._spans[max(0, end - 8) : end]):  # an item may have been called again
            if item < span.first + span.calls and span.began <= moment <= span.began + span.seconds:
                return self._groups[span.backend], span.worker
        return None


def _slice(row: Row, name: str, began: float, seconds: float, more: dict[str, Any]) -> dict[str, Any]:
    where = {"ph": "X", "pid": row[0], "tid": row[1]}
    return {"name": name, **where, "ts": began * 1e6, "dur": seconds * 1e6, "args": more}


def _named(what: str, row: Row, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": row[0], "tid": row[1], "args": {"name": name}}
