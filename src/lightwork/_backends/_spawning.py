"""The caller's end of its starter: one small process that forks workers, started once and kept.

Light to import: a map that is going to need workers starts it first and loads the rest while that boots.
"""

from __future__ import annotations

import atexit
import marshal
import os
import sys

from lightwork import _descriptors, _platform
from lightwork._backends._messages import LAST_CREW, NEW_CREW
from lightwork._clock import SystemClock
from lightwork._gate import unless_signalled
from lightwork._lean import signal, socket, suppress
from lightwork._lock import new_lock
from lightwork._turns import AsEver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightwork._backends._stock import Stock

_LAST_WORDS = 1.0
"""Seconds that the starter is given to end when the caller does."""

BOOTS = 0.5
"""Seconds after which a starter has booted, and takes no core from anybody."""


class _Starter:
    """The caller's end of its starter's control socket."""

    def __init__(self, workers: int | None = None) -> None:
        """``workers``: at most so many will be wanted of it first (default: as many as there are cores)."""
        self.owner, self.workers = os.getpid(), workers
        self.control, theirs = _descriptors.connected()
        program = (
            # What is imported is no garbage, and to look for some in it takes a tenth of the time.
            "import gc; collects = gc.isenabled(); gc.disable(); "
            f"{_platform.SAME_LIGHTWORK}"
            "from lightwork import _lean; _lean.load_pickle(); "
            f"from lightwork._backends._starter import main; main({self.owner}, collects)"
        )
        try:
            with AsEver():  # whoever loads this may be punctual, and workers would inherit that
                self.pid = _platform.spawn([sys.executable, *_options(), "-c", program], theirs.fileno())
        finally:
            theirs.close()
        self.began = SystemClock.now()
        self.briefed, self.crews = False, 0
        """``crews``: how many have got a line to it."""
        self.likely = True
        """Whether nobody is certain yet to want workers."""
        self.stock: Stock | None = None

    def brief(self, workers: int = 0, modules: Sequence[str] = (), stock: Stock | None = None) -> None:
        """Tells it, which is only booting yet, how many workers it is to make ready, which modules they will need, and
        what to stock for them. Raises OSError."""
        _descriptors.send_message(self.control, marshal.dumps((workers, tuple(modules), stock)))
        self.briefed, self.stock = True, stock  # not before: it would wait for ever, where a second one does no harm

    def brief_for(self, fn: object, sample: object) -> None:
        """The same for a function."""
        from lightwork._backends._needs import needs
        from lightwork._machine import usable_cores

        many = usable_cores() if self.workers is None else min(self.workers, usable_cores())
        found = None
        with unless_signalled(Exception):  # objects raise anything when they are looked at
            found = needs(fn, sample)
        if found is not None:  # else it is briefed when it is used
            self.brief(many, *found)

    def open_channel(self) -> socket.socket:
        """A new crew's line to the starter; OSError where the starter is gone."""
        if not self.briefed:
            self.brief()
        self.likely = False
        ours, theirs = _descriptors.connected()
        try:
            _descriptors.send_descriptors(self.control, NEW_CREW, [theirs.fileno()])
            self.crews += 1
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def boots(self) -> bool:
        """Whether it is known not to have come yet to what its only crew wants: then it has begun no worker, whose
        initializer could have started something."""
        return self.crews < 2 and _platform.can_end_with() and _descriptors.unread(self.control)

    def leave(self) -> None:
        """Has it end with the crews that it has."""
        with suppress(OSError):  # it was killed
            self.control.sendall(LAST_CREW)
        _leaving.append(self)

    def await_end(self) -> None:
        """OSError where it is ending. Its lines break a moment before the control socket does: so this waits."""
        try:
            self.control.settimeout(_LAST_WORDS)
            self.control.recv(1)  # it never writes: there is only an end to be read
            raise BrokenPipeError
        except TimeoutError:
            self.control.settimeout(None)  # it lives, and has closed that one line

    def end(self) -> None:
        """Has it kill what is left of its workers and end, and waits for that."""
        try:
            self.control.shutdown(socket.SHUT_WR)
            self.control.settimeout(_LAST_WORDS)
            self.control.recv(1)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
        except OSError:
            self.control.settimeout(None)  # it was dead before
        self.bury()

    def has_ended(self) -> bool:
        """Whether one that was left has ended, which buries it."""
        with suppress(ChildProcessError):
            if not os.waitpid(self.pid, os.WNOHANG)[0]:
                return False
        self.control.close()
        return True

    def bury(self) -> None:
        self.control.close()
        with suppress(ChildProcessError):  # somebody else waited for all children
            os.waitpid(self.pid, 0)


_starter: _Starter | None = None
_leaving: list[_Starter] = []
"""Those that another one has replaced, and whose end nobody has seen yet."""
_in_vain: set[str] = set()
"""Functions for which one was started that nobody wanted then: none is started for them again until it is wanted."""
_one_at_a_time = new_lock()


def open_channel(after_a_loss: bool, bare: bool = False) -> socket.socket:
    """A line to this process's starter; starts one where there is none or it was killed.

    ``after_a_loss``: a line has just broken, so it may be about to end. ``bare``: nothing may be in stock.
    """
    global _starter
    with _one_at_a_time:
        _bury_those_who_left()
        if _starter is not None and _starter.owner == os.getpid():
            if _starter.stock is not None and (bare or not _stock_fits(_starter.stock)):
                _starter.leave()
                _starter = _Starter()
            try:
                if after_a_loss:
                    _starter.await_end()
                return _starter.open_channel()
            except OSError:
                _starter.bury()
                _starter = None
        return _current().open_channel()


def hasten(fn: object = None, workers: int | None = None, sample: object = None, likely: bool = False) -> None:
    """Starts the starter where it will be needed soon, for ``fn`` first of all, which at most so many ``workers`` will
    call (default: as many as there are cores) with what is in ``sample``. ``likely``: it may turn out not to be.

    What prevents that is told when a worker is wanted.
    """
    global _starter
    with _one_at_a_time, unless_signalled(OSError, AttributeError, ValueError):
        if likely and _called(fn) in _in_vain:
            return
        if _starter is None or _starter.owner != os.getpid():
            _starter = _Starter(workers)
        # It boots meanwhile: what is to be found out for it need not be found before.
        if _starter.briefed:
            _restock(fn, sample)
        elif fn is not None or "numpy" not in sys.modules:  # else what the first call takes is waited for
            _starter.brief_for(fn, sample)
        if not likely:
            _starter.likely = False
            _in_vain.discard(_called(fn))


def begun() -> float:
    """Seconds since this process's starter was started; 0 where there is none."""
    starter = _starter
    return 0.0 if starter is None or starter.owner != os.getpid() else SystemClock.now() - starter.began


def relax(fn: object) -> None:
    """Workers for ``fn`` are not wanted after all: ends the starter if it still boots, and nobody else is certain to
    want some."""
    global _starter
    with _one_at_a_time:
        if _starter is None or _starter.owner != os.getpid() or not _starter.likely:
            return
        _in_vain.add(_called(fn))
        if SystemClock.now() - _starter.began < BOOTS:
            _kill(_starter)
            _starter = None


def tidy() -> None:
    """Buries those that have ended."""
    with _one_at_a_time:
        _bury_those_who_left()


def _kill(starter: _Starter) -> None:
    with suppress(ProcessLookupError):  # somebody else waited for all children
        os.kill(starter.pid, signal.SIGKILL)
    _leaving.append(starter)  # not waited for here, where calls go on


def _called(fn: object) -> str:
    with unless_signalled(Exception):  # as above
        return f"{getattr(fn, '__module__', '')}:{getattr(fn, '__qualname__', type(fn).__qualname__)}"
    return type(fn).__qualname__


def _restock(fn: object, sample: object) -> None:
    """Replaces the starter by one that stocks what ``fn`` takes, where it does not."""
    global _starter
    assert _starter is not None
    if fn is None or "numpy" not in sys.modules:
        return
    if _starter.stock is not None and _stock_fits(_starter.stock):
        return
    from lightwork._backends._needs import to_stock

    wanted = None
    with unless_signalled(Exception):  # as above
        wanted = to_stock(fn, sample)
    if wanted is not None:
        _starter.leave()
        _starter = _Starter()
        _starter.brief_for(fn, sample)


def _stock_fits(stocked: Stock) -> bool:
    from lightwork._backends._stock import fits, stock

    return fits(stocked, stock())


def _bury_those_who_left() -> None:
    for starter in list(_leaving):
        if starter.has_ended():
            _leaving.remove(starter)


def _current() -> _Starter:
    """This process's starter, started if there is none. To be asked for by one thread at a time."""
    global _starter
    if _starter is None or _starter.owner != os.getpid():
        _starter = _Starter()
    return _starter


def _forget_starter() -> None:
    """In a fork of the caller: the starter is its parent's."""
    global _starter, _one_at_a_time
    _one_at_a_time = new_lock()
    for starter in (*_leaving, _starter):
        if starter is not None:
            starter.control.close()
    _starter = None
    _leaving.clear()


def _end_starter() -> None:
    global _starter
    if _starter is not None and _starter.owner == os.getpid() and (_starter.likely or _starter.boots()):
        # The end of the program does not wait for what it may be importing. Any other is to end what it has begun, and
        # what that has started.
        _kill(_starter)
        _starter = None
    for starter in (*_leaving, _starter):
        if starter is not None and starter.owner == os.getpid():
            starter.end()


os.register_at_fork(after_in_child=_forget_starter)
atexit.register(_end_starter)


def _options() -> list[str]:
    """The interpreter options that a child should have too. ``-P``: no file of the caller's shadows a module."""
    flags = sys.flags
    options = ["-P"]
    options += ["-" + "O" * flags.optimize] if flags.optimize else []
    options += ["-B"] if flags.dont_write_bytecode else []
    options += ["-s"] if flags.no_user_site else []
    options += ["-E"] if flags.ignore_environment else []
    for name, value in sys._xoptions.items():
        if name not in ("importtime", "showrefcount"):
            options.append(f"-X{name}" if value is True else f"-X{name}={value}")
    return options
