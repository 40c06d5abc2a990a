"""From settings to a run: on which backend, with how many workers, and whether that suits the function."""

from __future__ import annotations

from lightwork import _context
from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import backend, usable
from lightwork._backends.base import Backend
from lightwork._clock import SystemClock
from lightwork._engine import Run
from lightwork._growth import MANY, MOST_COROUTINES, MOST_THREADS, Growth
from lightwork._library_threads import share
from lightwork._machine import gil_enabled, system, usable_cores
from lightwork._options import Settings
from lightwork._plan import Plan
from lightwork._record import replace
from lightwork._turns import Punctual
from lightwork.errors import BackendUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._memory import Memory
    from lightwork._opening import Opening

AUTO = ("threads", "processes")
"""What ``auto`` may choose from beside the plain loop. Sub-interpreters are left to those who name them: many
extension modules, NumPy among them, refuse to load there, and that shows only when it is too late."""


def cores() -> int:
    """Cores that a run started here may use: all usable ones, or one inside a call that shares them with others."""
    return 1 if _context.depth() else usable_cores()


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
    made.hasten(fn)
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
    if settings.rules.max_tasks_per_child is not None and can.shares_memory:
        raise BackendUnavailable(
            f"the {made.name!r} backend's workers share the caller's memory, so that a new one would be as worn as the "
            "old one, which max_tasks_per_child is to replace; backend='processes' has workers of their own"
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
        # They compute until they are seen not to.
        return begin, Growth(ceiling, MOST_THREADS, begin, begin, max(begin, MANY))
    return begin, None


def for_cores(settings: Settings) -> Settings:
    """The same for workers that compute: of those there are no more than cores."""
    return replace(settings, max_workers=min(settings.max_workers or cores(), cores()))


def load(computes: bool = False) -> None:
    """Loads what the choice for a function that waits, or ``computes``, takes, so that it need not be waited for
    later."""
    with Punctual():
        for name in ("_auto", "_effects", "_captured", "_backends.threads"):
            __import__("lightwork." + name)
        if computes and gil_enabled():
            backend("processes")
            __import__("lightwork._wire_cost")


def _rivals(names: Sequence[str], waits: bool, apart: bool = False) -> list[Backend]:
    """The backends that there is a choice of. Nobody does better than threads where calls wait, nor where there is no
    GIL, unless they are better ``apart``; and what they do not need takes its time to load."""
    suffices = not apart and (waits or not gil_enabled())
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
            rival.hasten(fn, opening.items, likely=True)
    from lightwork._auto import AutoRun
    from lightwork._policy import Candidate, Policy

    names = _eligible(settings)
    if settings.backend != "auto" and "serial" not in names and all(backend(name).unavailable() for name in names):
        usable(names[0])
    if not blocking:
        plan = replace(plan, backend=backend("threads"))
    mine = cores()

    def policy(waits: bool, apart: bool = False) -> Policy:
        others = _rivals(names, waits, apart) if settings.max_workers != 1 else []
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
