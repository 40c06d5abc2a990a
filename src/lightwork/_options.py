"""The options that the whole family takes, what they default to, and what is made of them.

Order of precedence: an explicit argument, ``lw.config``, the environment (``LIGHTWORK_BACKEND``,
``LIGHTWORK_MAX_WORKERS``, ``LIGHTWORK_MEMORY``), the library's own default.
"""

from __future__ import annotations

import os

from lightwork import _context
from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import backend, usable
from lightwork._backends.base import Backend
from lightwork._calls import Terms
from lightwork._clock import SystemClock
from lightwork._defaults import configured, unsaid
from lightwork._dispatch import Rules
from lightwork._engine import Plan, Run
from lightwork._growth import Growth
from lightwork._lean import cache
from lightwork._library_threads import share
from lightwork._machine import gil_enabled, system, usable_cores
from lightwork._record import Record, replace
from lightwork._sizes import parsed, shown
from lightwork._trace import Progress
from lightwork._typing import TypedDict
from lightwork.errors import BackendUnavailable, CalledWhileImporting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextvars import Token
    from typing import Any, Literal, Unpack

    from lightwork._memory import Memory
    from lightwork._opening import Opening


MOST_THREADS = 128
"""Threads that waiting work may grow to by itself. ``max_workers`` may say more."""

MOST_COROUTINES = 512
"""Coroutines that may be in flight where ``max_workers`` says nothing."""

LEAST_MEMORY = 32_000_000
"""Bytes: a ``max_memory`` below is a mistake. A worker takes about 10 MB before its first call."""

AUTO = ("threads", "processes")
"""What ``auto`` may choose from beside the plain loop. Sub-interpreters are left to those who name them: many
extension modules, NumPy among them, refuse to load there, and that shows only when it is too late."""


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


class Defaults(TypedDict, total=False):
    """What ``lw.config`` can set."""

    backend: str | Backend | Sequence[str] | None
    max_workers: int | None
    memory: str | os.PathLike[str] | None


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


def config(**defaults: Unpack[Defaults]) -> Config:
    """Replaces the defaults of ``backend`` and ``max_workers`` inside a ``with`` block, in this context only.

    An explicit argument still wins. ``memory``: a file in which ``auto`` keeps what it learns of functions, so that
    their next run begins with what was best; it is made where there is none. None (the default): nothing is kept.

    Raises TypeError and ValueError as the functions themselves would, at once.
    """
    _refuse_unknown(defaults, ("backend", "max_workers", "memory"))
    if defaults.get("memory") is not None:
        defaults["memory"] = _file(defaults["memory"])
    if defaults.get("max_workers") is not None:
        _positive("max_workers", defaults["max_workers"])
    chosen = defaults.get("backend")
    if isinstance(chosen, str) and chosen != "auto":
        backend(chosen)
    return Config(defaults)


class Config:
    """What ``config`` gives. It does nothing until a ``with`` block begins, and says so where none ever did."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._before: Token[dict[str, Any]] | None = None
        self._used = False

    def __call__(self, fn: Any) -> Any:
        """As a decorator: around each call of ``fn``."""
        from functools import wraps

        self._used = True

        @wraps(fn)
        def inside(*args: Any, **keywords: Any) -> Any:
            with Config(self._defaults):
                return fn(*args, **keywords)

        return inside

    def __enter__(self) -> None:
        self._used = True
        if self._before is not None:
            raise RuntimeError("this lw.config(...) is in use already: make another one for another block")
        self._before = configured.set({**configured.get({}), **self._defaults})

    def __exit__(self, *_: object) -> None:
        assert self._before is not None
        before, self._before = self._before, None
        configured.reset(before)

    def __del__(self) -> None:
        if not self._used:
            import warnings

            said = "lw.config(...) has done nothing: it holds inside of a block, with lw.config(...):"
            warnings.warn(said, RuntimeWarning, stacklevel=2)


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
    _refuse_unknown(options, tuple(allowed))
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
        _positive("LIGHTWORK_MAX_WORKERS", workers)
    if workers is not None:
        workers = _positive("max_workers", workers)
    chunksize = options.get("chunksize")
    if chunksize is not None:
        chunksize = _positive("chunksize", chunksize)
    timeout = options.get("call_timeout")
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ValueError(f"call_timeout must be a number of seconds above 0, not {timeout!r}")
    stall = options.get("stall_timeout")
    if stall is not None and not (isinstance(stall, (int, float)) and stall > 0):
        raise ValueError(f"stall_timeout must be a number of seconds above 0, not {stall!r}")
    memory = options.get("max_memory")
    if memory is not None:
        memory = _memory(memory)
    retries = options.get("retries", 0)
    if not isinstance(retries, int) or retries < 0:
        raise ValueError(f"retries must be a whole number, 0 or more, not {retries!r}")
    delay = options.get("retry_delay", 0.0)
    if not isinstance(delay, (int, float)) or not delay >= 0:  # nor no number at all, NaN
        raise ValueError(f"retry_delay must be a number of seconds, 0 or more, not {delay!r}")
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
        per_child = _positive("max_tasks_per_child", per_child)
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
            retry_delay=float(delay),
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
    return _file(named) if named else None


def _file(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"memory takes the path of a file, not {path!r}")
    if path in ("", ":memory:"):
        raise ValueError(f"memory takes the path of a file, not {path!r}: what is remembered is for the next run")
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - pathlib would be a new import


def _positive(name: str, value: Any) -> int:
    number = _whole(name, value)
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
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


def _refuse_unknown(options: Any, allowed: Sequence[str]) -> None:
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


# functions


def cores() -> int:
    """Cores that a run started here may use: all usable ones, or one inside a call that shares them with others."""
    return 1 if _context.depth() else usable_cores()


# runs


def begins_here(fn: Callable[..., Any], settings: Settings) -> bool:
    """Whether the first calls are made in the caller's thread before anything else is decided."""
    rules = settings.rules
    return (
        settings.backend == "auto"
        and settings.chunksize is None
        and settings.progress is None
        and rules.call_timeout is None
        and settings.terms.max_memory is None
        and settings.stall_timeout is None
        and rules.max_tasks_per_child is None
        and not settings.isolate
        and not is_coroutine_function(fn)
    )


def prepare(
    fn: Callable[..., Any],
    settings: Settings,
    *,
    lazy: bool,
    window: int | None,
    blocking: bool,
    opening: Opening | None = None,
    memory: Memory | None = None,
) -> Run:
    """A run for ``fn``, with its crew open. ``blocking``: the caller's thread may itself run calls; ``opening``: what
    it did already, where ``begins_here``; ``memory``: of past runs, where it was looked at already."""

    def plan(made: Backend, workers: int = 1, growth: Growth | None = None) -> Plan:
        return Plan(
            backend=made,
            workers=workers,
            growth=growth,
            terms=settings.terms,
            rules=settings.rules,
            window=window,
            lazy=lazy,
            chunksize=settings.chunksize,
            progress=settings.progress,
            stall_timeout=settings.stall_timeout,
        )

    coroutine = is_coroutine_function(fn)
    made = _chosen(fn, settings, coroutine, blocking)
    if made is None:
        return _auto(plan(backend("serial")), settings, blocking, opening, memory or remembered(fn, settings), fn)
    check_fit(fn, made, settings, coroutine)
    if not blocking and made.capabilities.in_caller:
        raise BackendUnavailable(f"the {made.name!r} backend would block the event loop; backend='threads' would not")
    return Run(plan(made, *how_many(made, settings.max_workers)))


def remembered(fn: Callable[..., Any], settings: Settings) -> Memory | None:
    """The memory of this function's past runs, for those who keep one."""
    if settings.memory is None:
        return None
    began = SystemClock.now()
    from lightwork._memory import Memory  # a database is nothing that other maps should load

    return Memory(settings.memory, fn, cores(), began)


def _chosen(fn: Callable[..., Any], settings: Settings, coroutine: bool, blocking: bool) -> Backend | None:
    """The backend that the settings name or imply; None where it is to be found by measuring."""
    named = settings.backend
    if isinstance(named, Backend):
        return named
    if named == "auto" or isinstance(named, tuple):
        names = _eligible(settings)
        if coroutine:
            if named != "auto" and "asyncio" not in named:
                raise BackendUnavailable(f"{_name(fn)} is a coroutine function: only backend='asyncio' can await it")
            named = "asyncio"
        elif needs_processes(settings):
            isolating = [name for name in names if backend(name).capabilities.can_kill]
            if not isolating:
                raise BackendUnavailable(
                    f"none of {', '.join(map(repr, names))} can isolate, end, limit or watch a call; "
                    "backend='processes' can"
                )
            named = isolating[0]
        else:
            return None
    if named == "asyncio" and not blocking:
        return _own_loop()
    return usable(named)


def needs_processes(settings: Settings) -> bool:
    """Whether something was asked for that only workers of their own can give."""
    terms = settings.terms
    return settings.isolate or not (terms.call_timeout is terms.max_memory is settings.stall_timeout is None)


def _eligible(settings: Settings) -> tuple[str, ...]:
    """The names that ``auto`` may choose from."""
    return settings.backend if isinstance(settings.backend, tuple) else AUTO


def _own_loop() -> Backend:
    from lightwork._backends.coroutines import AsyncioBackend

    return AsyncioBackend(own_loop=True)


def check_fit(fn: Any, made: Backend, settings: Settings, coroutine: bool) -> None:
    """BackendUnavailable, with what would do, where a backend cannot run ``fn`` as the settings ask."""
    can = made.capabilities
    if coroutine and not can.coroutines:
        raise BackendUnavailable(
            f"{_name(fn)} is a coroutine function: the {made.name!r} backend cannot await it; backend='asyncio' can"
        )
    if can.coroutines and not coroutine:
        raise BackendUnavailable(
            f"{_name(fn)} is not a coroutine function (async def): the {made.name!r} backend awaits calls; "
            "backend='threads' suits functions that wait"
        )
    if settings.isolate and can.shares_memory:
        raise BackendUnavailable(
            f"the {made.name!r} backend runs calls in the caller's process, which isolate=True forbids; "
            "backend='processes' does not"
        )
    if settings.isolate and not can.can_kill:
        raise BackendUnavailable(
            f"the {made.name!r} backend lives in the caller's process, which isolate=True forbids; "
            "backend='processes' does not"
        )
    if settings.terms.call_timeout is not None and not (can.can_kill or can.coroutines):
        raise BackendUnavailable(
            f"the {made.name!r} backend cannot end a running call, which call_timeout needs; backend='processes' can"
        )
    if settings.stall_timeout is not None and not can.can_show_stacks:
        raise BackendUnavailable(
            f"the {made.name!r} backend's workers cannot be asked what they do, which stall_timeout needs; those of "
            "backend='processes' and 'threads' can"
        )
    if settings.terms.max_memory is not None and not can.can_limit_memory:
        raise BackendUnavailable(
            f"max_memory needs a kernel that limits what a process allocates for itself, as Linux does: on {system()} "
            "nothing would hold it; max_tasks_per_child replaces workers that leak"
            if can.can_kill
            else f"the {made.name!r} backend's workers have no memory of their own, which max_memory needs; "
            "backend='processes' has such"
        )


def _name(fn: Any) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def how_many(made: Backend, asked: int | None) -> tuple[int, Growth | None]:
    """The workers to begin with, and how their number may grow."""
    can = made.capabilities
    if can.in_caller:
        return 1, None
    if asked is not None:
        return asked, None
    if can.coroutines:
        return MOST_COROUTINES, None
    begin = cores() if can.local else 1
    if can.shares_memory:
        ceiling = 1.0 if gil_enabled() else float(begin)
        if _context.depth():
            # Others compute beside: as many as there are cores for, until the calls are seen to wait.
            begin = share(1)
            return begin, Growth(ceiling, MOST_THREADS, begin)
        # They compute until they are seen not to; then as many as the standard library's pool has at most.
        return begin, Growth(ceiling, MOST_THREADS, begin, begin, max(begin, min(32, begin + 4)))
    return begin, None


def for_cores(settings: Settings) -> Settings:
    """The same for workers that compute: of those there are no more than cores."""
    return replace(settings, max_workers=min(settings.max_workers or cores(), cores()))


def load(computes: bool = False) -> None:
    """Loads what the choice for a function that waits, or ``computes``, takes, so that it need not be waited for
    later."""
    for name in ("_auto", "_effects", "_captured", "_backends.threads"):
        __import__("lightwork." + name)
    if computes and gil_enabled():
        backend("processes")


def _rivals(names: Sequence[str], waits: bool) -> list[Backend]:
    """The backends that there is a choice of. Nobody does better than threads where calls wait, nor where there is no
    GIL, and what they do not need takes its time to load."""
    suffices = waits or not gil_enabled()
    found = []
    for name in names:
        found.append(made := backend(name))
        can = made.capabilities
        if suffices and can.shares_memory and not can.in_caller and not can.coroutines:
            break
    return found


def _auto(
    plan: Plan,
    settings: Settings,
    blocking: bool,
    opening: Opening | None,
    memory: Memory | None,
    fn: Callable[..., Any],
) -> Run:
    if opening is not None and opening.computes and settings.max_workers != 1 and cores() > 1:
        for rival in _rivals(_eligible(settings), False):  # before what decides is loaded
            rival.hasten(fn)
    from lightwork._auto import AutoRun
    from lightwork._policy import Candidate, Policy

    names = _eligible(settings)
    if settings.backend != "auto" and "serial" not in names and all(backend(name).unavailable() for name in names):
        usable(names[0])
    if not blocking:
        plan = replace(plan, backend=backend("threads"))
    mine = cores()

    def policy(waits: bool) -> Policy:
        others = _rivals(names, waits) if settings.max_workers != 1 else []
        candidates = tuple(
            Candidate(made.name, made.capabilities, made.unavailable())
            for made in others
            if not (made.capabilities.in_caller or made.capabilities.coroutines)
        )
        return Policy(candidates, mine, gil_enabled(), settings.max_workers, crowded=_context.depth() > 0)

    def grow(made: Backend, workers: int) -> Growth | None:
        if settings.max_workers is not None or not made.capabilities.shares_memory or made.capabilities.in_caller:
            return None
        return Growth(1.0 if gil_enabled() else float(mine), MOST_THREADS, workers)

    if memory is None:
        return AutoRun(plan, policy, usable, grow, opening)
    from lightwork._remembering import RememberingRun

    return RememberingRun(memory, plan, policy, usable, grow, opening)
