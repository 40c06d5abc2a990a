"""Verdicts are pure functions of figures: the same claim holds, fails or stays open as the figures say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightwork.lab import Figure, Verdict, experiments
from lightwork.lab._estimates import FEWEST, above, below, between, every, measured, ratio
from lightwork.lab._values import Evidence, Here
from lightwork.lab.lock_cost import amdahl
from lightwork.lab.pools import metg

HERE = Here("3.14.0", "Linux", 2, True, True, ("fork", "forkserver", "spawn"))
ONE_CORE = replace(HERE, cores=1)
FREE = replace(HERE, gil=False)
HOLDS, FAILS, OPEN = Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.NOT_ENOUGH


def figures(**named: tuple[float, float] | float) -> list[Figure]:
    made = []
    for name, value in named.items():
        low, high = value if isinstance(value, tuple) else (value, value)
        made.append(Figure(name, (low + high) / 2, "", low, high))
    return made


def judged(key: str, named: dict[str, tuple[float, float] | float], here: Here = HERE) -> tuple[Verdict, str]:
    judgement = experiments()[key].judge(Evidence(here, tuple(figures(**named))))
    return judgement.verdict, judgement.because


def counting(gain: tuple[float, float], share: float = 0.98, inflated: float = 1.0) -> dict[str, object]:
    return {"speed-up": gain, "core each got": share, "CPU time beside each other / alone": inflated}


def crowded(gain: tuple[float, float], share: float = 0.98) -> dict[str, object]:
    return {"twice as many as cores / as many": gain, "cores used": 2, "core each got, one for each": share}


CASES = [
    ("io-serial", {"two calls / one call": (1.98, 2.02)}, HERE, HOLDS, "twice"),
    ("io-serial", {"two calls / one call": (1.0, 1.1)}, HERE, FAILS, "not the sum"),
    ("cpu-serial", {"two calls / one call": (1.3, 2.1)}, HERE, OPEN, "leaves open"),
    ("io-threads", {"share of the sum": (0.5, 0.52)}, HERE, HOLDS, "overlapped"),
    ("io-threads", {"share of the sum": (0.97, 1.02)}, HERE, FAILS, "did not overlap"),
    ("io-threads", {"share of the sum": (0.7, 0.8)}, HERE, OPEN, "0.75"),
    ("cpu-threads", counting((0.8, 0.97)), HERE, HOLDS, "even a loss"),
    ("cpu-threads", counting((1.7, 1.9)), FREE, FAILS, "free-threaded build"),
    ("cpu-threads", counting((0.9, 1.0)), replace(FREE, cores=1), HOLDS, "no second core"),
    ("cpu-threads", counting((0.9, 1.0), share=0.5), FREE, OPEN, "quieter machine"),
    ("cpu-threads", counting((1.1, 1.4)), HERE, OPEN, "1.2×"),
    ("cpu-processes", counting((1.8, 1.95)), HERE, HOLDS, "two cores"),
    ("cpu-processes", counting((0.9, 1.0), share=0.5), ONE_CORE, FAILS, "only one core"),
    ("cpu-processes", counting((1.1, 1.2), share=0.55), HERE, OPEN, "other programs"),
    ("cpu-processes", counting((1.2, 1.3), inflated=1.5), HERE, FAILS, "the cores share"),
    ("overlap", {"from the longer (0) to the sum (1)": (-0.02, 0.1)}, HERE, HOLDS, "while the other waited"),
    ("overlap", {"from the longer (0) to the sum (1)": (0.9, 1.1)}, HERE, FAILS, "did not use"),
    ("interpreters", {}, replace(HERE, python="3.11.7"), FAILS, "3.14 and later"),
    ("interpreters", counting((1.7, 1.9)), HERE, HOLDS, "two cores"),
    ("free-threading", {}, HERE, OPEN, "no free-threaded Python here"),
    ("beyond-cores", crowded((0.9, 1.1)), HERE, HOLDS, "no gain"),
    ("beyond-cores", crowded((1.4, 1.6)), HERE, FAILS, "a gain"),
    ("beyond-cores", crowded((1.4, 1.6), share=0.5), HERE, OPEN, "quieter machine"),
    ("race", {"updates lost": 0, "updates made": 9, "lines mixed": 3, "lines printed": 9}, HERE, OPEN, "prove"),
    ("race", {"updates lost": 4, "updates made": 9, "lines mixed": 3, "lines printed": 9}, HERE, HOLDS, "4 of 9"),
    ("lock", {"updates lost": 1, "updates made": 9, "lines mixed": 0, "lines printed": 9}, HERE, FAILS, "1 of 9"),
]


@pytest.mark.parametrize(("key", "named", "here", "verdict", "words"), CASES)
def test_a_verdict_follows_the_figures(
    key: str, named: dict[str, tuple[float, float] | float], here: Here, verdict: Verdict, words: str
) -> None:
    found, because = judged(key, named, here)
    assert found is verdict, because
    assert words in because


@pytest.mark.parametrize(
    ("threads", "processes", "here", "verdict", "words"),
    [
        ((1.0, 1.02), (1.8, 1.95), HERE, HOLDS, "two processes"),
        ((1.7, 1.9), (1.8, 1.95), FREE, FAILS, "free-threaded"),
        ((1.0, 1.02), (0.98, 1.0), ONE_CORE, FAILS, "only one core"),
        ((1.0, 1.02), (1.0, 1.2), HERE, OPEN, "other programs"),
        ((1.0, 1.02), (1.3, 1.7), HERE, OPEN, "too near"),
    ],
)
def test_one_core(
    threads: tuple[float, float], processes: tuple[float, float], here: Here, verdict: Verdict, words: str
) -> None:
    named = {"cores used by two threads": threads, "cores used by two processes": processes}
    found, because = judged("one-core", named, here)
    assert found is verdict
    assert words in because


@pytest.mark.parametrize(
    ("own", "real", "verdict"), [(40, 0, HOLDS), (0, 0, OPEN), (40, 1, FAILS)], ids=["as said", "lucky", "broken"]
)
def test_home_made(own: int, real: int, verdict: Verdict) -> None:
    named = {
        "times inside": 100,
        "two inside, with the lock made of a flag": own,
        "two inside, with threading.Lock": real,
    }
    assert judged("home-made", named)[0] is verdict


@pytest.mark.parametrize(
    ("threads", "processes", "here", "verdict"),
    [
        ((8, 12), (0.9, 1.1), HERE, HOLDS),
        ((0.9, 1.1), (0.9, 1.1), FREE, FAILS),
        ((8, 12), (0.5, 4), HERE, OPEN),
    ],
)
def test_switching(threads: tuple[float, float], processes: tuple[float, float], here: Here, verdict: Verdict) -> None:
    named = {
        "threads: switches at 1 ms / at 20 ms": threads,
        "processes: switches at 1 ms / at 20 ms": processes,
    }
    assert judged("switching", named, here)[0] is verdict


def test_without_a_spread_there_is_no_verdict() -> None:
    few = ratio("two calls / one call", [2.0] * (FEWEST - 1), [1.0] * (FEWEST - 1))
    assert few.low is None
    assert "spread not known" in str(few)
    assert experiments()["io-serial"].judge(Evidence(HERE, (few,))).verdict is OPEN


def test_an_interval_on_the_threshold_stays_open() -> None:
    figure = Figure("x", 1.0, "", 0.9, 1.1)
    assert above(figure, 1.0) is OPEN
    assert below(figure, 1.0) is OPEN
    assert above(figure, 0.8) is HOLDS
    assert below(figure, 0.8) is FAILS
    assert between(figure, 0.5, 1.5) is HOLDS
    assert between(figure, 1.2, 1.5) is FAILS


def test_a_part_that_fails_decides_and_one_that_is_open_keeps_it_open() -> None:
    assert every(HOLDS, HOLDS) is HOLDS
    assert every(HOLDS, OPEN) is OPEN
    assert every(OPEN, FAILS, HOLDS) is FAILS


def test_an_estimate_holds_its_median_and_is_repeatable() -> None:
    samples = [1.0, 1.1, 0.9, 1.05, 5.0]
    figure = measured("x", samples, "s")
    assert figure.value == 1.05
    assert figure.low is not None
    assert figure.high is not None
    assert 0.9 <= figure.low <= 1.05 <= figure.high <= 5.0
    assert measured("x", samples, "s") == figure


def test_amdahls_curve() -> None:
    assert amdahl(0.0, 4) == 4
    assert amdahl(1.0, 4) == 1
    assert amdahl(0.5, 2) == pytest.approx(4 / 3)


def test_metg_lies_where_the_efficiency_crosses_half_of_the_best() -> None:
    assert metg([1e-6, 1e-4, 1e-2], [0.0, 0.5, 1.0]) == pytest.approx(1e-4)
    assert metg([1e-6, 1e-4], [0.0, 1.0]) == pytest.approx(1e-5)
    assert metg([1e-6, 1e-4], [0.9, 1.0]) == 1e-6
