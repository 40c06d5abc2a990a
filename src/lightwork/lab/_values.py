"""What the lab's parts hand to each other: lengths in, figures and spans out, a verdict at the end. Values
only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from lightwork._record import asdict

FORMAT = 1
"""The version of the JSON form; it grows when a field changes its meaning."""

FULL: Mapping[str, float] = {"sleep": 5.0, "count": 100_000_000, "repeats": 3, "window": 1.0}
QUICK: Mapping[str, float] = {"sleep": 0.05, "count": 600_000, "repeats": 7, "window": 0.06}


@dataclass(frozen=True, init=False)
class Settings:
    """How long the experiments take.

    ``sleep``: seconds that one waiting call waits; ``count``: steps of one counting call; ``repeats``: how
    often each measurement is made (fewer than three carry no spread, and then no verdict is possible);
    ``window``: seconds for measurements that run for a time rather than for a length. A length left out has
    the lesson's value, or with ``quick=True`` one so short that all experiments together take well under a
    minute on two cores.
    """

    sleep: float
    count: int
    repeats: int
    window: float

    def __init__(
        self,
        sleep: float | None = None,
        count: int | None = None,
        repeats: int | None = None,
        window: float | None = None,
        quick: bool = False,
    ) -> None:
        given = {"sleep": sleep, "count": count, "repeats": repeats, "window": window}
        for name, default in (QUICK if quick else FULL).items():
            value = given[name]
            if value is None:
                value = default
            if value <= 0:
                raise ValueError(f"{name} must be greater than 0, not {value!r}")
            object.__setattr__(self, name, value)

    @classmethod
    def quick(cls) -> Settings:
        """The short lengths: ``Settings(quick=True)``."""
        return cls(quick=True)

    @property
    def deadline(self) -> float:
        """Seconds after which an experiment is ended: many times what a slow machine needs."""
        slow_step = 4e-7
        return 45 + 12 * self.repeats * (self.sleep + self.count * slow_step + self.window)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number with its unit and, where it was measured several times, the interval that holds its
    median.

    ``low`` and ``high`` are equal to ``value`` for an exact count, and None where the spread is not known.
    """

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit and self.unit != "×" else self.unit
        if self.low is None or self.high is None:
            return f"{short(self.value)}{unit} (spread not known)"
        if self.low == self.high == self.value:
            return f"{short(self.value)}{unit}"
        return f"{short(self.value)}{unit} ({short(self.low)} to {short(self.high)})"


def short(number: float) -> str:
    """Three figures, and thousands parted by commas: what a person can read."""
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that one thread did without a break. ``start`` and ``end``: seconds since the picture's
    beginning."""

    pid: int
    process: str
    thread: str
    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Here:
    """What of this machine and this Python decides whether the lesson's claims can hold."""

    python: str
    system: str
    cores: int
    gil: bool
    interpreters: bool
    start_methods: tuple[str, ...]

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        gil = "with the GIL" if self.gil else "free-threaded"
        return f"Python {self.python} {gil}, {cores}, {self.system}"


class Verdict(StrEnum):
    """What the figures say about a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold here"
    NOT_ENOUGH = "not enough evidence"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the sentence that gives its reason with the numbers."""

    verdict: Verdict
    because: str


@dataclass(frozen=True)
class Evidence:
    """All that an experiment measured, and where. Judging it needs nothing else."""

    here: Here
    figures: tuple[Figure, ...]

    def __getitem__(self, name: str) -> Figure:
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(figure.name == name for figure in self.figures)


@dataclass(frozen=True)
class Experiment:
    """One claim and how it is put to the test.

    ``measure`` runs in a fresh process of its own and may therefore start whatever it needs; ``judge`` is a
    pure function of what was measured; ``did`` tells in plain words what was done with these settings.
    """

    key: str
    claim: str
    did: Callable[[Settings], str]
    measure: Callable[[Settings], list[Figure]]
    judge: Callable[[Evidence], Judgement]


@dataclass(frozen=True)
class Outcome:
    """One experiment's whole result. ``seconds``: how long it took, its process's start included."""

    key: str
    claim: str
    did: str
    log: tuple[str, ...]
    figures: tuple[Figure, ...]
    spans: tuple[Span, ...]
    verdict: Verdict
    because: str
    seconds: float
    here: Here | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict with every field; ``from_json`` reads it back."""
        return {"format": FORMAT, **asdict(self), "verdict": str(self.verdict)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """The outcome that ``to_json`` wrote. Raises ValueError for another version of the form."""
        if data.get("format") != FORMAT:
            raise ValueError(f"this lab reads form {FORMAT} of an outcome, not {data.get('format')!r}")
        values = {field.name: data[field.name] for field in fields(cls)}
        values["log"] = tuple(values["log"])
        values["figures"] = tuple(Figure(**figure) for figure in values["figures"])
        values["spans"] = tuple(Span(**span) for span in values["spans"])
        values["verdict"] = Verdict(values["verdict"])
        values["here"] = None if values["here"] is None else here_from_json(values["here"])
        return cls(**values)


def here_from_json(data: Mapping[str, Any]) -> Here:
    return Here(**{**data, "start_methods": tuple(data["start_methods"])})
