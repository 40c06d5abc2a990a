"""Outcomes as text, for a rich console and as a page."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lightwork import lab
from lightwork.lab import Figure, Outcome, Span, Verdict
from lightwork.lab._timeline import cells, rows_of

OUTCOME = Outcome(
    key="io-threads",
    claim="With two threads the waiting overlaps, and the time is significantly shorter.",
    did="io_bound(0.1) twice one after another, then in two threads; 5 turns of both.",
    log=("1234:MainProcess.Thread-1 ---> Start sleeping...", "1234:MainProcess.Thread-1 ---> " + "very " * 30),
    figures=(
        Figure("one after another", 0.2, "s", 0.2, 0.21),
        Figure("a name that is much longer than half of a line of eighty characters", 1.5, "×"),
        Figure("updates", 10_000, "", 10_000, 10_000),
    ),
    spans=(
        Span(1234, "MainProcess", "Thread-1", 0.0, 0.5, "counting"),
        Span(1234, "MainProcess", "Thread-2", 0.5, 1.0, "sleeping"),
        Span(1235, "Process-1", "MainThread", 0.0, 0.25, "waiting for the lock"),
        Span(1235, "Process-1", "MainThread", 0.25, 1.0, "holding the lock"),
        Span(1236, "Process-<b>", "MainThread", 0.5, 0.5001, "a label of its own"),
    ),
    verdict=Verdict.HOLDS,
    because="The threads took 0.5× (0.49 to 0.51) the time of one call after another: the waits overlapped.",
    seconds=1.25,
)


@pytest.mark.parametrize("width", [20, 40, 80, 100, 200])
def test_no_line_is_wider_than_asked(width: int) -> None:
    for text in (lab.render_text(OUTCOME, width), lab.summary_text([OUTCOME] * 2, width)):
        assert max(map(len, text.splitlines())) <= max(width, 40)


def test_text_says_everything() -> None:
    text = lab.render_text(OUTCOME, 80)
    for words in ("io-threads", "holds", "Start sleeping...", "0.2 s (0.2 to 0.21)", "spread not known", "10,000"):
        assert words in text
    assert re.search(r"1234:MainProcess.Thread-1 +█+$", text, re.MULTILINE)
    assert "█ counting, ░ sleeping" in text
    assert "\x1b" not in text


def test_ascii_only_draws_without_blocks() -> None:
    drawn = lab.render_text(OUTCOME, 80, ascii_only=True).replace("×", "x")
    assert drawn.isascii()
    assert "# counting" in drawn


def test_each_kind_of_work_has_its_own_mark_in_its_place() -> None:
    first, third, second, fourth = rows_of(OUTCOME.spans)
    assert cells(first, 1.0, 4) == ["counting", "counting", None, None]
    assert cells(second, 1.0, 4) == [None, None, "sleeping", "sleeping"]
    assert cells(third, 1.0, 4) == ["waiting for the lock", *["holding the lock"] * 3]
    assert cells(fourth, 1.0, 4) == [None, None, "a label of its own", None]  # seen, short as it is


def test_rich_shows_the_same_words_with_styles() -> None:
    from rich.console import Console

    plain, styled = io.StringIO(), io.StringIO()
    Console(file=plain, width=80, color_system=None).print(lab.render_rich(OUTCOME))
    Console(file=styled, width=80, force_terminal=True, color_system="standard").print(lab.render_rich(OUTCOME))
    assert [line.rstrip() for line in plain.getvalue().splitlines()] == lab.render_text(OUTCOME).splitlines()
    assert "\x1b[" in styled.getvalue()


class Checker(HTMLParser):
    VOID = frozenset({"meta", "br", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bars = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            assert name not in ("src", "href") or (value or "").startswith("#"), "the page needs nothing else"
        self.bars += tag == "rect" and ("class", "base") not in attributes
        if tag not in self.VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = lab.render_html([OUTCOME, replace(OUTCOME, key="other", spans=(), log=(), figures=())])
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert checker.bars == len(OUTCOME.spans)
    assert "prefers-color-scheme: dark" in page
    assert "Process-<b>" not in page
    assert not re.search(r"https?://", page)


def test_the_summary_has_one_row_for_each() -> None:
    text = lab.summary_text([OUTCOME, replace(OUTCOME, key="x", verdict=Verdict.NOT_ENOUGH)], 80)
    assert re.search(r"^io-threads +With two threads.* +holds$", text, re.MULTILINE)
    assert re.search(r"^x +With two threads.* +not enough evidence$", text, re.MULTILINE)
