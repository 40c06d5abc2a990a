"""Quick turns at the GIL, for a while: for a thread that has something urgent to do beside one that computes.

A thread that computes gives the GIL away when it is asked to and has had it for ``sys.getswitchinterval()``: 5 ms. A
thread that imports modules or talks to sockets gives it away with every read and write, and so waits 5 ms at each: what
takes 30 ms alone then takes half a second and more. With short turns it takes a tenth longer than alone.
"""

from __future__ import annotations

import _thread
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TURN = 5e-4
"""Seconds. A switch takes 10 µs: 2 % of this, and only while somebody asks for the GIL."""

LOADING = 1e-5
"""Seconds, for who loads modules (see ``Punctual``): with Python's own 5 ms it would take many times as long."""

_one_at_a_time = _thread.allocate_lock()
_asked: list[tuple[float, int]] = []
"""How quick turns are to be, and for which thread."""
_usual = 0.0
_ours = 0.0, 0.0
"""What this module set last, and what that was to replace: if a Ctrl-C came in between, it still is."""


class QuickTurns:
    """A block in which this interpreter's threads take turns quickly; of blocks that overlap the quickest counts.

    For threads that no Ctrl-C strikes: any but the main one.
    """

    __slots__ = ("_turn",)

    def __init__(self, turn: float = TURN) -> None:
        self._turn = turn

    def __enter__(self) -> None:
        with _one_at_a_time:
            _ask((self._turn, _thread.get_ident()))

    def __exit__(self, *_: object) -> None:
        with _one_at_a_time:
            _asked.remove((self._turn, _thread.get_ident()))
            _take_turns()


class Recalled(QuickTurns):
    """Such a block of one thread, entered time and again, until another thread says that it is ``over``, which may be
    the main one: from then on turns are as ever, though the first one has not been heard of again yet."""

    __slots__ = ("_asks", "_over")

    def __init__(self) -> None:
        super().__init__()
        self._asks: tuple[float, int] | None = None
        self._over = False

    def __enter__(self) -> None:
        with _one_at_a_time:
            if not self._over:
                self._asks = self._turn, _thread.get_ident()
                _ask(self._asks)

    def __exit__(self, *_: object) -> None:
        with _one_at_a_time:
            self._ask_no_more()

    def over(self) -> None:
        """Such turns are not needed any more."""
        taken: list[bool] = []
        try:
            # C code alone between taking it and knowing that: no signal is handled there.
            taken.extend(map(_one_at_a_time.acquire, (True,)))
            self._end()
        except KeyboardInterrupt:
            if taken:
                self._end()  # wherever it was struck: nobody else would take them back
            raise
        finally:
            if taken:
                _one_at_a_time.release()

    def _end(self) -> None:
        self._over = True
        self._ask_no_more()

    def _ask_no_more(self) -> None:
        if self._asks in _asked:  # else this is a child without the thread that asked
            _asked.remove(self._asks)
        self._asks = None
        _take_turns()


def _ask(asks: tuple[float, int]) -> None:
    """Adds one that asks for such turns."""
    global _usual, _ours
    if not _asked:
        _usual = sys.getswitchinterval()
        _ours = _usual, _usual
    _asked.append(asks)
    _take_turns()


def _take_turns() -> None:
    """As quickly as the quickest block asks."""
    global _ours
    now = sys.getswitchinterval()
    if now in _ours:  # whoever has set another one meanwhile wants that
        wanted = min(_usual, *(turn for turn, _ in _asked)) if _asked else _usual
        wanted += 5e-7  # what is less than 1 µs is cut off, and 19e-6 seconds are 18.999 µs
        _ours = int(1e6 * wanted) * 1e-6, now  # as it will be told
        sys.setswitchinterval(wanted)


def _keep_own() -> None:
    """In a child that was forked inside such blocks there is none of the other threads, to take them back."""
    global _one_at_a_time, _ours
    if _one_at_a_time.locked():
        _ours = sys.getswitchinterval(), _ours[0]  # one of those was about to change it
    _one_at_a_time = _thread.allocate_lock()
    if _asked:
        own = _thread.get_ident()
        _asked[:] = [asked for asked in _asked if asked[1] == own]
        _take_turns()


if hasattr(os, "register_at_fork"):  # elsewhere nothing forks
    os.register_at_fork(after_in_child=_keep_own)


class Punctual:
    """A block in which this thread's timers are punctual: for who loads modules beside a thread that computes.

    It waits for the GIL some 400 times, and for so short a time each that what counts is how late the kernel's timers
    are: 50 µs, where a thread has not asked for better (``PR_SET_TIMERSLACK``). What takes 17 ms alone takes 20 so, 32
    without; the calls lose 10 ms in either case. Threads and processes that are begun in the block inherit that, unless
    they are begun ``AsEver``. A block within another one costs nothing; else six calls of the kernel wait for the GIL.
    """

    __slots__ = ("_began",)

    def __enter__(self) -> None:
        own = _thread.get_ident()
        self._began = own not in _punctual and _make_punctual(own)

    def __exit__(self, *_: object) -> None:
        if self._began:
            file, before = _punctual.pop(_thread.get_ident())
            _set_slack(file, before)
            os.close(file)


class AsEver:
    """A block, maybe within one in which this thread's timers are punctual, in which they are not: for who begins a
    process, which would inherit that."""

    __slots__ = ("_told",)

    def __enter__(self) -> None:
        self._told = _punctual.get(_thread.get_ident())
        if self._told is not None:
            _set_slack(*self._told)

    def __exit__(self, *_: object) -> None:
        if self._told is not None:
            _set_slack(self._told[0], _NO_SLACK)


_NO_SLACK = b"1"
"""Nanoseconds; with 0 the kernel would go back to what it was."""

_punctual: dict[int, tuple[int, bytes]] = {}
"""The threads that are, by their ``ident``: the file by which the kernel is told, and how late they might be before."""


def _make_punctual(own: int) -> bool:
    """Whether the kernel could be told."""
    try:
        thread = os.readlink("/proc/thread-self").rpartition("/")[2]  # noqa: PTH115 - pathlib takes 8 ms to import
        file = os.open(f"/proc/{thread}/timerslack_ns", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        _punctual[own] = file, os.read(file, 20).strip()
        os.write(file, _NO_SLACK)
    except OSError:
        os.close(file)
        _punctual.pop(own, None)
        return False
    return True


def _set_slack(file: int, nanoseconds: bytes) -> None:
    """How late this thread's timers may be from now on."""
    try:
        os.write(file, nanoseconds)
    except OSError:
        return  # it took that before: and if not, timers are only more punctual, or later, than they could be


FORK_WAITS = 1.0
"""Seconds that a fork waits at most: who forks may hold what the block is waiting for."""


class Loading:
    """A block in which modules are loaded beside calls: with quick turns, without collections of garbage, and in whose
    midst this process is not forked. One at a time; whoever forks waits for its end. In the main thread, whose own
    calls wait for it and which a Ctrl-C may strike, both are as ever.

    What is loaded stays, so that nothing is to be collected. The four collections that it would come to take a tenth of
    the time; without a GIL each stops all threads for 2 ms, and calls that stand still look as if they waited.
    """

    __slots__ = ("_held", "_lock", "_paused", "_turns")

    def __init__(self) -> None:
        self._lock = _thread.RLock()
        self._held: int | None = None
        """The thread that forks, while it holds the lock for that: another one may be about to fork, too."""
        self._turns: list[QuickTurns | None] = []
        self._paused = False
        """Whether collections wait for the end of a block."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._after_in_child)

    def __enter__(self) -> None:
        turns = None if _in_main_thread() else QuickTurns(LOADING)
        taken: list[bool] = []
        try:
            # C code alone between taking it and knowing that: no signal is handled there.
            taken.extend(map(self._lock.acquire, (True,)))
            self._turns.append(turns)
        except BaseException:
            if taken:
                self._lock.release()
            raise
        if turns is not None:
            turns.__enter__()
            if gc.isenabled():
                self._paused = True
                gc.disable()

    def __exit__(self, *_: object) -> None:
        try:
            if (turns := self._turns.pop()) is not None:
                if self._paused and not any(self._turns):
                    self._paused = False
                    gc.enable()
                turns.__exit__()
        finally:
            self._lock.release()

    def _before(self) -> None:
        if self._lock.acquire(timeout=FORK_WAITS):
            self._held = _thread.get_ident()

    def _after(self) -> None:
        if self._held == _thread.get_ident():
            self._held = None
            self._lock.release()

    def _after_in_child(self) -> None:
        self._after()
        if self._paused:  # who forked had waited long enough, and there nobody comes to the end of the block
            self._paused = False
            gc.enable()


_main_thread: Callable[[], int] | None = getattr(_thread, "_get_main_thread_ident", None)
"""Whom ``threading`` asks, too, from Python 3.13 on."""


def _in_main_thread() -> bool:
    if _main_thread is not None:
        return _main_thread() == _thread.get_ident()
    threading = sys.modules.get("threading")  # who begins another thread has loaded it, for that one's sake
    return threading is None or threading.main_thread().ident == _thread.get_ident()
