"""TARGET: what it may be, and what is said when it is something else."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lightwork._target import load, user_traceback
from lightwork.errors import InvalidTarget


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory; modules loaded from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(place: Path, name: str, text: str) -> Path:
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(text: str) -> str:
    with pytest.raises(InvalidTarget) as caught:
        load(text)
    return str(caught.value)


def test_file_is_imported_under_its_own_name_so_that_workers_can_import_it(here):
    write(here, "slow_work.py", "def parse(x):\n    return x * 2\n")
    target = load("slow_work.py:parse")
    assert target.function(4) == 8
    assert target.function.__module__ == "slow_work"
    assert pickle.loads(pickle.dumps(target.function)) is target.function
    assert str(here) in sys.path


def test_module_in_the_working_directory_and_dotted_names(here):
    write(here, "pkg_a/__init__.py", "")
    write(
        here,
        "pkg_a/inner.py",
        "class Box:\n    @staticmethod\n    def open(x):\n        return -x\nbox = Box()\n",
    )
    assert load("pkg_a.inner:Box.open").function(3) == -3
    assert load("pkg_a.inner:box.open").function(3) == -3
    assert load("math:sqrt").function(9) == 3


def test_file_inside_a_package_keeps_its_dotted_name(here):
    write(here, "pkg_b/__init__.py", "")
    write(here, "pkg_b/tools.py", "from . import __name__ as base\ndef f(x):\n    return base\n")
    target = load("pkg_b/tools.py:f")
    assert target.module.__name__ == "pkg_b.tools"
    assert target.function(0) == "pkg_b"


def test_file_named_like_a_standard_module_shadows_nothing(here):
    import json

    write(here, "json.py", "def f(x):\n    return x + 1\n")
    target = load("json.py:f")
    assert target.function(1) == 2
    assert sys.modules["json"] is json
    assert json.loads("[1]") == [1]
    assert sys.path[0] != str(here), "later imports of json must find the standard library's"
    import cloudpickle

    sent = cloudpickle.dumps(target.function)
    code = f"import pickle; print(pickle.loads({sent!r})(41))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout.strip() == "42", done.stderr


def test_two_files_of_the_same_name_are_told_apart(here):
    write(here, "a/work_x.py", "def f():\n    return 'a'\n")
    write(here, "b/work_x.py", "def f():\n    return 'b'\n")
    assert load("a/work_x.py:f").function() == "a"
    assert load("b/work_x.py:f").function() == "b"
    assert load("a/work_x.py:f").function() == "a"


def test_a_name_with_dots_or_dashes(here):
    write(here, "my-script.py", "def f():\n    return 1\n")
    write(here, "v1.2.py", "def f():\n    return 2\n")
    assert load("my-script.py:f").function() == 1
    assert load("v1.2.py:f").function() == 2


def test_misspelt_function_file_and_module_get_a_suggestion(here):
    write(
        here,
        "crunch.py",
        "def parse(x): ...\ndef count(x): ...\nlimit = 3\nclass Box:\n    def open(self): ...\n",
    )
    assert "Did you mean parse?" in refused("crunch.py:prase")
    assert "Did you mean crunch.py?" in refused("crnch.py:parse")
    assert "Did you mean crunch?" in refused("crnch:parse")
    assert "Did you mean os.path" not in refused("os.pth:join")
    assert "Did you mean open?" in refused("crunch.py:Box.opn")
    assert "It has open." in refused("crunch.py:Box.zzz")


def test_what_is_missing_is_named(here):
    write(here, "crunch.py", "import math\ndef parse(x): ...\ndef _hidden(): ...\nlimit = 3\n")
    message = refused("crunch.py")
    assert "parse" in message and "_hidden" not in message and "crunch.py:parse" in message
    assert "cannot be called" in refused("crunch.py:limit") and "an int" in refused("crunch.py:limit")
    assert "is a module" in refused("crunch.py:math")
    assert "does not say where" in refused(":parse")
    assert "is a directory" in refused(".:parse") and "crunch.py" in refused(".:parse")
    assert "no directory" in refused("nowhere/crunch.py:parse")
    write(here, "nb.ipynb", "{}")
    assert "notebook" in refused("nb.ipynb:f")
    write(here, "empty.py", "")
    assert "defines no functions" in refused("empty.py")


def test_a_path_without_its_ending_is_understood(here):
    write(here, "sub/crunch.py", "def parse(x): ...\n")
    assert "Did you mean sub/crunch.py?" in refused("sub/crunch:parse")


def test_what_the_file_raises_is_shown_in_its_own_frames(here):
    write(here, "broken_a.py", "def f(:\n")
    message = refused("broken_a.py:f")
    assert "SyntaxError" in message and "def f(:" in message and "lightwork" not in message.replace(str(here), "")
    write(here, "broken_b.py", "def g():\n    return 1 / 0\ng()\n")
    message = refused("broken_b.py:g")
    assert "ZeroDivisionError" in message and "return 1 / 0" in message
    assert "_target.py" not in message and "importlib" not in message
    write(here, "broken_c.py", "import no_such_module_anywhere\n")
    message = refused("broken_c.py:g")
    assert "no_such_module_anywhere" in message and "broken_c.py" in message
    write(here, "broken_d.py", "raise SystemExit(3)\n")
    assert "SystemExit: 3" in refused("broken_d.py:g")


def test_a_module_that_fails_to_import_another_is_not_called_missing(here):
    write(here, "needs.py", "import no_such_module_anywhere\n")
    message = refused("needs:f")
    assert "There is no module 'needs'" not in message
    assert "No module named 'no_such_module_anywhere'" in message


def test_traceback_keeps_users_frames_causes_and_notes():
    def inner():
        raise ValueError("deep")

    try:
        try:
            inner()
        except ValueError as error:
            raise KeyError("outer") from error
    except KeyError as error:
        error.add_note("lightwork: raised by item 3")
        text = user_traceback(error)
    assert "ValueError: deep" in text and "KeyError: 'outer'" in text
    assert "direct cause" in text and "raised by item 3" in text
