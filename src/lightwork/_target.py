"""TARGET of the command line: ``package.module:function`` or ``path/to/file.py:function`` becomes a callable.

A file is imported under its own name, with its directory on ``sys.path``, so that workers can import it as
well and functions travel by reference. Where that name belongs to another module (a user's ``json.py``), the
file is loaded under a private name and travels by value: nothing is ever shadowed.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import itertools
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lightwork.errors import InvalidTarget, LightworkError

_private_names = itertools.count(1)
_OWN_DIRECTORY = str(Path(__file__).parent)


@dataclass(frozen=True)
class Target:
    """What TARGET named: the ``function``, the ``module`` it was found in, and its ``name`` there."""

    text: str
    function: Callable[..., Any]
    module: ModuleType
    name: str


def load(text: str) -> Target:
    """The callable that ``text`` names.

    Raises InvalidTarget with a message for people: what is wrong, what there is instead, what was likely meant.
    What the user's own module raises while it is imported is in that message as a traceback of the user's frames,
    and is the error's ``__cause__``.
    """
    place, colon, name = text.rpartition(":")
    if not colon or (os.sep in name) or name.endswith(".py"):
        place, name = text, ""
    if not place:
        raise InvalidTarget(
            f"{text!r} does not say where the function is. Write file.py:{name or 'function'} "
            f"or package.module:{name or 'function'}."
        )
    module = _load_file(Path(place)) if _looks_like_path(place) else _import(place)
    if not name:
        raise InvalidTarget(f"Which function of {place}? " + _list_functions(module, place))
    return Target(text, _find(module, name, place), module, name)


def _looks_like_path(place: str) -> bool:
    return place.endswith((".py", ".ipynb")) or os.sep in place or (Path(place).is_dir() and not _is_package(place))


def _is_package(place: str) -> bool:
    return (Path(place) / "__init__.py").is_file()


# --- files -----------------------------------------------------------------------------------------------


def _load_file(path: Path) -> ModuleType:
    if path.is_dir():
        files = sorted(p.name for p in path.glob("*.py"))
        inside = f" It holds {_enumerate(files)}." if files else " It holds no .py files."
        raise InvalidTarget(f"{path} is a directory; name a file in it, as in {path / 'file.py'}:function.{inside}")
    if not path.exists():
        raise InvalidTarget(f"There is no file {path}.{_did_you_mean_file(path)}")
    if path.suffix == ".ipynb":
        raise InvalidTarget(
            f"{path} is a notebook; the command line needs a module. Call lightwork.compare(...) in the notebook "
            "itself, or put the function into a .py file."
        )
    if path.suffix != ".py":
        raise InvalidTarget(f"{path} is not a .py file.")
    path = path.resolve()
    root, dotted = _dotted_name(path)
    _put_on_path(root)
    if _name_is_free(dotted, path):
        return _run_import(lambda: importlib.import_module(dotted), str(path))
    return _load_privately(path)


def _dotted_name(path: Path) -> tuple[Path, str]:
    """The directory that ``sys.path`` needs and the module's full name: packages are directories with __init__.py."""
    parts = [] if path.stem == "__init__" else [path.stem]
    directory = path.parent
    while (directory / "__init__.py").is_file():
        parts.insert(0, directory.name)
        directory = directory.parent
    return directory, ".".join(parts)


def _put_on_path(directory: Path) -> None:
    entry = str(directory)
    if entry in sys.path:
        return
    # In front, as Python does for a script, unless something in there would hide a module of the standard library.
    hides = any(p.stem in sys.stdlib_module_names for p in directory.iterdir() if p.suffix == ".py" or p.is_dir())
    sys.path.insert(len(sys.path) if hides else 0, entry)
    importlib.invalidate_caches()


def _name_is_free(dotted: str, path: Path) -> bool:
    """Whether importing ``dotted`` gives this file and no other."""
    top = dotted.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__" or "." in path.stem:
        return False
    loaded = sys.modules.get(top)
    if loaded is not None and "." not in dotted:
        origin = getattr(loaded, "__file__", None)
        return origin is not None and Path(origin).resolve() == path
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None or spec.origin is None:
        return False
    package_root = path if "." not in dotted and path.stem != "__init__" else None
    if package_root is not None:
        return Path(spec.origin).resolve() == path
    depth = dotted.count(".")
    root = path.parent if path.stem == "__init__" else path
    for _ in range(depth):
        root = root.parent
    return Path(spec.origin).resolve() == (root / "__init__.py").resolve()


def _load_privately(path: Path) -> ModuleType:
    import cloudpickle

    name = f"_lightwork_target_{next(_private_names)}_{''.join(c if c.isalnum() else '_' for c in path.stem)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidTarget(f"{path} cannot be loaded as a Python module.")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader

    def execute() -> ModuleType:
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    _run_import(execute, str(path))
    cloudpickle.register_pickle_by_value(module)  # no worker could import it under this name
    return module


def own_name(module: ModuleType) -> str:
    """The module's name as its author knows it: of a file that was loaded under a private name, the file's."""
    if module.__name__.startswith("_lightwork_target_") and module.__file__:
        return Path(module.__file__).stem
    return module.__name__


# --- modules ---------------------------------------------------------------------------------------------


def _import(dotted: str) -> ModuleType:
    with contextlib.suppress(FileNotFoundError):  # somebody has removed the directory: nothing is there
        _put_on_path(Path.cwd())
    try:
        return _run_import(lambda: importlib.import_module(dotted), dotted)
    except InvalidTarget as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{dotted}.".startswith(f"{cause.name}."):
            raise InvalidTarget(f"There is no module {dotted!r} here.{_did_you_mean_module(dotted)}") from cause
        raise


def _run_import(do: Callable[[], ModuleType], name: str) -> ModuleType:
    try:
        return do()
    except (Exception, SystemExit) as exc:
        story = user_traceback(exc)
        raise InvalidTarget(f"{name} could not be loaded. What it raised:\n\n{story}") from exc


def user_traceback(exc: BaseException) -> str:
    """The traceback as the user's own program would show it: without frames of lightwork and of importlib."""
    report = traceback.TracebackException.from_exception(exc)
    if _is_own_fault(exc, report):
        return "".join(report.format()).rstrip()
    seen: set[int] = set()

    def trim(part: traceback.TracebackException | None) -> None:
        if part is None or id(part) in seen:
            return
        seen.add(id(part))
        kept = [frame for frame in part.stack if not _is_machinery(frame.filename)]
        part.stack = traceback.StackSummary.from_list(kept)
        trim(part.__cause__)
        trim(part.__context__)
        for inner in part.exceptions or ():
            trim(inner)

    trim(report)
    # A cause that only shows the worker's own traceback again, as text, is kept: it is the user's frames.
    return "".join(report.format()).rstrip()


def _is_own_fault(exc: BaseException, report: traceback.TracebackException) -> bool:
    """Whether no part of the user's program took part: then nothing may be hidden."""
    if isinstance(exc, LightworkError | SyntaxError) or any("raised by item" in note for note in _notes(exc)):
        return False
    return all(_is_machinery(frame.filename) or _is_launcher(frame.filename) for frame in report.stack)


def _notes(exc: BaseException) -> list[str]:
    return list(getattr(exc, "__notes__", ()))


def _is_launcher(filename: str) -> bool:
    parts = Path(filename).parts
    return "click" in parts or Path(filename).name in ("lightwork", "runpy.py") or filename == "<frozen runpy>"


def _is_machinery(filename: str) -> bool:
    between = (f"importlib{os.sep}__init__.py", f"concurrent{os.sep}futures{os.sep}thread.py")
    return filename.startswith((_OWN_DIRECTORY + os.sep, "<frozen importlib")) or filename.endswith(between)


# --- names within a module -------------------------------------------------------------------------------


def _find(module: ModuleType, name: str, place: str) -> Callable[..., Any]:
    found: Any = module
    walked: list[str] = []
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            holder = ".".join(walked)
            where = f"{place}:{holder}" if holder else place
            raise InvalidTarget(
                f"{where} has no {part!r}.{_did_you_mean_name(found, part)}"
                + (f" {_list_functions(module, place)}" if not walked else _list_attributes(found))
            ) from None
        walked.append(part)
    if inspect.ismodule(found):
        raise InvalidTarget(f"{place}:{name} is a module, not a function. " + _list_functions(found, name))
    if not callable(found):
        raise InvalidTarget(
            f"{place}:{name} is {_a(type(found).__name__)}, which cannot be called. " + _list_functions(module, place)
        )
    return found  # type: ignore[no-any-return]  # callable() narrows Any to Any


def functions(module: ModuleType) -> list[str]:
    """Names of the public functions and classes that the module itself defines, in the order of definition."""
    found: list[str] = []
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if own and not name.startswith("_") and callable(value):
            found.append(name)
    return found


def _list_functions(module: ModuleType, place: str) -> str:
    names = functions(module)
    if not names:
        return f"{place} defines no functions."
    return f"It defines {_enumerate(names)}; write {place}:{names[0]}, for example."


def _list_attributes(holder: Any) -> str:
    names = [n for n in dir(holder) if not n.startswith("_") and callable(getattr(holder, n, None))]
    return f" It has {_enumerate(names)}." if names else " It has nothing that can be called."


def _did_you_mean_name(holder: Any, wrong: str) -> str:
    own = functions(holder) if inspect.ismodule(holder) else []
    others = [n for n in dir(holder) if not n.startswith("_") and callable(getattr(holder, n, None))]
    return _did_you_mean(wrong, own) or _did_you_mean(wrong, others)


def _did_you_mean_file(path: Path) -> str:
    directory = path.parent
    if path.suffix != ".py" and path.with_name(path.name + ".py").is_file():
        return f" Did you mean {path.with_name(path.name + '.py')}?"
    if not directory.is_dir():
        return f" There is no directory {directory} either." if str(directory) != "." else ""
    files = [p.name for p in directory.iterdir() if p.suffix == ".py"]
    near = difflib.get_close_matches(path.name, files, n=1, cutoff=0.6)
    if near:
        return f" Did you mean {directory / near[0]}?"
    return f" The directory {directory.resolve()} holds {_enumerate(sorted(files))}." if files else ""


def _did_you_mean_module(dotted: str) -> str:
    parent, _, last = dotted.rpartition(".")
    if parent:
        try:
            package = importlib.import_module(parent)
        except ImportError:
            return _did_you_mean_module(parent)
        names = [info.name for info in pkgutil.iter_modules(getattr(package, "__path__", []))]
        if last in functions(package):
            return f" Did you mean {parent}:{last}?"
        return _did_you_mean(last, names, prefix=f"{parent}.")
    here = [p.stem for p in Path.cwd().glob("*.py")]
    return _did_you_mean(dotted, here) or _did_you_mean(
        dotted, {*(info.name for info in pkgutil.iter_modules()), *sys.stdlib_module_names}
    )


def _did_you_mean(wrong: str, names: Iterable[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(wrong, list(names), n=1, cutoff=0.6)
    return f" Did you mean {prefix}{near[0]}?" if near else ""


def _enumerate(names: list[str], most: int = 12) -> str:
    shown = names[:most]
    if len(names) > most:
        return ", ".join(shown) + f" and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
