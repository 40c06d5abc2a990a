"""Where the time of one call goes, and how that is measured while the calls are the job.

Meter     clocks around groups of calls: wall time, this thread's CPU, that of other threads and children
Canary    a thread that knocks at the GIL now and then, and so learns how much of the time it is held
Wire      what travels, as ``_wire_cost`` has measured it
Demand    what comes out: seconds of waiting, computing, holding the GIL and travelling, for one call
"""

from __future__ import annotations

import time

from lightwork import _machine
from lightwork._clock import alone, thread_cpu_clock
from lightwork._lean import Lock, deque
from lightwork._record import Record, replace
from lightwork._stats import relative_mad
from lightwork._turns import QuickTurns

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from lightwork._offspring import Offspring


# --- what one call asks


class Demand(Record, frozen=True):
    """What one call asks for, in seconds, as a mean over ``calls`` observed ones."""

    wait: float
    """Nobody's CPU: sleeping, a disk, a server."""
    cpu: float
    """Of a core. More than the call's wall time where a library computes in several threads."""
    gil: float = 0.0
    """The part of ``cpu`` in which the GIL is held."""
    wire_caller: float = 0.0
    """Pickling the argument and unpickling the result, in the caller."""
    wire_worker: float = 0.0
    """Unpickling the argument and pickling the result, in a worker."""
    bytes_out: int = 0
    bytes_back: int = 0
    calls: int = 1
    spread: float = 0.0
    """Relative median absolute deviation of the calls' times."""
    hidden: float = 0.0
    """The part of ``cpu`` that ran beside the calling thread: of a BLAS, say. Not part of ``wall``."""
    children: float = 0.0
    """The part of ``cpu`` that child processes use while the calling thread waits for them."""

    @property
    def wall(self) -> float:
        """Seconds that one call takes when it is alone."""
        return self.wait + self.cpu - self.hidden

    @property
    def here(self) -> float:
        """The part of ``cpu`` that this process uses."""
        return self.cpu - self.children

    @property
    def cpu_share(self) -> float:
        """The part of the wall time that is computing, 0 to 1."""
        return min(1.0, (self.cpu - self.hidden) / self.wall) if self.wall > 0 else 0.0

    @property
    def gil_share(self) -> float:
        """The part of the computing that is done under the GIL, 0 to 1."""
        return min(1.0, self.gil / self.cpu) if self.cpu > 0 else 0.0

    def lasting(self, wall: float) -> Demand:
        """That of calls which are alike but take ``wall`` seconds. What travels is the same."""
        times = wall / self.wall if self.wall > 0 else 1.0
        return replace(
            self,
            wait=times * self.wait,
            cpu=times * self.cpu,
            gil=times * self.gil,
            hidden=times * self.hidden,
            children=times * self.children,
        )

    def __str__(self) -> str:
        computing = f"{self.cpu_share:.0%} computing".replace("%", " %")
        if self.cpu_share >= 0.1:  # of next to nothing no share is worth telling
            computing += f", {self.gil_share:.0%} of it under the GIL".replace("%", " %")
        if self.hidden > 0.1 * self.wall > 0:
            computing += f", on {self.cpu / self.wall:.1f} cores"
        travel = ""
        if self.bytes_out or self.bytes_back:
            travel = f"; {size(self.bytes_out)} out, {size(self.bytes_back)} back"
        return f"{seconds(self.wall)} ({computing}{travel})"


def seconds(value: float) -> str:
    """A duration with three digits and its unit: "12.3 ms"."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= 0.9995 * factor:
            digits = 0 if value >= 99.95 * factor else 1 if value >= 9.995 * factor else 2
            return f"{value / factor:.{digits}f} {unit}"
    return f"{value / 1e-9:.0f} ns"


def size(count: float) -> str:
    """A number of bytes with its unit: "1.2 kB"."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


# --- the clocks

_RECENT = 256  # groups whose times are kept, for the spread
_WHOLE_PROCESS_EVERY = 0.002  # s; the two clocks of the whole process cost 2 µs: 0.1 % of this
_TOO_SHORT = 1e-4  # s; in less than this nothing worth telling is lost to others
_OUR_OWN = 0.1  # below this share of the wall time, CPU beside the thread is taken for the measuring's own


_LONGER = 4.0
_LONG = (
    0.002  # s; two groups in a row that lasted so long, and so many times longer a call than all before: another job
)
_LATEST, _GREW = 3, 1.25
# groups that all took so many times longer a call than the mean: calls grow, and those to come are like the latest


class Meter:
    """Times groups of calls that the calling thread makes: ``begin()``, the calls, ``end(how_many)``.

    The first group is kept apart: it often pays for imports and caches. It counts only as long as there is no
    other. One pair of begin and end costs about 2.5 µs, and 20 where a group lasts, so that calls of less than some
    50 µs are to be timed in groups.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.perf_counter,
        thread_cpu: Callable[[], float] = time.thread_time,
        process_cpu: Callable[[], float] = time.process_time,
        children_cpu: Callable[[], float] = _machine.children_cpu,
        run_delay: Callable[[], float | None] = _machine.run_delay,
        rival: Callable[[], float] = lambda: 0.0,
        spinning: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._run_delay, self._rival, self._spinning = run_delay, rival, spinning
        self._before = 0.0, 0.0
        self._first_lost = self._lost = 0.0, 0.0
        """Seconds that this thread, and a rival, wanted a core or the GIL in the first group, and in all later ones."""
        self._wall, self._thread = wall, thread_cpu
        self._process, self._children = process_cpu, children_cpu
        self.first: tuple[int, float, float] | None = None
        """Calls, wall and CPU seconds of the first group."""
        self._unsure = False
        """Whether it counts only if the next one waits."""
        self.calls, self.seconds, self.cpu = 0, 0.0, 0.0
        self.anew = False
        """Whether calls became far longer, so that what was observed before them counts no more. For who looks at that
        to take back."""
        self._odd: tuple[int, float, float, tuple[float, float]] | None = None
        """The last group, where it was far longer than those before it: one alone may be a giant, or bad luck."""
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._latest: deque[tuple[int, float, float, tuple[float, float]]] = deque(maxlen=_LATEST)
        self._t = self._c = 0.0
        # CPU beside this thread is summed over stretches of time, which begin and end with all four clocks.
        self._stretch: tuple[float, float, float, float] | None = None
        self._beside = self._by_children = self._spun = self._beside_wall = 0.0
        self.offspring: Offspring | None = None
        """Of the thread that makes the calls, where they seem to wait."""

    def know(self, calls: int, seconds: float, cpu: float, sure: bool = True) -> None:
        """The first group was timed by somebody else: ``seconds`` are what it would have taken alone, if that is
        ``sure``; else they count only until there is another group, or where that mostly waits, too."""
        self.first = (calls, seconds, cpu)
        if calls > 1:  # the first of them can have paid for little
            if sure:
                self.calls, self.seconds, self.cpu = self.first
            self._unsure = not sure

    def begin(self) -> None:
        """The calls of a group begin now, in this thread."""
        self._before = self._run_delay() or 0.0, self._rival()
        if self._stretch is None:
            self._stretch = (self._wall(), self._process() - self._thread(), self._children(), self._spinning())
        self._c = self._thread()
        self._t = self._wall()

    def end(self, calls: int = 1) -> float:
        """A group of ``calls`` has ended; returns its wall seconds. Must be in the thread that began it."""
        now, cpu = self._wall(), self._thread()
        taken, cpu = now - self._t, cpu - self._c
        lost = (0.0, 0.0) if taken < _TOO_SHORT else self._since()
        if self.first is None:
            self.first, self._first_lost = (calls, taken, cpu), lost
        else:
            group = calls, taken, cpu, lost
            if self._unsure:
                self._unsure = False
                if 2 * cpu < taken:
                    self.calls, self.seconds, self.cpu = self.first
            odd = taken >= _LONG and taken * self.calls > _LONGER * self.seconds * calls
            if odd and self._odd is not None:
                self.calls, self.seconds, self.cpu, self._lost = self._odd
                self._recent.clear()
                self.anew, odd = True, False
            self._odd = group if odd else None
            self._latest.append(group)
            self._lost = self._lost[0] + lost[0], self._lost[1] + lost[1]
            self.calls += calls
            self.seconds += taken
            self.cpu += cpu
            self._recent.append(taken / calls)
        if self._stretch is not None and now - self._stretch[0] > _WHOLE_PROCESS_EVERY:
            other, children, spun = self._process() - self._thread(), self._children(), self._spinning()
            began, other_before, children_before, spun_before = self._stretch
            self._beside += max(0.0, other - other_before)
            self._by_children += max(0.0, children - children_before)
            self._spun += spun - spun_before
            self._beside_wall += now - began
            self._stretch = None
        return taken

    def demand(self, held_share: float | None = None, wire: Wire | None = None) -> Demand:
        """What one call asks for, from all that was observed.

        ``held_share`` is the canary's: the part of this thread's computing that held the GIL. None: not known,
        and all of it is taken to hold it (on a free-threaded build: none).
        Raises ValueError if nothing was observed.
        """
        if self.first is None:
            raise ValueError("no call was observed")
        calls, taken, own, lost = self._typical()
        taken = alone(taken, own, *lost)
        wall, own = taken / calls, min(own, taken) / calls
        beside, children = self.beside(wall, own)
        cpu = own + beside + children
        hidden = max(0.0, cpu - wall)
        share = held_share if held_share is not None else float(_machine.gil_enabled())
        return Demand(
            wait=max(0.0, wall - cpu),
            cpu=cpu,
            gil=own * share,
            wire_caller=wire.caller if wire else 0.0,
            wire_worker=wire.worker if wire else 0.0,
            bytes_out=wire.bytes_out if wire else 0,
            bytes_back=wire.bytes_back if wire else 0,
            calls=calls,
            spread=relative_mad(self._recent) if self._recent else 0.0,
            hidden=hidden,
            children=min(children, cpu - hidden),
        )

    def beside(self, wall: float, own: float) -> tuple[float, float]:
        """CPU seconds beside a call of so many seconds, of which this thread computed for its ``own``: of other
        threads, and of child processes. They fill the time that it waits; what is more than that ran side by side."""
        beside = children = 0.0
        if self._beside_wall:
            others = self._beside
            if 2 * own < wall:  # those that spin would as well be those of a BLAS that computes side by side
                others = max(0.0, others - self._spun)
            beside = wall * others / self._beside_wall
            children = wall * self._by_children / self._beside_wall
        if self.offspring is not None and not children and 2 * own < wall:
            children = wall * self.offspring.share()
        return (beside, children) if beside + children >= _OUR_OWN * wall else (0.0, 0.0)

    def _since(self) -> tuple[float, float]:
        delay, rival = self._before
        return max(0.0, (self._run_delay() or 0.0) - delay), self._rival() - rival

    @property
    def own(self) -> float:
        """CPU seconds that such a call took of this thread."""
        calls, taken, own, _ = self._typical()
        return min(own, taken) / calls

    @property
    def lasted(self) -> float:
        """Seconds that such a call took here, with whatever others had of the cores meanwhile."""
        calls, taken, _, _ = self._typical()
        return taken / calls

    def _typical(self) -> tuple[int, float, float, tuple[float, float]]:
        """Calls that are like those to come: all but the first group, or the latest ones where calls grow."""
        if not self.calls:
            assert self.first is not None
            return (*self.first, self._first_lost)
        latest = self._latest
        grown = _GREW * self.seconds / self.calls
        if len(latest) == _LATEST and all(taken > grown * calls for calls, taken, _, _ in latest):
            # The least of them: where calls differ by chance, three of them in a row may well be longer ones.
            return min(latest, key=lambda group: group[1] / group[0])
        return self.calls, self.seconds, self.cpu, self._lost


# --- the GIL's share

_SPACING = 0.0005  # s between knocks at first
_WIDEST = 0.005  # s between knocks later on
_PATIENT_AFTER = 40  # knocks, after which they come less and less often: few are needed
_LATE = 0.001  # s; overdue by this, the GIL is held
_ENOUGH = (4, 0.002), (1, 0.015)  # knocks, and CPU seconds that they stand for: either will do
_COMPUTED = 5e-5  # s of CPU between two knocks, without which the later one tells nothing
_GOLDEN = 0.6180339887498949
_ENDS = 1.0  # s in which the thread ends, where there is one: in a forked child there is not
_SURE, _IDLE = 5, 3  # knocks that all find the GIL held; those without any computing since the one before
_FREE = 4  # knocks for each core that all find it free: then, 98 times of 100, threads are enough to use the cores


def _knock(gate: Lock, asleep: float) -> bool | None:
    """Sleeps so long, and returns whether the GIL was held then; None where the gate was opened meanwhile."""
    now, switches = time.perf_counter, _machine.voluntary_switches
    before = switches()
    began = now()
    if gate.acquire(timeout=asleep):
        return None
    woke = now()
    after = switches()
    # A kernel that does not count (0: gVisor does so) leaves the lateness alone as evidence.
    counted = None if before is None or after is None or after == before else after - before
    return woke - began - asleep > _LATE if counted is None else counted > 1


def surely_held(used: Callable[[], float], turns: QuickTurns | None = None) -> bool:
    """Whether calls that run hold the GIL whenever it is looked: to be asked in a thread beside them.

    ``used``: a clock of what they have computed, as a canary has it. Knocks like those of a canary, but in quick turns
    and by the thread that asks, so that 5 ms tell what takes a canary, with its start and the thread's usual turns, 20
    to 40. If one finds the GIL free, or nothing is computed, that says nothing, and costs less than one turn.
    ``turns``: a block of quick ones that somebody else may end (default: one that ends with the knocks).
    """
    gate = Lock()
    gate.acquire()
    place, before, held, idle = time.perf_counter() % 1.0, used(), 0, 0
    with turns or QuickTurns():
        while held < _SURE and idle < _IDLE:
            place = (place + _GOLDEN) % 1.0
            if not _knock(gate, _SPACING * (0.5 + place)):
                return False
            computed = used() - before
            before += computed
            if computed < _COMPUTED:
                idle += 1  # who gave the GIL away for the last one has had no core since, or the call is over
            else:
                held += 1
    return held == _SURE


class Canary:
    """A daemon thread that sleeps about half a millisecond and looks whether the GIL is held when it wakes.

    When the GIL is free, a thread that wakes goes straight on: it has given up its core once, to sleep. When
    the GIL is held it must wait for it and gives up its core again. Linux counts this for each thread
    (``ru_nvcsw``), so that a busy machine, where everything wakes late, deceives nobody. Elsewhere a wake-up
    more than 1 ms late counts: the GIL changes hands only every 5 ms (``sys.getswitchinterval``).

    A knock stands for what those who make the calls have computed since the one before: they are no less in the GIL's
    way for having had no core meanwhile, as on a machine where other processes start, and who has given the GIL away
    and waits for a core leaves it free. Knocks are spread by multiples of the golden ratio, so
    that they never fall into step with the function. Each takes 10 to 20 µs of a core: a computing thread
    loses 1 %. It waits for the GIL like any thread: if it had it after 0.5 ms instead of 5, the computing thread, which
    gives it away then and has to be woken, would not have it back at the next knock where others keep the cores busy
    (half of the GIL's share was seen so in 11 of 25 loops in pure Python).

    But for the first few, which have quick turns for as long as all of them find it held: where none after them finds
    it free, that is ``sure`` in half of the time. So it is where few cores could be used and all knocks find it free.

    It cannot see *who* holds the GIL: to learn about one function, nothing else should run in this process.

    ``used``: CPU seconds of those who make the calls, a clock that any thread may read. Default: of the thread that
    starts the canary.
    """

    def __init__(self, used: Callable[[], float] | None = None) -> None:
        self._clock = used
        self._used: Callable[[], float] = time.process_time
        self._gate, self._ended = Lock(), Lock()
        self._thread: threading.Thread | None = None
        self._held = self._total = 0.0
        self._knocks = 0
        self._quick = False
        """Whether the first knocks found it held, all of them."""
        self._due = float("inf")
        self._before = 0.0
        """What they had used at the last knock."""

    def start(self) -> None:
        """Starts to watch; where the GIL is off there is nothing to watch. Forgets what was seen before."""
        if self._thread is not None:
            raise RuntimeError("the canary is watching already")
        self._held = self._total = 0.0
        self._knocks, self._quick, self._due = 0, False, float("inf")
        if not _machine.gil_enabled():
            return
        self._gate.acquire(blocking=False)
        self._ended.acquire(blocking=False)
        _machine.voluntary_switches()  # loads what that takes, before there are calls to wait for the GIL behind
        daemon = _machine.daemon_threads()
        import threading

        self._used = self._clock or thread_cpu_clock(threading.get_ident())
        self._before = self._used()
        thread = threading.Thread(target=self._run, name="lightwork-canary", daemon=daemon)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending: no evidence then
            self._gate.release()
            return
        except BaseException:  # a signal's handler has raised, and it may have begun
            self._gate.release()
            raise
        self._thread = thread

    def stop(self) -> None:
        """Ends the watch, within a fraction of a millisecond where the GIL is free. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            # What is on the way counts: a long call under the GIL is seen by one knock only.
            self._held, self._total, self._knocks = self._sum()
            self._due = float("inf")
            self._gate.release()
            # Not ``join``, for which threading would keep a record of a thread that it did not start, as a scout is.
            if self._ended.acquire(timeout=_ENDS):
                self._ended.release()
                self._gate.release()  # the thread took it to end

    def __enter__(self) -> Canary:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def sure(self) -> bool:
        """Whether all knocks said the same, so many that it need not be watched for longer."""
        return self._agree(*self._sum())

    def _agree(self, held: float, total: float, knocks: int) -> bool:
        """The same, of what ``_sum`` gave."""
        if held:
            return self._quick and held == total
        return knocks >= _FREE * _machine.usable_cores()

    def held_share(self) -> float | None:
        """The part of the computing that held the GIL, 0 to 1; None as long as too little was seen.

        Good for telling none, some and all apart; a few dozen knocks tell no more.
        """
        if not _machine.gil_enabled():
            return 0.0
        held, total, knocks = self._sum()
        if self._agree(held, total, knocks):
            return 1.0 if held else 0.0
        return held / total if any(knocks >= many and total >= long for many, long in _ENOUGH) else None

    def _sum(self) -> tuple[float, float, int]:
        """Held and total CPU seconds and knocks, with one that is on the way if it is late already."""
        if time.perf_counter() - self._due > _LATE and (whole := self._computed()) > _COMPUTED:
            return self._held + whole, self._total + whole, self._knocks + 1
        return self._held, self._total, self._knocks

    def _computed(self) -> float:
        """CPU seconds since the last knock; none where the calls go on in another thread than they did."""
        try:
            return self._used() - self._before
        except OSError:  # that one has ended
            return 0.0

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            self._ended.release()

    def _watch(self) -> None:
        place, idle = time.perf_counter() % 1.0, 0
        with QuickTurns():
            while self._held == self._total and self._knocks < _SURE and idle < _IDLE:
                place, before = (place + _GOLDEN) % 1.0, self._knocks
                if not self._listen(_SPACING * (0.5 + place)):
                    return
                idle += self._knocks == before
        self._quick = self._held == self._total and self._knocks >= _SURE
        knocks = 0
        while True:
            place, knocks = (place + _GOLDEN) % 1.0, knocks + 1
            rate = max(1.0, knocks / _PATIENT_AFTER)
            if not self._listen(min(_SPACING * rate, _WIDEST) * (0.5 + place)):
                return

    def _listen(self, asleep: float) -> bool:
        """Takes in a knock after so many seconds, if anything was computed meanwhile; returns whether to go on."""
        self._due = time.perf_counter() + asleep
        if (held := _knock(self._gate, asleep)) is None:
            return False
        self._due = float("inf")
        computed = self._computed()
        self._before += computed
        if computed >= _COMPUTED:
            if held:
                self._held += computed
            self._total += computed
            self._knocks += 1
        return True


# --- the wire


class Wire(Record, frozen=True):
    """What it takes to send one item to another process and to bring its result back.

    ``caller`` and ``worker``: seconds of (un)pickling and copying on each side. ``refused``: why something
    cannot be sent, or None. ``partial``: an item was too large to be measured whole; it takes at least this.
    """

    caller: float = 0.0
    worker: float = 0.0
    bytes_out: int = 0
    bytes_back: int = 0
    refused: str | None = None
    partial: bool = False
