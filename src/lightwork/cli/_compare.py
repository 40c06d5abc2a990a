"""``lightwork compare``: the table, the page and the data of a comparison."""

from __future__ import annotations

import dataclasses

import click

from lightwork.cli._arguments import finite_items, listed, load_target, max_workers_option, takes_items, writable
from lightwork.cli._terminal import (
    FAILED,
    USAGE,
    Stop,
    colourful,
    fail,
    fail_with,
    prints_to_stderr,
    put,
    width,
    write_file,
)


@click.command()
@takes_items
@click.option("--backends", metavar="A,B", help="Backends to compare; by default all that suit the function.")
@max_workers_option
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Counted runs of each backend.")
@click.option("--html", metavar="FILE", callback=writable, help="Write a page with a picture, too.")
@click.option("--as-json", is_flag=True, help="Print data instead of the table.")
def compare(
    target: str,
    backends: str | None,
    max_workers: int | None,
    rounds: int,
    html: str | None,
    as_json: bool,
    **where: str | None,
) -> None:
    """Time TARGET on every backend and say which wins, and why.

    Every run gets fresh copies of the items; TARGET is called many times for each.
    """
    with prints_to_stderr():
        found = load_target(target)
        items = finite_items(found.module, where)
        from lightwork import comparing

        try:
            comparison = comparing.compare(
                found.function, items, backends=listed(backends), max_workers=max_workers, rounds=rounds, progress=True
            )
        except comparing.WrongRequest as error:
            fail(str(error), USAGE)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises is shown as theirs
            fail_with(error)
    from lightwork._target import own_name

    private, known = f"{found.module.__name__}:", f"{own_name(found.module)}:"
    comparison = dataclasses.replace(comparison, function=comparison.function.replace(private, known))
    if as_json:
        put(comparison.to_json())
    else:
        from lightwork.report.text import comparison_text

        for line in comparison_text(comparison, width()).splitlines():
            click.echo(_coloured(line, comparison.winner))
    if html is not None:
        from lightwork.report.html import comparison_page

        write_file(html, comparison_page(comparison))
    if comparison.winner is None or not comparison.agree:
        raise Stop(FAILED)


def _coloured(line: str, winner: str | None) -> str:
    if not colourful():
        return line
    if line.startswith("!!"):
        return click.style(line, fg="red", bold=True)
    if winner is not None and line.startswith(f"{winner} ") and line.endswith("fastest"):
        return click.style(line, fg="green", bold=True)
    return line
