"""What kind of object something is, without a word with the object."""

from __future__ import annotations

from lightwork._typing import TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard

T = TypeVar("T")


def is_a(value: Any, kind: type[T] | tuple[type[T], ...]) -> TypeGuard[T]:
    """As ``isinstance``, of what the value is itself: that asks also for its ``__class__``, by which lazy objects set
    up what they stand for, and others raise."""
    return issubclass(type(value), kind)


def held_by(value: Any) -> dict[str, Any]:
    """Its own attributes; none where it does not give them out."""
    try:
        found = value.__dict__
    except Exception:  # noqa: BLE001 - what stands for something that is not there raises anything
        return {}
    return dict(found) if is_a(found, dict) else {}
