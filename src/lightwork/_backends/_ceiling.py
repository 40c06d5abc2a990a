"""``max_memory`` in a worker process: a call that wants more gets a MemoryError, one that leaks has a fresh successor.

What counts is anonymous memory in use: what the process shares (the ledger, mapped files) is nobody's own. The kernel
limits something coarser, the size of private writable mappings (``RLIMIT_DATA``), in which memory that was reserved and
never touched counts, too. So before each call the limit is set as far above the mappings of that moment as memory in
use is below the ceiling; after the call it is lifted, so that the worker itself, which has to report a failure, never
runs into it.

The free-threaded build reserves 1 GB for small objects at once: so much can be taken there before the limit is felt.
"""

from __future__ import annotations

import gc
import os
import resource

from lightwork._sizes import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


WORN = 0.5
"""Part of the room under the ceiling that may still be in use after a call; with more, others would pay for it."""


class Ceiling:
    """The most memory of its own that this process may have while it runs a call. Linux alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._lifted = resource.getrlimit(resource.RLIMIT_DATA)
        self._data = self.used = 0
        self.worn = False
        """Too much was in use after a call: this worker is to be replaced."""
        self.look()
        self._base = self.used

    def look(self) -> None:
        """Reads how much is in use now (3 µs)."""
        fields = os.pread(self._statm, 256, 0).split()
        self.used = (int(fields[1]) - int(fields[2])) * self._page
        self._data = int(fields[5]) * self._page

    def rebase(self) -> None:
        """What was loaded since the last look (a function's module) belongs to the worker, not to a call."""
        before = self.used
        self.look()
        self._base += max(0, self.used - before)

    def after_call(self) -> bool:
        """Whether the worker is worn out: what its calls left behind fills half of the room that there was."""
        self.look()
        if self.used - self._base > WORN * max(0, self._most - self._base):
            gc.collect()
            self.look()
            self.worn = self.used - self._base > WORN * max(0, self._most - self._base)
        return self.worn

    def over(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """``fn`` as it runs under the ceiling."""
        lower, lifted, what = resource.setrlimit, self._lifted, resource.RLIMIT_DATA
        hard = lifted[1]

        def under(*args: Any, **kwargs: Any) -> Any:
            soft = self._data + max(0, self._most - self.used)
            for bound in lifted:
                soft = soft if bound == resource.RLIM_INFINITY else min(soft, bound)
            lower(what, (soft, hard))
            try:
                return fn(*args, **kwargs)
            except MemoryError as problem:
                lower(what, lifted)
                problem.add_note(
                    f"lightwork: max_memory lets a worker process have {shown(self._most)} of its own; "
                    f"{shown(self.used)} were in use when this call began"
                )
                raise
            finally:
                lower(what, lifted)

        return under
