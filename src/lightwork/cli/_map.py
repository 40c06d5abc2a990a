"""``lightwork map``: results as lines of JSON, as they come."""

from __future__ import annotations

import sys
from typing import Any

import click

from lightwork.cli._arguments import load_items, load_target, max_workers_option, positive, takes_items, writable
from lightwork.cli._terminal import FAILED, USAGE, Stop, fail, fail_with, prints_to_stderr, say
from lightwork.errors import BackendUnavailable


@click.command("map")
@takes_items
@click.option("--backend", default=None, metavar="NAME", help="By default chosen by measuring.")
@max_workers_option
@click.option(
    "--errors",
    type=click.Choice(["raise", "return"]),
    default="raise",
    show_default=True,
    help="Stop at a failure, or write it as a line and go on.",
)
@click.option("--call-timeout", type=float, callback=positive, metavar="SECONDS", help="End calls that take longer.")
@click.option("--max-memory", metavar="SIZE", help="The most that a worker process may take: 512MB, 2GiB.")
@click.option("--retries", type=click.IntRange(0), default=0, metavar="N", help="Repeat a failed call.")
@click.option("--unordered", is_flag=True, help="Write results as they finish, not in the items' order.")
@click.option("--report", is_flag=True, help="Say on standard error what ran where, and why.")
@click.option("--trace", metavar="FILE", callback=writable, help="Write a timeline for ui.perfetto.dev, too.")
@click.option("--progress", is_flag=True, help="A bar on standard error, if that is a terminal.")
def map_(
    target: str,
    backend: str | None,
    max_workers: int | None,
    errors: str,
    call_timeout: float | None,
    max_memory: str | None,
    retries: int,
    unordered: bool,
    report: bool,
    trace: str | None,
    progress: bool,
    **where: str | None,
) -> None:
    """Call TARGET with each item and write one line of JSON for each result, as they come."""
    from lightwork._json_lines import LineWriter, encode, plain
    from lightwork.errors import Failure

    options: dict[str, Any] = {
        "backend": backend,
        "max_workers": max_workers,
        "errors": errors,
        "call_timeout": call_timeout,
        "max_memory": max_memory,
        "retries": retries,
        "progress": progress,
    }
    warned: set[str] = set()

    def warn(text: str) -> None:
        if text not in warned:
            warned.add(text)
            say(f"Warning: {text}.")

    failed = 0
    if sys.stdout is None:
        fail("there is no standard output to write the results to", USAGE)
    with LineWriter(sys.stdout.buffer) as writer, prints_to_stderr():
        found = load_target(target)
        items = load_items(found.module, **where)
        from lightwork import mapping

        family = mapping.imap_unordered if unordered else mapping.imap
        try:
            stream = family(found.function, items, **options)
        except (BackendUnavailable, ValueError, TypeError) as error:
            fail(str(error), USAGE)
        with stream:
            results = iter(stream)
            while True:
                try:
                    value = next(results)
                except StopIteration:
                    break
                except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises is shown as theirs
                    writer.close()  # what came before the failure comes before its message
                    fail_with(error)
                if isinstance(value, Failure):
                    failed += 1
                    line = {
                        "index": value.index,
                        "error": type(value.exception).__name__,
                        "message": str(plain(str(value.exception), warn)),
                    }
                    writer.write(encode(line, warn))
                else:
                    writer.write(encode(value, warn))
            writer.close()
            if report:
                say(str(stream.report))
            if trace is not None:
                stream.report.to_trace(trace)
    if failed:
        say(f"{failed:,} {'call' if failed == 1 else 'calls'} failed.")
        raise Stop(FAILED)
