"""The options that the whole family takes, what they default to, and which settings they make.

Order of precedence: an explicit argument, ``lw.config``, the environment (``LIGHTWORK_BACKEND``,
``LIGHTWORK_MAX_WORKERS``, ``LIGHTWORK_MEMORY``), the library's own default.
"""

from __future__ import annotations

import math
import os

from lightwork import _context
from lightwork._attempts import Rules
from lightwork._backends._registry import backend
from lightwork._backends.base import Backend
from lightwork._calls import Terms
from lightwork._defaults import configured, unsaid
from lightwork._lean import cache
from lightwork._record import Record, replace
from lightwork._sizes import parsed, shown
from lightwork._trace import Progress
from lightwork._typing import TypedDict
from lightwork.errors import CalledWhileImporting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Literal


LEAST_MEMORY = 32_000_000
"""Bytes: a ``max_memory`` below is a mistake. A worker takes about 10 MB before its first call."""


class CommonOptions(TypedDict, total=False):
    """``Options`` but for ``errors``, on which the types of the results depend."""

    backend: str | Backend | Sequence[str] | None
    max_workers: int | None
    chunksize: int | None
    isolate: bool
    call_timeout: float | None
    max_memory: int | str | None
    stall_timeout: float | None
    retries: int
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    retry_delay: float
    progress: bool | Callable[[Progress], None]
    seed: int | None
    strict: bool


class Options(CommonOptions, total=False):
    """Options of ``map``, ``imap``, ``imap_unordered``, ``starmap``, ``gather``, ``amap`` and ``aimap``.

    ``backend``: "auto" (default), "serial", "threads", "processes", "interpreters", "asyncio", a backend object, or
    a sequence of names that auto may choose from.
    ``max_workers``: default: the usable cores for computing backends; found by measuring for waiting work.
    ``chunksize``: calls in one message to a worker; default: sized by measuring. Chunks of under a millisecond share
    one where each call can be taken back from it, so that none waits for another.
    ``isolate``: True: no call runs in the caller's process.
    ``call_timeout``: seconds that one call may take; a longer one is ended and fails with ``CallTimeout``.
    ``max_memory``: bytes ("512MB" will do) that a worker process may have of its own while it runs a call. A call that
    wants more gets a MemoryError; a worker that a call leaves half full is replaced. Linux; see ``docs/memory.md``.
    ``stall_timeout``: seconds without the end of any call after which the stacks of all busy workers are shown on
    stderr, once for each standstill.
    ``retries``, ``retry_on``, ``retry_delay``: how often a failed call is repeated, for which exceptions (
    ``CallTimeout`` and ``WorkerCrashed`` count), and after how many seconds.
    ``errors``: "raise" the first failure, or "return" a ``Failure`` in the item's place.
    ``progress``: True for a bar on a terminal or in a notebook, or a callable that is given a ``Progress``.
    ``seed``: an integer that fixes the random streams of all calls (``lw.rng``), whatever runs them, and of the maps
    in them; in worker processes ``random`` and, where it is imported before the call, NumPy's global generator too.
    ``strict``: True: iterables of different lengths are a ValueError.
    """

    errors: Literal["raise", "return"]


OPTION_NAMES = (*CommonOptions.__annotations__, "errors")


# Names that other libraries use for the same thing.
_ELSEWHERE = {
    "n_jobs": "max_workers",
    "processes": "max_workers",
    "workers": "max_workers",
    "threads": "max_workers",
    "timeout": "call_timeout",
    "chunk_size": "chunksize",
    "batch_size": "chunksize",
    "memory_limit": "max_memory",
    "worker_memory_limit": "max_memory",
    "return_exceptions": 'errors="return"',
    "progress_bar": "progress",
    "ordered": "imap_unordered",
}


class Settings(Record, frozen=True):
    """Options after checking, with every default filled in."""

    backend: str | Backend | tuple[str, ...]
    max_workers: int | None
    chunksize: int | None
    isolate: bool
    progress: Callable[[Progress], None] | None
    errors: str
    strict: bool
    stall_timeout: float | None
    rules: Rules
    terms: Terms
    memory: str | None = None


def settle(options: dict[str, Any], allowed: Iterable[str] = OPTION_NAMES, seed: int | None = None) -> Settings:
    """Checks options and fills in defaults; TypeError or ValueError says which one is wrong and what would do.

    ``seed``: the run's own, where it has begun already and nobody gave it one.
    """
    refuse_unknown(options, tuple(allowed))
    if _context.importing:
        raise CalledWhileImporting(
            f"lightwork was called while a worker was importing {_context.importing!r}: that module starts parallel "
            "work when it is imported. Put that work into a function, or under `if __name__ == '__main__':`"
        )
    if not options and unsaid():
        return _unasked(seed)
    return _settled(options, configured.get({}))


@cache
def _plain() -> Settings:
    return _settled({}, {})


def _unasked(seed: int | None) -> Settings:
    """The settings where nobody said anything, of which each run has its own seed: the shortest maps notice."""
    plain = _plain()
    return replace(plain, terms=replace(plain.terms, seed=_context.entropy() if seed is None else seed))


def _settled(options: dict[str, Any], defaults: dict[str, Any]) -> Settings:
    chosen = options.get("backend")
    if chosen is None:
        chosen = defaults.get("backend")
    if chosen is None:
        chosen = os.environ.get("LIGHTWORK_BACKEND") or "auto"
        if chosen != "auto":
            try:
                backend(chosen)
            except ValueError as problem:
                raise ValueError(f"LIGHTWORK_BACKEND={chosen}: {problem}") from None
    workers = options.get("max_workers")
    if workers is None:
        workers = defaults.get("max_workers")
    if workers is None and (text := os.environ.get("LIGHTWORK_MAX_WORKERS")):
        try:
            workers = int(text)
        except ValueError:
            raise ValueError(f"LIGHTWORK_MAX_WORKERS must be a whole number, not {text!r}") from None
        positive("LIGHTWORK_MAX_WORKERS", workers)
    if workers is not None:
        workers = positive("max_workers", workers)
    chunksize = options.get("chunksize")
    if chunksize is not None:
        chunksize = positive("chunksize", chunksize)
    timeout = options.get("call_timeout")
    if timeout is not None:
        timeout = duration("call_timeout", timeout)
    stall = options.get("stall_timeout")
    if stall is not None:
        stall = duration("stall_timeout", stall)
    memory = options.get("max_memory")
    if memory is not None:
        memory = _memory(memory)
    retries = options.get("retries", 0)
    if not isinstance(retries, int) or retries < 0:
        raise ValueError(f"retries must be a whole number, 0 or more, not {retries!r}")
    delay = duration("retry_delay", options.get("retry_delay", 0.0), zero=True)
    retry_on = options.get("retry_on", (Exception,))
    retry_on = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in retry_on):
        raise TypeError(f"retry_on takes exception classes, not {retry_on!r}")
    errors = options.get("errors", "raise")
    if errors not in ("raise", "return"):
        raise ValueError(f'errors must be "raise" or "return", not {errors!r}')
    seed = options.get("seed")
    if seed is not None:
        seed = _whole("seed", seed)
    per_child = options.get("max_tasks_per_child")
    if per_child is not None:
        per_child = positive("max_tasks_per_child", per_child)
    initializer = options.get("initializer")
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    if isinstance(chosen, str):
        if chosen != "auto":
            backend(chosen)
    elif not isinstance(chosen, Backend):
        if not isinstance(chosen, (tuple, list)) or not chosen:
            raise TypeError(f"backend takes a name, a backend object or a sequence of names, not {chosen!r}")
        chosen = tuple(chosen)
        for name in chosen:
            backend(name)
    return Settings(
        backend=chosen,
        max_workers=workers,
        chunksize=chunksize,
        isolate=bool(options.get("isolate", False)),
        progress=_progress(options.get("progress", False)),
        errors=errors,
        strict=bool(options.get("strict", False)),
        stall_timeout=stall,
        rules=Rules(
            retries=retries,
            retry_on=retry_on,
            retry_delay=delay,
            stop_on_failure=errors == "raise",
            call_timeout=timeout,
            max_tasks_per_child=per_child,
        ),
        terms=Terms(
            initializer=initializer,
            initargs=tuple(options.get("initargs", ())),
            call_timeout=timeout,
            max_memory=memory,
            seed=_context.entropy() if seed is None else seed,
            seed_globals=seed is not None,
            stop_on_failure=errors == "raise",
        ),
        memory=_memory_file(defaults),
    )


def _memory_file(defaults: dict[str, Any]) -> str | None:
    if "memory" in defaults:
        return defaults["memory"]  # type: ignore[no-any-return]  # ``config`` has made it a str
    named = os.environ.get("LIGHTWORK_MEMORY")
    return memory_path(named) if named else None


def memory_path(path: Any) -> str:
    """The path of a file for the memory of past runs; TypeError or ValueError for what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"memory takes the path of a file, not {path!r}")
    if path in ("", ":memory:"):
        raise ValueError(f"memory takes the path of a file, not {path!r}: what is remembered is for the next run")
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - pathlib would be a new import


def positive(name: str, value: Any) -> int:
    """As an int what is a whole number above 0; TypeError or ValueError names the option."""
    number = _whole(name, value)
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return number


def duration(name: str, value: Any, zero: bool = False) -> float:
    """As a float what is a number of seconds above 0, or with ``zero`` that, too; ValueError names the option."""
    wanted = f"{name} must be a number of seconds{', 0 or more' if zero else ' above 0'}"
    try:
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        told = f"an integer of {value.bit_length():,} bits, which no clock comes to: math.inf stands for ever"
        raise ValueError(f"{wanted}, not {told}") from None
    if not (number > 0 or (zero and number == 0)):  # nor is NaN
        raise ValueError(f"{wanted}, not {value!r}")
    return number


def _whole(name: str, value: Any) -> int:
    """As an int what is one (NumPy's, too)."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return int(value.__index__())


def _memory(value: Any) -> int:
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise TypeError(f'max_memory must be bytes or a text such as "512MB", not {value!r}')
    try:
        size = parsed(value)
    except ValueError as problem:
        raise ValueError(f"max_memory is {problem}") from None
    if size < LEAST_MEMORY:
        raise ValueError(f"max_memory must be at least {shown(LEAST_MEMORY)}, which Python itself needs, not {value!r}")
    return size


def refuse_unknown(options: Any, allowed: Sequence[str]) -> None:
    """TypeError where there is no such option, with the one that was meant."""
    for name in options:
        if name not in allowed:
            from difflib import get_close_matches  # takes 5 ms to import

            other = _ELSEWHERE.get(name) or next(iter(get_close_matches(name, allowed, 1)), None)
            hint = f" Did you mean {other}?" if other else ""
            raise TypeError(
                f"there is no option {name!r}.{hint} (For keyword arguments of your function use functools.partial.)"
            )


def _progress(wanted: Any) -> Callable[[Progress], None] | None:
    if wanted is False or wanted is None:
        return None
    if wanted is True:
        from lightwork.report.progress import bar

        return bar("lightwork")
    if not callable(wanted):
        raise TypeError(f"progress takes True or a callable, not {wanted!r}")
    made: Callable[[Progress], None] = wanted
    return made
