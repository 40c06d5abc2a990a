"""Reports are pure functions of results: text for 80 columns, one HTML file, a bar that knows when to be silent."""

import io
import json
import re
import time
from html.parser import HTMLParser

import pytest

import lightwork as lw
from lightwork._demand import Demand
from lightwork._inventory import machine
from lightwork._reasons import Facts, advice, reason
from lightwork._report import Report
from lightwork._stats import Interval
from lightwork._trace import Decision, Lane, Progress
from lightwork._verdicts import Measured, judge
from lightwork.report.comparison import Comparison
from lightwork.report.html import bars, comparison_fragment, comparison_page
from lightwork.report.progress import Bar, bar, clock, status
from lightwork.report.rows import Row
from lightwork.report.text import comparison_text, duration, fill, measured, size, table, times
from tests.leftovers import wait_for


def interval(value, spread=0.01):
    return Interval(value, value - spread, value + spread)


@pytest.fixture
def comparison():
    rows = (
        Row(
            "serial",
            1,
            (1.2, 1.21),
            1.3,
            interval(1.2),
            Interval(1, 1, 1),
            1.0,
            1.0,
            0,
            "reference",
            1.19,
            "2.0× slower",
        ),
        Row(
            "threads",
            2,
            (1.3, 1.31),
            1.3,
            interval(1.3),
            interval(0.92),
            0.46,
            1.02,
            10**6,
            "same",
            1.25,
            "2.1× slower",
        ),
        Row(
            "processes",
            2,
            (0.61, 0.62),
            0.7,
            interval(0.61),
            interval(1.96),
            0.98,
            1.95,
            33 * 10**6,
            "same",
            0.62,
            "fastest",
        ),
        Row("interpreters", reason="they need Python 3.14 or later", verdict="unavailable"),
    )
    return Comparison(
        "work:<parse>", 200, "CPython 3.11, 2 usable cores", rows, 5, "processes",
        "Processes win, 2.0 times faster than a plain loop: only processes let two cores compute at once.",
        ("In code: results = lightwork.map(parse, items)",), ("DIFFERENT <RESULTS>: look",), ("a note",),
    )  # fmt: skip


@pytest.mark.parametrize("width", [44, 60, 80, 100])
def test_text_keeps_to_its_width(comparison, width):
    text = comparison_text(comparison, width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("serial", "processes", "fastest", "1.20 ± 0.01 s", "610 ± 10 ms"):
        assert word in text
    for part in (comparison.reason, *comparison.advice, *comparison.findings, *comparison.notes):
        assert " ".join(part.split()) in " ".join(text.split())
    assert "they need Python 3.14" in text


def test_the_full_table_has_all_columns(comparison):
    head = table(comparison, 80)[0].split()
    assert head == ["backend", "workers", "time", "speed-up", "eff.", "CPU", "memory", "verdict"]
    assert str(comparison) == comparison_text(comparison)


def test_columns_are_aligned(comparison):
    lines = [line for line in table(comparison, 80) if line.startswith(("serial", "threads", "processes"))]
    starts = {
        line.index(verdict) for line, verdict in zip(lines, ("2.0× slower", "2.1× slower", "fastest"), strict=True)
    }
    assert len(starts) == 1


class Tags(HTMLParser):
    """Every tag that is opened is closed, in order; nothing is loaded from elsewhere."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert not {"src", "href"} & dict(attrs).keys(), "the page needs no other file"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_is_whole_self_contained_and_escaped(comparison, tmp_path):
    path = comparison.to_html(tmp_path / "out.html")
    page = path.read_text(encoding="utf-8")
    assert page == comparison_page(comparison)
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and "svg" in tags.seen and "table" in tags.seen
    assert "http" not in page and "<parse>" not in page and "&lt;parse&gt;" in page
    assert "prefers-color-scheme: dark" in page
    text = "".join(tags.text)
    assert "work:<parse>" in text and "DIFFERENT <RESULTS>" in text and "they need Python 3.14" in text


def test_notebook_shows_the_same_without_a_page_around_it(comparison):
    fragment = comparison._repr_html_()
    assert fragment == comparison_fragment(comparison)
    assert "<html" not in fragment and "<svg" in fragment
    tags = Tags()
    tags.feed(fragment)
    assert tags.open == []


def test_bars_are_as_long_as_the_times(comparison):
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', bars(comparison.rows, "processes"))]
    assert widths[0] / widths[2] == pytest.approx(1.2 / 0.61, rel=0.01)
    assert bars(comparison.rows, "processes").count("var(--best)") == 1
    assert bars((), None) == ""


def test_json_round_trip(comparison):
    data = json.loads(json.dumps(comparison.to_json()))
    assert data["winner"] == "processes" and data["rows"][2]["speedup"]["low"] == pytest.approx(1.95)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 ns"),
        (5e-9, "5.00 ns"),
        (1.234e-5, "12.3 µs"),
        (0.0456, "45.6 ms"),
        (0.9999, "1.00 s"),
        (123.4, "123 s"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_numbers_for_people():
    assert [times(x) for x in (0.0029, 0.544, 1.04, 1.94, 12.3, 1440)] == [
        "0.0029",
        "0.54",
        "1.04",
        "1.9",
        "12",
        "1,440",
    ]
    assert [size(x) for x in (0, 3_200_000, 120_000_000, 1_500_000_000)] == [
        "0 MB",
        "3.2 MB",
        "120 MB",
        "1.5 GB",
    ]
    assert measured(interval(1.234)) == "1.23 ± 0.01 s" and measured(interval(1.234), repeated=False) == "1.23 s"
    assert [clock(x) for x in (4.21, 187, 3723)] == ["4.2 s", "3:07", "1:02:03"]


# the bar


def progress(done, total=100, failed=0, seconds=1.0, finished=False):
    return Progress(done, total, failed, seconds, "threads", finished)


def terminal():
    from rich.console import Console

    out = io.StringIO()
    return Console(file=out, force_terminal=True, width=80, color_system=None), out


def test_status_words():
    assert status(progress(50)) == "50/100  50/s  1.0 s left  threads"
    assert status(progress(7, total=None, seconds=2.0)) == "7  3.5/s  threads"
    assert status(progress(100, failed=2, finished=True)) == "100/100  100/s  2 failed  in 1.0 s  threads"
    assert status(progress(0, seconds=0.0)) == "0/100  threads"


def test_bar_draws_and_stays_when_the_run_ends():
    console, out = terminal()
    draw = Bar("parse", console)
    draw(progress(0, seconds=0.0))
    draw(progress(50))
    draw(progress(100, seconds=2.0, finished=True))
    text = out.getvalue()
    assert "parse" in text and "50/100" in text and "100/100" in text and "in 2.0 s" in text
    assert text.rstrip().endswith("\x1b[?25h"), "the cursor is shown again"


def test_bar_is_drawn_at_most_ten_times_a_second():
    console, out = terminal()
    draw = Bar("", console)
    for done in range(1000):
        draw(progress(done, total=1000, seconds=done * 0.0005))
    assert out.getvalue().count("/1,000") <= 8
    draw.close()


def test_bar_shows_what_ended_right_after_it_was_drawn_though_no_other_call_ends():
    Bar("", terminal()[0])(progress(0))  # what it imports takes longer than the time between two drawings
    console, out = terminal()

    def call(number):
        if number < 2:
            time.sleep(0.06)
        else:
            wait_for(lambda: "2/3" in out.getvalue(), 10)

    lw.map(call, range(3), backend="threads", max_workers=1, chunksize=1, progress=Bar("", console))


def test_bar_of_a_run_that_is_given_up_gives_the_cursor_back():
    console, out = terminal()
    draw = Bar("", console)
    draw(progress(1))
    del draw
    assert out.getvalue().rstrip().endswith("\x1b[?25h")


def test_bar_may_be_used_again():
    console, out = terminal()
    draw = Bar("", console)
    for _ in range(2):
        draw(progress(0, seconds=0.0))
        draw(progress(9, total=9, finished=True))
    assert out.getvalue().count("9/9") >= 2


def test_bar_is_silent_where_nobody_looks(capfd):
    draw = bar("quiet")
    draw(progress(1))
    draw(progress(100, finished=True))
    assert capfd.readouterr() == ("", "")


# the report of a run


def a_report(**more):
    demand = Demand(0.0199, 0.0001, 0.0001, bytes_out=5, bytes_back=5)
    why = f"one call takes {demand}: it mostly waits; 99 calls would take 2000 ms one after another and 20.3 ms on 99"
    decisions = (Decision(0.0829, "changed over to 99 threads", why + " threads (processes: it " + "x " * 40 + ")"),)
    lanes = (Lane("serial", 1, 1, 0.02, 0.0), Lane("threads", 99, 99, 1.98, 0.0))
    return Report("threads", 99, 100, 0.2, lanes, decisions, demand=demand, **more)


def test_a_report_fits_a_terminal_and_says_the_demand_once():
    text = str(a_report(lost_workers=1, sent=6310))
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(text.split()).count("(0 % computing; 5 B out, 5 B back)") == 1
    assert "1 worker lost and replaced" in text and "6.3 kB" in text and "\u00a0" not in text
    assert "one call: 20.0 ms" in str(Report("serial", 1, 1, 0.1, demand=Demand(0.02, 0.0)))
    assert str(Report("serial", 1, 1, 0.1)) == "1 call in 100 ms on serial (1 worker)"


def test_a_report_says_that_the_calling_thread_and_workers_shared_the_calls():
    beside = (Lane("serial", 1, 9, 0.9, 0.9), Lane("processes", 1, 7, 0.8, 0.8))
    first, second = str(Report("serial", 1, 16, 1.0, beside)).splitlines()[:2]
    assert first == "16 calls in 1.00 s in the calling thread and on 1 process"
    assert second == "  where: 9 in the calling thread, 7 on 1 process"
    as_much = (Lane("serial", 1, 2, 0.9, 0.9), Lane("processes", 1, 2, 1.0, 1.0))
    assert str(Report("processes", 1, 4, 1.0, as_much)).startswith(
        "4 calls in 1.00 s in the calling thread and on 1 pr"
    )
    theirs = (Lane("serial", 1, 2, 0.2, 0.2), Lane("processes", 2, 14, 1.6, 1.6))
    first, second = str(Report("processes", 2, 16, 1.0, theirs)).splitlines()[:2]
    assert (first, second) == (
        "16 calls in 1.00 s on processes (2 workers)",
        "  where: 2 in the calling thread, 14 on 2 processes",
    )
    alone = (Lane("serial", 1, 16, 1.6, 1.6), Lane("processes", 1, 0, 0.0, 0.0))
    first, second = str(Report("serial", 1, 16, 1.6, alone)).splitlines()[:2]
    assert (first, second) == (
        "16 calls in 1.60 s on serial (1 worker)",
        "  where: 16 in the calling thread, 0 on 1 process",
    )


def test_what_is_echoed_is_the_text_for_people(comparison):
    report = a_report()
    assert repr(report) == str(report) and repr(comparison) == str(comparison)
    assert report._repr_html_().startswith("<pre>100 calls")
    here = machine()
    assert repr(here) == str(here) and "usable core" in repr(here)


@pytest.mark.parametrize("width", range(20, 60))
def test_numbers_stay_with_their_units(width):
    lines = fill("it mostly waits (100 % of the time), 20.3 ms or 2.0 times as long, on 12 cores, 3.1 MB", width)
    assert not any(line.rstrip().endswith(("100", "20.3", "2.0", "12", "3.1")) for line in lines)
    assert "\u00a0" not in "".join(lines)


# verdicts and reasons


def measured_as(backend, seconds, workers, busy=1.0, results="same"):
    return Measured(backend, workers, [seconds] * 3, [busy] * 3, seconds, results=results)


def judged(wait=0.0, cpu=0.0, gil=None, cores=2, **backends):
    entries = [measured_as(name, *figures) for name, figures in backends.items()]
    waits = wait > cpu
    rows, winner, tied = judge(entries, 100, cores, waits)
    known = Facts(wait, cpu, gil, 0.0, cores, True, 100)
    return rows, winner, reason(winner, rows, known, tied), " ".join(advice(winner, known, "m:f"))


def test_computing_workers_are_measured_against_the_cores():
    _, winner, _, told = judged(cpu=0.01, gil=0.0, serial=(2.0, 1), threads=(1.0, 6))
    assert winner.efficiency == pytest.approx(1.0) and "Only" not in told
    _, winner, _, told = judged(cpu=0.01, gil=0.0, serial=(1.1, 1), threads=(1.0, 6))
    assert "Only 55 % of what 2 cores could bring arrived" in told


def test_waiting_workers_are_measured_against_each_other():
    _, winner, _, told = judged(wait=0.01, serial=(6.0, 1), threads=(1.0, 6))
    assert winner.efficiency == pytest.approx(1.0) and "Each of the 6 workers paid in full" in told
    _, winner, _, told = judged(wait=0.01, serial=(1.0, 1), threads=(2.0, 6))
    assert winner.backend == "serial" and "paid in full" not in told


def test_whether_calls_wait_is_told_by_the_plain_loop():
    entries = [measured_as("serial", 6.0, 1, busy=0.02), measured_as("threads", 1.0, 6)]
    assert judge(entries, 100, 2)[1].efficiency == pytest.approx(1.0)
    entries = [measured_as("serial", 2.0, 1, busy=1.0), measured_as("threads", 1.0, 6)]
    assert judge(entries, 100, 2)[1].efficiency == pytest.approx(1.0)


def test_a_coroutine_function_that_blocks_its_loop_is_found_out():
    for seconds in (1.2, 1.001, 0.9):
        _, _, sentence, told = judged(wait=0.01, serial=(1.0, 1), asyncio=(seconds, 100))
        assert "blocks the event loop" in sentence and "paid in full" not in told
    assert "blocks" not in judged(wait=0.01, serial=(1.0, 1), asyncio=(0.1, 100))[2]


def test_only_processes_where_nothing_else_can():
    both = {"serial": (2.0, 1), "interpreters": (1.3, 2), "processes": (1.0, 2)}
    assert "and processes let two cores" in judged(cpu=0.01, gil=0.01, **both)[2]
    del both["interpreters"]
    assert "and only processes let two cores" in judged(cpu=0.01, gil=0.01, **both)[2]


def test_the_work_of_another_program_is_not_called_c_code_alone():
    assert "or another program" in judged(cpu=0.01, gil=0.0, serial=(2.0, 1), threads=(1.0, 2))[2]


def test_a_headline_is_no_surer_than_the_table():
    serial = Measured("serial", 1, [1.0, 2.0, 3.0], [1.0] * 3, 1.0)
    threads = Measured("threads", 2, [0.9, 1.6, 2.8], [1.0] * 3, 1.0, results="same")
    rows, winner, tied = judge([serial, threads], 100, 2)
    sentence = reason(winner, rows, Facts(0.0, 0.02, 0.0, 0.0, 2, True, 100), tied)
    assert sentence.startswith("Threads may be 1.2 times faster than a plain loop, but the times vary too much")
    rows, winner, tied = judge([serial, Measured("threads", 2, [1.2, 2.4, 3.3], [1.0] * 3, 1.0)], 100, 2)
    sentence = reason(winner, rows, Facts(0.0, 0.02, 0.0, 0.0, 2, True, 100), tied)
    assert sentence.startswith("A plain loop seems to win, though the times vary too much")
