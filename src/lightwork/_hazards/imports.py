"""Rules on extension modules: those that turn the GIL on, and those that no sub-interpreter loads.

Looked at are the modules that the function uses and what these have imported, as far as they are loaded: each
extension module says of itself what it supports (``_extensions``). Nothing is imported to find out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType

from lightwork import _machine
from lightwork._by_code import MAINS
from lightwork._effects import own_file
from lightwork._extensions import Extension, extension
from lightwork._finding import COSTS, FAILS, UNKNOWN, Finding
from lightwork._hazards.subject import Subject
from lightwork._kinds import is_a

_SHOWN = 4


def turn_gil_on(subject: Subject) -> Iterator[Finding]:
    """On a free-threaded build one module that needs the GIL takes it from all threads of the process."""
    if not (_machine.free_threaded_build() and subject.sharing) or _gil_is_forced_off():
        return
    guilty = [one for one in _loaded(subject) if one.needs_gil]
    if guilty:
        yield Finding(
            "gil",
            COSTS,
            f"{_named(guilty)} {'needs' if len(guilty) == 1 else 'need'} the GIL: importing "
            f"{'it' if len(guilty) == 1 else 'them'} turns it on for the whole process, so that threads compute "
            "in turns on this free-threaded Python.",
            _where(subject, guilty),
            "Take a newer release that supports free threading, or PYTHON_GIL=0 if you know that it is safe; "
            'backend="processes" computes side by side all the same.',
            subject.sharing,
        )
    elif _machine.gil_enabled():
        yield Finding(
            "gil",
            COSTS,
            "The GIL is on in this free-threaded Python, though no module that the function uses asks for it: another "
            "import has turned it on, or PYTHON_GIL=1.",
            "",
            "lightwork doctor tells more.",
            subject.sharing,
        )


def _gil_is_forced_off() -> bool:
    return os.environ.get("PYTHON_GIL") == "0" or sys._xoptions.get("gil") == "0"


def refuse_interpreters(subject: Subject) -> Iterator[Finding]:
    """A sub-interpreter has a GIL of its own; modules that are not written for that raise ImportError there."""
    if "interpreters" not in subject.backends:
        return
    refusing = [one for one in _loaded(subject) if one.refuses_interpreters]
    if refusing:
        yield Finding(
            "interpreters",
            FAILS,
            f"{_named(refusing)} cannot be imported in a sub-interpreter: "
            f"{'it was' if len(refusing) == 1 else 'they were'} not written for more than one in a process.",
            _where(subject, refusing),
            'Use backend="threads" or "processes". backend="auto" does not use interpreters.',
            ("interpreters",),
        )


def not_loaded(subject: Subject) -> Iterator[Finding]:
    """What a function imports only when it is called cannot be looked at."""
    asked = "interpreters" in subject.backends or (_machine.free_threaded_build() and subject.sharing)
    missing = {use.package: use.where for use in reversed(subject.uses) if use.imported}
    for package, where in missing.items():
        if asked and package not in sys.modules and package not in sys.stdlib_module_names:
            yield Finding(
                "imports",
                UNKNOWN,
                f"The function imports {package} when it is called. It is not loaded here, so that nobody can say "
                "whether it turns the GIL on or refuses sub-interpreters.",
                where,
                f"Import {package} before you call check.",
                tuple(name for name in subject.backends if name in ("interpreters", *subject.sharing)),
            )


# what is loaded


def _loaded(subject: Subject) -> list[Extension]:
    """What the extension modules say that a worker would load for this function."""
    loaded = (sys.modules.get(name) for name in sorted(_modules(subject)))
    declared = (extension(module) for module in loaded if isinstance(module, ModuleType) and _is_extension(module))
    return [one for one in declared if one is not None]


def _is_extension(module: ModuleType) -> bool:
    file = vars(module).get("__file__")
    return isinstance(file, str) and not file.endswith((".py", ".pyc"))


def _modules(subject: Subject) -> set[str]:
    """Names of the modules that the function uses, and of all that those have imported in their turn.

    The user's own modules one by one, since a worker imports no others; libraries as a whole, since theirs often hide
    what they import.
    """
    together: dict[str, list[str]] = {}
    for name in list(sys.modules):
        together.setdefault(name.partition(".")[0], []).append(name)
    # What is sent from the main module takes nothing of it along but what it uses; any other module is imported whole.
    seen = {"", *MAINS}
    waiting = {_home(thing) for _, thing in subject.things}
    for use in subject.uses:
        outer = (use.dotted[: dot.start()] for dot in re.finditer(r"\.|$", use.dotted))
        waiting |= {name for name in outer if name in sys.modules}
    while waiting:
        name = waiting.pop()
        package = name.partition(".")[0]
        module = sys.modules.get(name)
        if name in seen or package == "lightwork" or not isinstance(module, ModuleType):
            continue
        seen.add(name)
        waiting.add(name.rpartition(".")[0])
        if not own_file(vars(module).get("__file__") or ""):
            waiting.update(together[package])
        # A package has all its loaded submodules as attributes, whoever imported them: they are no evidence.
        named = [value for key, value in list(vars(module).items()) if f"{name}.{key}" not in sys.modules]
        waiting |= {_home(value) for value in named} - seen
    return seen


def _home(value: object) -> str:
    """The name of the module that something is, or comes from."""
    if is_a(value, ModuleType):
        name: object = value.__name__
    elif is_a(value, (type, FunctionType, BuiltinFunctionType)):
        name = value.__module__
    else:
        name = type(value).__module__
    return name if isinstance(name, str) else ""


def _where(subject: Subject, found: list[Extension]) -> str:
    """The first line that uses one of these packages, where the function itself does."""
    packages = {one.name.partition(".")[0] for one in found}
    return next((use.where for use in subject.uses if use.package in packages), "")


def _named(found: list[Extension]) -> str:
    names = [one.name for one in found]
    if len(names) > _SHOWN:
        names = [*names[:_SHOWN], f"{len(names) - _SHOWN} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
