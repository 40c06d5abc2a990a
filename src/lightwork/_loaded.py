"""What a module has that somebody else may have loaded; nothing is loaded to find that out.

Of a module that nobody has loaded there is no object that could be asked about. One that another thread is just
importing stands in ``sys.modules`` already, with what it has executed so far: to ask it for a name outright is an
AttributeError then, and to import it waits for that thread. What a first short map loads (``_awaitable``,
``_context``, ``_prelude``) asks in the same words without this file, which would be one more to load: 0.1 ms.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def loaded(module: str, name: str, otherwise: Any = None) -> Any:
    """What a module has under a name; ``otherwise`` where it has not, or not yet."""
    return getattr(sys.modules.get(module), name, otherwise)


def running_loop() -> Any:
    """The event loop that runs in this thread, if one does."""
    look = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)  # each lock asks: no further call
    return None if look is None else look()
