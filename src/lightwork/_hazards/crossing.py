"""Rules on the way to a worker: what will not be pickled, what comes back from a call, how it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lightwork import _carried, _pickling
from lightwork._clock import SystemClock
from lightwork._effects import own
from lightwork._finding import COSTS, FAILS, UNKNOWN, Finding
from lightwork._hazards.subject import MOST_ITEMS, Subject
from lightwork.errors import UnpicklableError

LONGEST = 1.0
"""Seconds that pickling items may take in all."""

_GENERATOR = 0x20 | 0x200  # inspect.CO_GENERATOR, CO_ASYNC_GENERATOR


def arguments(subject: Subject) -> Iterator[Finding]:
    """A function that does not take as many arguments as there are iterables fails in every call."""
    if not subject.iterables:
        return
    import inspect

    try:
        signature = inspect.signature(subject.fn)
    except (TypeError, ValueError):  # a builtin that does not tell
        return
    given = len(subject.iterables)
    try:
        signature.bind(*[None] * given)
    except TypeError as problem:
        iterables = "1 iterable gives" if given == 1 else f"{given} iterables give"
        remedy = "Give one iterable for each argument; for keyword arguments use functools.partial."
        column = subject.columns[0]
        if given == 1 and column and isinstance(column[0], tuple) and _binds(signature, len(column[0])):
            remedy = f"Each item is a tuple of {len(column[0])}: lw.starmap(fn, items) takes it apart."
        yield Finding(
            "arguments",
            FAILS,
            f"Every call would fail: {iterables} each call {given} {'argument' if given == 1 else 'arguments'}, and "
            f"{subject.name} takes others ({problem}).",
            _defined(subject),
            remedy,
            tuple(subject.backends),
        )


def _binds(signature: Any, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _defined(subject: Subject) -> str:
    code = subject.functions[0].__code__ if subject.functions else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None and own(code) else ""


def lazy_results(subject: Subject) -> Iterator[Finding]:
    """A generator function does nothing when it is called: its work is done by whoever goes through the result."""
    code = getattr(getattr(subject.fn, "__func__", subject.fn), "__code__", None)
    if code is None or not code.co_flags & _GENERATOR:
        return
    what = (
        f"{subject.name} is a generator function (it has a yield): a call does no work, it only makes a generator. "
        "The work would be done later, in your own thread, by whoever goes through the generators"
    )
    fails = f"; and from {_and(subject.pickling)} a generator cannot be brought back, as it cannot be pickled."
    yield Finding(
        "lazy-results",
        FAILS if subject.pickling else COSTS,
        what + (fails if subject.pickling else "."),
        f"{code.co_filename}:{code.co_firstlineno}",
        f"Map a function that returns a list: def {subject.name}(...): ... return found.",
        tuple(subject.backends),
    )


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(names)


def pickling(subject: Subject) -> Iterator[Finding]:
    """The function and the items must become bytes on their way to another process or interpreter."""
    if not subject.pickling:
        return
    if (error := _refused(subject.fn, "the function")) is not None:
        name = re.search(r"(?:variable|global) '(\w+)'", error.path)
        where = (subject.where(name[1]) if name else "") or _defined(subject)
        yield _finding(subject, error, where)
    deadline = SystemClock.now() + LONGEST
    for number, column in enumerate(subject.columns):
        root = "items" if len(subject.columns) == 1 else f"iterables[{number}]"
        if column is None:
            yield Finding(
                "pickling",
                UNKNOWN,
                f"{root} is an iterator: its items were not looked at, because that would use them up.",
                "",
                "To have them checked, give a list of some: lw.check(fn, list(itertools.islice(items, 100))).",
                subject.pickling,
            )
            continue
        for index, item in enumerate(column):
            if (error := _refused(item, f"{root}[{index}]")) is not None:
                yield _finding(subject, error, "")
                break  # the others are likely of its kind
            if SystemClock.now() > deadline and index + 1 < len(column):
                yield _not_all(subject, root, index + 1)
                break
        else:
            if len(column) == MOST_ITEMS and _has_more(subject.iterables[number]):
                yield _not_all(subject, root, MOST_ITEMS)


def _has_more(items: Any) -> bool:
    return not hasattr(items, "__len__") or len(items) > MOST_ITEMS


def _not_all(subject: Subject, root: str, count: int) -> Finding:
    seen = "item was" if count == 1 else f"{count:,} items were"
    return Finding(
        "pickling",
        UNKNOWN,
        f"Of {root} the first {seen} pickled, and nothing was wrong with {'it' if count == 1 else 'them'}.",
        "",
        "Where the rest are of another kind, check some of those.",
        subject.pickling,
    )


def _refused(value: Any, root: str) -> UnpicklableError | None:
    """Why the value cannot be sent, with the path to what is at fault; None where it can."""
    try:
        data, buffers = _pickling.dump(value, to_worker=True)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # noqa: BLE001 - a __reduce__ may raise anything
        return _carried.unpicklable(problem, value, root)
    if root == "the function":
        return None  # that it comes to life again here would say nothing of a worker
    try:
        _pickling.load(data, buffers)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # noqa: BLE001 - and so may a __setstate__
        kind = type(value).__qualname__
        return UnpicklableError(
            f"{root} ({kind}) can be pickled, but not unpickled ({type(problem).__name__}: {problem}).",
            root,
            f"Give {kind} a __reduce__ that names what its __init__ needs, or send its parts.",
        )
    return None


def _finding(subject: Subject, error: UnpicklableError, where: str) -> Finding:
    what = "The" + error.message[3:] if error.message.startswith("the ") else error.message
    return Finding("pickling", FAILS, what, where, error.remedy, subject.pickling)
