"""What a worker prints and logs, on its way to the caller: whole lines and log records as frames.

In the worker ``print`` writes to ``Lines``, and the root logger's one handler to ``forward_records``; in the caller
``show`` writes a line to its ``sys.stdout`` or ``sys.stderr`` of that moment, and ``log`` gives a record to the
logger of its name, if that is enabled there.
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from lightwork import _context, _wire

STDOUT, STDERR = 1, 2
LONGEST = 64 * 1024
"""Characters of a line that are kept for its end; a longer one is sent in pieces."""

_PLAIN = (int, float, str, type(None))

Send = Callable[[Sequence[_wire.Bytes]], None]


class Lines(io.TextIOBase):
    """A text stream that sends whole lines. ``fileno`` is the real stream's, for faulthandler and subprocesses."""

    def __init__(self, stream: int, real: TextIO | None, send: Send) -> None:
        self._stream, self._real, self._send = stream, real, send
        self._parts: list[str] = []
        self._length = 0
        self._lock = threading.Lock()

    @property
    def unfinished(self) -> bool:
        """Whether the last line has no end yet."""
        return bool(self._parts)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._real is None:
            raise io.UnsupportedOperation("this stream has no descriptor")
        return self._real.fileno()

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            whole, newline, rest = text.rpartition("\n")
            if newline:
                self._parts.append(whole + newline)
                self._send_parts()
            if rest:
                self._parts.append(rest)
                self._length += len(rest)
                if self._length > LONGEST:
                    self._send_parts()
        return len(text)

    def finish(self) -> None:
        """Ends a line that was begun, so that the next call's begins on its own."""
        with self._lock:
            if self._parts:
                self._parts.append("\n")
                self._send_parts()

    def _send_parts(self) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        self._length = 0
        body = [bytes([self._stream]), text.encode("utf-8", "backslashreplace")]
        self._send(_wire.frame(_wire.OUTPUT, body))


def show(body: memoryview) -> None:
    """Writes what a worker printed, in the caller."""
    stream = sys.stdout if body[0] == STDOUT else sys.stderr
    if stream is not None:  # pythonw and daemons have none
        text = bytes(body[1:]).decode()
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def forward_records(send: Send) -> None:
    """Gives this process's root logger the one handler that sends records to the caller."""
    import logging

    class Forward(logging.Handler):
        """Sends records, the message formatted and the traceback as text: arguments need not cross."""

        lightwork_worker = True

        def emit(self, record: logging.LogRecord) -> None:
            attributes = dict(record.__dict__, msg=record.getMessage(), args=None, exc_info=None)
            attributes["lightwork_index"] = _context.index()
            if record.exc_info and not record.exc_text:
                attributes["exc_text"] = logging.Formatter().formatException(record.exc_info)
            try:
                data, _ = _wire.dump(attributes, None)
            except Exception:  # noqa: BLE001 - an attribute given by extra= that cannot cross: the others can
                data = pickle.dumps({k: v for k, v in attributes.items() if type(v) in _PLAIN})
            send(_wire.frame(_wire.LOG, [data]))

    logging.root.addHandler(Forward())


def log(body: memoryview) -> None:
    """Hands a worker's record to the caller's logger of the same name."""
    import logging

    attributes: dict[str, Any] = _wire.load(body)
    logger = logging.getLogger(attributes["name"])
    if logger.isEnabledFor(attributes["levelno"]):
        logger.handle(logging.makeLogRecord(attributes))
