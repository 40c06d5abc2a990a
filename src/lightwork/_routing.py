"""Where ``Executor`` and ``gather`` have a function's calls made: by what earlier calls of it have shown.

                     a call in a thread             three in processes
        unknown ─────────────────────────▶ tried ─────────────────────────▶ computes
           │            computes             │            compute
           ▼                                 ▼
         stays   it changes what others    stays   they wait: a worker for
         see, or cannot travel             each core would be too few

What is known holds for the whole process, whoever learnt it; nothing is kept of the calls themselves. And only calls
go to processes of which nothing can come back but their result: a method's object, a callback among the arguments or in
a closure, an object of the user's own may be changed where the bytecode does not show it.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from types import CodeType, FunctionType
from typing import Any, Literal
from weakref import WeakKeyDictionary

from lightwork._machine import gil_enabled
from lightwork._worth import MOSTLY_WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

COMPUTES = 0.002
"""CPU seconds of a call from which processes pay: a few times what sending it costs."""

WORTH_A_TRIAL = 0.1
"""CPU share of a call in a thread from which some are tried in processes. Low: a busy machine lowers it, and what turns
out to wait comes back."""

TRIALS = 3
"""Calls in processes, with nobody else in the line for the GIL, after which it is plain whether they compute."""

MOST = 1_000
"""Parts of one argument that are looked at; what has more is not looked through at each call."""

_PLAIN = frozenset({int, float, complex, bool, str, bytes, bytearray, type(None), range, slice})

_KNOWN = frozenset({"numpy", "pathlib", "datetime", "decimal", "fractions", "uuid"})

State = Literal["tried", "computes", "stays"]


class Routes:
    """What was learnt of functions, by their code: the same for all closures and bound methods of one."""

    def __init__(self) -> None:
        self._states: WeakKeyDictionary[CodeType, State] = WeakKeyDictionary()
        self._shares: WeakKeyDictionary[CodeType, list[float]] = WeakKeyDictionary()
        self.changes = 0
        """How often something was learnt that sends calls elsewhere."""

    def _put(self, code: CodeType, state: State) -> None:
        self._states[code] = state
        self.changes += 1

    def compute(
        self, fn: Callable[..., Any], args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether this call of ``fn`` is better made in a process. Without a GIL none is: threads compute at once."""
        if not self.mean_processes(fn):
            return False
        return _plain_function(fn) and all(map(_plain, args)) and all(map(_plain, (kwargs or {}).values()))

    def mean_processes(self, fn: Callable[..., Any]) -> bool:
        """Whether calls of ``fn`` are better made in processes where nothing but results can come back."""
        return gil_enabled() and self._state(fn) in ("tried", "computes")

    def known(self, fn: Callable[..., Any]) -> bool:
        """Whether a further call in a thread would tell nothing new."""
        return not gil_enabled() or _code(fn) is None or self._state(fn) is not None

    def _state(self, fn: Callable[..., Any]) -> State | None:
        code = _code(fn)
        return None if code is None else self._states.get(code)

    def saw_in_thread(
        self, fn: Callable[..., Any], seconds: float, cpu: float, beside: int, args: Any, value: Any
    ) -> None:
        """A call in a thread took so many ``seconds``, ``cpu`` of them computing, with ``beside`` calls at that time.

        Where they all compute each has the GIL for its share of the time only, and looks as if it waited.
        """
        code = _code(fn)
        if code is None or self.known(fn) or cpu < COMPUTES or cpu < WORTH_A_TRIAL * seconds / max(1, beside):
            return
        self._put(code, "tried" if _movable(fn, args, value, cpu) else "stays")

    def saw_in_process(self, fn: Callable[..., Any], seconds: float, cpu: float) -> None:
        """The same of a call in a process, where nobody else has the GIL."""
        code = _code(fn)
        if code is None or self._states.get(code) != "tried" or seconds <= 0:
            return
        shares = self._shares.setdefault(code, [])
        shares.append(cpu / seconds)
        if len(shares) == TRIALS:
            # On a busy machine each waits for a core now and then; one that waits by itself always does.
            self._put(code, "computes" if max(shares) > MOSTLY_WAITING else "stays")

    def stay(self, fn: Callable[..., Any]) -> None:
        """A call of ``fn`` could not travel."""
        code = _code(fn)
        if code is not None:
            self._put(code, "stays")


routes = Routes()
"""Of this process."""


def _movable(fn: Callable[..., Any], args: Any, value: Any, cpu: float) -> bool:
    """Whether a function that computes for ``cpu`` seconds would do as well, and sooner, in another process."""
    from lightwork._captured import locals_of, ties
    from lightwork._effects import effects
    from lightwork._wire_cost import measure_wire

    # Threads that are there for calls have nothing but what calls have left there.
    if any(effect.certain for effect in effects(fn)) or ties(fn, locals_of(fn)):
        return False
    wire = measure_wire((args,), (value,), fn)
    return wire.refused is None and wire.caller + wire.worker < cpu


def _plain_function(fn: Any) -> bool:
    """Whether a function brings along nothing but data."""
    while isinstance(fn, partial):
        if not (all(map(_plain, fn.args)) and all(map(_plain, fn.keywords.values()))):
            return False
        fn = fn.func
    if not isinstance(fn, FunctionType):
        return False
    try:
        brought = [cell.cell_contents for cell in fn.__closure__ or ()]
    except ValueError:  # a name that has no value yet
        return False
    return all(map(_plain, [*brought, *(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()]))


def _plain(value: Any) -> bool:
    """Whether a value is data of types that everybody knows: numbers, texts, paths, arrays, and containers of such."""
    left, looked = [value], 0
    while left and looked < MOST:
        one = left.pop()
        looked += 1
        kind = type(one)
        if kind in _PLAIN:
            continue
        if kind in (tuple, list, set, frozenset):
            left += islice(one, MOST)
        elif kind is dict:
            left += [*islice(one, MOST), *islice(one.values(), MOST)]
        elif kind.__module__.partition(".")[0] not in _KNOWN or getattr(getattr(one, "dtype", 0), "hasobject", False):
            return False
    return True


def _code(fn: Any) -> CodeType | None:
    """What is the same for all closures and bound methods of one function; None where there is nothing of the kind."""
    while isinstance(fn, partial):
        fn = fn.func
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    return code if isinstance(code, CodeType) else None
