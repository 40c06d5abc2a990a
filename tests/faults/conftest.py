"""Every fault test ends without a worker."""

from __future__ import annotations

import pytest

from tests.leftovers import nothing_left

__all__ = ["nothing_left"]


@pytest.fixture(autouse=True)
def _clean(nothing_left):
    """Applies to all tests of this folder."""
