"""How commands speak: results to standard output, all else to standard error, and how a command ends."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from lightwork.errors import BackendUnavailable

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Stop(Exception):
    """Ends the command with an exit code; what there was to say has been said."""

    def __init__(self, code: int) -> None:
        self.code = code


PLAIN = {"─": "-", "×": "x", "±": "+-", "…": "...", "—": "-", "–": "-", "µ": "u", "→": "->", "−": "-"}
"""What stands for the signs of tables and messages where an encoding has them not."""


def write_what_the_terminal_can() -> None:
    """Output in an encoding without a sign (Latin-1, a code page) gets a plain one, not an error at the end."""

    def replace(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end

    codecs.register_error("lightwork", replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="lightwork")


@contextlib.contextmanager
def output() -> Iterator[None]:
    """Ends the command where its output goes nowhere any longer."""
    from lightwork._json_lines import silence

    try:
        yield
    except BrokenPipeError:
        silence(1)  # the reader has all that it wanted (head, less)
        raise Stop(FINE) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        silence(1)
        say(f"Error: the output cannot be written: {error.strerror}.")
        raise Stop(FAILED) from None


def say(text: str) -> None:
    """A line for the person at the terminal; standard output stays clean."""
    with contextlib.suppress(BrokenPipeError):
        click.echo(text, err=True)


def fail(text: str, code: int) -> NoReturn:
    """Ends the command with a message."""
    from lightwork.report.text import fill

    # A traceback keeps its own lines.
    say(f"Error: {text}" if "\n" in text else "\n".join(fill(f"Error: {text}", width())))
    raise Stop(code)


def fail_with(error: BaseException, head: str = "") -> NoReturn:
    """Ends the command with the user's own exception, in the user's own frames."""
    from lightwork._items import InvalidItems
    from lightwork._target import user_traceback

    if isinstance(error, InvalidItems | BackendUnavailable):
        fail(str(error), USAGE)
    if head:
        say(head)
    say(user_traceback(error))
    raise Stop(FAILED)


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """What the user's function prints must not mix with results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def width() -> int:
    """Columns to write into: the terminal's (COLUMNS rules), 80 where there is none."""
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 100))


def put(data: Any) -> None:
    """Data as JSON on standard output."""
    from lightwork._json_lines import plain

    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    ascii_only = not encoding.lower().startswith("utf")
    click.echo(json.dumps(plain(data, _accept), indent=2, ensure_ascii=ascii_only))


def _accept(warning: str) -> None:
    """lightwork's own data has nothing to warn of."""


def colourful() -> bool:
    """Whether colours would be seen and are wanted (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_file(path: str, text: str) -> None:
    """Writes a report where the user wants it."""
    from pathlib import Path

    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror or error}.", USAGE)
    say(f"Written: {path}")
