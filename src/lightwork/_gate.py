"""Ctrl-C waits while something is in hand.

CPython raises KeyboardInterrupt between any two steps of the main thread. Where these take in what workers have sent,
whatever was in hand would be lost. So a run that is driven in the main thread is *guarded*: a Ctrl-C is kept until the
next place where it costs nothing, which is never far: a wait for workers or the pickling of a user's object
(``opened``), or the user's own code (``outside``). A second one strikes at once, wherever it is.

Only where SIGINT has Python's own handler: who has set another one has said what is to happen.

Signals are the main interpreter's: in another one nothing here is done, nor asked. There, too, their handlers are that
one's objects, and each look at one changes the count of its references, under another GIL: sooner or later it is freed.
"""

from __future__ import annotations

from lightwork._beside import IN_MAIN
from lightwork._lean import get_ident, partial, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType


class _Gate:
    """``shut``: a Ctrl-C waits; ``struck``: one does; ``thread``: the main one, where it is guarded."""

    __slots__ = ("shut", "struck", "thread")

    def __init__(self) -> None:
        self.shut = self.struck = False
        self.thread = 0


_gate = _Gate()  # signals are handled in the main thread alone, and so is this


def _keep(number: int, frame: FrameType | None) -> None:
    if _gate.shut and not _gate.struck:
        _gate.struck = True
    else:
        _gate.struck = False
        signal.default_int_handler(number, frame)


class guarded:
    """A block in which a Ctrl-C strikes inside of ``opened`` and ``outside`` alone, and at its end. Does nothing in
    other threads than the main one."""

    __slots__ = ("_guards",)

    def __enter__(self) -> None:
        self._guards = False
        if not IN_MAIN or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        try:
            signal.signal(signal.SIGINT, _keep)
        except ValueError:  # not the main thread
            return
        self._guards, _gate.thread, _gate.shut = True, get_ident(), True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._guards:
            return
        _gate.shut = False
        if signal.getsignal(signal.SIGINT) is _keep:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if _gate.struck:
            _gate.struck = False
            if kind is None or not issubclass(kind, KeyboardInterrupt):
                raise KeyboardInterrupt


class opened:
    """A block inside a guarded one in which a Ctrl-C strikes, also one that came before it."""

    __slots__ = ("_opens",)

    def __enter__(self) -> None:
        self._opens = _gate.shut and _gate.thread == get_ident()
        if self._opens:
            _gate.shut = False
            if _gate.struck:
                _gate.shut, _gate.struck = True, False
                raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opens:
            _gate.shut = True


class outside(opened):
    """The same for the user's own code, which finds Python's own handler in its place."""

    __slots__ = ()

    def __enter__(self) -> None:
        super().__enter__()
        if self._opens and signal.getsignal(signal.SIGINT) is _keep:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opens and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _keep)
        super().__exit__(kind, error, trace)


class unless_signalled:
    """A block that objects, or the system, may end with exceptions of these kinds, which are nothing to be told. One
    that a signal's handler has raised in it comes out: a program that has set one wants it to."""

    __slots__ = ("_kinds",)

    def __init__(self, *kinds: type[Exception]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return kind is not None and issubclass(kind, self._kinds) and not _handled(trace)


def of_a_signal(error: BaseException) -> bool:
    """Whether a signal's handler has raised it, as Ctrl-C's does, not what was looked at: then it is to come out."""
    return isinstance(error, KeyboardInterrupt) or _handled(error.__traceback__)


def _handled(trace: TracebackType | None) -> bool:
    """Whether a signal's handler was on the way to what was raised."""
    if not IN_MAIN:
        return False
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {_code(handler) for handler in handlers if callable(handler)} - {None}
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code(handler: object) -> object:
    """The code that runs when it is called; None where that is not Python's."""
    while type(handler) is partial:
        handler = handler.func
    if not hasattr(handler, "__code__"):
        handler = getattr(handler, "__func__", type(handler).__call__)
    return getattr(handler, "__code__", None)


def strike() -> None:
    """Raises the KeyboardInterrupt that waits, if one does."""
    with opened():
        pass
