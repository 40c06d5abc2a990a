"""An outcome for a terminal: plain text of a given width, or rich's styles over the same layout."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from lightwork.lab._timeline import OTHER, cells, duration, end_of, labels_of, mark_of, rows_of
from lightwork.lab._values import Figure, Outcome, Span, Verdict

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

NARROWEST = 40
MOST_LOG_LINES = 16
MOST_ROWS = 14
VERDICT_STYLES = {Verdict.HOLDS: "green", Verdict.DOES_NOT_HOLD: "red", Verdict.NOT_ENOUGH: "yellow"}

Piece = tuple[str, str]
"""Some text and its style; a line is a list of pieces."""


def render_text(outcome: Outcome, width: int = 80, ascii_only: bool = False) -> str:
    """The outcome as plain text, no line longer than ``width`` (at least 40). ``ascii_only`` draws without
    blocks."""
    lines = _lines(outcome, max(NARROWEST, width), ascii_only)
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def render_rich(outcome: Outcome, width: int | None = None) -> RenderableType:
    """The outcome for a rich console; as wide as the console if no width is given."""
    return _Styled(outcome, width)


class _Styled:
    """Drawn when the console asks for it, because only then its width is known."""

    def __init__(self, outcome: Outcome, width: int | None) -> None:
        self.outcome, self.width = outcome, width

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        width = self.width or options.max_width
        for line in _lines(self.outcome, max(NARROWEST, width), options.ascii_only):
            yield Text.assemble(*line, no_wrap=True)


def _lines(outcome: Outcome, width: int, ascii_only: bool) -> Iterator[list[Piece]]:
    style = VERDICT_STYLES[outcome.verdict]
    rule = ("-" if ascii_only else "─") * max(0, width - len(outcome.key) - len(outcome.verdict) - 4)
    yield [(f"{outcome.key} ", "bold"), (rule, "dim"), (f" {outcome.verdict}", f"bold {style}")]
    yield from _paragraph("claim   ", outcome.claim, width, "bold")
    yield from _paragraph("did     ", outcome.did, width)
    if outcome.log:
        yield [("log", "dim")]
        shown = outcome.log[:MOST_LOG_LINES]
        for said in shown:
            yield [("  " + _cut(said, width - 2), "")]
        if len(outcome.log) > len(shown):
            yield [(f"  and {len(outcome.log) - len(shown)} more lines", "dim")]
    if outcome.figures:
        yield [("figures", "dim")]
        yield from _figures(outcome.figures, width)
    if outcome.spans:
        yield [("who ran when", "dim")]
        yield from _timeline(outcome.spans, width, ascii_only)
    yield from _paragraph("verdict ", f"{outcome.verdict}. {outcome.because}", width, style)
    where = f"{outcome.here}; " if outcome.here else ""
    yield from _paragraph("        ", f"{where}{outcome.seconds:.1f} s", width, "dim")


def _paragraph(head: str, text: str, width: int, style: str = "") -> Iterator[list[Piece]]:
    for i, line in enumerate(textwrap.wrap(text, width - len(head)) or [""]):
        yield [(head if i == 0 else " " * len(head), "dim"), (line, style)]


def _figures(figures: Sequence[Figure], width: int) -> Iterator[list[Piece]]:
    names = min(max(len(figure.name) for figure in figures), width // 2)
    for figure in figures:
        name_lines = textwrap.wrap(figure.name, names)
        value_lines = textwrap.wrap(str(figure), width - names - 4)
        for i in range(max(len(name_lines), len(value_lines))):
            name = name_lines[i] if i < len(name_lines) else ""
            value = value_lines[i] if i < len(value_lines) else ""
            yield [(f"  {name:<{names}}  ", ""), (value, "bold")]


def _timeline(spans: Sequence[Span], width: int, ascii_only: bool) -> Iterator[list[Piece]]:
    rows, end = rows_of(spans), end_of(spans)
    names = min(max(len(row.name) for row in rows), width * 2 // 5)
    columns = width - names - 4
    for row in rows[:MOST_ROWS]:
        line: list[Piece] = [(f"  {_cut(row.name, names):<{names}}  ", "")]
        for label, same in groupby(cells(row, end, columns)):
            mark = OTHER if label is None else mark_of(label)
            sign = " " if label is None else mark.plain if ascii_only else mark.block
            line.append((sign * len(list(same)), mark.colour if label else ""))
        yield line
    if len(rows) > MOST_ROWS:
        yield [(f"  and {len(rows) - MOST_ROWS} more rows", "dim")]
    last = duration(end)
    yield [(" " * (names + 4) + "0" + last.rjust(columns - 1), "dim")]
    legend = []
    for label in labels_of(spans):
        mark = mark_of(label)
        legend.append(f"{mark.plain if ascii_only else mark.block} {label}")
    yield from _paragraph(" " * (names + 4), ", ".join(legend), width, "dim")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def summary_text(outcomes: Iterable[Outcome], width: int = 80) -> str:
    """A table of key, claim and verdict, no line longer than ``width`` (at least 40)."""
    rows = list(outcomes)
    width = max(NARROWEST, width)
    keys = max([len("key"), *(len(row.key) for row in rows)])
    verdicts = max([len("verdict"), *(len(row.verdict) for row in rows)])
    claims = width - keys - verdicts - 4
    if claims < 20:  # a narrow window: the claims go, key and verdict stay
        return "\n".join(f"{row.key:<{keys}}  {row.verdict}" for row in rows)
    lines = [f"{'key':<{keys}}  {'claim':<{claims}}  verdict"]
    lines.append(f"{'-' * keys}  {'-' * claims}  {'-' * verdicts}")
    for row in rows:
        for i, claim in enumerate(textwrap.wrap(row.claim, claims)):
            head, tail = (row.key, row.verdict) if i == 0 else ("", "")
            lines.append(f"{head:<{keys}}  {claim:<{claims}}  {tail}".rstrip())
    return "\n".join(lines)
