"""``stall_timeout``: notices when no call has ended for so long, once for each standstill."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WorkerId = tuple[int, int]


class Running:
    """What a worker is at: the call's index, since when, and whether the worker is ready at all."""

    __slots__ = ("index", "ready", "since")

    def __init__(self, index: int, ready: bool, since: float) -> None:
        self.index, self.ready, self.since = index, ready, since


class Watchdog:
    """Told what was done and what runs whenever that may have changed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.running: dict[WorkerId, Running] = {}
        self._ended = -1
        self._since: float | None = None
        """When a call last ended while others ran, or the first began; None: nothing runs, or it was said already."""

    def look(self, now: float, ended: int, running: dict[WorkerId, tuple[int, bool]]) -> bool:
        """``ended``: calls so far; ``running``: by worker, the call's index and whether the worker is ready.

        Whether this is the moment to speak up.
        """
        seen = {}
        for worker, (index, ready) in running.items():
            known = self.running.get(worker)
            seen[worker] = Running(index, ready, known.since if known and known.index == index else now)
        # A worker that began something else has ended what it had: that counts, even where it is to be repeated.
        moved = ended != self._ended or any(
            worker not in self.running or self.running[worker].index != now_at.index for worker, now_at in seen.items()
        )
        self.running, self._ended = seen, ended
        if not seen:
            self._since = None
        elif moved:
            self._since = now
        if self._since is None or now < self._since + self.seconds:
            return False
        self._since = None
        return True

    def speak(self, now: float, stacks: Mapping[int, Callable[[list[int]], dict[int, str]]]) -> None:
        """Says on stderr what the workers do. ``stacks``: what tells that of some of a lane's workers, by lane."""
        found: dict[WorkerId, str] = {}
        for number, ask in stacks.items():
            busy = [worker for lane, worker in self.running if lane == number]
            found |= {(number, worker): text for worker, text in ask(busy).items()}
        if sys.stderr is not None:
            sys.stderr.write(words(self.seconds, now, self.running, found))

    @property
    def due(self) -> float | None:
        """When to look again at the latest."""
        return None if self._since is None else self._since + self.seconds


def words(seconds: float, now: float, running: dict[WorkerId, Running], stacks: dict[WorkerId, str]) -> str:
    """The message: a line on each worker, and its stack, every line with the worker's number."""
    lines = [f"lightwork: no call has ended for {seconds:g} s; what the workers do, most recent call first:"]
    for worker, at in sorted(running.items()):
        prefix = f"[worker {worker[1]}]"
        state = f"item {at.index}, for {now - at.since:.1f} s"
        if not at.ready:
            state = f"is not ready yet, after {now - at.since:.1f} s: its initializer may hang; item {at.index} waits"
        lines.append(f"{prefix} {state}")
        if worker in stacks:
            lines += [f"{prefix} {line}" for line in stacks[worker].splitlines()]
        elif at.ready:
            lines.append(f"{prefix}   does not answer: it was stopped, or the kernel holds it")
    return "\n".join(lines) + "\n"
