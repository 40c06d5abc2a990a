"""Promise 19: whole lines, logging through the parent's configuration, each record knows its item."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import lightwork as lw
from tests.promises import jobs


def test_prints_of_many_workers_are_whole_lines(way):
    """To a real stream, whose writes let other threads run."""
    fn = "jobs.talk_in_a_coroutine" if way.can.coroutines else "jobs.talk"
    program = f"""if True:
        import lightwork as lw
        from tests.promises import jobs
        lw.map({fn}, range(40), backend={way.name!r}, max_workers=4, chunksize=1)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    lines = done.stdout.splitlines()
    assert len(lines) == 40 * 20
    seen = [re.fullmatch(r"<(\d+):(\d+):-{200}>", line).groups() for line in lines]
    assert len(set(seen)) == 40 * 20
    for item in range(40):
        assert [int(line) for x, line in seen if int(x) == item] == list(range(20)), "in order within an item"


def test_records_go_through_the_parents_configuration(way):
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s|%(name)s|%(lightwork_index)s|%(message)s"))
    logger = logging.getLogger("lightwork.tests")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        lw.map(way.fn(jobs.log), range(20), backend=way.name, max_workers=2, chunksize=1)
        logger.setLevel(logging.ERROR)
        lw.map(way.fn(jobs.log), range(20), backend=way.name, max_workers=2)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    assert sorted(text.getvalue().splitlines()) == sorted(
        f"WARNING|lightwork.tests|{x}|item {x} speaks" for x in range(20)
    )


def test_auto_s_records_know_their_item_too():
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(lightwork_index)s|%(message)s"))
    logger = logging.getLogger("lightwork.tests")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        lw.map(jobs.log, range(20))
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert sorted(text.getvalue().splitlines()) == sorted(f"{x}|item {x} speaks" for x in range(20))


@pytest.mark.parametrize(("speaks", "told"), [("logging", "WARNING:root:item 1"), ("logging.getLogger()", "item 1")])
def test_records_look_as_a_plain_loop_would_have_them_where_nobody_has_configured_logging(speaks, told):
    """``logging.warning`` configures logging where nobody has; a logger's own method does not."""
    program = f"""
import logging
import lightwork as lw
def say(x):
    {speaks}.warning("item %s", x)
[say(x) for x in [1]] if LOOP else lw.map(say, [1], backend="processes")
"""
    for loop in ("True", "False"):
        run = [sys.executable, "-c", program.replace("LOOP", loop)]
        done = subprocess.run(run, capture_output=True, text=True, timeout=50)
        assert done.stderr == f"{told}\n"


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_line_without_its_end_is_shown_when_the_call_ends(capsys, backend):
    lw.map(lambda x: print(x, end=""), range(5), backend=backend, max_workers=2)
    assert sorted(capsys.readouterr().out.splitlines()) == ["0", "1", "2", "3", "4"]


def test_the_streams_are_the_callers_own_again_after_threads(capsys):
    before = sys.stdout, sys.stderr
    seen = lw.map(lambda x: (print(x), sys.stdout.encoding, sys.stdout.isatty()), range(4), backend="threads")
    assert (sys.stdout, sys.stderr) == before and sys.stdout is before[0]
    assert set(seen) == {(None, sys.stdout.encoding, False)}
    with lw.Executor(2, backend="threads") as executor:
        executor.submit(print, "flushed", end="", flush=True).result()
        with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
            executor.submit(print, "elsewhere").result()
    assert sys.stdout is before[0]
    assert elsewhere.getvalue() == "elsewhere\n"
    assert capsys.readouterr().out.endswith("flushed")


class Closed(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stream", [Closed, io.StringIO], ids=["broken", "closed"])
def test_a_stream_that_takes_nothing_costs_no_results(stream, monkeypatch, capfd):
    out = stream()
    if stream is io.StringIO:
        out.close()
    monkeypatch.setattr(sys, "stdout", out)
    items = range(40)
    assert lw.starmap(jobs.talk_and_return, [(x,) for x in items], backend="processes", max_workers=2) == list(items)
    with lw.Executor(2, backend="processes") as executor:
        assert list(executor.map(jobs.talk_and_return, items)) == list(items)
    told = capfd.readouterr().err
    assert told.count("cannot be shown") == 2, told


def test_a_handler_that_raises_costs_no_results(capfd):
    class Raises(logging.Handler):
        def emit(self, record):
            raise OSError("full")

    logger = logging.getLogger("lightwork.tests")
    handler = Raises()
    logger.addHandler(handler)
    try:
        results = lw.map(jobs.log, range(20), backend="processes", max_workers=2)
    finally:
        logger.removeHandler(handler)
    assert len(results) == 20 and capfd.readouterr().err.count("cannot be shown") == 1


def speak_twice(at):
    """Prints, and prints once more where the ``at``-th function is called that this takes, as a ``__del__`` or a
    signal's handler may."""
    begun = []

    def interrupt(frame, event, _):
        if event == "call" and frame.f_code.co_filename.endswith("_output.py"):
            begun.append(frame)
            if len(begun) == at:
                print("beside")

    sys.setprofile(interrupt)
    try:
        print("a line")
    finally:
        sys.setprofile(None)
    return len(begun)


@pytest.mark.parametrize("backend", ["processes", "interpreters"])
def test_what_prints_while_a_line_is_on_its_way_neither_hangs_nor_loses_any(backend, capsys):
    if lw.backends()[backend].unavailable:
        pytest.skip(str(lw.backends()[backend].unavailable))
    count = max(lw.map(speak_twice, [0], backend=backend))
    assert count > 2
    capsys.readouterr()
    lw.map(speak_twice, range(1, count + 1), backend=backend, max_workers=1, chunksize=1)
    shown = capsys.readouterr().out
    assert (shown.count("a line"), shown.count("beside"), shown.count("\n")) == (count, count, 2 * count)


def test_a_map_that_is_let_go_while_another_begins_to_print_does_not_hold_it_up(monkeypatch):
    """Where it is collected as garbage, say: it takes its hands off the streams, which the other has in hand."""
    streams = [lw.imap(abs, range(100), backend="threads", max_workers=1)]
    next(streams[0])
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    def let_go(frame, event, _):
        inside = frame.f_back is not None and frame.f_back.f_code.co_filename
        if (
            event == "call"
            and frame.f_code.co_filename.endswith("_whole_lines.py")
            and inside == frame.f_code.co_filename
        ):
            streams.clear()

    sys.setprofile(let_go)
    try:
        assert lw.map(abs, range(4), backend="threads", max_workers=2) == [0, 1, 2, 3]
    finally:
        sys.setprofile(None)
    assert not streams


LONG = "y" * 400_000


def print_until_time_is_up(x):
    """With a timeout of its own, as ``signal`` has it, that strikes while a long line is on its way."""

    class TimeIsUp(Exception):
        pass

    def strike(*_):
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        while True:
            print(LONG)
    except TimeIsUp:
        return x
    finally:
        signal.signal(signal.SIGALRM, before)


class SlowScreen(io.StringIO):
    def write(self, text):
        time.sleep(0.01)  # as slow as a terminal
        return super().write(text)


@pytest.mark.timeout(60)
def test_what_a_signals_handler_raises_within_a_print_tears_no_line(monkeypatch):
    screen = SlowScreen()
    monkeypatch.setattr(sys, "stdout", screen)
    assert lw.map(print_until_time_is_up, range(4), backend="processes", max_workers=1, chunksize=1) == [0, 1, 2, 3]
    assert set(screen.getvalue()) == {"y", "\n"}


def speak_in_three_ways(lines):
    """To the one stream, while another thread and a signal's handler print to the other one all the time."""
    over, here = threading.Event(), threading.get_ident()

    def talk():
        while not over.is_set():
            sys.stdout.write("t" * 200 + "\n")

    def tick():
        while not over.wait(0.002):
            signal.pthread_kill(here, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: print("tick"))
    threads = [threading.Thread(target=talk, daemon=True), threading.Thread(target=tick, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(lines):
            print(LONG, file=sys.stderr)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGUSR1, before)
    return lines


@pytest.mark.timeout(60)
def test_who_prints_in_the_midst_of_a_print_does_not_wait_for_who_waits_for_that(monkeypatch):
    """By a signal's handler, to another stream, which another thread is about to print to."""
    screens = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", screens[0])
    monkeypatch.setattr(sys, "stderr", screens[1])
    assert lw.map(speak_in_three_ways, [100], backend="processes", max_workers=1, call_timeout=40) == [100]
    assert "tick" in screens[0].getvalue()
    assert screens[1].getvalue().splitlines() == [LONG] * 100


PRINTS = """
import sys, threading
import lightwork as lw

sys.setswitchinterval(1e-5)
done = threading.Event()

def maps():
    for _ in range(200):
        lw.map(abs, [1, 2, 3], backend="threads", max_workers=2)
    done.set()

threading.Thread(target=maps).start()
while not done.is_set():
    print("a line", "of", "many", "parts")
"""


def test_a_print_that_is_under_way_when_the_last_call_of_others_ends_is_no_crash():
    """What it writes to is the stand-in, which nobody else needs any more."""
    done = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {"a line of many parts"}
