"""Event: a flag that threads and processes wait for."""

from __future__ import annotations

from typing import Any

from lightwork._kit import _native
from lightwork._kit._monitor import OWN, SERVED, WAITERS, Monitor

FLAG = OWN


class Event(Monitor):
    """Methods and meanings of ``threading.Event``, between processes too."""

    def is_set(self) -> bool:
        """Whether the flag is set."""
        return bool(self._words[FLAG]) and self._has_seen()

    def _has_seen(self) -> bool:
        """What was stored before the flag was set, is seen from here on."""
        if not _native.IN_ORDER:
            self._change(list)
        return True

    def set(self) -> None:
        """Sets the flag; all that wait go on, even if it is cleared at once."""
        self._change(self._set)

    def _set(self) -> list[Any]:
        self._words[FLAG] = 1
        return self._wake(self._words[WAITERS], state=SERVED) if self._words[WAITERS] else []

    def clear(self) -> None:
        """Clears the flag."""
        self._words[FLAG] = 0

    def wait(self, timeout: float | None = None) -> bool:
        """Until the flag is set; False if it was not in ``timeout`` seconds."""
        if self.is_set():
            return True
        return bool(self._wait(self._attempt, None if timeout is None else max(0.0, timeout)))

    async def async_wait(self) -> bool:
        """The same in a coroutine: until the flag is set."""
        if not self.is_set():
            from lightwork._kit._coroutines import in_a_thread

            await in_a_thread(lambda give_up: self._wait(self._attempt, None, give_up=give_up))
        return True

    def _attempt(self, ticket: int, state: int) -> bool | None:
        return True if state == SERVED or self._words[FLAG] else None

    def _leave(self, record: int, ticket: int, group: int) -> list[Any]:
        self._unpark(record)
        return []

    def _what(self) -> str:
        return f"{self!r} is set"

    def _in_a_loop(self) -> str:
        return "in a coroutine write `await event.async_wait()`"

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}: {'set' if self._words[FLAG] else 'unset'}>"
