"""What of this machine decides whether the lesson's claims can hold, and two things that only the lab asks
for."""

from __future__ import annotations

import os
from pathlib import Path

from lightwork import _machine
from lightwork.lab._values import Here


def look() -> Here:
    """What the experiments can count on, asked of the process that runs them."""
    return Here(
        python=_machine.python_version(),
        system=_machine.system(),
        cores=_machine.usable_cores(),
        gil=_machine.gil_enabled(),
        interpreters=_machine.interpreters_missing() is None,
        start_methods=_machine.start_methods(),
    )


def keep_to(cores: int) -> bool:
    """Keeps this process and its later children to the first ``cores`` cores; False where that cannot be
    asked for."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    return True


def core_of(thread: int) -> int | None:
    """The core that the thread with this kernel id (``threading.get_native_id``) ran on last; None where not
    told."""
    try:
        stat = Path(f"/proc/self/task/{thread}/stat").read_text()
    except OSError:
        return None
    # The name, field 2, stands in parentheses and may hold blanks; "processor" is field 39 of proc(5).
    return int(stat.rpartition(")")[2].split()[36])
