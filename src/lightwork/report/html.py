"""Results as HTML: a fragment for notebooks, or one page that needs no other file. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from lightwork._trace import unbroken
from lightwork.report.rows import Compared, Row
from lightwork.report.text import duration, measured, size, times, wrongness

STYLE = """
.lightwork { --ink: #1b1f24; --quiet: #5c6670; --line: #d5dae0; --paper: #ffffff; --bar: #9fb3c8;
  --best: #1f7a5a; --loud: #b3261e; --predicted: #7a5cc0;
  color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .lightwork { --ink: #e6e9ed; --quiet: #9aa5b1; --line: #3a424b;
  --paper: #14181c; --bar: #4d6378; --best: #4cc19a; --loud: #ff8a80; --predicted: #b69df0; } }
.lightwork h1 { font-size: 1.35em; margin: 0 0 .2em; overflow-wrap: anywhere; }
.lightwork .quiet, .lightwork .notes { color: var(--quiet); }
.lightwork ul { padding-left: 1.2em; }
.lightwork .notes { font-size: .87em; }
.lightwork .reason { font-size: 1.1em; margin: .8em 0; }
.lightwork .finding { color: var(--loud); border-left: 4px solid var(--loud); padding: .3em .8em; margin: .8em 0; }
.lightwork .scroll { overflow-x: auto; }
.lightwork table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1em 0; }
.lightwork th, .lightwork td { padding: .3em .6em; vertical-align: top;
  border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; background: none; }
.lightwork th { font-weight: 600; color: var(--quiet); }
.lightwork th:first-child, .lightwork td:first-child, .lightwork .words { text-align: left; }
.lightwork th:first-child, .lightwork td:first-child { padding-left: 0; }
.lightwork td.words { white-space: normal; overflow-wrap: break-word; min-width: 9em; }
.lightwork tr.best td { font-weight: 600; }
.lightwork tr.loud td { color: var(--loud); }
.lightwork svg { display: block; width: 100%; max-width: 760px; height: auto; }
.lightwork svg text { fill: var(--ink); font: 14px system-ui, sans-serif; }
.lightwork svg .quiet { fill: var(--quiet); font-size: 12px; }
"""


def comparison_page(comparison: Compared) -> str:
    """A whole page, with style and picture inside it, that follows the reader's light or dark setting."""
    title = escape(f"lightwork: {comparison.function} compared")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title>\n<style>body {{ margin: 0; }} .page {{ min-height: 100vh; padding: 2em 1.2em; "
        "box-sizing: border-box; } .sheet { max-width: 1100px; margin: 0 auto; }"
        f'{STYLE}</style></head>\n<body><div class="lightwork page"><div class="sheet">\n{_body(comparison)}\n'
        "</div></div></body></html>\n"
    )


def comparison_fragment(comparison: Compared) -> str:
    """The same for a notebook's output cell."""
    return f'<style>{STYLE}</style><div class="lightwork">\n{_body(comparison)}\n</div>'


def _body(comparison: Compared) -> str:
    items = "1 item" if comparison.items == 1 else f"{comparison.items:,} items"
    rounds = "1 run" if comparison.rounds <= 1 else f"{comparison.rounds} runs"
    parts = [
        f"<h1>{escape(comparison.function)}</h1>",
        f'<p class="quiet">{items}, {rounds} of each backend. {escape(comparison.machine)}</p>',
        f'<p class="reason">{escape(unbroken(comparison.reason))}</p>',
        *(f'<p class="finding">{escape(finding)}</p>' for finding in comparison.findings),
        bars(comparison.rows, comparison.winner),
        f'<div class="scroll">{_table(comparison)}</div>',
    ]
    if comparison.advice:
        parts.append("<ul>" + "".join(f"<li>{escape(unbroken(text))}</li>" for text in comparison.advice) + "</ul>")
    notes = [
        *([wrongness(comparison)] if comparison.wrong is not None else []),
        *comparison.notes,
        "Intervals are 95 %, by bootstrap. Efficiency is speed-up for each worker, or each core where calls "
        "compute and cores are fewer; CPU is cores kept busy; "
        "memory is the peak over the start, of this process and its children; took is time over prediction.",
    ]
    parts.append('<ul class="notes">' + "".join(f"<li>{escape(unbroken(note))}</li>" for note in notes) + "</ul>")
    return "\n".join(parts)


def bars(rows: Iterable[Row], winner: str | None) -> str:
    """Times as bars with their intervals, and a mark where the model predicted the end, as SVG."""
    rows = [row for row in rows if row.ran]
    if not rows:
        return ""
    left, width, step = 130, 450, 40
    most = max(max(row.time.high, row.predicted or 0.0) for row in rows if row.time is not None) or 1e-9
    scale = width / most
    drawn = []
    for number, row in enumerate(rows):
        assert row.time is not None
        top = 8 + number * step
        middle = top + 12
        low, value, high = (left + point * scale for point in (row.time.low, row.time.value, row.time.high))
        colour = "var(--best)" if row.backend == winner else "var(--bar)"
        if row.results == "different":
            colour = "var(--loud)"
        about = f"{row.backend}: {measured(row.time, len(row.times) > 1)}"
        drawn.append(
            f"<g><title>{escape(about)}</title>"
            f'<text x="{left - 10}" y="{middle + 5}" text-anchor="end">{escape(row.backend)}</text>'
            f'<rect x="{left}" y="{top}" width="{max(1.0, value - left):.1f}" height="24" rx="3" fill="{colour}"/>'
        )
        if len(row.times) > 1:
            drawn.append(
                f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 6}v12M{high:.1f} {middle - 6}v12" '
                'stroke="var(--ink)" stroke-width="1.5" fill="none"/>'
            )
        marks = [high + 8]
        if row.predicted is not None:
            at = left + row.predicted * scale
            drawn.append(
                f'<path d="M{at:.1f} {top - 2}v28" stroke="var(--predicted)" stroke-width="2" stroke-dasharray="3 3"/>'
            )
            # The text stands to the right of the bar, and of the mark where that would cross it.
            if high < at < high + 130:
                marks.append(at + 8)
        drawn.append(f'<text x="{max(marks):.1f}" y="{middle + 5}">{escape(_beside(row))}</text></g>')
    height = 16 + len(rows) * step
    if any(row.predicted is not None for row in rows):
        drawn.append(
            f'<path d="M{left} {height}v12" stroke="var(--predicted)" stroke-width="2" stroke-dasharray="3 3"/>'
            f'<text class="quiet" x="{left + 8}" y="{height + 11}">predicted by the model</text>'
        )
        height += 20
    return f'<svg viewBox="0 0 760 {height}" role="img" aria-label="Wall time of each backend">{"".join(drawn)}</svg>'


def _beside(row: Row) -> str:
    assert row.time is not None
    speedup = "" if row.speedup is None or row.backend == "serial" else f"  ({times(row.speedup.value)}×)"
    return duration(row.time.value) + speedup


def _table(comparison: Compared) -> str:
    heads = ("backend", "workers", "time", "predicted", "took", "speed-up", "efficiency", "CPU", "memory", "verdict")
    lines = [
        "<tr>" + "".join(f"<th{_words(name == 'verdict')}>{name}</th>" for name in heads) + "</tr>",
        *(_row(row, comparison.winner) for row in comparison.rows),
    ]
    return "<table>" + "".join(lines) + "</table>"


def _row(row: Row, winner: str | None) -> str:
    if not row.ran:
        return (
            f'<tr><td>{escape(row.backend)}</td><td class="words" colspan="9">'
            f"{escape(row.verdict)}: {escape(row.reason)}</td></tr>"
        )
    assert row.time is not None
    speedup = "" if row.speedup is None else f"{times(row.speedup.value)}×"
    if row.speedup is not None and row.speedup.low != row.speedup.high:
        speedup += f" ({times(row.speedup.low)} to {times(row.speedup.high)})"
    cells = [
        "" if row.workers is None else str(row.workers),
        measured(row.time, len(row.times) > 1),
        "" if row.predicted is None else duration(row.predicted),
        "" if row.off is None else f"{times(row.off)}×",
        speedup,
        "" if row.efficiency is None else f"{100 * row.efficiency:.0f} %",
        "" if row.cpu is None else f"{row.cpu:.1f}",
        "" if row.memory is None else size(row.memory),
    ]
    kind = "best" if row.backend == winner else "loud" if row.results == "different" else ""
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><td>{escape(row.backend)}</td>{inner}<td class="words">{escape(row.verdict)}</td></tr>'


def _words(yes: bool) -> str:
    return ' class="words"' if yes else ""
