"""Any result as a line of JSON, written so that a reader at the other end of a pipe gets it soon."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any, BinaryIO, Self

AS_TEXT = (PurePath, datetime.timedelta, decimal.Decimal, uuid.UUID, range)

FLUSH_AFTER = 0.05
"""Seconds that a written line waits at most for others before all are handed to the system together."""


def encode(value: Any, warn: Callable[[str], None]) -> bytes:
    """One line of JSON, with its end.

    NumPy numbers and arrays become numbers and lists; dataclasses and mappings (data frames and database rows, too)
    objects; sets and other collections lists; paths, dates, decimals and UUIDs text; bytes hexadecimal text;
    enumerations their values. For what has no sensible form (NaN becomes null, other objects their ``str``) ``warn`` is
    told.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = _written_out(plain(value, warn))
    # Lone surrogates, from file names that are no UTF-8, are written as JSON writes them.
    return text.encode(errors="backslashreplace") + b"\n"


def _written_out(value: Any) -> str:
    """The same with integers of more digits than Python's guard against hostile text lets through."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    finally:
        sys.set_int_max_str_digits(limit)


def plain(value: Any, warn: Callable[[str], None], depth: int = 50) -> Any:
    """The value rebuilt from what JSON has: dict, list, str, int, float, bool, None."""
    if value is None or isinstance(value, bool | str):
        return value if not isinstance(value, enum.Enum) else plain(value.value, warn, depth)
    if isinstance(value, enum.Enum):
        return plain(value.value, warn, depth)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        warn(f"JSON has no {value}: null is written instead")
        return None
    if depth == 0:
        warn("a result is nested too deep, or holds itself: the type of what is there is written instead")
        return str(type(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, AS_TEXT):
        return str(value)
    if isinstance(value, Mapping):
        return {_key(key): plain(inner, warn, depth - 1) for key, inner in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), warn, depth - 1) for f in fields(value)}
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return plain(value.tolist(), warn, depth - 1)
    if isinstance(value, set | frozenset):
        return [plain(inner, warn, depth - 1) for inner in _in_order(value)]
    if not isinstance(value, type) and hasattr(value, "keys") and hasattr(value, "__getitem__"):  # as for dict(value)
        return {_key(key): plain(value[key], warn, depth - 1) for key in value.keys()}  # noqa: SIM118 - iterating over a row gives its values
    if isinstance(value, Iterable) and hasattr(value, "__len__"):
        return [plain(inner, warn, depth - 1) for inner in value]
    warn(f"JSON has no form for {type(value).__qualname__}: its str() is written instead")
    return str(value)


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return key if isinstance(key, str) else str(key)


def _in_order(values: Iterable[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)  # of several types; the same order each time all the same


class LineWriter:
    """Writes lines, a few at a time where they come fast, and none later than ``FLUSH_AFTER`` seconds.

    A context manager. BrokenPipeError comes out of ``write`` or ``close``, in the thread that calls them.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._written = threading.Event()
        self._ended = threading.Event()
        self._failure: OSError | None = None
        self._at_once = stream.isatty()
        self._flusher = threading.Thread(target=self._flush_now_and_then, name="lightwork-output", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._flusher.start()
        except BaseException:  # there can be no more, or a signal's handler has raised, and it may have begun
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, line: bytes) -> None:
        """Hands one line on. Raises what an earlier flush met."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._stream.write(line)
            if self._at_once:
                self._stream.flush()
        self._written.set()

    def _flush_now_and_then(self) -> None:
        while not self._ended.is_set():
            self._written.wait()
            self._ended.wait(FLUSH_AFTER)
            self._written.clear()
            with self._lock:
                if self._failure is None:
                    try:
                        self._stream.flush()
                    except OSError as error:
                        self._failure = error

    def close(self) -> None:
        """Hands on what is left."""
        self._end()
        self._flusher.join()
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._stream.flush()

    def _end(self) -> None:
        self._ended.set()
        self._written.set()


def silence(descriptor: int) -> None:
    """Points a descriptor whose reader has gone at nothing, so that the flush at exit does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
