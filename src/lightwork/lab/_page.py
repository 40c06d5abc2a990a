"""Outcomes as one HTML file that needs nothing else: pictures in SVG, light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from lightwork.lab._timeline import Row, duration, end_of, labels_of, mark_of, rows_of
from lightwork.lab._values import Figure, Outcome, Span, Verdict

ROW, BAR, NAMES, PLOT, AXIS = 22, 16, 290, 700, 24
"""Sizes in the SVG's units: height of a row and of its bar, width of names and plot, height of the axis."""

CLASS = {Verdict.HOLDS: "holds", Verdict.DOES_NOT_HOLD: "not", Verdict.NOT_ENOUGH: "open"}

STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --page: #ffffff; --soft: #5b626b;
  --line: #d5d9de; --card: #f6f7f9;
  --green: #2c8a4b; --blue: #9db8dd; --yellow: #e3c35a; --magenta: #a8489b; --cyan: #3f97a5;
  --holds: #1d7a3e; --not: #b3261e; --open: #8a6100; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --page: #16181b; --soft: #a2a9b2; --line: #383d44; --card: #1f2226;
    --green: #57b877; --blue: #4b6c9c; --yellow: #b99a35; --magenta: #d07cc5; --cyan: #5fb6c4;
    --holds: #6ccf8c; --not: #ff8b82; --open: #e3b54a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 64rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--page); }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin: 0; }
section { border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.2rem; margin: 1.2rem 0; }
header { display: flex; flex-wrap: wrap; gap: 0 1rem; justify-content: space-between; align-items: baseline; }
.claim { font-weight: 600; margin: .4rem 0; } .soft { color: var(--soft); }
.holds { color: var(--holds); } .not { color: var(--not); } .open { color: var(--open); }
.verdict { font-weight: 600; }
.verdict, .name { white-space: nowrap; }
.scroll { overflow-x: auto; } p, h1, h2, td, summary { overflow-wrap: break-word; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
pre { background: var(--card); padding: .6rem .8rem; border-radius: 6px; overflow-x: auto;
  font-size: .85rem; }
svg { display: block; width: 100%; height: auto; margin-top: .8rem; }
svg text { fill: var(--text); font: 12px ui-monospace, monospace; } svg .tick { fill: var(--soft); }
svg .base { fill: var(--card); } svg .plot { cursor: grab; touch-action: pan-y; }
@media (max-width: 40rem) { body { padding: .8rem; } section { padding: .7rem .8rem; }
  td, th { padding-right: .6rem; } td.verdict { white-space: normal; } }
.key { display: inline-block; width: .9em; height: .9em; border-radius: 2px; vertical-align: -.1em;
  margin: 0 .35em 0 1em; }
"""

ZOOM = """
for (const plot of document.querySelectorAll("svg .plot")) {
  const full = plot.viewBox.baseVal.width, height = plot.viewBox.baseVal.height;
  const from = plot.parentNode.querySelector(".from"), to = plot.parentNode.querySelector(".to");
  const seconds = Number(plot.dataset.seconds);
  let x = 0, wide = full, held = null;
  const say = s => s >= 1 ? s.toPrecision(3) + " s" : (s * 1000).toPrecision(3) + " ms";
  const show = () => {
    wide = Math.min(full, Math.max(full / 1000, wide)); x = Math.min(full - wide, Math.max(0, x));
    plot.setAttribute("viewBox", `${x} 0 ${wide} ${height}`);
    from.textContent = x ? say(x / full * seconds) : "0"; to.textContent = say((x + wide) / full * seconds);
  };
  const at = event => {
    const box = plot.getBoundingClientRect();
    return (event.clientX - box.left) / box.width;
  };
  plot.addEventListener("wheel", event => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const here = x + at(event) * wide, turn = event.deltaY || event.deltaX;
    wide *= turn < 0 ? 0.8 : 1.25; wide = Math.min(full, wide); x = here - at(event) * wide; show();
  }, { passive: false });
  plot.addEventListener("pointerdown", event => {
    held = at(event); plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", event => {
    if (held === null) return; const now = at(event); x -= (now - held) * wide; held = now; show();
  });
  plot.addEventListener("pointerup", () => { held = null; });
  plot.addEventListener("dblclick", () => { x = 0; wide = full; show(); });
}
"""


def render_html(outcomes: Iterable[Outcome]) -> str:
    """A whole page: a summary, then each outcome with its picture, which shift and the wheel zoom."""
    all_outcomes = list(outcomes)
    where = next((str(outcome.here) for outcome in all_outcomes if outcome.here), "")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>lightwork lab</title><style>{STYLE}</style></head><body>
<h1>Threads and processes in Python, put to the test</h1>
<p class="soft">{escape(where)}. In the pictures, the wheel with shift or ctrl zooms, dragging moves,
and a double click shows all.</p>
{_summary(all_outcomes)}
{"".join(_section(outcome) for outcome in all_outcomes)}
<script>{ZOOM}</script></body></html>
"""


def _summary(outcomes: list[Outcome]) -> str:
    rows = "".join(
        f'<tr><td class="name"><a href="#{escape(o.key)}">{escape(o.key)}</a></td><td>{escape(o.claim)}</td>'
        f'<td class="verdict {CLASS[o.verdict]}">{escape(o.verdict)}</td></tr>'
        for o in outcomes
    )
    head = "<thead><tr><th>key</th><th>claim</th><th>verdict</th></tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>'


def _section(outcome: Outcome) -> str:
    style = CLASS[outcome.verdict]
    log = f"<pre>{escape(chr(10).join(outcome.log))}</pre>" if outcome.log else ""
    picture = _picture(outcome.spans) if outcome.spans else ""
    return f"""<section id="{escape(outcome.key)}"><header><h2>{escape(outcome.key)}</h2>
<span class="verdict {style}">{escape(outcome.verdict)}</span></header>
<p class="claim">{escape(outcome.claim)}</p><p class="{style}">{escape(outcome.because)}</p>
<p class="soft">{escape(outcome.did)}</p>{_figures(outcome.figures)}{picture}
<details><summary class="soft">{len(outcome.log)} lines of the log, {outcome.seconds:.1f} s</summary>
{log}</details>
</section>
"""


def _figures(figures: tuple[Figure, ...]) -> str:
    rows = "".join(f"<tr><td>{escape(f.name)}</td><td>{escape(str(f))}</td></tr>" for f in figures)
    return f'<div class="scroll"><table>{rows}</table></div>' if rows else ""


def _picture(spans: tuple[Span, ...]) -> str:
    rows, end = rows_of(spans), end_of(spans)
    height = ROW * len(rows)
    names, bars = [], []
    for i, row in enumerate(rows):
        top = i * ROW + (ROW - BAR) / 2
        name = f"<title>{escape(row.name)}</title>{escape(_cut(row.name))}"
        names.append(f'<text x="0" y="{top + BAR - 4:g}">{name}</text>')
        bars.append(f'<rect class="base" x="0" y="{top:g}" width="{PLOT}" height="{BAR}"/>')
        bars += [_bar(row, span, top, PLOT / end) for span in row.spans]
    keys = (f'<span class="key" style="background: {_fill(label)}"></span>{label}' for label in labels_of(spans))
    return (
        f'<svg viewBox="0 0 {NAMES + PLOT} {height + AXIS}" role="img" aria-label="who ran when">'
        f'{"".join(names)}<svg class="plot" x="{NAMES}" y="0" width="{PLOT}" height="{height}" '
        f'viewBox="0 0 {PLOT} {height}" preserveAspectRatio="none" data-seconds="{end}">{"".join(bars)}</svg>'
        f'<text class="tick from" x="{NAMES}" y="{height + 16}">0</text>'
        f'<text class="tick to" x="{NAMES + PLOT}" y="{height + 16}" text-anchor="end">{duration(end)}</text>'
        f'</svg><div class="soft">{"".join(keys)}</div>'
    )


def _bar(row: Row, span: Span, top: float, scale: float) -> str:
    wide = max(0.4, (span.end - span.start) * scale)
    told = f"{row.name}: {span.label} from {duration(span.start)} to {duration(span.end)}"
    return (
        f'<rect x="{span.start * scale:.2f}" y="{top:g}" width="{wide:.2f}" height="{BAR}" '
        f'fill="{_fill(span.label)}"><title>{escape(told)}</title></rect>'
    )


def _fill(label: str) -> str:
    return f"var(--{mark_of(label).colour})"


def _cut(name: str) -> str:
    most = NAMES * 2 // 15  # a letter is 7.2 wide
    return name if len(name) <= most else name[: most - 1] + "…"
