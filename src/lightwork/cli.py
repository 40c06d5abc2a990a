"""The command line: the only place that parses arguments, prints and exits.

Exit codes: 0 all is well; 1 the function failed or would fail, backends disagree, or an experiment could not finish; 2
the command itself is wrong (usage, TARGET, items, a backend that cannot run here); 130 Ctrl-C.

What the user's function prints goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import difflib
import errno
import io
import itertools
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, NoReturn

import click

from lightwork import __version__
from lightwork.errors import BackendUnavailable, InvalidTarget

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

EXAMPLE = "For example: --items 'range(100)', --glob 'data/*.txt', --lines names.txt, --json records.jsonl"


class Stop(Exception):
    """Ends the command with an exit code; what there was to say has been said."""

    def __init__(self, code: int) -> None:
        self.code = code


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    _write_what_the_terminal_can()
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


PLAIN = {"─": "-", "×": "x", "±": "+-", "…": "...", "—": "-", "–": "-", "µ": "u", "→": "->", "−": "-"}
"""What stands for the signs of tables and messages where an encoding has them not."""


def _write_what_the_terminal_can() -> None:
    """Output in an encoding without a sign (Latin-1, a code page) gets a plain one, not an error at the end."""

    def replace(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end

    codecs.register_error("lightwork", replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="lightwork")


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Ends the command where its output goes nowhere any longer."""
    from lightwork._json_lines import silence

    try:
        yield
    except BrokenPipeError:
        silence(1)  # the reader has all that it wanted (head, less)
        raise Stop(FINE) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        silence(1)
        say(f"Error: the output cannot be written: {error.strerror}.")
        raise Stop(FAILED) from None


class _Commands(click.Group):
    """A group that answers a misspelt command with the nearest one, and minds where its output goes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _output():
            if not args:  # not click's own way: its releases differ in whether that is an error
                click.echo(ctx.get_help())
                ctx.exit(FINE)
            return super().parse_args(ctx, args)  # which writes what --help asks for

    def invoke(self, ctx: click.Context) -> Any:
        with _output():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            if not near and ":" in args[0]:
                hint = f" Did you mean lightwork compare {args[0]}?"
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="lightwork", message="%(prog)s %(version)s")
def cli() -> None:
    """Run a function over many items the way that is fastest on this machine, and see why.

    TARGET is package.module:function or path/to/file.py:function.
    """


# --- what several commands share -------------------------------------------------------------------------


_ITEM_OPTIONS = (
    click.argument("target"),
    click.option("--items", metavar="EXPR", help="A Python expression that sees TARGET's module: 'range(100)'."),
    click.option("--glob", "pattern", metavar="PATTERN", help="Paths of files, sorted; ** goes into directories."),
    click.option("--lines", metavar="FILE", help="The lines of a file; - is standard input."),
    click.option("--json", "records", metavar="FILE", help="A JSON array or JSON lines; - is standard input."),
)


def takes_items(command: Callable[..., Any]) -> Callable[..., Any]:
    """TARGET and the options that say where its items come from."""
    for option in reversed(_ITEM_OPTIONS):
        command = option(command)
    return command


def load_target(text: str) -> Any:
    """The target; a wrong one ends the command with a message."""
    from lightwork import _target

    try:
        return _target.load(text)
    except InvalidTarget as error:
        fail(str(error), USAGE)


def load_items(
    module: Any, items: str | None, pattern: str | None, lines: str | None, records: str | None
) -> Iterable[Any]:
    """The items that the options name; none or several are usage errors."""
    from lightwork import _items
    from lightwork._target import own_name

    given = [value for value in (items, pattern, lines, records) if value is not None]
    if len(given) > 1:
        raise click.UsageError("Give the items once: one of --items, --glob, --lines, --json.")
    try:
        if items is not None:
            return _items.from_expression(items, module)
        if pattern is not None:
            return _items.from_glob(pattern)
        if lines is not None:
            return _items.from_lines(lines)
        if records is not None:
            return _items.from_json(records)
        found = _items.from_module(module)
    except _items.InvalidItems as error:
        fail(str(error), USAGE)
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises is shown as theirs
        fail_with(error, "The module's own items() failed:")
    if found is None:
        raise click.UsageError(f"No items. {EXAMPLE}. Or define items in {own_name(module)}.")
    say(f"Items: {found[0]} of {own_name(module)}.")
    return found[1]


def say(text: str) -> None:
    """A line for the person at the terminal; standard output stays clean."""
    with contextlib.suppress(BrokenPipeError):
        click.echo(text, err=True)


def fail(text: str, code: int) -> NoReturn:
    """Ends the command with a message."""
    from lightwork.report.text import fill

    # A traceback keeps its own lines.
    say(f"Error: {text}" if "\n" in text else "\n".join(fill(f"Error: {text}", width())))
    raise Stop(code)


def fail_with(error: BaseException, head: str = "") -> NoReturn:
    """Ends the command with the user's own exception, in the user's own frames."""
    from lightwork._items import InvalidItems
    from lightwork._target import user_traceback

    if isinstance(error, InvalidItems | BackendUnavailable):
        fail(str(error), USAGE)
    if head:
        say(head)
    say(user_traceback(error))
    raise Stop(FAILED)


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """What the user's function prints must not mix with results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def width() -> int:
    """Columns to write into: the terminal's (COLUMNS rules), 80 where there is none."""
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 100))


def put(data: Any) -> None:
    """Data as JSON on standard output."""
    from lightwork._json_lines import plain

    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    ascii_only = not encoding.lower().startswith("utf")
    click.echo(json.dumps(plain(data, _accept), indent=2, ensure_ascii=ascii_only))


def _accept(warning: str) -> None:
    """lightwork's own data has nothing to warn of."""


def colourful() -> bool:
    """Whether colours would be seen and are wanted (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_file(path: str, text: str) -> None:
    """Writes a report where the user wants it."""
    from pathlib import Path

    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror or error}.", USAGE)
    say(f"Written: {path}")


def positive(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """Refuses what is not above 0, not finite, or not a number."""
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise click.BadParameter(f"it must be a number above 0, not {value}")
    return value


def writable(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuses a file that could not be written, before anything is measured for it."""
    from pathlib import Path

    if value is None:
        return None
    path = Path(value)
    if path.is_dir():
        raise click.BadParameter(f"{value} is a directory; name a file in it")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{value} cannot be written")
    return value


max_workers_option = click.option(
    "--max-workers",
    type=click.IntRange(1),
    metavar="N",
    help="Workers of each backend; by default each finds its own.",
)


# --- compare ---------------------------------------------------------------------------------------------


@cli.command()
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
    names = None if backends is None else [name.strip() for name in backends.split(",") if name.strip()]
    with prints_to_stderr():
        found = load_target(target)
        items = _finite(found.module, where)
        from lightwork import comparing

        try:
            comparison = comparing.compare(
                found.function, items, backends=names, max_workers=max_workers, rounds=rounds, progress=True
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


def _finite(module: Any, where: dict[str, str | None]) -> list[Any]:
    """The items as a list, for commands that go through them more than once."""
    from lightwork._items import InvalidItems
    from lightwork.comparing import WrongRequest, finite

    source = load_items(module, **where)
    try:
        items = [item for (item,) in finite(source)]
    except (InvalidItems, WrongRequest) as error:
        fail(str(error), USAGE)
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises is shown as theirs
        fail_with(error, "The items failed:")
    if not items:
        fail(f"The input holds no items. {EXAMPLE}.", USAGE)
    return items


def _at_least_one(items: Iterable[Any]) -> Iterable[Any]:
    """The same items, endless ones too, after a look at the first."""
    rest: Iterable[Any] = items
    if isinstance(items, Sized):
        empty = len(items) == 0
    else:
        source = iter(items)
        first = list(itertools.islice(source, 1))
        rest, empty = itertools.chain(first, source), not first
    if empty:
        fail(f"The input holds no items. {EXAMPLE}.", USAGE)
    return rest


def _coloured(line: str, winner: str | None) -> str:
    if not colourful():
        return line
    if line.startswith("!!"):
        return click.style(line, fg="red", bold=True)
    if winner is not None and line.startswith(f"{winner} ") and line.endswith("fastest"):
        return click.style(line, fg="green", bold=True)
    return line


# --- stacks ----------------------------------------------------------------------------------------------


@cli.command("stacks")
@click.argument("pid", type=int)
def stacks_(pid: int) -> None:
    """Show what the worker processes of the program PID are doing, whatever they are stuck in.

    Each worker's Python stack, the most recent call first. The program goes on; a wait in C code that minds no
    signals (usleep) may end early.
    """
    import psutil

    from lightwork._backends import _stacks

    try:
        workers = _stacks.workers_of(pid)
        answers = _stacks.ask(workers)
    except psutil.NoSuchProcess:
        fail(f"there is no process {pid}", USAGE)
    except psutil.AccessDenied:
        fail(f"process {pid} is somebody else's", USAGE)
    if not workers:
        fail(f"process {pid} has no worker processes now (threads and the calling thread are not shown)", FAILED)
    for number, worker in enumerate(workers):
        click.echo(f"{'' if not number else chr(10)}worker {worker}")
        click.echo(answers.get(worker, "  does not answer: stopped, held by the kernel, or just starting"))


# --- map -------------------------------------------------------------------------------------------------


@cli.command("map")
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


# --- probe -----------------------------------------------------------------------------------------------


@cli.command()
@takes_items
@click.option("--budget", type=float, default=0.5, show_default=True, callback=positive, help="Seconds to spend.")
@click.option("--as-json", is_flag=True, help="Print data instead of text.")
def probe(target: str, budget: float, as_json: bool, **where: str | None) -> None:
    """Measure where the time of one call goes, and what each backend would make of it."""
    with prints_to_stderr():
        found = load_target(target)
        items = _at_least_one(load_items(found.module, **where))
        from lightwork import probing

        try:
            profile = probing.probe(found.function, items, budget=budget)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises is shown as theirs
            fail_with(error)
    if as_json:
        put(profile.to_json())
    else:
        click.echo(profile.text(shutil.get_terminal_size().columns))


# --- check -----------------------------------------------------------------------------------------------


@cli.command()
@takes_items
@click.option("--backends", metavar="A,B", help="Backends to judge; by default all that suit the function.")
@click.option("--as-json", is_flag=True, help="Print data instead of text.")
def check(target: str, backends: str | None, as_json: bool, **where: str | None) -> None:
    """Say what would go wrong if TARGET ran in parallel, without calling it.

    Items are optional. Exit codes: 1 if something would fail in a backend that lightwork may choose by itself (or that
    --backends names), 0 if nothing would; what would only change results or cost time does not count.
    """
    names = None if backends is None else [name.strip() for name in backends.split(",") if name.strip()]
    with prints_to_stderr():
        found = load_target(target)
        items = _finite(found.module, where) if _has_items(found.module, where) else None
        from lightwork import checking

        try:
            findings = checking.check(found.function, *([] if items is None else [items]), backends=names)
        except ValueError as error:
            fail(str(error), USAGE)
    if as_json:
        put(findings.to_json())
    else:
        for line in findings.text(width()).splitlines():
            click.echo(click.style(line, fg="red", bold=True) if colourful() and line.startswith("!!") else line)
    if findings.failing:
        raise Stop(FAILED)


def _has_items(module: Any, where: dict[str, str | None]) -> bool:
    return any(value is not None for value in where.values()) or any(
        hasattr(module, name) for name in ("items", "ITEMS")
    )


# --- memory ----------------------------------------------------------------------------------------------


@cli.group(no_args_is_help=False)
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


# --- lab -------------------------------------------------------------------------------------------------


@cli.command()
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


# --- doctor ----------------------------------------------------------------------------------------------


@cli.command()
@click.option("--json", "--as-json", "as_json", is_flag=True, help="Print data instead of text.")
def doctor(as_json: bool) -> None:
    """Say what this machine offers to parallel work, and what would go wrong."""
    from lightwork import _doctor
    from lightwork.report.text import fill

    diagnosis = _doctor.diagnose(_doctor.look())
    if as_json:
        put(diagnosis.to_json())
        return
    for line in _doctor.describe(diagnosis.evidence):
        click.echo("\n".join(fill(line, width(), "    ", first="")))
    click.echo()
    for finding in diagnosis.findings:
        mark = "!!" if finding.level == "warning" else "- "
        click.echo("\n".join(fill(f"{mark} {finding.what}", width(), "   ", first="")))
        click.echo("\n".join(fill(f"-> {finding.remedy}", width(), "      ", first="   ")))
    if not any(finding.level == "warning" for finding in diagnosis.findings):
        click.echo("Nothing stands in the way of parallel work here.")
    for unknown in diagnosis.unknown:
        click.echo("\n".join(fill(f"Not enough evidence on {unknown.rule}: {unknown.why}.", width())))
