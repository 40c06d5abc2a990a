"""The standard library's parts that are written in C, without the Python around them."""

from __future__ import annotations

import subprocess
import sys

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
