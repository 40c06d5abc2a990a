"""What a worker takes over from its caller: directory, environment, import path, warnings, logging levels, depth, the
decimal context, the limits of recursion and of a number's digits, and the key with which a program's processes prove to
its ``multiprocessing`` managers that they belong to it.

Not carried: context variables but that one, changes made to modules at run time, NumPy's error state.
"""

from __future__ import annotations

import contextvars
import os
import sys

from lightwork import _context, _library_threads
from lightwork._lean import suppress
from lightwork._loaded import loaded
from lightwork._record import Record, fresh

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Context as Decimals
    from typing import Any


_USUAL_DECIMALS = (
    "Context(prec=28, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, capitals=1, clamp=0, flags=[], "
    "traps=[InvalidOperation, DivisionByZero, Overflow])"
)
"""The context that workers begin with."""


class Filter(Record, frozen=True):
    """A warning filter with its category by name.

    Unpickling the class itself would import its module in every worker, and many libraries set filters of their own.
    """

    action: Any
    message: str
    module_of_category: str
    category: str
    module: str
    lineno: int

    def install(self) -> bool:
        """Puts it before all others; False while its category's module is not imported, so that none can match."""
        found: Any = sys.modules.get(self.module_of_category)
        for name in self.category.split("."):
            found = getattr(found, name, None)
        if not (isinstance(found, type) and issubclass(found, Warning)):
            return False
        import warnings

        warnings.filterwarnings(self.action, self.message, found, self.module, self.lineno)
        return True


class Surroundings(Record):
    cwd: str | None
    environ: dict[str, str]
    path: list[str]
    argv: list[str]
    filters: list[Filter] | None
    """None: those that every interpreter begins with."""
    levels: dict[str, int] = fresh(factory=dict)
    """Logging levels that are set, by logger; "" is the root."""
    depth: int = 0
    authkey: bytes | None = None
    """``multiprocessing.current_process().authkey``, where the caller has imported that: a manager's queues, events and
    dicts can be used in calls then."""
    library_threads: int | None = None
    decimals: Decimals | None = None
    """The caller's decimal context, where it is another than every interpreter begins with."""
    recursion_limit: int = 1000
    max_str_digits: int = 4300

    def apply(self, own_process: bool) -> None:
        """Makes them this interpreter's; those that belong to the whole process only with ``own_process``."""
        if own_process:
            if self.cwd is not None:
                os.chdir(self.cwd)
            for name in os.environ.keys() - self.environ.keys():
                del os.environ[name]
            for name, value in self.environ.items():
                if os.environ.get(name) != value:
                    os.environ[name] = value
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        if self.library_threads is not None:
            _library_threads.become_process(self.library_threads, own_process)
        if self.filters is not None and self.filters != _filters():
            import warnings  # with re, which most workers need for nothing else

            warnings.resetwarnings()
            self.install_filters()
        else:
            self.filters = None
        if self.levels:
            import logging

            for name, level in self.levels.items():
                logging.getLogger(name or None).setLevel(level)
        if self.authkey is not None:
            from multiprocessing import process

            process.current_process().authkey = self.authkey
        if sys.getrecursionlimit() != self.recursion_limit:
            with suppress(RecursionError):  # lower than the worker is deep itself
                sys.setrecursionlimit(self.recursion_limit)
        if sys.get_int_max_str_digits() != self.max_str_digits:
            sys.set_int_max_str_digits(self.max_str_digits)
        if self.decimals is not None:
            import decimal

            decimal.setcontext(self.decimals)
        _context.descend(self.depth)

    def install_filters(self) -> None:
        """Installs the warning filters that can be by now; the others are left for the next time."""
        if self.filters:
            self.filters = [each for each in reversed(self.filters) if not each.install()][::-1]


def around(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` in a copy of this context, as in the caller's threads, where decimals are used: the context that one call
    sets for them is not the next one's."""
    if "decimal" not in sys.modules:
        return fn
    copied = contextvars.copy_context

    def within(*args: Any, **kwargs: Any) -> Any:
        return copied().run(fn, *args, **kwargs)

    return within


def capture(library_threads: int | None = None, decimals: Decimals | None = None) -> Surroundings:
    """The caller's surroundings at this moment, for workers in which a library may use so many threads."""
    try:
        cwd = os.getcwd()  # noqa: PTH109 - pathlib takes 8 ms to import
    except FileNotFoundError:  # the directory was removed; workers then begin in the starter's
        cwd = None
    path = [entry for entry in sys.path if isinstance(entry, str)]
    environ = _library_threads.users_environment()
    argv, depth = list(sys.argv), _context.depth()
    return Surroundings(
        cwd,
        environ,
        path,
        argv,
        _filters(),
        _levels(),
        depth,
        _authkey(),
        library_threads,
        decimals,
        sys.getrecursionlimit(),
        sys.get_int_max_str_digits(),
    )


def unusual_decimals() -> Decimals | None:
    """A copy of this thread's decimal context; None where workers have the like anyway.

    To be asked for in the caller's thread, or in a copy of its context: workers may be started in another.
    """
    context = loaded("decimal", "getcontext")
    if context is None:
        return None
    copy: Decimals = context().copy()
    copy.clear_flags()
    return None if repr(copy) == _USUAL_DECIMALS else copy


def _authkey() -> bytes | None:
    if "multiprocessing.process" not in sys.modules:
        return None
    from multiprocessing import process  # another thread may be importing it: this waits for its end

    return bytes(process.current_process().authkey)


def _filters() -> list[Filter] | None:
    """The warning filters of this interpreter, where somebody may have set any. Categories are single classes, whatever
    annotations allow."""
    filters = loaded("warnings", "filters")
    if filters is None:
        return None
    found: list[Any] = list(filters)
    return [
        Filter(action, _pattern(message), category.__module__, category.__qualname__, _pattern(module), lineno)
        for action, message, category, module, lineno in found
    ]


def _pattern(matcher: Any) -> str:
    """A filter's regular expression as text; the interpreter's own filters have text already, or None."""
    return str(getattr(matcher, "pattern", matcher) or "")


def _levels() -> dict[str, int]:
    if "logging" not in sys.modules:
        return {}
    import logging

    levels = {"": logging.root.level}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level:
            levels[name] = logger.level
    return levels
