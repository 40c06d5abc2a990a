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


def unsaid() -> bool:
    """Whether nobody has."""
    return not (configured.get(None) or any(name in os.environ for name in VARIABLES))
