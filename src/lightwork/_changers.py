"""What changes an object, or hands out a part of it, as the names of methods and functions tell; and the kinds of
objects of which that is known, or which are nobody's concern.
"""

from __future__ import annotations

from types import BuiltinFunctionType

from lightwork._lean import deque
from lightwork._loaded import loaded
from lightwork._shared import Val

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CHANGES_ALWAYS = _words(
    "append appendleft extend extendleft insert popitem popleft clear setdefault discard writelines put_nowait "
    "difference_update intersection_update symmetric_difference_update __setitem__ __delitem__ move_to_end "
    "__iadd__ __isub__ __imul__ __ior__ __iand__ __ixor__ __setattr__ __delattr__"
)
"""Names that mean a change wherever they are methods."""

CHANGES_UNUSED = _words("add update remove pop sort reverse write put fill resize rotate subtract set")
"""Names that also belong to methods that return something new (a data frame's ``add``, say): they count where
nobody looks at the result, or where the object's type is known."""

CHANGES_CONTAINERS = CHANGES_ALWAYS | CHANGES_UNUSED

VALUE_USED = frozenset(("pop", "write"))
"""Of these, names that change the object even if the result is used."""

BUILTIN_TYPES = (list, dict, set, bytearray, deque)

INSIDE = _words("get setdefault values items keys pop popitem popleft __getitem__")
"""Methods that hand out a part of their object."""

VIEWS = _words("enumerate zip iter reversed filter vars memoryview")
"""Builtins whose result still reaches into their argument."""

DRAINS = _words("list tuple set frozenset dict sum sorted any all max min")
"""Builtins that take all items of an iterator."""

CHANGES_FIRST = _words(
    "heappush heappop heapify heapreplace heappushpop insort insort_left insort_right shuffle "
    "setattr delattr copyto fill_diagonal place putmask setitem delitem iadd iconcat isub imul ior iand ixor"
)
"""Functions of libraries that change their first argument."""

PROCESS_STATE = {
    ("posix", "chdir"): "the working directory",
    ("posix", "fchdir"): "the working directory",
    ("posix", "umask"): "the umask",
    ("posix", "putenv"): "the environment",
    ("posix", "unsetenv"): "the environment",
    ("locale", "setlocale"): "the locale",
}

INPLACE = _words("__iadd__ __isub__ __imul__ __ior__ __iand__ __ixor__")


def changer_of(val: Val) -> Val | None:
    """The container that ``val`` changes when it is called, where it is a method of one."""
    obj, base = val.obj, val.base
    if isinstance(obj, BuiltinFunctionType):
        held = isinstance(obj.__self__, BUILTIN_TYPES) and obj.__name__ in CHANGES_CONTAINERS
        return Val(val.kind, val.name, obj.__self__, val.maybe) if held else None
    held = base is not None and isinstance(base.obj, BUILTIN_TYPES) and val.attr in CHANGES_CONTAINERS
    return base if held else None


def is_queue(obj: Any) -> bool:
    return _is_from("queue", obj, "Queue", "SimpleQueue")


def each_thread_its_own(obj: Any) -> bool:
    """threading.local: what is stored there is seen by nobody else."""
    return _is_from("threading", obj, "local")


def logs(obj: Any) -> bool:
    return _is_from("logging", obj, "Logger", "LoggerAdapter")


def _is_from(module: str, obj: Any, *classes: str) -> bool:
    """Whether ``obj`` is an instance of one of these."""
    return any(isinstance(obj, loaded(module, name, ())) for name in classes)
