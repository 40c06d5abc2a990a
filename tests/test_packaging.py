"""What an installed lightwork is: light to import, typed, and public exactly where it says so."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lightwork as lw

HEAVY = {
    "asyncio",
    "click",
    "cloudpickle",
    "concurrent.futures",
    "concurrent.interpreters",
    "dask",
    "hashlib",
    "inspect",
    "IPython",
    "joblib",
    "json",
    "logging",
    "multiprocessing",
    "numpy",
    "pickle",
    "psutil",
    "random",
    "ray",
    "rich",
    "socket",
    "subprocess",
    "tempfile",
    "threadpoolctl",
    "typing",
    "urllib",
}
"""None of these may come with ``import lightwork``: the first that is imported costs more than all of it may."""


def in_fresh_interpreter(code: str) -> str:
    """What ``code`` prints in a new interpreter that knows lightwork and nothing else of this process."""
    where = str(Path(lw.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {where!r})\n{code}"],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip


def test_importing_it_imports_nothing_heavy() -> None:
    """Modules that the interpreter's own start already brought (site, .pth files) are not counted."""
    code = """
before = set(sys.modules)
import lightwork
new = sorted(set(sys.modules) - before)
import json
print(json.dumps(new))
"""
    new = set(json.loads(in_fresh_interpreter(code)))
    assert "lightwork" in new
    assert not new & HEAVY


def test_importing_it_changes_nothing_in_the_process() -> None:
    code = """
import os, signal, threading, warnings
def state():
    handlers = [signal.getsignal(s) for s in signal.valid_signals()]
    return dict(os.environ), handlers, threading.active_count(), list(warnings.filters), list(sys.path)
before = state()
import lightwork
print(state() == before)
"""
    assert in_fresh_interpreter(code).strip() == "True"


def test_the_version_is_one_and_the_same() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+([abrc.]+\w+)?", lw.__version__)
    assert importlib.metadata.version("lightwork") == lw.__version__


def test_type_checkers_are_told_that_it_is_typed() -> None:
    assert Path(lw.__file__).with_name("py.typed").is_file()


def test_what_is_public_is_listed_sorted_and_shown() -> None:
    assert sorted(set(lw.__all__), key=str) == sorted(lw.__all__)
    assert set(lw.__all__) <= set(dir(lw))
    assert [name for name in dir(lw) if not name.startswith("_")] == sorted(lw.__all__)


@pytest.mark.parametrize("name", lw.__all__)
def test_a_public_name_is_there_and_explains_itself(name: str) -> None:
    thing = getattr(lw, name)
    assert callable(thing)
    assert (thing.__doc__ or "").strip(), f"lw.{name} needs a docstring"
    assert thing.__module__.partition(".")[0] == "lightwork"


def test_star_import_gives_what_is_public() -> None:
    names: dict[str, object] = {}
    exec("from lightwork import *", names)
    assert set(lw.__all__) == set(names) - {"__builtins__"}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="mapp"):
        _ = lw.mapp  # type: ignore[attr-defined]


def test_the_command_is_installed() -> None:
    scripts = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="console_scripts")}
    assert scripts["lightwork"].startswith("lightwork.")
