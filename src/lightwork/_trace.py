"""What ran where, when and why: the record that a run leaves behind. ``_report`` has it as callers see it."""

from __future__ import annotations

from lightwork._record import Record, Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._demand import Demand

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
    """What was decided ``at`` seconds after the run's start, and the evidence, each a full sentence.

    ``fewer``: to go on with fewer workers than were wanted, as the system has no room for more.
    """

    at: float
    what: str
    why: str
    fewer: bool = False


class Lane(Record, frozen=True):
    """One backend's part of a run, in seconds of all its workers added up.

    ``busy``: in calls; ``cpu``: computing in them; ``starting``: until they could take calls; ``idle``: when they could
    and had none; ``sending``: CPU seconds of the caller for handing calls out to other processes and taking results in.
    """

    backend: str
    workers: int
    calls: int
    busy: float
    cpu: float
    starting: float = 0.0
    idle: float = 0.0
    sending: float = 0.0


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
            f"the lock made at {self.made} was waited for {self.waited_for:,} of {counted(self.acquired, 'time')}, "
            f"{self.waiting:.3g} s in all; it was held for {self.holding:.3g} s"
        )
        several = {process for process, _, _ in self.waiters}
        for process, thread, seconds in self.waiters[:3]:
            who = f"process {process}" if len(several) == len(self.waiters) else f"thread {thread} of process {process}"
            said += f"; {who} waited {seconds:.3g} s"
        return said


class Ran(Record, frozen=True):
    """All that is known of a run.

    ``backend`` is the one that ran most of the calls, by the time that these took, ``workers`` the most that it had at
    a time: "serial" and 1 where the calling thread made the most, though others may have made some beside it, whom
    ``lanes`` has; ``seconds`` is
    wall time from the call of map to its end, ``sent`` the bytes that crossed to workers and back. ``demand`` is what
    one call asks for, where that was measured; its part under the GIL counts only where ``gil_known``, its wire parts
    only where ``wire_known``.
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
    gil_known: bool = False
    wire_known: bool = False
    stays: str | None = None
    """What the function does that keeps it in the calling thread: "changes the global …"."""
    refused: tuple[tuple[str, str], ...] = ()
    """Backends that could not take the function over, each with the reason."""
    counted: bool = True
    """Whether the number of items was known beforehand."""


def counted(count: int, noun: str) -> str:
    """``1 call``, ``1,200 calls``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
