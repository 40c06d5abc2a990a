"""``lw.Executor`` passes CPython's own tests of executors, but for those in ``left_out``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ADAPTER = Path(__file__).with_name("adapter.py")
NOT_HERE = 77


@pytest.mark.timeout(400)  # the suite sleeps a lot: half a minute alone, more beside others
@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_cpythons_own_suite(backend: str) -> None:
    command = [sys.executable, str(ADAPTER), backend, "--verbose"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=380)
    if done.returncode == NOT_HERE:
        pytest.skip(done.stdout.strip())
    print(done.stdout)
    assert done.returncode == 0, "these tests of CPython's do not pass; their output is above"
