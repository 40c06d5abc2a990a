"""The import that turns the GIL back on, or refuses a sub-interpreter, is named; nothing is imported to find out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import lightwork as lw
from lightwork import _machine


def reads_a_line(x):
    import readline

    return readline.get_line_buffer()


@pytest.mark.skipif(_machine.interpreters_missing() is not None, reason="sub-interpreters need Python 3.14")
def test_imports_that_an_interpreter_refuses():
    readline = pytest.importorskip("readline")
    found = lw.check(reads_a_line, [1])
    (one,) = found
    assert (one.rule, one.verdict, one.backends) == ("interpreters", "would fail", ("interpreters",))
    assert "readline cannot be imported" in one.what
    assert not found.failing, "lightwork uses interpreters only where they are named"
    assert lw.check(reads_a_line, [1], backends="interpreters").failing
    assert not lw.check(reads_a_line, [1], backends="processes")
    with pytest.raises(ImportError, match=readline.__name__):
        lw.map(reads_a_line, [1], backend="interpreters", max_workers=1)


GREEDY = """
#include <Python.h>
static struct PyModuleDef greedy = {PyModuleDef_HEAD_INIT, .m_name = "greedy", .m_size = -1};
PyMODINIT_FUNC PyInit_greedy(void) { return PyModule_Create(&greedy); }
"""

USES_GREEDY = """
import warnings
warnings.simplefilter("ignore")
import lightwork as lw, sys, zlib
def clean(x): return zlib.crc32(x)
assert not sys._is_gil_enabled()
assert not lw.check(clean, [b"x"])
import greedy
def fn(x): return greedy.__name__
assert sys._is_gil_enabled()
(found,) = lw.check(fn, [1])
assert (found.rule, found.verdict, found.backends) == ("gil", "costs time", ("threads",)), found
assert "greedy needs the GIL" in found.what, found
"""


@pytest.mark.skipif(not _machine.free_threaded_build(), reason="the GIL of this Python is always on")
def test_the_import_that_turns_the_gil_on_is_named(tmp_path):
    include, compiler = Path(sysconfig.get_path("include")), shutil.which("cc")
    if compiler is None or not (include / "Python.h").exists():
        pytest.skip("there is no C compiler, or no Python.h, to make a module with")
    (tmp_path / "greedy.c").write_text(GREEDY)
    made = tmp_path / f"greedy{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-DPy_GIL_DISABLED=1", f"-I{include}", tmp_path / "greedy.c", "-o", made],
        check=True,
    )
    (tmp_path / "uses.py").write_text(USES_GREEDY)
    done = subprocess.run([sys.executable, tmp_path / "uses.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
