"""Promise 7: SIGKILL the parent and nothing is left in /dev/shm; a small /dev/shm is no obstacle."""

from __future__ import annotations

import shutil
import subprocess
import sys

import psutil
import pytest

from tests.leftovers import alive, leaked, linux, shared_memory, wait_for
from tests.promises.programs import ROOT, program, start

pytest.importorskip("numpy")

LARGE = """
    import sys
    import numpy
    import lightwork as lw
    from tests.faults.nasty import double_array

    arrays = (numpy.full(1_000_000, x) for x in range(1_000_000))
    with lw.imap(double_array, arrays, backend="processes", max_workers=2) as results:
        for x, result in enumerate(results):
            assert result[0] == 2 * x
            if x == 20:
                print("busy", flush=True)
"""


@linux
def test_a_killed_parent_leaves_nothing_there():
    before = shared_memory()
    process = start(LARGE)
    assert process.stdout.readline() == "busy\n", process.stderr.read()
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()
    wait_for(lambda: not any(alive(member.pid) for member in family), 5)
    wait_for(lambda: not leaked(before), 5)


SMALL = """
    import numpy
    import lightwork as lw
    from tests.faults.nasty import double_array

    arrays = [numpy.full(3_000_000, x) for x in range(8)]  # 24 MB each
    results = lw.map(double_array, arrays, backend="processes", max_workers=2)
    assert [int(result[-1]) for result in results] == [2 * x for x in range(8)]
    print("fine")
"""


@linux
def test_a_small_one_is_no_obstacle():
    """/dev/shm of 1 MB, in a mount namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this user may not have a mount namespace")
    mount = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, sys.executable, *program(SMALL)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.stdout == "fine\n", done.stderr
