"""Promise 19: whole lines, logging through the parent's configuration, each record knows its item."""

from __future__ import annotations

import io
import logging
import re

import lightwork as lw
from tests.promises import jobs


def test_prints_of_many_workers_are_whole_lines(capsys):
    lw.map(jobs.talk, range(40), backend="processes", max_workers=4, chunksize=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 40 * 20
    seen = [re.fullmatch(r"<(\d+):(\d+):-{200}>", line).groups() for line in lines]
    assert len(set(seen)) == 40 * 20
    for item in range(40):
        assert [int(line) for x, line in seen if int(x) == item] == list(range(20)), "in order within an item"


def test_records_go_through_the_parents_configuration():
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s|%(name)s|%(lightwork_index)s|%(message)s"))
    logger = logging.getLogger("lightwork.tests")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        lw.map(jobs.log, range(20), backend="processes", max_workers=2, chunksize=1)
        logger.setLevel(logging.ERROR)
        lw.map(jobs.log, range(20), backend="processes", max_workers=2)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    assert sorted(text.getvalue().splitlines()) == sorted(
        f"WARNING|lightwork.tests|{x}|item {x} speaks" for x in range(20)
    )


def test_a_line_without_its_end_is_shown_when_the_call_ends(capsys):
    lw.map(lambda x: print(x, end=""), range(5), backend="processes", max_workers=2)
    assert sorted(capsys.readouterr().out.splitlines()) == ["0", "1", "2", "3", "4"]
