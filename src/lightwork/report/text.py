"""Results as plain text for a terminal of 80 columns. Pure functions: no colour, no terminal is asked."""

from __future__ import annotations

from collections.abc import Iterable

from lightwork._stats import Interval
from lightwork._trace import wrapped
from lightwork.report.rows import Compared, Row

COLUMNS = ("backend", "workers", "time", "speed-up", "eff.", "CPU", "memory", "verdict")
_LEFT = {"backend", "verdict"}


def comparison_text(comparison: Compared, width: int = 80) -> str:
    """The table, what it means, and what must not be overlooked."""
    items = "1 item" if comparison.items == 1 else f"{comparison.items:,} items"
    rounds = {0: "one run each", 1: "1 counted run each"}.get(comparison.rounds, f"{comparison.rounds} runs each")
    lines = fill(f"{comparison.function}, {items}, {rounds}", width)
    lines += [*fill(comparison.machine, width), ""]
    lines += table(comparison, width)
    for row in comparison.rows:
        if row.reason:
            lines += fill(f"{row.backend}: {row.reason}", width, "  ")
    lines += ["", *fill(comparison.reason, width)]
    for finding in comparison.findings:
        lines += ["", *fill(f"!! {finding}", width, "   ", first="")]
    if comparison.advice:
        lines.append("")
    for advice in comparison.advice:
        lines += fill(advice, width, "  ", first="> ")
    lines += predictions(comparison, width)
    small = [
        *comparison.notes,
        "time: median ± its 95 % interval; eff.: speed-up per worker, or per core where calls compute and cores "
        "are fewer; CPU: cores kept busy; memory: peak over the start.",
    ]
    lines.append("")
    for note in small:
        lines += fill(note, width)
    return "\n".join(lines)


def table(comparison: Compared, width: int = 80) -> list[str]:
    """The rows in aligned columns; on a narrow terminal the least important columns are left out."""
    short = _short_verdicts(comparison)
    body = [cells(row, short[row.backend]) for row in comparison.rows]
    shown = list(COLUMNS)
    for column in (None, "eff.", "memory", "CPU", "workers", "speed-up"):
        if column is not None:
            shown.remove(column)
        lines = _aligned([dict(zip(COLUMNS, COLUMNS, strict=True)), *body], shown)
        if max(map(len, lines)) <= width:
            break
    rule = "─" * min(width, max(map(len, lines)))
    return [lines[0], rule, *lines[1:]]


def predictions(comparison: Compared, width: int = 80) -> list[str]:
    """What the model said beside what was measured, row by row, and how wrong it was."""
    rows = [
        f"  {row.backend:<12}{duration(row.predicted):>9}{duration(row.time.value):>10}  {times(row.off)}×"
        for row in comparison.rows
        if row.off is not None and row.predicted is not None and row.time is not None
    ]
    if not rows:
        return []
    head = fill("predicted, measured, and how many times as long that is:", width)
    return ["", *head, *rows, *fill(wrongness(comparison), width)]


def wrongness(comparison: Compared) -> str:
    """One sentence on how wrong the model was; "" where it said nothing."""
    if comparison.wrong is None:
        return ""
    middle, largest, backend = comparison.wrong
    if largest < 1.05:
        return "The model was right within 5 %."
    at_most = f"at most by {times(largest)} ({backend})"
    return f"The model was wrong by a factor of {times(middle)} in the middle, {at_most}."


def cells(row: Row, verdict: str | None = None) -> dict[str, str]:
    """One row's texts by column."""
    return {
        "backend": row.backend,
        "workers": "" if row.workers is None else str(row.workers),
        "time": "" if row.time is None else measured(row.time, repeated=len(row.times) > 1),
        "speed-up": "" if row.speedup is None else f"{times(row.speedup.value)}×",
        "eff.": "" if row.efficiency is None else f"{100 * row.efficiency:.0f}%",
        "CPU": "" if row.cpu is None else f"{row.cpu:.1f}",
        "memory": "" if row.memory is None else size(row.memory),
        "verdict": row.verdict if verdict is None else verdict,
    }


def _short_verdicts(comparison: Compared) -> dict[str, str]:
    return {row.backend: "as fast" if row.verdict.startswith("as fast as") else row.verdict for row in comparison.rows}


def _aligned(rows: Iterable[dict[str, str]], shown: list[str]) -> list[str]:
    rows = list(rows)
    widths = {column: max(len(row[column]) for row in rows) for column in shown}
    return [
        "  ".join(
            row[column].ljust(widths[column]) if column in _LEFT else row[column].rjust(widths[column])
            for column in shown
        ).rstrip()
        for row in rows
    ]


def fill(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """Wrapped lines; quantities are kept together, and words longer than a line (paths) left whole."""
    return wrapped(text, width, indent, first)


def measured(interval: Interval, repeated: bool = True) -> str:
    """``1.23 ± 0.02 s``: the half width in the estimate's own unit; a single run has no ±."""
    factor, unit = _unit(interval.value)
    value = interval.value * factor
    if not repeated:
        return f"{_digits(value)} {unit}"
    half = max(interval.value - interval.low, interval.high - interval.value) * factor
    places = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{places}f} ± {half:.{places}f} {unit}"


def duration(seconds: float) -> str:
    """Three figures and a unit that suits: ``1.23 s``, ``45.6 ms``."""
    factor, unit = _unit(seconds)
    return f"{_digits(seconds * factor)} {unit}"


def _unit(seconds: float) -> tuple[float, str]:
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (0.9995, 1e3, "ms")):
        if seconds < limit:
            return factor, unit
    return 1.0, "s"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def times(ratio: float) -> str:
    """A ratio as people read it: ``0.0029``, ``0.54``, ``1.04``, ``1.9``, ``12``, ``440``."""
    if ratio < 0.1:
        return f"{ratio:.2g}"
    return f"{ratio:.2f}" if ratio < 1.1 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def size(count: int) -> str:
    """Bytes as people read them: ``0 MB``, ``3.2 MB``, ``120 MB``, ``1.5 GB``."""
    megabytes = count / 1e6
    if megabytes >= 1000:
        return f"{megabytes / 1000:.1f} GB"
    return f"{megabytes:.0f} MB" if megabytes >= 10 or megabytes < 0.05 else f"{megabytes:.1f} MB"
