"""``lightwork check``: what would go wrong in parallel."""

from __future__ import annotations

import click

from lightwork.cli._arguments import finite_items, has_items, listed, load_target, takes_items
from lightwork.cli._terminal import FAILED, USAGE, Stop, colourful, fail, prints_to_stderr, put, width


@click.command()
@takes_items
@click.option("--backends", metavar="A,B", help="Backends to judge; by default all that suit the function.")
@click.option("--as-json", is_flag=True, help="Print data instead of text.")
def check(target: str, backends: str | None, as_json: bool, **where: str | None) -> None:
    """Say what would go wrong if TARGET ran in parallel, without calling it.

    Items are optional. Exit codes: 1 if something would fail in a backend that lightwork may choose by itself (or that
    --backends names), 0 if nothing would; what would only change results or cost time does not count.
    """
    with prints_to_stderr():
        found = load_target(target)
        items = finite_items(found.module, where) if has_items(found.module, where) else None
        from lightwork import checking

        try:
            findings = checking.check(found.function, *([] if items is None else [items]), backends=listed(backends))
        except ValueError as error:
            fail(str(error), USAGE)
    if as_json:
        put(findings.to_json())
    else:
        for line in findings.text(width()).splitlines():
            click.echo(click.style(line, fg="red", bold=True) if colourful() and line.startswith("!!") else line)
    if findings.failing:
        raise Stop(FAILED)
