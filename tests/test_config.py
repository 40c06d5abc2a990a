"""Defaults: ``lw.config`` and the environment replace them, an explicit argument wins."""

from __future__ import annotations

import pytest

import lightwork as lw
from tests.conformance import jobs


def used(**options):
    return lw.map(jobs.double, range(3), **options).report.backend


def test_config_replaces_the_default_inside_the_block():
    with lw.config(backend="threads", max_workers=1):
        assert used() == "threads"
        assert used(backend="serial") == "serial"
        with lw.config(backend="serial"):
            assert used() == "serial"
        assert used() == "threads"
        with lw.Executor() as executor:
            assert executor.submit(jobs.double, 1).result() == 2
    assert used() == "serial"


def test_the_environment_replaces_the_default(monkeypatch):
    monkeypatch.setenv("LIGHTWORK_BACKEND", "threads")
    monkeypatch.setenv("LIGHTWORK_MAX_WORKERS", "1")
    report = lw.map(jobs.double, range(50)).report
    assert (report.backend, report.workers) == ("threads", 1)
    with lw.config(backend="serial"):
        assert used() == "serial"
    monkeypatch.setenv("LIGHTWORK_MAX_WORKERS", "many")
    with pytest.raises(ValueError, match="LIGHTWORK_MAX_WORKERS"):
        used()
    monkeypatch.setenv("LIGHTWORK_MAX_WORKERS", "0")
    with pytest.raises(ValueError, match="LIGHTWORK_MAX_WORKERS must be at least 1"):
        used()
    monkeypatch.setenv("LIGHTWORK_BACKEND", "thread")
    with pytest.raises(ValueError, match=r"LIGHTWORK_BACKEND=thread: .* Did you mean 'threads'\?"):
        used()


def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    options = {"max_workers": numpy.int64(2), "chunksize": numpy.uint8(3), "seed": numpy.int64(7)}
    drawn = lw.map(lambda _: lw.rng().random(), range(3), backend="threads", **options)
    assert drawn == lw.map(lambda _: lw.rng().random(), range(3), seed=7)
    with pytest.raises(TypeError, match="max_workers must be a whole number"):
        lw.map(jobs.double, range(3), max_workers=numpy.float64(2))


def test_it_decorates_functions_and_each_block_has_one_of_its_own():
    @lw.config(backend="threads")
    def inside(deep):
        return [used(), *(inside(deep - 1) if deep else [])]

    assert inside(1) == ["threads", "threads"] and used() == "serial"
    block = lw.config(backend="threads")
    with block, pytest.raises(RuntimeError, match="in use already"), block:
        pass
    assert used() == "serial"
    with block:
        assert used() == "threads"


def test_what_is_no_block_says_that_it_does_nothing():
    with pytest.warns(RuntimeWarning, match="has done nothing"):
        lw.config(backend="threads")
    with pytest.raises(ValueError, match="threads"):
        lw.config(backend="thread")


def test_bad_defaults_are_refused_when_they_are_set():
    with pytest.raises(ValueError, match="threads"), lw.config(backend="thread"):
        pass
    with pytest.raises(ValueError, match="at least 1"), lw.config(max_workers=0):
        pass
    with pytest.raises(TypeError, match="no option"), lw.config(colour="red"):
        pass
