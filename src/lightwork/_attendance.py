"""When a crew's workers could take calls: what the time that they had nothing to do is reckoned from."""

from __future__ import annotations

from lightwork._record import Slotted


class Attendance(Slotted):
    """Of one lane. ``starting``: seconds from the workers' starts until they could take calls, added up."""

    __slots__ = ("_began", "_present", "_since", "starting")

    def __init__(self) -> None:
        self.starting = 0.0
        self._present = 0.0
        self._began: dict[int, float] = {}
        self._since: dict[int, float] = {}

    def start(self, worker: int, now: float) -> None:
        """A worker is being started."""
        self._began[worker] = now

    def ready(self, worker: int, seconds: float) -> None:
        """It can take calls, ``seconds`` after its start: the word of that may have come later."""
        self.starting += seconds
        self._since[worker] = self._began.pop(worker, 0.0) + seconds

    def gone(self, worker: int, now: float) -> None:
        """It takes no more calls."""
        began, since = self._began.pop(worker, None), self._since.pop(worker, None)
        if began is not None:
            self.starting += now - began
        if since is not None:
            self._present += max(0.0, now - since)

    def until(self, now: float) -> tuple[float, float]:
        """Seconds in which workers were starting, and in which they could take calls, added up."""
        starting = self.starting + sum(now - began for began in self._began.values())
        return starting, self._present + sum(max(0.0, now - since) for since in self._since.values())
