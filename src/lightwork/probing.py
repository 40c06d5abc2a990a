"""``probe``: where the time of one call goes, and what every backend is predicted to make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from lightwork import _machine
from lightwork._apart import alone
from lightwork._awaitable import is_coroutine_function
from lightwork._backends._registry import NAMES
from lightwork._backends._registry import backend as made
from lightwork._clock import SystemClock
from lightwork._demand import Canary, Demand, Meter, Wire, seconds
from lightwork._effects import Effect, effects
from lightwork._model import Prediction, predict_for, rank, suggest_workers
from lightwork._options import duration
from lightwork._record import asdict
from lightwork._trace import wrapped
from lightwork._wire_cost import measure_wire

_SAMPLE = 32  # items that are taken from the input
_GROUP = 200e-6  # s; shorter calls are timed in groups of this length, so that the clocks do not count
_SENT = 3  # arguments and results that are pickled


@dataclass(frozen=True, repr=False)
class Profile:
    """What ``probe`` found out about a function and its items on this machine.

    ``demand``: of one call; ``calls``: how many items there are, or None for an input without a length;
    ``effects``: what the function was seen to change; ``refused``: why it cannot be sent to a process, or None;
    ``cores`` and ``gil``: of this machine and Python; ``coroutine``: it is a coroutine function; ``begun``: for how
    many seconds backends had been starting, or were ready: an earlier map has left that behind for the next one;
    ``apart``: a call may change its argument beside the others, for no way leads from there to another call's.
    """

    name: str
    demand: Demand
    calls: int | None
    effects: tuple[Effect, ...]
    refused: str | None
    cores: int
    gil: bool
    coroutine: bool
    unavailable: dict[str, str]
    begun: dict[str, float] = field(default_factory=dict)
    apart: bool = False

    def predict(self, backend: str, workers: int | None = None) -> Prediction:
        """What one backend is predicted to take; ``workers`` by default as many as are worth having.

        Raises ValueError for a backend that is not known or less than one worker.
        """
        if backend not in NAMES:
            raise ValueError(f"no backend is called {backend!r}; there are {', '.join(NAMES)}")
        if workers is None:
            workers = suggest_workers(self.demand, backend, self.cores, self.gil, self.calls)
        return predict_for(
            backend,
            made(backend).capabilities,
            self.demand,
            workers=workers,
            calls=self.calls,
            cores=self.cores,
            gil=self.gil,
            begun=self.begun.get(backend, 0.0),
        )

    def why_not(self, backend: str) -> str | None:
        """Why this function cannot, or should not, run in a backend; None if it can."""
        if backend in self.unavailable:
            return self.unavailable[backend]
        if (changes := self._changes(made(backend).capabilities.shares_memory)) and backend != "serial":
            return f"it {changes[0]}"
        if backend in ("processes", "interpreters") and self.refused is not None:
            return self.refused
        return None

    @property
    def predictions(self) -> list[Prediction]:
        """Of every backend that can run the function, the fastest first."""
        return rank(self.predict(name) for name in NAMES if self.why_not(name) is None)

    @property
    def best(self) -> Prediction:
        """The backend that is predicted to end first."""
        return self.predictions[0]

    @property
    def advice(self) -> str:
        """One sentence on what to do."""
        best, serial = self.best, self.predict("serial")
        gain = serial.seconds / best.seconds if best.seconds > 0 else 1.0
        if changes := self._changes(True):
            return f"It {changes[0]}: keep it in one thread, or let it return what it changes."
        if best.backend == "serial" or gain < 1.1:
            return "A plain loop is as good as anything here: " + (
                "there is too little work to share out."
                if self.calls is not None and serial.seconds < 0.05
                else f"{rank(self._others())[0].reason}."
                if self._others()
                else "nothing else can run it."
            )
        return f"{best.backend} ({best.workers} at a time) should be {gain:.1f} times as fast as a plain loop."

    def _changes(self, in_threads: bool) -> list[Effect]:
        """What it changes that keeps it out of others' hands."""
        own = in_threads and self.apart
        return [effect for effect in self.effects if effect.certain and not (own and effect.of_argument)]

    def _others(self) -> list[Prediction]:
        return [one for one in self.predictions if one.backend != "serial"]

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"

    def text(self, width: int = 80) -> str:
        """What ``str()`` shows, for a terminal of ``width`` columns (at least 60)."""
        width = max(60, width)
        many = "an unknown number of calls" if self.calls is None else _count(self.calls, "call")
        unit = "time a call" if self.calls is None else "predicted"
        head = f"{self.name}: {self.demand}; {many} on {_count(self.cores, 'core')}"
        lines = [*wrapped(head, width, indent="  ", first=""), *wrapped(self._asks(), width, indent="  "), ""]
        lines.append(f"{'backend':<13}{'workers':>7}  {unit:>11}  what binds")
        for one in self.predictions:
            lines += _row(f"{one.backend:<13}{one.workers:>7}  {seconds(one.seconds):>11}  ", one.reason, width)
        for name in NAMES:
            if (why := self.why_not(name)) is not None:
                lines += _row(f"{name:<13}{'':>7}  {'—':>11}  ", why, width)
        lines += ["", *wrapped(self.advice, width)]
        return "\n".join(lines)

    def _asks(self) -> str:
        """What one call asks for, each part by itself."""
        demand = self.demand
        held = f" ({_brief(demand.gil)} of it under the GIL)" if self.gil else ""
        beside = f" ({_brief(demand.hidden)} of it beside the calling thread)" if demand.hidden else ""
        wire = "nobody knows how long on the way to a process and back"
        if self.refused is None:
            wire = f"{_brief(demand.wire_caller + demand.wire_worker)} on the way to a process and back"
        return f"{_brief(demand.wait)} waiting, {_brief(demand.cpu)} computing{held}{beside}, {wire}"

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, times in seconds; ready for ``json.dumps``."""
        return {
            "version": 1,
            "name": self.name,
            "calls": self.calls,
            "cores": self.cores,
            "gil": self.gil,
            "demand": {**asdict(self.demand), "wall": self.demand.wall},
            "effects": [asdict(effect) for effect in self.effects],
            "refused": self.refused,
            "predictions": [asdict(one) for one in self.predictions],
            "not_possible": {name: why for name in NAMES if (why := self.why_not(name)) is not None},
            "advice": self.advice,
        }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _brief(value: float) -> str:
    return seconds(value) if value >= 1e-9 else "0 s"


def _row(head: str, text: str, width: int) -> list[str]:
    return wrapped(text, width, indent=" " * len(head), first=head) or [head.rstrip()]


def probe(fn: Callable[..., Any], *iterables: Iterable[Any], budget: float = 0.5) -> Profile:
    """Finds out where the time of one call goes, by making calls.

    **It calls fn and throws the results away**: on the first items, again and again, for about ``budget`` seconds
    (at least once, so a long call makes it last longer). Use it on functions that may be called for nothing.
    From an iterator it takes 32 items at most, and no more than it calls fn on; it cannot put them back.

    Raises TypeError if fn cannot be called or something is not iterable, ValueError if there are no items, and what fn
    raises, with a note that names the item.
    """
    if not callable(fn):
        raise TypeError(f"probe needs a function first, and was given {fn!r} ({type(fn).__name__})")
    if not iterables:
        raise ValueError("probe needs items to call the function on: probe(fn, items)")
    for items in iterables:
        if not hasattr(items, "__iter__") and not hasattr(items, "__getitem__"):
            raise TypeError(f"probe takes iterables after the function, and was given {items!r}")
    budget = duration("budget", budget)
    calls = min((len(items) for items in iterables if isinstance(items, Sized)), default=None)
    coroutine = is_coroutine_function(fn)
    found = tuple(effects(fn))
    there = all(type(items) in (list, tuple, range) for items in iterables)
    apart = there and any(effect.of_argument for effect in found) and alone(fn, [*zip(*iterables, strict=False)])
    rows = zip(*iterables, strict=False)
    meter, share, wire = _measure(fn, rows, budget, coroutine)
    unavailable = {"asyncio": "it is not a coroutine function"}
    if coroutine:
        why = "a coroutine function is awaited on an event loop"
        unavailable = {"threads": why, "processes": why, "interpreters": why}
    elif (missing := _machine.interpreters_missing()) is not None:
        unavailable["interpreters"] = missing
    return Profile(
        name=getattr(fn, "__qualname__", None) or type(fn).__name__,
        demand=meter.demand(share, wire),
        calls=calls,
        effects=found,
        refused=wire.refused,
        cores=_machine.usable_cores(),
        gil=_machine.gil_enabled(),
        coroutine=coroutine,
        unavailable=unavailable,
        begun={name: begun for name in NAMES if (begun := made(name).begun())},
        apart=apart,
    )


def _measure(
    fn: Callable[..., Any], items: Iterator[tuple[Any, ...]], budget: float, coroutine: bool
) -> tuple[Meter, float | None, Wire]:
    if not coroutine:
        return _calls(lambda args: fn(*args), fn, items, budget)
    import asyncio

    async def awaited(args: tuple[Any, ...]) -> Any:
        return await fn(*args)

    with asyncio.Runner() as runner:
        return _calls(lambda args: runner.run(awaited(args)), fn, items, budget)


def _calls(
    call: Callable[[tuple[Any, ...]], Any], fn: Callable[..., Any], items: Iterator[tuple[Any, ...]], budget: float
) -> tuple[Meter, float | None, Wire]:
    """Calls fn until the budget is spent, under the canary's eyes; one item after another, then in circles."""
    now = SystemClock.now
    end = now() + budget
    meter, canary = Meter(), Canary()
    taken: list[tuple[Any, ...]] = []
    values: list[Any] = []
    last = 0.0
    canary.start()
    try:
        for args in islice(items, _SAMPLE):
            taken.append(args)
            meter.begin()
            value = _noted(call, args, len(taken) - 1)
            last = meter.end()
            if len(values) < _SENT:
                values.append(value)
            if now() + last > end or last < _GROUP:
                break
        if not taken:
            raise ValueError("probe was given no items to call the function on")
        share = canary.held_share()
        if now() + last < end:
            # The first calls often import something; what comes now is more like the rest of the job.
            canary.stop()
            canary.start()
            taken += islice(items, _SAMPLE - len(taken))
            again = cycle(enumerate(taken))
            group = max(1, int(_GROUP / max(last, 1e-7)))
            while now() + last < end:
                chosen = list(islice(again, group))
                meter.begin()
                for index, args in chosen:
                    _noted(call, args, index)
                last = meter.end(group)
            later = canary.held_share()
            share = share if later is None else later
    finally:
        canary.stop()
    arguments = [args if len(args) > 1 else args[0] for args in taken[:_SENT]]
    return meter, share, measure_wire(arguments, values, fn)


def _noted(call: Callable[[tuple[Any, ...]], Any], args: tuple[Any, ...], index: int) -> Any:
    try:
        return call(args)
    except BaseException as error:
        error.add_note(f"raised by the call for item {index}, which lightwork.probe made")
        raise


__all__ = ["Profile", "probe"]
