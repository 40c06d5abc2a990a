"""The caller's end of its starter: one small process that forks workers, started once and kept.

Light to import: a map that is going to need workers starts it first and loads the rest while that boots.
"""

from __future__ import annotations

import atexit
import marshal
import os
import sys

from lightwork import _platform
from lightwork._lean import signal, socket, suppress
from lightwork._lock import new_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LAST_WORDS = 1.0
"""Seconds that the starter is given to end when the caller does."""

_MOST_NAMES = 2000
"""In modules that are searched for what they import: half a millisecond."""


class _Starter:
    """The caller's end of its starter's control socket."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.control, theirs = _platform.connected()
        program = (
            f"{_platform.SAME_LIGHTWORK}"
            "from lightwork import _lean; _lean.load_pickle(); "
            f"from lightwork._backends._starter import main; main({self.owner})"
        )
        try:
            self.pid = _platform.spawn([sys.executable, *_options(), "-c", program], theirs.fileno())
        finally:
            theirs.close()
        self._briefed = False

    def brief(self, workers: int = 0, modules: Sequence[str] = ()) -> None:
        """Tells it, which is only booting yet, how many workers it is to make ready, and which modules they will need.
        Raises OSError."""
        if not self._briefed:
            _platform.send_message(self.control, marshal.dumps((workers, tuple(modules))))
            self._briefed = True  # not before: it would wait for ever, where a second one does no harm

    def open_channel(self) -> socket.socket:
        """A new crew's line to the starter; OSError where the starter is gone."""
        self.brief()
        ours, theirs = _platform.connected()
        try:
            _platform.send_descriptors(self.control, b"\0", [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

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

    def bury(self) -> None:
        self.control.close()
        with suppress(ChildProcessError):  # somebody else waited for all children
            os.waitpid(self.pid, 0)


_starter: _Starter | None = None
_one_at_a_time = new_lock()


def open_channel(after_a_loss: bool) -> socket.socket:
    """A line to this process's starter; starts one where there is none or it was killed.

    ``after_a_loss``: a line has just broken, so it may be about to end.
    """
    global _starter
    with _one_at_a_time:
        if _starter is not None and _starter.owner == os.getpid():
            try:
                if after_a_loss:
                    _starter.await_end()
                return _starter.open_channel()
            except OSError:
                _starter.bury()
                _starter = None
        return _current().open_channel()


def hasten(fn: object = None, workers: int | None = None) -> None:
    """Starts the starter where it will be needed soon, for ``fn`` first of all, which at most so many ``workers`` will
    call (default: as many as there are cores).

    What prevents that is told when a worker is wanted.
    """
    global _starter
    with _one_at_a_time, suppress(OSError, AttributeError, ValueError):
        if _starter is None or _starter.owner != os.getpid():
            _starter = _Starter()
            # It boots meanwhile: what is to be found out for it need not be found before.
            with suppress(Exception):  # objects raise anything when they are looked at
                _starter.brief(*_wanted(fn, workers))


def _current() -> _Starter:
    """This process's starter, started if there is none. To be asked for by one thread at a time."""
    global _starter
    if _starter is None or _starter.owner != os.getpid():
        _starter = _Starter()
    return _starter


def _wanted(fn: object, workers: int | None) -> tuple[int, list[str]]:
    """What a starter is briefed with, for ``fn``."""
    from lightwork._backends._messages import IMPORTED
    from lightwork._machine import usable_cores

    by_value = getattr(fn, "__module__", None) == "__main__" or "<" in getattr(fn, "__qualname__", "")
    many = usable_cores() if workers is None else min(workers, usable_cores())
    modules = [name for name in IMPORTED.values() if name in sys.modules]
    if by_value and _is_more_than_code(fn):
        modules.append("cloudpickle")  # which takes long to import
    return many, [*modules, *_needed(fn, by_value)]


def _is_more_than_code(fn: object) -> bool:
    """Whether ``fn``, which is sent by value, will most likely take cloudpickle: for classes, and what is of them."""
    around = getattr(fn, "__globals__", {})
    values = [] if around.get("__name__") != "__main__" else list(around.values())
    for cell in getattr(fn, "__closure__", None) or ():
        with suppress(ValueError):
            values.append(cell.cell_contents)
    # Not ``isinstance``: to ask a proxy, as of settings that nobody has made yet, for its class is to have it made.
    kinds = [value if issubclass(type(value), type) else type(value) for value in values]
    return not hasattr(fn, "__code__") or any(
        kind.__module__ == "__main__" or "<" in getattr(kind, "__qualname__", "") for kind in kinds
    )


def _needed(fn: object, by_value: bool) -> tuple[str, ...]:
    """Modules of the standard library that a worker will import on the way to ``fn``: those that its own module, or,
    where it is sent by value, that it itself names, and those that the other modules named there name. The starter
    imports them once, for all, and may: they start no threads. Others might."""
    names = getattr(fn, "__globals__", None)
    if names is not None and not by_value:
        from lightwork._standing_alone import plain_modules, standing_alone

        if alone := standing_alone(fn):
            return tuple(plain_modules(alone))
    if names is None:  # an object that can be called
        kind = type(fn).__module__
        names = {} if kind == "builtins" else getattr(sys.modules.get(kind), "__dict__", {})
    if by_value:
        used = getattr(getattr(fn, "__code__", None), "co_names", ())
        names = {name: names[name] for name in used if name in names}
    home = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib takes 8 ms to import, which every start would pay
    found, seen, looked, ahead = [], {__name__, "__main__"}, 0, [names]
    for values in ahead:
        looked += len(values)
        if looked > _MOST_NAMES:
            break
        for called, value in list(values.items()):
            if called.startswith("__"):
                continue  # what the import system has left there
            # Nothing is asked of what only stands for something else, as modules do that load when they are used.
            name = value.__name__ if type(value) is type(os) else getattr(value, "__module__", None)
            if not isinstance(name, str) or name in seen:
                continue
            seen.add(name)
            module = sys.modules.get(name)
            if name.partition(".")[0] not in sys.stdlib_module_names:
                ahead.append(getattr(module, "__dict__", {}))
                continue
            file = getattr(module, "__file__", None)
            if file is not None and file.startswith(home):  # not a file of the caller's that has the same name
                found.append(name)
    return tuple(found)


def _forget_starter() -> None:
    """In a fork of the caller: the starter is its parent's."""
    global _starter, _one_at_a_time
    _one_at_a_time = new_lock()
    if _starter is not None:
        _starter.control.close()
        _starter = None


def _end_starter() -> None:
    if _starter is not None and _starter.owner == os.getpid():
        _starter.end()


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
