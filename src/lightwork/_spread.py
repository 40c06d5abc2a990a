"""What ``starmap`` says of an item that is no tuple of arguments. Loaded where a call of it has failed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def explained(problem: TypeError, item: Any, index: int) -> TypeError:
    """The error with which ``fn(*item)`` failed: one that says so and what would do, where ``item`` was the reason."""
    if hasattr(type(item), "__iter__") or hasattr(type(item), "__getitem__"):
        return problem  # the function's own
    text = repr(item)
    error = TypeError(
        f"starmap calls fn(*item), and item {index} is no tuple of arguments but of type {type(item).__name__}: "
        f"{text if len(text) <= 60 else text[:57] + '...'}. For fn(item): lw.map(fn, items)"
    )
    error.__cause__ = problem
    return error
