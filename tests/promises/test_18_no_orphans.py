"""Promise 18: SIGKILL the parent: no process left after 2 s."""

from __future__ import annotations

import pytest

from tests.leftovers import alive, wait_for
from tests.promises.programs import family, start

BUSY = """
    import sys
    import lightwork as lw
    from tests.promises.jobs import never_return

    how, way = sys.argv[1:]
    if way == "map":
        lw.map(never_return, [how] * 4, backend="processes", max_workers=2)
    else:
        executor = lw.Executor(2, backend="processes")
        [executor.submit(never_return, how) for _ in range(4)][0].result()
"""


@pytest.mark.parametrize("how", ["waiting", "in Python", "in C with the GIL"])
@pytest.mark.parametrize("way", ["map", "Executor"])
def test_a_killed_parent_leaves_no_process(how, way):
    process = start(BUSY, how, way)
    wait_for(lambda: len(family(process)) == 3)
    children = family(process)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(alive(child.pid) for child in children), 10)
