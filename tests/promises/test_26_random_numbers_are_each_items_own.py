"""Promise 26: with a seed the same numbers for any backend and worker count; without one no two items share any."""

from __future__ import annotations

import random

import pytest

import lightwork as lw
from tests.promises import jobs

numpy = pytest.importorskip("numpy")


def works(way):
    """NumPy refuses sub-interpreters."""
    return way.fn(jobs.draw_without_numpy if way.name == "interpreters" else jobs.draw)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_seed_fixes_the_streams(way, workers):
    fn = jobs.draw_without_numpy if way.name == "interpreters" else jobs.draw
    reference = [lw_rngs for lw_rngs, _ in lw.map(fn, range(30), seed=11, backend="serial")]
    for chunksize in (1, 7):
        drawn = lw.map(way.fn(fn), range(30), seed=11, backend=way.name, max_workers=workers, chunksize=chunksize)
        assert [lw_rngs for lw_rngs, _ in drawn] == reference
    assert len(set(reference)) == 30
    other = lw.map(way.fn(fn), range(30), seed=12, backend=way.name)
    assert not {rngs for rngs, _ in other} & set(reference)


def test_auto_draws_the_same():
    reference = [rngs for rngs, _ in lw.map(jobs.draw, range(30), seed=11, backend="serial")]
    assert [rngs for rngs, _ in lw.map(jobs.draw, range(30), seed=11)] == reference
    assert [rngs for rngs, _ in lw.imap(jobs.draw, range(30), seed=11)] == reference


def test_a_retried_call_draws_the_same_again(way, tmp_path):
    fn = way.fn(jobs.draw_and_fail_once)
    items = [(str(tmp_path / way.name), x) for x in range(8)]
    reference = lw.map(jobs.draw_and_fail_once, [(str(tmp_path / "serial"), x) for x in range(8)], seed=3, retries=1)
    assert lw.map(fn, items, seed=3, retries=1, backend=way.name, max_workers=2) == reference


@pytest.mark.parametrize("inner", ["serial", "threads"])
def test_a_seed_fixes_the_maps_within_a_map(way, inner):
    items = [(inner, x) for x in range(4)]
    reference = lw.map(jobs.draw_nested, [("serial", x) for x in range(4)], seed=5, backend="serial")
    assert lw.map(way.fn(jobs.draw_nested), items, seed=5, backend=way.name, max_workers=2) == reference
    drawn = [number for first_and_second in reference for numbers in first_and_second for number in numbers]
    assert len(set(drawn)) == len(drawn)
    assert lw.map(way.fn(jobs.draw_nested), items, backend=way.name) != reference


@pytest.mark.parametrize("workers", [1, 6])
def test_without_one_no_two_items_share_a_stream(way, workers):
    """``random`` and NumPy's global generators included, in workers that were all forked from one process."""
    fn = works(way)
    drawn = [x for _ in range(2) for x in lw.map(fn, range(60), backend=way.name, max_workers=workers, chunksize=1)]
    columns = zip(*((*rngs, *globally) for rngs, globally in drawn), strict=True)
    assert [len(set(column)) for column in columns] == [120] * (2 if way.name == "interpreters" else 4)


def test_workers_that_take_another_s_place_begin_anew():
    with lw.Executor(2, backend="processes", max_tasks_per_child=3) as executor:
        drawn = [future.result() for future in [executor.submit(jobs.draw, x) for x in range(30)]]
    assert len({globally for _, globally in drawn}) == 30


def test_a_seed_fixes_the_global_generators_of_worker_processes():
    def draw(_):
        return random.random(), float(numpy.random.random())  # imported with the function, before its first call

    one, other = (lw.map(draw, range(20), seed=4, backend="processes", max_workers=workers) for workers in (1, 3))
    assert one == other and len(set(one)) == 20


def test_the_callers_own_generators_are_left_alone(way):
    random.seed(1)
    numpy.random.seed(1)
    before = random.getstate(), numpy.random.get_state()[1].tolist()
    lw.map(way.fn(jobs.draw_own), range(5), seed=9, backend=way.name, max_workers=2)
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before
