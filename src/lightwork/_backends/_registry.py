"""Backends by name. Each one's module is loaded when it is asked for."""

from __future__ import annotations

import atexit

from lightwork._backends.base import Backend, Capabilities
from lightwork._loaded import loaded
from lightwork._record import Record
from lightwork.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


_PLACES: Mapping[str, tuple[str, str]] = {
    "serial": ("lightwork._backends.serial", "SerialBackend"),
    "threads": ("lightwork._backends.threads", "ThreadBackend"),
    "processes": ("lightwork._backends.processes", "ProcessBackend"),
    "interpreters": ("lightwork._backends.interpreters", "InterpreterBackend"),
    "asyncio": ("lightwork._backends.coroutines", "AsyncioBackend"),
}

NAMES = tuple(_PLACES)


@atexit.register
def _end_interpreters() -> None:
    """Sub-interpreters in which something runs must be gone before this one is taken down, or Python crashes.

    Registered here, early: the hook of the executors, whose calls may still need them, is registered later, so it
    runs before.
    """
    end_all = loaded(_PLACES["interpreters"][0], "end_all")
    if end_all is not None:
        end_all()


def backend(name: str) -> Backend:
    """The backend of this name; ValueError with a suggestion where there is none."""
    try:
        module, cls = _PLACES[name]
    except KeyError:
        from difflib import get_close_matches  # takes 5 ms to import

        close = get_close_matches(name, [*NAMES, "auto"], 1, 0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no backend {name!r}.{hint} There are: auto, {', '.join(NAMES)}") from None
    made: Backend = getattr(__import__(module, fromlist=(cls,)), cls)()
    return made


def usable(name: str) -> Backend:
    """The same, or BackendUnavailable with the reason where it cannot run here."""
    made = backend(name)
    reason = made.unavailable()
    if reason is not None:
        raise BackendUnavailable(f"the {name!r} backend cannot run here: {reason}")
    return made


class BackendInfo(Record, frozen=True):
    """A backend on this machine: what it can do, or why it cannot run here and what would help."""

    name: str
    capabilities: Capabilities
    unavailable: str | None

    def __bool__(self) -> bool:
        return self.unavailable is None

    def __str__(self) -> str:
        return f"{self.name}: " + ("available" if self else f"not available: {self.unavailable}")


def backends() -> dict[str, BackendInfo]:
    """All backends by name, whether or not they can run here. An entry is true where its backend can."""
    known = {name: backend(name) for name in NAMES}
    return {name: BackendInfo(name, made.capabilities, made.unavailable()) for name, made in known.items()}
