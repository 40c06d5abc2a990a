"""``lightwork probe``: where the time of one call goes."""

from __future__ import annotations

import shutil

import click

from lightwork.cli._arguments import at_least_one, load_items, load_target, positive, takes_items
from lightwork.cli._terminal import fail_with, prints_to_stderr, put


@click.command()
@takes_items
@click.option("--budget", type=float, default=0.5, show_default=True, callback=positive, help="Seconds to spend.")
@click.option("--as-json", is_flag=True, help="Print data instead of text.")
def probe(target: str, budget: float, as_json: bool, **where: str | None) -> None:
    """Measure where the time of one call goes, and what each backend would make of it."""
    with prints_to_stderr():
        found = load_target(target)
        items = at_least_one(load_items(found.module, **where))
        from lightwork import probing

        try:
            profile = probing.probe(found.function, items, budget=budget)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises is shown as theirs
            fail_with(error)
    if as_json:
        put(profile.to_json())
    else:
        click.echo(profile.text(shutil.get_terminal_size().columns))
