"""Whole lines from threads that print at the same time.

``print`` writes a line and its end apart, and another thread may come in between. While threads make calls,
``WholeLines`` stand in for ``sys.stdout`` and ``sys.stderr``: they keep what a call prints until its line ends, the
call ends, or it is flushed. All else is the stream's own; what other threads write goes straight through.
"""

from __future__ import annotations

import sys

from lightwork import _context
from lightwork._lean import RLock, local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = ("stdout", "stderr")


class _Begun(local):
    """Of a thread that makes calls: what it has written of a line, by stream, and in which call."""

    parts: dict[Any, list[str]] | None = None
    index: int | None = None


_begun = _Begun()
_changing = RLock()  # a map that is collected as garbage in its midst, in the same thread, stands aside, too
_users = 0
_last: dict[str, WholeLines] = {}
"""Those that stood in last. They are kept: until CPython 3.14 ``print`` holds no reference to the stream that it found
in ``sys``, and another thread may be in the midst of one (https://github.com/python/cpython/issues/130163)."""


class WholeLines:
    """Everything that the stream is, but for ``write`` in a thread that makes calls."""

    def __init__(self, stream: Any) -> None:
        self.__dict__["_stream"] = stream

    def write(self, text: str) -> int:
        parts = _begun.parts
        if parts is None or not isinstance(text, str):
            return self._stream.write(text)  # type: ignore[no-any-return]
        if (index := _context.index()) != _begun.index:
            end_of_calls()
            _begun.index = index
        whole, end, rest = text.rpartition("\n")
        if end:
            self._stream.write("".join((*parts.pop(self._stream, ()), whole, end)))
        if rest:
            parts.setdefault(self._stream, []).append(rest)
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        begun = (_begun.parts or {}).pop(self._stream, None)
        if begun:
            self._stream.write("".join(begun))
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    def __repr__(self) -> str:
        return repr(self._stream)


def become_worker() -> None:
    """This thread makes calls from now on."""
    _begun.parts = {}


def end_of_calls() -> None:
    """Ends the lines that this thread's call has begun."""
    while _begun.parts:
        stream, begun = _begun.parts.popitem()
        stream.write("".join((*begun, "\n")))


def stand_in() -> None:
    """Until ``stand_aside``; both are counted."""
    global _users
    with _changing:
        _users += 1
        for name in NAMES:
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, WholeLines):  # pythonw and daemons have none
                if name not in _last or _last[name]._stream is not stream:
                    _last[name] = WholeLines(stream)
                setattr(sys, name, _last[name])


def stand_aside() -> None:
    global _users
    with _changing:
        _users -= 1
        for name in NAMES:
            # Somebody may have put another in its place meanwhile, or may put it back later: the next ones see to that.
            stream = getattr(sys, name)
            if not _users and isinstance(stream, WholeLines):
                setattr(sys, name, stream._stream)
