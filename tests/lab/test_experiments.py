"""Every experiment runs, and gives an outcome that says all it should."""

from __future__ import annotations

import json
import re

import pytest

from lightwork import lab
from lightwork.lab import Settings, Verdict

TINY = Settings(sleep=0.01, count=20_000, repeats=3, window=0.01)
LESSON = [
    "log",
    "io-serial",
    "io-threads",
    "cpu-serial",
    "cpu-threads",
    "cpu-processes",
    "overlap",
    "switching",
    "one-core",
    "namespace",
    "clone",
    "queue",
    "pipe",
    "shared-memory",
    "start-cost",
    "race",
    "lock",
    "home-made",
    "lock-cost",
]
BEYOND = ["gil-release", "interpreters", "free-threading", "coroutines", "beyond-cores", "batching", "pool-loses"]
LINE = re.compile(r"\d+:[\w-]+\.[\w-]+ ---> .+")

# What is counted and not timed comes out the same however busy the machine is.
CERTAIN = ["log", "namespace", "clone", "queue", "pipe", "shared-memory", "race", "lock", "home-made"]


def test_the_keys_stand_in_the_lessons_order() -> None:
    assert list(lab.experiments()) == [*LESSON, *BEYOND]
    assert list(lab.LESSON) == LESSON
    assert list(lab.BEYOND) == BEYOND


@pytest.mark.parametrize("key", [*LESSON, *BEYOND])
def test_an_experiment_gives_a_whole_outcome(key: str) -> None:
    (outcome,) = lab.run([key], TINY)
    assert outcome.key == key
    assert outcome.claim == lab.experiments()[key].claim
    assert outcome.here is not None, outcome.because
    assert outcome.did.endswith(".")
    assert outcome.because.endswith(".")
    assert outcome.seconds > 0
    assert all(LINE.fullmatch(line) for line in outcome.log)
    for figure in outcome.figures:
        assert figure.low is None or figure.low <= figure.value <= (figure.high or 0) or figure.value < 0
    for span in outcome.spans:
        assert 0 <= span.start <= span.end
        assert span.pid > 0
        assert span.process
        assert span.thread
    if key in CERTAIN:
        assert outcome.verdict is Verdict.HOLDS, outcome.because
    assert lab.Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    for width in (60, 80):
        assert max(map(len, lab.render_text(outcome, width).splitlines())) <= width


def test_an_unknown_key_is_refused_before_anything_runs() -> None:
    with pytest.raises(KeyError, match=r"no experiment .nonsense.*io-serial"):
        lab.run(["log", "nonsense"], TINY)


def test_events_tell_how_far_it_is() -> None:
    events: list[lab.Event] = []
    outcomes = list(lab.run(["namespace", "io-serial"], TINY, events.append))
    assert [(event.what, event.key, event.place, event.total) for event in events] == [
        ("started", "namespace", 1, 2),
        ("finished", "namespace", 1, 2),
        ("started", "io-serial", 2, 2),
        ("finished", "io-serial", 2, 2),
    ]
    assert [event.outcome for event in events if event.outcome] == outcomes


def test_settings_fill_in_what_is_left_out() -> None:
    assert Settings() == Settings(sleep=5.0, count=100_000_000)
    assert Settings(quick=True) == Settings.quick()
    assert Settings(quick=True, sleep=1.5).sleep == 1.5
    assert Settings.quick().count < Settings().count
    with pytest.raises(ValueError, match="repeats must be greater than 0, not 0"):
        Settings(repeats=0)


def test_another_form_of_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="form 1"):
        lab.Outcome.from_json({"format": 2})
