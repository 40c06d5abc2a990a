"""Promise 6: a closure over a large constant crosses to each worker at most once; the report has the bytes."""

from __future__ import annotations

import functools

import pytest

import lightwork as lw

SIZE, CALLS, WORKERS = 24_000_000, 300, 2


def closure(constant):
    return lambda x: (x, len(constant))


def partial(constant):
    return functools.partial(lambda constant, x: (x, len(constant)), constant)


@pytest.mark.parametrize("make", [closure, partial])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_closure_over_a_large_constant(make, kind):
    fn = make(kind(SIZE))
    results = lw.map(fn, range(CALLS), backend="processes", max_workers=WORKERS, chunksize=1)
    assert results == [(x, SIZE) for x in range(CALLS)]
    assert SIZE <= results.report.sent <= WORKERS * SIZE + 500_000
