"""Rules on what calls share: things they change, generators of random numbers, files, connections and locks."""

from __future__ import annotations

import io
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from lightwork._by_code import MAINS
from lightwork._captured import needs_this_thread, ties
from lightwork._effects import Effect, effects
from lightwork._finding import CHANGES, FAILS, UNKNOWN, Finding
from lightwork._hazards.subject import Subject
from lightwork._kinds import is_a
from lightwork._loaded import loaded
from lightwork._pickling import by_value

_SEPARATE = "In processes and interpreters each worker changes a copy of its own, of which you see nothing"
_AT_ONCE = "in threads the calls change one thing at the same time, in an order that differs from run to run"


def shared_state(subject: Subject) -> Iterator[Finding]:
    """What a call changes beyond its own variables."""
    if not subject.parallel:
        return  # coroutines take turns in the caller's own thread, as calls of a plain loop do
    files = {name for name, value in subject.things if _is_open(value)}
    for effect in effects(subject.fn):
        if effect.name in files:
            continue  # ``resources`` tells of it
        what, remedy, backends = _told(subject, effect)
        if not backends:
            continue
        if effect.certain:
            what = f"Each call {what}"
            yield Finding("shared-state", CHANGES, what, effect.where, remedy, backends)
        else:
            what = f"Some calls, perhaps, {'change' + what.removeprefix('changes')}"
            yield Finding("shared-state", UNKNOWN, what, effect.where, remedy, backends)


def _told(subject: Subject, effect: Effect) -> tuple[str, str, tuple[str, ...]]:
    if effect.kind == "argument":
        return (
            f"{effect.what}. A worker in another process has a copy: your own item would stay as it was.",
            "Return the changed item, and use the results.",
            subject.pickling,
        )
    if effect.name == "stdin":
        return (
            f"{effect.what}, which all threads share and which is empty in worker processes.",
            "Give the lines as items: lw.map(fn, sys.stdin).",
            subject.parallel,
        )
    if effect.kind == "process":
        return (
            f"{effect.what}: of all threads at once, or of whatever calls the same worker makes afterwards.",
            "Give what is needed as an argument (a full path, an env= for subprocess) instead of setting it.",
            subject.parallel,
        )
    remedy = "Return the value, and put the results together after the map."
    if effect.kind == "default":
        remedy = "Make it inside the function: def fn(x, cache=None), then if cache is None: cache = {}. " + remedy
    return (
        f'{effect.what}. {_SEPARATE}; {_AT_ONCE}. backend="auto" stays with a plain loop because of this.'
        if effect.certain
        else f"{effect.what}. {_SEPARATE}; {_AT_ONCE}.",
        remedy,
        subject.parallel,
    )


def random_generators(subject: Subject) -> Iterator[Finding]:
    """A generator that all calls draw from: its numbers depend on who comes first, or repeat in every process."""
    for tie in ties(subject.fn):
        if tie.generator and subject.parallel:
            yield Finding(
                "random-generator",
                CHANGES,
                f'All calls draw from the one generator "{tie.name}". Each process would have a copy of it, and draw '
                "the same numbers as the others; threads would share it, so that which call gets which number "
                "differs from run to run.",
                subject.where(tie.name),
                "Inside the function use lw.rng() or lw.numpy_rng(): a stream for each call, fixed by seed=.",
                subject.parallel,
            )


def identity(subject: Subject) -> Iterator[Finding]:
    """An argument that is asked to be a certain object, of which other processes have copies."""
    for tie in ties(subject.fn):
        if tie.where and subject.pickling:
            yield Finding(
                "identity",
                CHANGES,
                f'It is asked whether an argument is "{tie.name}" itself. In another process the argument is a copy, '
                "and never is.",
                tie.where,
                "Use a member of an Enum, of which every process has the one, or compare with ==.",
                subject.pickling,
            )


def shared_seeds(subject: Subject) -> Iterator[Finding]:
    """A call that seeds the generator which a library keeps for all threads of a process."""
    use = next((use for use in subject.uses if use.dotted in _SEEDS), None)
    if use is not None and subject.sharing:
        yield Finding(
            "random-generator",
            CHANGES,
            f"Each call seeds the one generator that all threads of a process share ({use.dotted}): between its seed "
            "and its draws another thread may seed it, or draw.",
            use.where,
            "Inside the function use random.Random(seed), numpy.random.default_rng(seed), or lw.rng() with seed=.",
            subject.sharing,
        )


_SEEDS = {"random.seed", "numpy.random.seed"}


def main_thread(subject: Subject) -> Iterator[Finding]:
    """What Python does in a program's main thread only."""
    use = next((use for use in subject.uses if use.dotted in _MAIN_THREAD), None)
    elsewhere = tuple(name for name in subject.backends if name in ("interpreters", *subject.sharing))
    if use is not None and elsewhere:
        yield Finding(
            "main-thread",
            FAILS,
            f"{use.dotted} raises ValueError in every thread but a program's first.",
            use.where,
            'Use backend="processes", whose workers make calls in their first thread; or set it before the map.',
            elsewhere,
        )


_MAIN_THREAD = {"signal.signal", "signal.set_wakeup_fd"}


def resources(subject: Subject) -> Iterator[Finding]:
    """Files, connections and locks that were opened outside the function."""
    if not subject.parallel:
        return
    by_name = _travels_by_name(subject.fn)
    seen: set[int] = set()
    for name, value in subject.things:
        if id(value) in seen:
            continue
        seen.add(id(value))
        found = list(_resource(subject, name, value, by_name))
        if found:  # what it consists of (the locks of a queue) need not be told as well
            seen.update(id(part) for part in getattr(value, "__dict__", {}).values())
        yield from found


def _resource(subject: Subject, name: str, value: Any, by_name: bool) -> Iterator[Finding]:
    where = subject.where(name)
    if _of_one_thread(value):
        yield Finding(
            "resource",
            FAILS,
            f'"{name}" is a {_kind(value)} that belongs to the thread that made it; other threads may not use it.',
            where,
            f"Let each worker open its own: {name} = lw.per_worker(connect), and in the function {name}().",
            subject.sharing,
        )
    elif is_a(value, threading.local) and needs_this_thread(subject.fn, value):
        yield Finding(
            "resource",
            FAILS,
            f'"{name}" is a threading.local in which no other thread finds what this one has there.',
            where,
            "Let each worker fill its own: lw.per_worker(factory).",
            subject.sharing,
        )
    elif _is_open(value):
        yield Finding(
            "resource",
            CHANGES,
            f'"{name}" is {_a(_kind(value))} that all calls would share: what one thread reads another misses, and '
            "what they write is mixed."
            + (" Each process would open one of its own when it imports the module." if by_name else ""),
            where,
            f"Open it inside the function, or once in each worker: {name} = lw.per_worker(open_it).",
            subject.parallel if by_name else subject.sharing,
        )
    elif _locks(value) and by_name and subject.pickling:
        yield Finding(
            "resource",
            CHANGES,
            f'"{name}" is {_a(_kind(value))} of this process. Every worker makes one of its own when it imports the '
            "module, so that it keeps nobody out and hands nothing over.",
            where,
            'Use backend="threads", or return values instead of sharing something that needs a lock.',
            subject.pickling,
        )


_LOCKS = (
    *(type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore),
    *(threading.Event, threading.Barrier),
)


def _is_open(value: Any) -> bool:
    if is_a(value, (io.BytesIO, io.StringIO)) or any(value is one for one in (sys.stdin, sys.stdout, sys.stderr)):
        return False
    if is_a(value, socket.socket):
        return value.fileno() >= 0
    return is_a(value, io.IOBase) and not value.closed


def _locks(value: Any) -> bool:
    queues = (loaded("queue", name, ()) for name in ("Queue", "SimpleQueue"))
    return is_a(value, (*_LOCKS, *queues))


def _of_one_thread(value: Any) -> bool:
    return any((kind.__module__, kind.__qualname__) in _BOUND for kind in type(value).__mro__)


_BOUND = {("sqlite3", "Connection"), ("sqlite3", "Cursor")}


def _kind(value: Any) -> str:
    if is_a(value, socket.socket):
        return "open socket"
    if is_a(value, io.IOBase):
        return "open file"
    if is_a(value, _LOCKS[:2]):
        return "lock"
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _travels_by_name(fn: Any) -> bool:
    """Whether workers import the function, so that its module's globals are made anew there; else they are sent."""
    plain = getattr(fn, "__func__", fn)
    if not isinstance(plain, FunctionType) or plain.__module__ in MAINS:
        return False
    try:
        return not by_value(pickle.dumps(plain, 5))
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
