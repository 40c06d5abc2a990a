"""What several commands take: TARGET, its items, and options that mean the same everywhere."""

from __future__ import annotations

import difflib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Sized
from typing import Any

import click

from lightwork.cli._terminal import USAGE, fail, fail_with, say
from lightwork.errors import InvalidTarget

EXAMPLE = "For example: --items 'range(100)', --glob 'data/*.txt', --lines names.txt, --json records.jsonl"


class Commands(click.Group):
    """A group that answers a misspelt command with the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = self.meant(args[0], self.list_commands(ctx))
            hint = f" Did you mean {near}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx) from None

    def meant(self, name: str, known: list[str]) -> str | None:
        """The command that a misspelt name most likely stands for."""
        return next(iter(difflib.get_close_matches(name, known, 1)), None)


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


def finite_items(module: Any, where: dict[str, str | None]) -> list[Any]:
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


def at_least_one(items: Iterable[Any]) -> Iterable[Any]:
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


def has_items(module: Any, where: dict[str, str | None]) -> bool:
    return any(value is not None for value in where.values()) or any(
        hasattr(module, name) for name in ("items", "ITEMS")
    )


def listed(names: str | None) -> list[str] | None:
    """What stands between the commas, if anything was given."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


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
