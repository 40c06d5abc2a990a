"""What a worker prints and logs, on its way to the caller: whole lines and log records as frames.

In the worker ``print`` writes to ``Lines``, and the root logger's one handler to ``forward_records``; in the caller
``show`` writes a line to its ``sys.stdout`` or ``sys.stderr`` of that moment, and ``log`` gives a record to the
logger of its name, if that is enabled there.
"""

from __future__ import annotations

import codecs
import io
import sys

from lightwork import _context, _pickling, _wire
from lightwork._lean import RLock, deque, pickle, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any, BinaryIO, TextIO

    Send = Callable[[Sequence[_wire.Part]], None]


STDOUT, STDERR = 1, 2
LONGEST = 64 * 1024
"""Characters of a line that are kept for its end; a longer one is sent in pieces."""

_PLAIN = (int, float, str, bool, type(None))


class Lines(io.TextIOBase):
    """A text stream that sends whole lines, and notes in ``written`` that it was used.

    ``fileno`` is the real stream's, for faulthandler and subprocesses.

    All calls of a worker have it, one after another, so none of them can close it. Text is sent as it is, whatever
    encoding and errors are set: these are for the bytes that are written to ``buffer``, and for who asks.

    A ``__del__`` or a signal's handler may write while the same thread is writing: that waits, and comes behind it.
    """

    mode = "w"
    line_buffering = True
    write_through = False

    def __init__(self, stream: int, real: TextIO | None, send: Send, written: list[Lines], lock: RLock) -> None:
        self._stream, self._real, self._send = stream, real, send
        self.name = "<stdout>" if stream == STDOUT else "<stderr>"
        self._encoding, self._errors = "utf-8", "backslashreplace"
        self._parts: list[str] = []
        self._length = 0
        self._written = written
        self._lock = lock
        self._busy = False
        self._waiting: deque[str | bytes | None] = deque()
        """What is still to be added; None: the end of a line that was begun."""
        self._buffer: Bytes | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        """What has begun a character of the bytes written; None where none has."""

    @property
    def unfinished(self) -> bool:
        """Whether the last line has no end yet."""
        return bool(self._parts or self._waiting) or self._decoder is not None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        return self._errors

    @property
    def buffer(self) -> BinaryIO:
        """Takes bytes, which join the same lines."""
        if self._buffer is None:
            self._buffer = Bytes(self)
        return self._buffer  # type: ignore[return-value]

    def reconfigure(
        self,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        line_buffering: bool | None = None,
        write_through: bool | None = None,
    ) -> None:
        """Sets the encoding of the bytes; how lines end and when they are sent stays as it is."""
        if encoding is not None:
            codecs.lookup(encoding)
        if errors is not None:
            codecs.lookup_error(errors)
        with self._lock:
            self._end_bytes()
            self._encoding, self._errors = encoding or self._encoding, errors or self._errors

    def detach(self) -> BinaryIO:
        return self.buffer

    def close(self) -> None:
        """Does nothing: the next call prints too."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._real is None:
            raise io.UnsupportedOperation("this stream has no descriptor")
        return self._real.fileno()

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._take(text)
        return len(text)

    def write_bytes(self, data: memoryview) -> None:
        """What ``buffer`` is given. A character may come in several pieces; what is none is shown as ``\\xff``."""
        self._take(bytes(data))

    def finish(self) -> None:
        """Ends a line that was begun, so that the next call's begins on its own."""
        self._take(None)

    def _take(self, what: str | bytes | None) -> None:
        with self._lock:
            self._waiting.append(what)
            if self._busy:
                return
            self._busy = True
            try:
                while self._waiting:
                    self._add(self._waiting.popleft())
            finally:
                self._busy = False

    def _add(self, what: str | bytes | None) -> None:
        if isinstance(what, bytes):
            decoder = self._decoder or codecs.getincrementaldecoder(self._encoding)("backslashreplace")
            self._add_text(decoder.decode(what))
            self._decoder = decoder if decoder.getstate()[0] else None
            return
        self._end_bytes()
        if what is not None:
            self._add_text(what)
        elif self._parts:
            self._parts.append("\n")
            self._send_parts()

    def _end_bytes(self) -> None:
        """Shows the beginning of a character that nothing completes."""
        if self._decoder is not None:
            self._add_text(self._decoder.decode(b"", final=True))
            self._decoder = None

    def _add_text(self, text: str) -> None:
        self._written.append(self)
        whole, newline, rest = text.rpartition("\n")
        if newline:
            self._parts.append(whole + newline)
            self._send_parts()
        if rest:
            self._parts.append(rest)
            self._length += len(rest)
            if self._length > LONGEST:
                self._send_parts()

    def _send_parts(self) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        self._length = 0
        body = [bytes([self._stream]), text.encode("utf-8", "backslashreplace")]
        self._send(_wire.frame(_wire.OUTPUT, body))


class Bytes(io.BufferedIOBase):
    """The binary side of ``Lines``."""

    mode = "wb"

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.name = lines.name

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._lines.fileno()

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        self._lines.write_bytes(view)
        return view.nbytes

    def close(self) -> None:
        """Does nothing, as for the lines: a ``TextIOWrapper`` around it closes it when it is thrown away."""


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


def tell_unshown(problem: Exception) -> None:
    """Says on stderr, if that is any better, that what workers print or log cannot be shown."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(
            "lightwork: what workers print or log cannot be shown any more, or not all of it "
            f"({type(problem).__name__}: {problem})\n"
        )


def forward_records(send: Send, lock: RLock) -> None:
    """Gives this process's root logger the one handler that sends records to the caller."""
    import logging

    class Forward(logging.Handler):
        """Sends records, the message formatted and the traceback as text: arguments need not cross."""

        lightwork_worker = True

        def createLock(self) -> None:
            self.lock = lock  # as for lines: one of its own would be taken in either order

        def emit(self, record: logging.LogRecord) -> None:
            attributes = dict(record.__dict__, msg=record.getMessage(), args=None, exc_info=None)
            attributes["lightwork_index"] = _context.index()
            attributes["lightwork_configures"] = _by_the_module(logging)
            if record.exc_info and not record.exc_text:
                attributes["exc_text"] = logging.Formatter().formatException(record.exc_info)
            try:
                data, _ = _pickling.dump(attributes, None)
            except Exception:  # noqa: BLE001 - an attribute given by extra= that cannot cross: the others can
                data = pickle.dumps({k: v for k, v in attributes.items() if type(v) in _PLAIN})
            send(_wire.frame(_wire.LOG, [data]))

    logging.root.addHandler(Forward())


def _by_the_module(logging: ModuleType) -> bool:
    """Whether a record comes from one of logging's own functions, such as ``logging.warning``: where nobody has
    configured logging, these do."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_back.f_globals is logging.__dict__:
        frame = frame.f_back
    return getattr(getattr(logging, frame.f_code.co_name, None), "__code__", None) is frame.f_code


def log(body: memoryview) -> None:
    """Hands a worker's record to the caller's logger of the same name."""
    import logging

    attributes: dict[str, Any] = _pickling.load(body)
    if attributes.pop("lightwork_configures", False) and not logging.root.handlers:
        logging.basicConfig()
    logger = logging.getLogger(attributes["name"])
    if logger.isEnabledFor(attributes["levelno"]):
        logger.handle(logging.makeLogRecord(attributes))
