"""Sizes as people write them."""

from __future__ import annotations

import pytest

from lightwork._sizes import parsed, shown, workers


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (7, 7),
        ("7", 7),
        ("512MB", 512_000_000),
        ("512 mb", 512_000_000),
        ("1.5 GiB", 3 << 29),
        ("2k B".replace(" ", ""), 2000),
        (" 4TiB ", 4 << 40),
    ],
)
def test_parsed(text, count):
    assert parsed(text) == count


@pytest.mark.parametrize("text", ["", "MB", "x", "5 apples", "5MBB", "1e400", "inf GB", None, 1.0, True])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="not a size"):
        parsed(text)


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (512_000_000, "512 MB"), (1_500_000_000, "1.5 GB")])
def test_shown(count, text):
    assert shown(count) == text


def test_workers():
    assert [workers(count, "processes") for count in (0, 1, 2)] == ["0 processes", "1 process", "2 processes"]
    assert workers(1, "serial") == "1 serial"
