"""What classes need of ``typing`` while the program runs: nothing, but by the same names.

To import ``typing`` takes 5 to 10 ms with what it imports itself, which every worker's start would wait for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic as Generic
    from typing import Protocol as Protocol
    from typing import TypedDict as TypedDict
    from typing import TypeVar as TypeVar
else:

    class Protocol:
        """``class Clock(Protocol)`` says what a clock can do."""

    class Generic:
        """``class Held(Generic[T])`` and ``Held[int]`` may be written."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    class TypedDict:
        """``class Options(TypedDict, total=False)`` has its annotations."""

        def __init_subclass__(cls, total: bool = True) -> None:
            del total

    def TypeVar(name: str) -> type:
        """Something that may stand in brackets."""
        return type(name, (), {})
