"""Data that crosses stays what it was: large results, slow consumers, slices kept for later."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import lightwork as lw
from tests.faults import nasty
from tests.leftovers import descriptors

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(40)
def test_large_results_wait_while_the_consumer_sleeps():
    """400 results of 200 kB; the consumer takes one and sleeps. What waits here is bounded, and all of it is right."""
    import psutil

    me = psutil.Process()
    drawn = 0

    def items():
        nonlocal drawn
        for x in range(400):
            drawn += 1
            yield x

    before = me.memory_info().rss
    with lw.imap(nasty.large, items(), backend="processes", max_workers=2, buffersize=50) as results:
        assert next(results) == nasty.large(0)
        time.sleep(0.5)
        assert drawn <= 51
        for x in range(1, 400):
            assert next(results) == nasty.large(x)
            assert drawn <= x + 51
        grown = me.memory_info().rss - before
    assert grown < 60e6, f"{grown / 1e6:.0f} MB for a buffer of 10"


@pytest.mark.timeout(40)
def test_kept_slices_of_arguments_and_results_never_change():
    numpy = pytest.importorskip("numpy")
    kept, rounds = [], 240

    def arrays():
        array = numpy.zeros(100_000)
        for x in range(rounds):
            array[:] = x  # one array, used again for each item
            yield array if x % 2 else array[:2000]

    with lw.imap(nasty.keep_and_return, arrays(), backend="processes", max_workers=2, buffersize=1) as results:
        for x, (array, changed) in enumerate(results):
            assert not changed, "a later call changed an argument that the worker had kept"
            assert (array == x + 1).all() and array.flags.writeable
            part = array[: 1 << 12]
            kept.append((part, nasty.digest(part)))
    assert len(kept) == rounds
    assert all(nasty.digest(part) == told for part, told in kept)


TWO_LEFT = """
    import array, os, resource
    import lightwork as lw
    lw.share(array.array("d", range(6)))  # loads what that takes
    following = os.dup(0)
    os.close(following)
    resource.setrlimit(resource.RLIMIT_NOFILE, (following + 2, following + 2))
    shared = lw.share(array.array("d", range(6)), writable=True)
    assert list(shared) == list(range(6))
"""


@pytest.mark.timeout(40)
@pytest.mark.skipif(sys.platform == "win32", reason="it knows no such limit")
def test_memory_that_is_shared_takes_no_descriptor_beside_its_own_and_that_of_its_mapping():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TWO_LEFT)], cwd=ROOT, capture_output=True, text=True, timeout=35
    )
    assert run.returncode == 0, run.stderr


SCARCE = """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    import os
    import numpy
    import lightwork as lw
    from tests.faults import nasty
    before = len(os.listdir("/proc/self/fd"))
    arrays = [numpy.full(300_000, x) for x in range(60)]
    results = lw.map(nasty.double_array, arrays, backend="processes", max_workers=4)
    assert [int(result[-1]) for result in results] == [2 * x for x in range(60)]
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    with lw.Executor(4, backend="processes") as executor:
        futures = [executor.submit(nasty.large, x) for x in range(200)]
        assert all(future.result() == nasty.large(x) for x, future in enumerate(futures))
    results = lw.map(nasty.square, range(1000), backend="processes", max_workers=60, chunksize=1)
    told = [decision for decision in results.report.decisions if "Too many open files" in decision.why]
    print(results[-1], *(decision.what for decision in told))
    with lw.Executor(60, backend="processes") as executor:
        futures = [executor.submit(nasty.square, x) for x in range(300)]
        print(sum(future.result() for future in futures))
    print(lw.map(nasty.square, range(10), backend="processes", max_workers=2)[-1])
"""


@pytest.mark.timeout(40)
@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_with_few_descriptors():
    """NOFILE 64: four workers and large arrays fit; of sixty workers as many are started as there is room for, which
    the report says."""
    pytest.importorskip("numpy")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCARCE)], cwd=ROOT, capture_output=True, text=True, timeout=35
    )
    many, futures, few = run.stdout.splitlines() or ["", "", run.stderr]
    assert re.fullmatch(r"998001( went on with [1-5]\d processes)+", many), run.stderr
    assert (futures, few) == (str(sum(x * x for x in range(300))), "81")
    assert run.stderr == ""


@pytest.mark.timeout(40)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_as_a_user_with_no_rights(tmp_path):
    program = "import lightwork as lw\nprint(lw.map(lambda x: x * x, range(5), backend='processes'))"
    try:
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")},
            user="nobody",
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=35,
        )
    except (PermissionError, LookupError) as problem:
        pytest.skip(f"nobody may not run this interpreter: {problem}")
    assert run.stdout == "[0, 1, 4, 9, 16]\n", run.stderr


@pytest.mark.timeout(40)
def test_nothing_is_left_open_after_large_data():
    lw.map(nasty.large, range(4), backend="processes")
    before = descriptors()
    for _ in range(3):
        lw.map(nasty.large, range(40), backend="processes", max_workers=2)
    assert descriptors() <= before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > before
