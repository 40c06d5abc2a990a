"""A lock is free after Ctrl-C, wherever it struck."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


@pytest.mark.parametrize("made", ["new_lock()", "_Condition()"])
def test_ctrl_c_leaves_no_lock_taken(made):
    program = f"""
        import signal
        from lightwork._lock import new_lock
        from lightwork._futures import _Condition
        guard = {made}
        def strike(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, strike)
        struck = inside = 0
        while struck < 3000:
            try:
                signal.setitimer(signal.ITIMER_REAL, 20e-6)
                while True:
                    with guard:
                        inside += 1
            except KeyboardInterrupt:
                struck += 1
            if hasattr(guard, "_is_owned"):
                assert not guard._is_owned(), struck
            else:
                assert not guard.locked(), struck
        print("free", inside > 0)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50, env=os.environ
    )
    assert (run.stdout, run.stderr) == ("free True\n", "")
