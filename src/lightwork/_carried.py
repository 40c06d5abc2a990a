"""Exceptions on their way from a worker to the caller: type, arguments, attributes, notes and remote traceback.

Tried in this order, and verified in the worker by a round trip: the exception as it pickles; its class, made
anew with as many of its arguments and attributes as cross; ``RemoteError`` with all its text. The remote traceback
becomes the exception's ``__cause__``, so that it is printed above the caller's own.
"""

from __future__ import annotations

import pickle
from types import TracebackType
from typing import Any

from lightwork import _culprit, _wire
from lightwork.errors import LightworkError, RemoteError, UnpicklableError

_LOOP = __file__.replace("_carried.py", "_backends/worker.py")
"""The file whose frames stand above every call in a worker, and say nothing."""


class RemoteTraceback(Exception):
    """The traceback of an exception as it was in the worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


def pack(exception: BaseException) -> bytes:
    """The exception as bytes that ``unpack`` can take anywhere; never raises."""
    text = _text(exception)
    for form in (_whole, _rebuilt):
        try:
            packed = form(exception, text)
            back = unpack(packed)
            str(back)
            if type(back) is type(exception) or type(back).__qualname__ == type(exception).__qualname__:
                return packed
        except BaseException:  # noqa: BLE001, S112 - a class's own pickling refuses; the next form is tried
            continue
    # A class that cannot be imported there, or that refuses to be made again: its text crosses always.
    return pickle.dumps(("text", text))


def unpack(data: _wire.Bytes) -> BaseException:
    """The exception that ``pack`` took, its remote traceback as its cause."""
    form, text, *rest = _wire.load(data)
    if form == "text":
        return RemoteError(text)
    if form == "whole":
        exception: BaseException = _wire.load(rest[0])
        # A class with a __reduce__ of its own leaves them behind.
        for note in rest[1][len(getattr(exception, "__notes__", ())) :]:
            exception.add_note(note)
    else:
        cls, args, state, notes = (_wire.load(part) for part in rest)
        exception = cls.__new__(cls, *args)
        exception.args = args
        exception.__dict__.update(state)
        for note in notes:
            exception.add_note(note)
    exception.__cause__ = RemoteTraceback(text)
    return exception


def _whole(exception: BaseException, text: str) -> bytes:
    notes = [str(note) for note in getattr(exception, "__notes__", ())]
    return pickle.dumps(("whole", text, _plain(exception), notes))


def _rebuilt(exception: BaseException, text: str) -> bytes:
    lost = []
    args: list[Any] = []
    for position, argument in enumerate(exception.args):
        if _culprit.crosses(argument, _plain):
            args.append(argument)
        else:
            args.append(repr(argument))
            lost.append(f"argument {position}")
    state = {}
    for name, value in exception.__dict__.items():
        if _culprit.crosses(value, _plain):
            state[name] = value
        else:
            lost.append(name)
    notes = [f"left behind in the worker, as it cannot be pickled: {', '.join(lost)}"] if lost else []
    parts = (_plain(type(exception)), _plain(tuple(args)), _plain(state), _plain(notes))
    return pickle.dumps(("rebuilt", text, *parts))


def _plain(value: Any) -> bytes:
    """A pickle with its large buffers inside."""
    data, buffers = _wire.dump(value, None)
    assert not buffers
    return data


def _text(exception: BaseException) -> str:
    """The traceback with its causes and contexts, from the caller's own code on."""
    import traceback

    try:
        lines = traceback.format_exception(type(exception), exception, _own(exception.__traceback__))
        return "".join(lines)
    except Exception as broken:  # noqa: BLE001 - __str__ or __repr__ of the exception itself raised
        return f"{type(exception).__qualname__} (its text could not be made: {type(broken).__name__})"


def _own(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the worker's frames at its start; whole where nothing else is in it."""
    rest = trace
    while rest is not None and rest.tb_frame.f_code.co_filename == _LOOP:
        rest = rest.tb_next
    return trace if rest is None else rest


def unpicklable(problem: BaseException, value: Any, root: str) -> UnpicklableError:
    """The error for a value that pickling refused because of ``problem``: where in it, and what would work."""
    if isinstance(problem, UnpicklableError):
        return problem
    path, part = _culprit.find(value, root, _plain)
    error = UnpicklableError(
        f"{path} is a {type(part).__qualname__} that cannot be pickled ({_line(problem)}).",
        path,
        'Use backend="threads", or make it inside the function (lightwork.per_worker keeps one in each worker).',
    )
    error.__cause__ = problem
    return error


def not_rebuilt(problem: BaseException, what: str, where: str) -> LightworkError:
    """The error for something that was pickled and sent, but whose unpickling raised ``problem``."""
    error = UnpicklableError(
        f"{what} was pickled, but could not be unpickled {where}: {_line(problem)}.",
        what,
        'Its class must be importable there and its __setstate__ must not fail; backend="threads" does not pickle.',
    )
    error.__cause__ = problem
    return error


def _line(problem: BaseException) -> str:
    try:
        text = str(problem).strip() or type(problem).__name__
        return f"{type(problem).__name__}: {text}".partition("\n")[0]
    except Exception:  # noqa: BLE001 - its __str__ raised
        return type(problem).__name__
