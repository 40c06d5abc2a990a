"""``lightwork memory``: what is remembered of past runs."""

from __future__ import annotations

import click

from lightwork.cli._arguments import Commands
from lightwork.cli._terminal import USAGE, fail, put, width


@click.group(cls=Commands, no_args_is_help=False)
def memory() -> None:
    """Show or clear what lightwork remembers of functions (lw.config(memory=PATH), LIGHTWORK_MEMORY)."""


_memory_path = click.argument("path", envvar="LIGHTWORK_MEMORY", type=click.Path())


@memory.command("list")
@_memory_path
@click.option("--as-json", is_flag=True, help="Print data instead of text.")
def memory_list(path: str, as_json: bool) -> None:
    """What is remembered in the file PATH, the latest first."""
    from lightwork import _memory
    from lightwork._record import asdict
    from lightwork.report.text import fill

    try:
        rows = _memory.rows(path)
    except _memory.Unreadable as error:
        fail(str(error), USAGE)
    if as_json:
        put([asdict(row) for row in rows])
        return
    for row in rows:
        click.echo("\n".join(fill(row.function, width())))
        click.echo("\n".join(fill(f"one call: {row.past.demand}", width(), "    ", first="  ")))
        click.echo("\n".join(fill(f"{row.past}", width(), "    ", first="  ")))
        click.echo("\n".join(fill(f"learnt {row.learnt} UTC on {row.machine}", width(), "    ", first="  ")))
    if not rows:
        click.echo("Nothing is remembered.")


@memory.command("clear")
@_memory_path
@click.option("--function", metavar="TEXT", help="Only of functions whose name contains TEXT.")
def memory_clear(path: str, function: str | None) -> None:
    """Forget what is remembered in the file PATH."""
    from lightwork import _memory

    try:
        count = _memory.clear(path, function)
    except _memory.Unreadable as error:
        fail(str(error), USAGE)
    click.echo(f"Forgot {count:,} {'entry' if count == 1 else 'entries'}.")
