"""``lightwork lab``: the experiments."""

from __future__ import annotations

import difflib
import sys
from typing import Any

import click

from lightwork.cli._arguments import positive, writable
from lightwork.cli._terminal import FAILED, USAGE, Stop, colourful, fail, put, say, width, write_file


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--list", "listing", is_flag=True, help="List the experiments, and run none.")
@click.option("--quick", is_flag=True, help="Short lengths: all of it in under a minute.")
@click.option("--sleep", type=float, callback=positive, metavar="SECONDS", help="How long a waiting call waits.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="How far a counting call counts.")
@click.option("--html", metavar="FILE", callback=writable, help="Write a page with pictures, too.")
@click.option("--json", "--as-json", "as_json", is_flag=True, help="Print data instead of text.")
def lab(
    keys: tuple[str, ...],
    listing: bool,
    quick: bool,
    sleep: float | None,
    count: int | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Put the classic claims about threads and processes to the test, here and now.

    Without KEY all experiments run, with lengths that take some minutes (--quick: under one).
    """
    from lightwork import lab as laboratory

    known = laboratory.experiments()
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            hint = f"Did you mean {near[0]}?" if near else "lightwork lab --list shows all."
            fail(f"There is no experiment {key!r}. {hint}", USAGE)
    if listing:
        if as_json:
            put([{"key": key, "claim": experiment.claim} for key, experiment in known.items()])
            return
        from lightwork.report.text import fill

        wide = max(map(len, known)) + 2
        for key, experiment in known.items():
            click.echo("\n".join(fill(experiment.claim, width(), " " * wide, first=key.ljust(wide))))
        return
    settings = laboratory.Settings(sleep=sleep, count=count, quick=quick)
    outcomes = []
    for outcome in laboratory.run(keys or None, settings, _announce):
        outcomes.append(outcome)
        if not as_json:
            _show_outcome(outcome)
    if as_json:
        put([outcome.to_json() for outcome in outcomes])
    elif len(outcomes) > 1:
        click.echo(laboratory.summary_text(outcomes, width=width()))
    if html is not None:
        write_file(html, laboratory.render_html(outcomes))
    if any(outcome.here is None for outcome in outcomes):
        say("Not every experiment could finish.")
        raise Stop(FAILED)


def _announce(event: Any) -> None:
    """A line that says what is running, and goes away: on a terminal only."""
    if not sys.stderr.isatty():
        return
    text = f"[{event.place}/{event.total}] {event.key} …" if event.what == "started" else ""
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()


def _show_outcome(outcome: Any) -> None:
    from lightwork import lab as laboratory

    if colourful():
        from rich.console import Console

        Console(width=width()).print(laboratory.render_rich(outcome))
    else:
        click.echo(laboratory.render_text(outcome, width=width()))
    click.echo()
    sys.stdout.flush()
