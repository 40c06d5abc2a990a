"""What a map has used lives no longer than the caller's references to it: nothing waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

import lightwork as lw
from tests.conformance.jobs import Broken, Thing, breaks, make, naps, slow, slow_to_break
from tests.leftovers import wait_for


@pytest.fixture(autouse=True)
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Watched(list):
    """References to things that must go soon."""

    def add(self, *things):
        self += [weakref.ref(thing) for thing in things]

    def gone(self):
        return all(each() is None for each in self)


def things(watched):
    found = [Thing(number) for number in range(30)]
    watched.add(*found)
    return found


def mapped(way, watched):
    results = lw.map(way.fn(make), things(watched), backend=way.name)
    watched.add(results, *results)


def used_up(way, watched):
    stream = lw.imap(way.fn(make), things(watched), backend=way.name)
    watched.add(stream, *stream)


def as_they_end(way, watched):
    watched.add(*lw.imap_unordered(way.fn(make), things(watched), backend=way.name))


def closed(way, watched):
    stream = lw.imap(way.fn(make), things(watched), backend=way.name)
    watched.add(stream, next(stream))
    stream.close()


def futures(way, watched):
    with lw.Executor(2, backend=way.name) as executor:
        submitted = [executor.submit(way.fn(make), thing) for thing in things(watched)]
        watched.add(*submitted, *[each.result() for each in submitted])


def failed(way, watched):
    # Not ``pytest.raises``: what it gives is in this frame, which the exception's traceback keeps.
    try:
        lw.map(way.fn(breaks), things(watched), backend=way.name)
    except Broken as problem:
        watched.add(problem)


def failed_stream(way, watched):
    try:
        list(lw.imap(way.fn(breaks), things(watched), backend=way.name))
    except Broken as problem:
        watched.add(problem)


def failed_input(way, watched):
    given = things(watched)

    def items():
        yield from given
        raise Broken

    try:
        lw.map(way.fn(make), items(), backend=way.name)
    except Broken as problem:
        watched.add(problem)


def awaited(way, watched):
    async def main():
        results = await lw.amap(way.fn(make), things(watched), backend=way.name)
        watched.add(results, *results)

    asyncio.run(main())


@pytest.mark.parametrize(
    "use",
    [mapped, used_up, as_they_end, closed, futures, failed, failed_stream, failed_input, awaited],
    ids=lambda use: use.__name__,
)
def test_nothing_is_kept(way, use):
    if use is awaited and way.name == "serial":
        pytest.skip("amap takes no caller's thread")
    watched = Watched()
    use(way, watched)
    assert len(watched) > 30
    wait_for(watched.gone, 5)


def breaks_before_a_long_one(number):
    if number == 1:
        raise Broken
    if number == 2:
        time.sleep(0.3)


async def awaits_behind_a_broken_one(number):
    if number == 1:
        raise Broken
    if number == 2:
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("fn", [breaks_before_a_long_one, awaits_behind_a_broken_one], ids=["threads", "asyncio"])
def test_a_failure_is_not_kept_that_was_told_before_its_batch_ended(fn):
    backend = "asyncio" if fn is awaits_behind_a_broken_one else "threads"
    watched = Watched()
    results = lw.map(fn, range(4), backend=backend, max_workers=1, chunksize=4, errors="return")
    watched.add(results[1].exception)
    del results
    wait_for(watched.gone, 5)


@pytest.mark.parametrize("fn", [make, breaks, slow, slow_to_break, naps], ids=lambda fn: fn.__name__)
@pytest.mark.parametrize("options", [{}, {"backend": "auto"}], ids=["unsaid", "auto"])
def test_nothing_is_kept_as_auto_chooses(fn, options):
    watched = Watched()
    given = things(watched)
    try:
        results = lw.map(fn, given, max_workers=2, **options) if options else lw.map(fn, given)
        watched.add(results, *results)
        del results
    except Broken as problem:
        watched.add(problem)
    del given
    wait_for(watched.gone, 5)
