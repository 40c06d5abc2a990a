"""What a run did and why, for those who asked for it; and its text, for people."""

from __future__ import annotations

from lightwork._trace import Ran, counted, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lightwork._account import Account
    from lightwork._finding import Finding


TOO_SHORT = 0.001
"""Seconds of a run of which nobody asks where they went."""


BOTH = 0.5
"""Times the work of all workers from which on the calling thread did so much that it is named with them."""


class Report(Ran, frozen=True):
    """What a run did, and why. ``str(report)`` is the text for people, 80 columns wide."""

    @property
    def account(self) -> Account:
        """Where the time of the workers went, in seconds added up."""
        from lightwork._account import account
        from lightwork._machine import gil_enabled

        return account(self, gil_enabled())

    @property
    def advice(self) -> tuple[Finding, ...]:
        """What would make it faster still, with the evidence, what gains most first; and what nobody can tell."""
        from lightwork._advice import advice
        from lightwork._machine import gil_enabled, usable_cores

        return advice(self, usable_cores(), gil_enabled())

    def __str__(self) -> str:
        from lightwork._demand import seconds
        from lightwork._sizes import workers

        ran = f"{counted(self.calls, 'call')} in {seconds(self.seconds)}"
        own = sum(lane.busy for lane in self.lanes if lane.backend == "serial")
        others = [lane for lane in self.lanes if lane.calls and lane.backend != "serial"]
        if others and own > BOTH * sum(lane.busy for lane in others):
            crews = " and ".join(f"on {workers(lane.workers, lane.backend)}" for lane in others)
            lines = [f"{ran} in the calling thread and {crews}"]
        else:
            lines = [f"{ran} on {self.backend} ({counted(self.workers, 'worker')})"]
        if len(self.lanes) > 1:
            parts = (
                f"{lane.calls:,} in the calling thread"
                if lane.backend == "serial"
                else f"{lane.calls:,} on {workers(lane.workers, lane.backend)}"
                for lane in self.lanes
            )
            lines += _told("where: " + ", ".join(parts))
        # The decision to change the backend begins with the demand it rests on.
        if self.demand is not None and not any("one call takes" in decision.why for decision in self.decisions):
            lines += _told(f"one call: {self.demand}")
        for decision in self.decisions:
            lines += _told(f"at {seconds(decision.at)}: {decision.what}: {decision.why}")
        for count, what in (
            (self.retries, "retried"),
            (self.failures, "failed"),
            (self.lost_workers, "worker lost and replaced" if self.lost_workers == 1 else "workers lost and replaced"),
            (self.unstoppable, "could not be stopped and went on"),
        ):
            if count:
                lines.append(f"  {count:,} {what}")
        for lock in self.contention:
            lines += _told(str(lock))
        return "\n".join([*lines, *self._where_the_time_went(), *self._what_would_help()])

    def _where_the_time_went(self) -> list[str]:
        if not self.calls or not self.lanes or self.seconds < TOO_SHORT:
            return []
        from lightwork._account import drawn
        from lightwork._machine import gil_enabled

        return drawn(self, self.account, gil_enabled())

    def _what_would_help(self) -> list[str]:
        lines: list[str] = []
        for one in self.advice:
            lines += wrapped(f"{one.verdict}: {one.what}", 80, indent="    ", first="  ")
            lines += wrapped(f"→ {one.remedy}", 80, indent="      ", first="    ") if one.remedy else []
        return lines

    __repr__ = __str__

    def to_trace(self, path: str | Path) -> Path:
        """Writes the run as a timeline that https://ui.perfetto.dev and chrome://tracing show, and returns its path.

        A row for each worker, with its calls and its waits for checked locks, and one for each such lock, with its
        holds. Of a long run the first 20,000 batches are there, and of each lock the latest waits.
        """
        import json
        from pathlib import Path

        from lightwork._timeline import timeline

        path = Path(path)
        path.write_text(json.dumps(timeline(self)), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"


def _told(text: str) -> list[str]:
    return wrapped(text, 80, indent="    ", first="  ")
