"""A run as a timeline for Perfetto and Chrome: the Trace Event Format."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from lightwork._trace import Contended, Ran, Span

    Row = tuple[int, int]
    """Process and thread, as the format has it: here a backend and its worker, or a lock."""


LOCKS = 1
"""Of the format's processes the one whose rows are locks; backends come after it."""


def timeline(report: Ran) -> dict[str, Any]:
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
