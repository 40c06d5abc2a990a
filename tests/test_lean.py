"""The standard library's parts that are written in C, without the Python around them."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from lightwork._lean import WeakValues
from lightwork._platform import SAME_LIGHTWORK

ALONE = """
from lightwork import _lean
_lean.load_pickle()
import sys
assert "functools" not in sys.modules
sent = _lean.pickle.dumps({"a": (1, [2.5])}, 5)
import functools, pickle
assert functools.__name__ == "functools" and functools.wraps and sys.modules["functools"] is functools
assert pickle.loads(sent) == {"a": (1, [2.5])}
assert _lean.pickle.loads(pickle.dumps(functools.partial(int, base=2)))("11") == 3
assert pickle.loads(_lean.pickle.dumps(functools.partial(int, base=2)))("11") == 3
"""


def test_pickle_is_loaded_without_functools_which_everybody_else_finds_whole():
    run = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=30)
    assert (run.stderr, run.returncode) == ("", 0)


def test_a_starter_and_its_workers_do_without_weakref_until_there_is_a_handle():
    # site and what it runs, which may load anything, is left out.
    program = SAME_LIGHTWORK + (
        "from lightwork import _lean; _lean.load_pickle(); from lightwork._backends import _starter; import sys; "
        "assert 'weakref' not in sys.modules; "
        "import lightwork as lw, pickle; lock = lw.Lock(); assert 'weakref' in sys.modules"
    )
    run = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=30)
    assert (run.stderr, run.returncode) == ("", 0)


def test_weak_values_go_with_their_objects_and_leave_what_took_their_place():
    class Thing:
        pass

    values: WeakValues[str, Thing] = WeakValues()
    assert values.get("a") is None
    first, second = Thing(), Thing()
    values["a"] = values["b"] = first
    assert values["a"] is values.get("b") is first
    values["a"] = second
    del first
    gc.collect()
    assert values["a"] is second
    assert values.get("b") is None
    with pytest.raises(KeyError):
        values["b"]
