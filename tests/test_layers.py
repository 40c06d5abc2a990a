"""The house stands: every module imports from its own floor and those below, and nothing runs in a circle.

All imports count, wherever they stand: at the top, inside functions, under TYPE_CHECKING, and modules named
in a string (``import_module("lightwork._backends.threads")``). Beside the floors this file holds the few rooms
that have a privilege: who reads the clock, asks for the platform, prints, and exits.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import lightwork

PACKAGE = Path(lightwork.__file__).parent

FLOORS: dict[str, str] = {
    "ground": "_awaitable _beside _bulk _defaults _descriptors _lean _lock _loops _typing errors _root _crashed _clock "
    "_extensions _gate _handles _inventory _kinds _library_threads _loaded _machine _offspring _pauses _platform "
    "_polling _record _sizes _spinning _stats _turns",
    "values": "_attendance _calls _context _demand _finding _per_worker _sameness _spread _timeline _trace _unfilled "
    "_usage",
    "wire": "_pickling _pieces _wire _wire_cost _by_code _standing_alone _by_value _class_names _classes _decorated "
    "_culprit _carried",
    "kit": "_kit.*",
    "backends": "_backends.*",
    "decisions": "_account _advice _apart _attempts _backlog _batching _bytecode _captured _change _changers _dispatch "
    "_effects _fills _fingerprint _flow _growth _headroom _instructions _lanes _model _pace _past _policy "
    "_report _shared _submitted _way_back _worth",
    "engine": "_at_hand _auto _engine _evidence _handing_over _live _memory _opening _plan _prelude _remembering "
    "_scout _second_choice _source _speculation _watch _watchdog",
    "report": "report.*",
    "surface": "_collecting _config _doctor _futures _gathering _items _json_lines _lazy_signatures _mapped _measuring "
    "_options _outstanding _preparing _reasons _routing _service _signatures _simulated _target _verdicts "
    "_world _hazards.* amapping checking comparing executor mapping probing testing",
    "package": "lightwork",
    "lab": "lab.*",
    "command line": "cli.* __main__",
}
"""From the ground up. A name is a module or ``folder.*``; ``lightwork`` is the package's own file."""

READS_THE_CLOCK = {
    "_clock": "it is the clock",
    "_prelude": "times the shortest maps, which load nothing more for that",
    "_pauses": "times one collection, as a part of the shortest maps",
    "_demand": "measures inside a call, where an indirection would be measured too",
    "_wire_cost": "measures microseconds of pickling",
    "_backends.worker": "runs in the worker: stamps what it reports",
    "_backends._outbox": "runs in the worker: stamps what it reports",
    "_backends._stacks": "waits for a signal handler, of which no event tells",
    "_backends._local": "runs in the worker: stamps what it reports",
    "_backends.threads": "runs in the worker: stamps what it reports",
    "_backends.coroutines": "runs in the worker: stamps what it reports",
    "_backends.interpreters": "runs in the worker: stamps what it reports",
    "lab.*": "its experiments time bare threads and processes, as the reader would",
}
ASKS_THE_PLATFORM = {"_machine": "it is the place for that", "_platform": "it is the place for that"}
PRINTS = {"cli.*": "it is the command line", "lab.*": "what the experiments' workers print is their evidence"}
EXITS = {"cli.*": "it is the command line", "__main__": "it is the command line"}
PARSES_ARGUMENTS = {"cli.*": "it is the command line"}

CLOCKS = {"time", "perf_counter", "monotonic", "time_ns", "perf_counter_ns", "monotonic_ns", "clock_gettime"}
PLATFORM = {("sys", name) for name in ("platform", "version_info", "hexversion", "implementation", "version")} | {
    ("os", "name"),
    ("os", "uname"),
}


def name_of(path: Path) -> str:
    """``backends/base.py`` is ``backends.base``; ``__init__.py`` is its folder, the top one ``lightwork``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "lightwork"


@cache
def trees() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_bytes(), str(path)) for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def nodes(tree: ast.Module) -> list[ast.AST]:
    return list(ast.walk(tree))


def covers(entry: str, module: str) -> bool:
    return module == entry or (entry.endswith(".*") and (module + ".").startswith(entry[:-1]))


def allowed(table: dict[str, str], module: str) -> bool:
    return any(covers(entry, module) for entry in table)


def floor_of(module: str) -> int | None:
    for number, entries in enumerate(FLOORS.values()):
        if any(covers(entry, module) for entry in entries.split()):
            return number
    return None


def module_named(dotted: str) -> str | None:
    """The module of this package that an absolute dotted name means; None for what is not a module of it."""
    if dotted == "lightwork":
        return dotted
    name = dotted.removeprefix("lightwork.")
    return name if name != dotted and name in trees() else None


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Each module of lightwork that is imported, with the line; names taken from folders are modules."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            found = [module_named(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports within lightwork are written out, without dots"
            taken_from = node.module or ""
            found = [module_named(f"{taken_from}.{a.name}") or module_named(taken_from) for a in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            found = [module_named(node.value)]
        else:
            continue
        yield from ((name, node.lineno) for name in found if name is not None)


@cache
def arrows() -> dict[str, dict[str, int]]:
    """module → {what it imports: the first line that does}. Its own folder is no arrow."""
    found: dict[str, dict[str, int]] = {module: {} for module in trees()}
    for module, tree in trees().items():
        for target, line in imported(tree):
            if not (module + ".").startswith(target + "."):
                found[module].setdefault(target, line)
    return found


def listing(wrong: list[str], remedy: str) -> str:
    return "\n  ".join([f"{len(wrong)} found:", *wrong]) + f"\n{remedy}"


def test_every_module_has_a_floor() -> None:
    homeless = [module for module in trees() if floor_of(module) is None]
    assert not homeless, listing(
        homeless,
        "A new module: add it to FLOORS in tests/test_layers.py, on the lowest floor that is above "
        "all that it imports, and to the house in docs/architecture.md.",
    )


def test_every_module_is_on_the_plan() -> None:
    plan = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = [
        module
        for module in trees()
        if not module.startswith("lab.") and module != "lightwork" and f"`{module.rpartition('.')[2]}" not in plan
    ]
    assert not missing, listing(missing, "Give each a place in the table of docs/architecture.md.")


def test_no_arrow_points_upwards() -> None:
    names = list(FLOORS)
    wrong = []
    for module, targets in arrows().items():
        here = floor_of(module)
        for target, line in targets.items():
            there = floor_of(target)
            if here is not None and there is not None and there > here:
                wrong.append(f"{module}:{line} ({names[here]}) imports {target} ({names[there]})")
    assert not wrong, listing(wrong, "Move what is needed down, or pass it in as an argument.")


def test_there_are_no_circles() -> None:
    done: set[str] = set()
    circles: set[tuple[str, ...]] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            circle = path[path.index(module) :]
            least = circle.index(min(circle))
            circles.add((*circle[least:], *circle[:least]))
        elif module not in done:
            for target in sorted(arrows().get(module, ())):
                visit(target, [*path, module])
            done.add(module)

    for module in sorted(arrows()):
        visit(module, [])
    found = [" → ".join((*circle, circle[0])) for circle in sorted(circles)]
    assert not found, listing(found, "Two modules that need each other are one module, or lack a third below them.")


def uses(tree: ast.Module, owner: str, names: set[str]) -> Iterator[tuple[str, int]]:
    """``owner.name`` and ``from owner import name``, under any alias of the module ``owner``."""
    aliases = {owner}
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname for alias in node.names if alias.name == owner and alias.asname}
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            if node.attr in names:
                yield f"{owner}.{node.attr}", node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == owner and not node.level:
            for alias in node.names:
                if alias.name in names:
                    yield f"{owner}.{alias.name}", node.lineno


def offences(owner: str, names: set[str], privileged: dict[str, str]) -> list[str]:
    return [
        f"{module}:{line} uses {what}"
        for module, tree in trees().items()
        if not allowed(privileged, module)
        for what, line in uses(tree, owner, names)
    ]


def test_only_the_clock_reads_the_time() -> None:
    wrong = offences("time", CLOCKS, READS_THE_CLOCK)
    for owner in ("datetime", "date"):
        wrong += offences(owner, {"now", "today", "utcnow"}, READS_THE_CLOCK)
    assert not wrong, listing(wrong, "Take a Clock as an argument, or SystemClock from _clock.")


def test_only_the_machine_asks_for_platform_and_version() -> None:
    wrong = [
        found
        for owner in ("sys", "os")
        for found in offences(owner, {name for its, name in PLATFORM if its == owner}, ASKS_THE_PLATFORM)
    ]
    wrong += [
        f"{module}:{line} imports platform"
        for module, line in importers("platform")
        if not allowed(ASKS_THE_PLATFORM, module)
    ]
    assert not wrong, listing(wrong, "Put the question into _machine.py (or _platform.py) and ask it by a name.")


def importers(package: str) -> Iterator[tuple[str, int]]:
    for module, tree in trees().items():
        for node in nodes(tree):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            if any(name.partition(".")[0] == package for name in names):
                yield module, node.lineno


def test_only_the_command_line_parses_arguments() -> None:
    wrong = [
        f"{module}:{line} imports {package}"
        for package in ("click", "argparse", "optparse", "getopt")
        for module, line in importers(package)
        if not allowed(PARSES_ARGUMENTS, module)
    ]
    assert not wrong, listing(wrong, "Arguments are parsed in cli/; what they mean is an ordinary function.")


def called(names: set[str]) -> Iterator[tuple[str, str, int]]:
    for module, tree in trees().items():
        for node in nodes(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield module, node.func.id, node.lineno


def test_only_the_command_line_prints() -> None:
    wrong = [f"{module}:{line} prints" for module, _, line in called({"print"}) if not allowed(PRINTS, module)]
    assert not wrong, listing(wrong, "Return the text; cli/ prints it.")


def test_only_the_command_line_exits() -> None:
    wrong = offences("sys", {"exit"}, EXITS)
    wrong += [
        f"{module}:{line} calls {name}"
        for module, name, line in called({"exit", "quit", "SystemExit"})
        if not allowed(EXITS, module)
    ]
    assert not wrong, listing(wrong, "Raise a LightworkError; cli/ turns it into a message and an exit code.")


def test_privileges_are_used() -> None:
    """A table that names a module which is gone is not believed for long."""
    tables = (READS_THE_CLOCK, ASKS_THE_PLATFORM, PRINTS, EXITS, PARSES_ARGUMENTS)
    entries = {entry for table in tables for entry in table} | {
        entry for entries in FLOORS.values() for entry in entries.split()
    }
    gone = sorted(entry for entry in entries if not any(covers(entry, module) for module in trees()))
    assert not gone, listing(gone, "These modules are no longer there: take them out of the tables.")
