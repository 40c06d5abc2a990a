"""``lw.config``: defaults for a block."""

from __future__ import annotations

import os
from contextlib import ContextDecorator

from lightwork._backends._registry import backend
from lightwork._backends.base import Backend
from lightwork._defaults import configured
from lightwork._options import memory_path, positive, refuse_unknown
from lightwork._typing import TypedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Token
    from typing import Any, Unpack


class Defaults(TypedDict, total=False):
    """What ``lw.config`` can set."""

    backend: str | Backend | Sequence[str] | None
    max_workers: int | None
    memory: str | os.PathLike[str] | None


def config(**defaults: Unpack[Defaults]) -> Config:
    """Replaces the defaults of ``backend`` and ``max_workers`` inside a ``with`` block, in this context only.

    An explicit argument still wins. ``memory``: a file in which ``auto`` keeps what it learns of functions, so that
    their next run begins with what was best; it is made where there is none. None (the default): nothing is kept.

    Raises TypeError and ValueError as the functions themselves would, at once.
    """
    refuse_unknown(defaults, ("backend", "max_workers", "memory"))
    if defaults.get("memory") is not None:
        defaults["memory"] = memory_path(defaults["memory"])
    if defaults.get("max_workers") is not None:
        positive("max_workers", defaults["max_workers"])
    chosen = defaults.get("backend")
    if isinstance(chosen, str) and chosen != "auto":
        backend(chosen)
    return Config(defaults)


class Config(ContextDecorator):
    """What ``config`` gives. It does nothing until a ``with`` block begins, and says so where none ever did."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._before: Token[dict[str, Any]] | None = None
        self._used = False

    def _recreate_cm(self) -> Config:
        """For each call of a function that it decorates."""
        return Config(self._defaults)

    def __call__(self, fn: Any) -> Any:
        self._used = True
        return super().__call__(fn)

    def __enter__(self) -> None:
        self._used = True
        if self._before is not None:
            raise RuntimeError("this lw.config(...) is in use already: make another one for another block")
        self._before = configured.set({**configured.get({}), **self._defaults})

    def __exit__(self, *_: object) -> None:
        assert self._before is not None
        before, self._before = self._before, None
        configured.reset(before)

    def __del__(self) -> None:
        if not self._used:
            import warnings

            said = "lw.config(...) has done nothing: it holds inside of a block, with lw.config(...):"
            warnings.warn(said, RuntimeWarning, stacklevel=2)
