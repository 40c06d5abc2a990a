"""What a report needs of a lane besides its calls: when workers could take any, and what the caller did for them."""

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


EACH, EVERY = 64, 16
"""So many times all count; from then on every so-many-th stands for those before it. Reading the clock of a thread's
CPU takes half a microsecond, and a message to a worker ten."""


class Gauge(Slotted):
    """CPU seconds of something that is done often: ``if gauge.due(): …  gauge.add(seconds)``."""

    __slots__ = ("_count", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._count = 0

    def due(self) -> bool:
        """Whether it is to be measured this time."""
        self._count += 1
        return self._count <= EACH or not self._count % EVERY

    def add(self, seconds: float) -> None:
        """It took so many seconds."""
        self.seconds += seconds if self._count <= EACH else EVERY * seconds
