"""Promise 14: an exception that does not pickle, or needs two arguments: type, message, traceback and item are kept."""

from __future__ import annotations

import pytest

import lightwork as lw
from tests.conformance.jobs import Awkward, Unsendable, raises


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("awkward", Awkward, "7: seven"),
        ("unsendable", Unsendable, "cannot be sent"),
        ("generator exit", GeneratorExit, "gone"),
        ("exit", SystemExit, "3"),
    ],
)
def test_type_message_traceback_and_item_are_kept(what, kind, message):
    calls = [lambda: "fine"] * 8
    calls[3] = lambda: raises(what)
    results = lw.map(lambda call: call(), calls, backend="processes", max_workers=2, errors="return")
    assert [value for value in results if not isinstance(value, lw.Failure)] == ["fine"] * 7
    exception = results[3].exception
    assert results[3].index == 3
    assert type(exception) is kind and str(exception) == message
    assert "in raises" in str(exception.__cause__), "the traceback in the worker"
    with pytest.raises(kind) as caught:
        lw.map(lambda call: call(), calls, backend="processes", max_workers=2)
    assert any("item 3" in note for note in caught.value.__notes__)


def test_a_class_that_is_local_to_the_worker_keeps_its_text():
    def fails(x):
        class Local(Exception):
            def __reduce__(self):
                raise TypeError("not me")

        raise Local(f"only here: {x}")

    (failure,) = lw.map(fails, [5], backend="processes", errors="return")
    assert "Local" in type(failure.exception).__name__ or "Local" in str(failure.exception)
    assert "only here: 5" in str(failure.exception)
