"""Are two results the same? Values are compared as people mean it: NaN equals NaN, arrays count element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any

ROUNDING = 1e-9
"""Relative difference up to which floating-point numbers are equal but for rounding (sums in another order)."""


class Same(IntEnum):
    """How alike two values are; the least of the parts decides for the whole."""

    DIFFERENT = 0
    UNKNOWN = 1
    """They cannot be compared: objects without an equality or fields of their own."""
    CLOSE = 2
    SAME = 3


def first_difference(expected: Sequence[Any], found: Sequence[Any]) -> tuple[Same, int | None]:
    """How alike two lists of results are, and the index of the first pair that is the least alike."""
    if len(expected) != len(found):
        return Same.DIFFERENT, min(len(expected), len(found))
    worst, where = Same.SAME, None
    for index, (one, other) in enumerate(zip(expected, found, strict=True)):
        alike = same(one, other)
        if alike < worst:
            worst, where = alike, index
            if worst is Same.DIFFERENT:
                break
    return worst, where


def same(one: Any, other: Any, depth: int = 20) -> Same:
    """How alike two values are. Deeper than ``depth`` levels it is unknown."""
    if one is other:
        return Same.SAME
    if depth == 0:
        return Same.UNKNOWN
    if isinstance(one, float | complex) and isinstance(other, float | complex):
        return _numbers(one, other)
    if type(one) is not type(other):
        # A result that crossed to another process may come back as a class of the same name.
        twin = type(one).__qualname__ == type(other).__qualname__ and type(one).__module__ == type(other).__module__
        if not twin:
            return _by_equality(one, other)
    if isinstance(one, str | bytes | bytearray | range):
        return Same.SAME if one == other else Same.DIFFERENT
    if hasattr(one, "dtype") and hasattr(one, "shape"):
        return _arrays(one, other)
    if isinstance(one, Mapping):
        if one.keys() != other.keys():
            return Same.DIFFERENT
        return min((same(one[key], other[key], depth - 1) for key in one), default=Same.SAME)
    if isinstance(one, Set):
        return Same.SAME if one == other else Same.DIFFERENT
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return Same.DIFFERENT
        return min((same(a, b, depth - 1) for a, b in zip(one, other, strict=True)), default=Same.SAME)
    if is_dataclass(one) and not isinstance(one, type):
        names = [field.name for field in fields(one)]
        return min((same(getattr(one, n), getattr(other, n), depth - 1) for n in names), default=Same.SAME)
    return _objects(one, other, depth)


def _numbers(one: complex, other: complex) -> Same:
    if one == other or (one != one and other != other):
        return Same.SAME
    if isinstance(one, complex) or isinstance(other, complex):
        close = abs(one - other) <= ROUNDING * max(abs(one), abs(other))
    else:
        close = math.isclose(one, other, rel_tol=ROUNDING)
    return Same.CLOSE if close else Same.DIFFERENT


def _arrays(one: Any, other: Any) -> Same:
    if getattr(other, "shape", None) != one.shape or getattr(other, "dtype", None) != one.dtype:
        return Same.DIFFERENT
    try:
        import numpy as np

        one, other = np.asarray(one), np.asarray(other)
        numeric = one.dtype.kind in "fc"
        if np.array_equal(one, other, equal_nan=numeric):
            return Same.SAME
        if numeric and np.allclose(one, other, rtol=ROUNDING, atol=0.0, equal_nan=True):
            return Same.CLOSE
        return Same.DIFFERENT
    except (ImportError, TypeError, ValueError):
        return _by_equality(one, other)


def _objects(one: Any, other: Any, depth: int) -> Same:
    if getattr(type(one), "__eq__", None) is not object.__eq__:
        alike = _by_equality(one, other)
        if alike is not Same.DIFFERENT or type(one) is type(other):
            return alike
    if isinstance(one, BaseException) and isinstance(other, BaseException):
        return same(one.args, other.args, depth - 1)
    if hasattr(one, "__dict__") and hasattr(other, "__dict__") and not callable(one):
        return same(vars(one), vars(other), depth - 1) if vars(one) else Same.UNKNOWN
    return Same.UNKNOWN


def _by_equality(one: Any, other: Any) -> Same:
    try:
        return Same.SAME if bool(one == other) else Same.DIFFERENT
    except Exception:  # noqa: BLE001 - a class's own == may raise anything, or give what has no truth value
        return Same.UNKNOWN
