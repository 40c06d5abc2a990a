"""What a worker takes over from its caller: directory, environment, import path, warnings, logging levels, depth.

Not carried: context variables, changes made to modules at run time, decimal and NumPy error state.
"""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

from lightwork import _context, _culprit, _wire


@dataclass
class Surroundings:
    cwd: str | None
    environ: dict[str, str]
    path: list[str]
    argv: list[str]
    warnings: list[Any]
    levels: dict[str, int] = field(default_factory=dict)
    """Logging levels that are set, by logger; "" is the root."""
    depth: int = 0

    def apply(self, own_process: bool) -> None:
        """Makes them this interpreter's; those that belong to the whole process only with ``own_process``."""
        if own_process:
            if self.cwd is not None:
                os.chdir(self.cwd)
            for name in os.environ.keys() - self.environ.keys():
                del os.environ[name]
            for name, value in self.environ.items():
                if os.environ.get(name) != value:
                    os.environ[name] = value
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        # What was warned about before is forgotten by resetwarnings alone, so it comes first.
        warnings.resetwarnings()
        warnings.filters.extend(self.warnings)  # type: ignore[attr-defined]
        if self.levels:
            import logging

            for name, level in self.levels.items():
                logging.getLogger(name or None).setLevel(level)
        _context.descend(self.depth)


def capture() -> Surroundings:
    """The caller's surroundings at this moment."""
    try:
        cwd = os.getcwd()
    except FileNotFoundError:  # the directory was removed; workers then begin in the starter's
        cwd = None
    filters = [each for each in warnings.filters if _culprit.crosses(each, _wire.dump)]
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return Surroundings(cwd, dict(os.environ), path, list(sys.argv), filters, _levels(), _context.depth())


def _levels() -> dict[str, int]:
    if "logging" not in sys.modules:
        return {}
    import logging

    levels = {"": logging.root.level}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level:
            levels[name] = logger.level
    return levels
