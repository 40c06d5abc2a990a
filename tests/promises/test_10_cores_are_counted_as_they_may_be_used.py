"""Promise 10: affinity counts. (Control groups' quotas, and odd ``cpu.max`` files: tests/test_machine.py.)"""

from __future__ import annotations

import os

import pytest

from tests.promises.programs import run


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_one_core_by_affinity_is_one_worker():
    one = min(os.sched_getaffinity(0))
    done = run(
        "-c",
        f"import os; os.sched_setaffinity(0, {{{one}}})\n"
        "import lightwork as lw\n"
        "results = lw.map(abs, range(1000), backend='processes', chunksize=1)\n"
        "print(lw.machine().cores, results.report.workers)",
    )
    assert done.stdout == "1 1\n", done.stderr
