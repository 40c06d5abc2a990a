"""Whether anybody has said how maps are to run, where the call itself says nothing."""

from __future__ import annotations

import os
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLES = ("LIGHTWORK_BACKEND", "LIGHTWORK_MAX_WORKERS", "LIGHTWORK_MEMORY")
"""The environment's say."""

configured: ContextVar[dict[str, Any]] = ContextVar("lightwork_config")
"""What ``lw.config`` has set in this context."""


_KEYS = tuple(getattr(os.environ, "encodekey", str)(name) for name in VARIABLES)


def unsaid() -> bool:
    """Whether nobody has."""
    if configured.get(None):
        return False
    # To miss a name in ``os.environ`` raises and catches an error in Python: 2 µs, or 10 where that code is cold.
    data = getattr(os.environ, "_data", None)
    if data is None:
        return not any(name in os.environ for name in VARIABLES)
    for key in _KEYS:  # noqa: SIM110 - a generator takes three times as long
        if key in data:
            return False
    return True
