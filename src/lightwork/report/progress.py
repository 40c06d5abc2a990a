"""A progress bar for a run: on a terminal or in a notebook, silent anywhere else."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lightwork._trace import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Display

REDRAW = 0.1
"""Seconds between two drawings: faster is not seen, and costs the run."""

ROUNDED = 1e-6
"""Seconds by which a word that comes just so long after the last may seem to come too early."""


def bar(description: str = "") -> Callable[[Progress], None]:
    """A callable for ``progress=`` that draws a bar on standard error: done and total, rate, failures, backend.

    Where standard error is neither a terminal nor a notebook's output it does nothing. The bar is left standing
    when the run has ended, as a record.
    """
    return Bar(description, _console())


def visible() -> bool:
    """Whether a bar would be seen."""
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb")


def _in_notebook() -> bool:
    return type(sys.stdout).__module__.partition(".")[0] == "ipykernel"


def _console() -> Console | None:
    if not visible():
        return None  # rich is not even imported
    from rich.console import Console

    return Console(stderr=not _in_notebook())


class Bar:
    """Draws what it is told. Without a console it stays silent."""

    lightwork_every = REDRAW
    """How often a run is to tell: of one that tells more, what is not drawn may be the last word for an hour."""

    def __init__(self, description: str, console: Console | None) -> None:
        self._description = description
        self._console = console
        self._display: Display | None = None
        self._task: Any = None
        self._drawn = 0.0
        self._close: weakref.finalize[..., Any] | None = None

    def __call__(self, progress: Progress) -> None:
        if self._console is None:
            return
        if self._display is None:
            self._display = self._open(self._console)
            self._task = self._display.add_task(self._description, total=progress.total, status="")
            # A run that is given up never says that it has ended: the terminal's cursor must come back all the same.
            self._close = weakref.finalize(self, self._display.stop)
            self._drawn = -REDRAW
        if not progress.finished and progress.seconds - self._drawn < REDRAW - ROUNDED:
            return
        self._drawn = progress.seconds
        total = progress.done if progress.finished and progress.total is None else progress.total
        self._display.update(self._task, completed=progress.done, total=total, status=status(progress), refresh=True)
        if progress.finished:
            self.close()

    def close(self) -> None:
        """Leaves the bar as it stands. A further call begins a new one."""
        if self._display is not None and self._close is not None:
            self._close()
            self._display = None

    def _open(self, console: Console) -> Display:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
        ]
        # No refresh thread of rich's own: it would compete with the run for the GIL.
        display = RichProgress(*columns, console=console, auto_refresh=False)
        display.start()
        return display


def status(progress: Progress) -> str:
    """The words beside the bar: ``120/1,000  45/s  2 failed  0:00:20 left  threads``."""
    count = f"{progress.done:,}" if progress.total is None else f"{progress.done:,}/{progress.total:,}"
    parts = [count]
    rate = progress.done / progress.seconds if progress.seconds > 0 else 0.0
    if rate:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.finished:
        parts.append(f"in {clock(progress.seconds)}")
    elif progress.total is not None and rate:
        parts.append(f"{clock((progress.total - progress.done) / rate)} left")
    parts.append(progress.backend)
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as a clock shows them: ``4.2 s``, ``3:07``, ``1:02:03``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
