"""Exceptions on their way from a worker to the caller: type, arguments, attributes, notes and remote traceback.

Tried in this order, and verified in the worker by a round trip: the exception as it pickles; its class, made
anew with as many of its arguments and attributes as cross; ``RemoteError`` with all its text. The members of a group
are tried one by one, so that ``except*`` finds those that can be made. The remote traceback becomes the exception's
``__cause__``, so that it is printed above the caller's own; a group has it for all its members.
"""

from __future__ import annotations

import contextvars

from lightwork import _pickling
from lightwork._kinds import is_a
from lightwork._lean import pickle
from lightwork.errors import LightworkError, RemoteError, UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from lightwork._pieces import Bytes


_LOOP = tuple(
    __file__.replace("_carried.py", name)
    for name in ("_backends/worker.py", "_backends/_ceiling.py", "_backends/_surroundings.py", "_calls.py")
)
"""The files whose frames stand above every call in a worker, and say nothing."""


_OF_CONTEXTS = (contextvars.ContextVar, contextvars.Context, contextvars.Token)

_NO_SUCH_NAME = (
    r"Can't get attribute '(?P<name>[^']+)' on <module '(?P<module>[^']+)'",
    r"module '(?P<module>[^']+)' has no attribute '(?P<name>[^']+)'",
)
"""How pickle says that a module has no such name: to Python 3.13, and from 3.14."""


class RemoteTraceback(Exception):
    """The traceback of an exception as it was in the worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tb = text  # what the standard library calls it in its own

    def __str__(self) -> str:
        return f'\n"""\n{self.tb.rstrip()}\n"""'


def pack(exception: BaseException) -> bytes:
    """The exception as bytes that ``unpack`` can take anywhere; never raises."""
    return _packed(exception, _text(exception))


def _packed(exception: BaseException, text: str) -> bytes:
    """Without ``text`` the exception is a member of a group, whose text has the member's."""
    for form in (_whole, _grouped if isinstance(exception, BaseExceptionGroup) else _rebuilt):
        try:
            packed = form(exception, text)
            # The members of a group that was made anew have been looked at.
            if _is_like(unpack(packed), exception) or form is _grouped:
                return packed
        except BaseException:  # noqa: BLE001, S112 - a class's own pickling refuses; the next form is tried
            continue
    # A class that cannot be imported there, or that refuses to be made again: its text crosses always.
    return pickle.dumps(("text", text or _text(exception)))


def _is_like(back: BaseException, exception: BaseException) -> bool:
    """Whether ``back`` can stand for the exception: of its class, with its members, and with a text if it has one."""
    if type(back) is not type(exception) and type(back).__qualname__ != type(exception).__qualname__:
        return False
    if said(exception) is not None and said(back) is None:
        return False
    if isinstance(back, BaseExceptionGroup) and isinstance(exception, BaseExceptionGroup):
        pairs = zip(back.exceptions, exception.exceptions, strict=True)
        return all(_is_like(*pair) for pair in pairs)
    return True


def unpack(data: Bytes) -> BaseException:
    """The exception that ``pack`` took, its remote traceback as its cause."""
    form, text, *rest = _pickling.load(data)
    if form == "text":
        return RemoteError(text)
    if form == "group":
        cls, message, state, notes = (_pickling.load(part) for part in rest[:-1])
        exception: BaseException = BaseExceptionGroup.__new__(cls, message, [unpack(member) for member in rest[-1]])
        exception.__dict__.update(state)
        for note in notes:
            exception.add_note(note)
    elif form == "whole":
        exception = _pickling.load(rest[0])
        # A class with a __reduce__ of its own leaves them behind.
        for note in rest[1][len(getattr(exception, "__notes__", ())) :]:
            exception.add_note(note)
    else:
        cls, args, state, notes = (_pickling.load(part) for part in rest)
        exception = cls.__new__(cls, *args)
        exception.args = args
        exception.__dict__.update(state)
        for note in notes:
            exception.add_note(note)
    if text:
        exception.__cause__ = RemoteTraceback(text)
    return exception


def _whole(exception: BaseException, text: str) -> bytes:
    notes = [str(note) for note in getattr(exception, "__notes__", ())]
    return pickle.dumps(("whole", text, _plain(exception), notes))


def _rebuilt(exception: BaseException, text: str) -> bytes:
    from lightwork import _culprit

    lost = []
    args: list[Any] = []
    for position, argument in enumerate(exception.args):
        if _culprit.crosses(argument, _plain):
            args.append(argument)
        else:
            args.append(_culprit.shown(argument))
            lost.append(f"argument {position}")
    state = _state(exception, lost)
    parts = (_plain(type(exception)), _plain(tuple(args)), _plain(state), _plain(_left_behind(lost)))
    return pickle.dumps(("rebuilt", text, *parts))


def _grouped(exception: BaseException, text: str) -> bytes:
    """A group with each member as well as that one crosses."""
    assert isinstance(exception, BaseExceptionGroup)
    lost: list[str] = []
    members = [_packed(member, "") for member in exception.exceptions]
    cls: type[BaseException] = type(exception)
    try:
        BaseExceptionGroup.__new__(_pickling.load(_plain(cls)), "", [unpack(member) for member in members])
    except Exception:  # noqa: BLE001 - its class does not cross, or takes no RemoteError: the members matter more
        lost.append(f"the class {cls.__qualname__}")
        cls = BaseExceptionGroup  # makes an ExceptionGroup where all members are Exceptions
    state = _state(exception, lost)
    parts = (_plain(cls), _plain(str(exception.message)), _plain(state), _plain(_left_behind(lost)))
    return pickle.dumps(("group", text, *parts, members))


def _state(exception: BaseException, lost: list[str]) -> dict[str, Any]:
    """Those attributes that cross, notes among them; the others' names are added to ``lost``."""
    from lightwork import _culprit

    state = {}
    for name, value in exception.__dict__.items():
        if _culprit.crosses(value, _plain):
            state[name] = value
        else:
            lost.append(name)
    return state


def _left_behind(lost: list[str]) -> list[str]:
    return [f"left behind in the worker, as it cannot be pickled: {', '.join(lost)}"] if lost else []


def _plain(value: Any) -> bytes:
    """A pickle with its large buffers inside."""
    data, buffers = _pickling.dump(value, None)
    assert not buffers
    return data


def _sendable(value: Any) -> None:
    """Pickles as a frame would, with the handles that would go along."""
    _pickling.dump(value, None, handles={})


def _text(exception: BaseException) -> str:
    """The traceback with its causes and contexts, from the caller's own code on."""
    import traceback

    try:
        lines = traceback.format_exception(type(exception), exception, _own(exception.__traceback__))
        return "".join(lines)
    except BaseException as broken:  # noqa: BLE001 - __str__ or __repr__ of the exception itself raised
        return f"{type(exception).__qualname__} (its text could not be made: {type(broken).__name__})"


def _own(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the worker's frames at its start; whole where nothing else is in it."""
    rest = trace
    while rest is not None and rest.tb_frame.f_code.co_filename in _LOOP:
        rest = rest.tb_next
    return trace if rest is None else rest


def unpicklable(problem: BaseException, value: Any, root: str) -> UnpicklableError:
    """The error for a value that pickling refused because of ``problem``: where in it, and what would work."""
    if isinstance(problem, UnpicklableError):
        return problem
    from lightwork import _culprit

    path, part = _culprit.find(value, root, _sendable)
    if is_a(part, _OF_CONTEXTS):
        remedy = 'Context variables do not cross: pass the value as an argument, or use backend="threads".'
    else:
        remedy = (
            'Use backend="threads", or make it inside the function (lightwork.per_worker keeps one in each worker).'
        )
    error = UnpicklableError(
        f"{path} is a {type(part).__qualname__} that cannot be pickled ({_line(problem)}).", path, remedy
    )
    error.__cause__ = problem
    return error


def not_rebuilt(problem: BaseException, what: str, where: str) -> LightworkError:
    """The error for something that was pickled and sent, but whose unpickling raised ``problem``."""
    error = UnpicklableError(
        f"{what} was pickled, but could not be unpickled {where}: {_line(problem)}.",
        what,
        f'{_advice(problem, where)}; backend="threads" does not pickle.',
    )
    error.sent = True
    error.__cause__ = problem
    return error


def _advice(problem: BaseException, where: str) -> str:
    if isinstance(problem, ModuleNotFoundError) and problem.name:
        return f"The module {problem.name!r} cannot be imported {where}: it must be installed or on sys.path there"
    # An AttributeError of pickle's own; another is of the code that it ran.
    for pattern in _NO_SUCH_NAME if isinstance(problem, AttributeError) else ():
        import re

        missing = re.match(pattern, said(problem) or "")
        if missing:
            name = f"{missing['module']}.{missing['name']}"
            return f"{name!r} cannot be imported {where}: define it where importing its module defines it"
    return "Its class must be importable there and its __setstate__ must not fail"


def said(problem: BaseException) -> str | None:
    """The text of an exception; None where its ``__str__`` raises."""
    try:
        return str(problem)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - it is the caller's code, and raises anything
        return None


def _line(problem: BaseException) -> str:
    name = type(problem).__name__
    return f"{name}: {(said(problem) or '').strip() or name}".partition("\n")[0]
