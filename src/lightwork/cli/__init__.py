"""The command line: the only place that parses arguments, prints and exits.

Exit codes: 0 all is well; 1 the function failed or would fail, backends disagree, or an experiment could not finish; 2
the command itself is wrong (usage, TARGET, items, a backend that cannot run here); 130 Ctrl-C.

What the user's function prints goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from lightwork import __version__
from lightwork.cli import _check, _compare, _doctor, _lab, _map, _memory, _probe, _stacks
from lightwork.cli._arguments import Commands
from lightwork.cli._terminal import FINE, INTERRUPTED, USAGE, Stop, output, say, width, write_what_the_terminal_can


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    write_what_the_terminal_can()
    try:
        cli.main(args=None if args is None else list(args), prog_name="lightwork", standalone_mode=False)
    except Stop as stop:
        return stop.code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        from lightwork.report.text import fill

        context = getattr(error, "ctx", None)
        if context is not None:
            say(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n")
        say("\n".join(fill(f"Error: {error.format_message()}", width())))
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.")
        return INTERRUPTED
    return FINE


class _Commands(Commands):
    """The command line's own, which minds where its output goes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with output():
            if not args:  # not click's own way: its releases differ in whether that is an error
                click.echo(ctx.get_help())
                ctx.exit(FINE)
            return super().parse_args(ctx, args)  # which writes what --help asks for

    def invoke(self, ctx: click.Context) -> Any:
        with output():
            return super().invoke(ctx)

    def meant(self, name: str, known: list[str]) -> str | None:
        """As ``Commands.meant``; or the command that a target stands before."""
        return super().meant(name, known) or (f"lightwork compare {name}" if ":" in name else None)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="lightwork", message="%(prog)s %(version)s")
def cli() -> None:
    """Run a function over many items the way that is fastest on this machine, and see why.

    TARGET is package.module:function or path/to/file.py:function.
    """


for _command in (
    _compare.compare,
    _stacks.stacks_,
    _map.map_,
    _probe.probe,
    _check.check,
    _memory.memory,
    _lab.lab,
    _doctor.doctor,
):
    cli.add_command(_command)
