"""What a call finds around it in a worker is what it would find in the caller's own loop."""

from __future__ import annotations

import decimal
import sys
import textwrap

import pytest

import lightwork as lw
from tests.conformance import jobs
from tests.promises.programs import run


@pytest.fixture
def unusual():
    limit, digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    with decimal.localcontext(prec=50, rounding=decimal.ROUND_UP) as context:
        context.traps[decimal.Inexact] = False
        context.traps[decimal.FloatOperation] = True
        sys.setrecursionlimit(limit + 234)
        sys.set_int_max_str_digits(5000)
        yield
    sys.setrecursionlimit(limit)
    sys.set_int_max_str_digits(digits)


def test_decimal_context_and_limits(way, unusual):
    expected = [jobs.limits(n) for n in range(1, 6)]
    fn = way.fn(jobs.limits)
    assert lw.map(fn, range(1, 6), backend=way.name) == expected
    assert list(lw.imap(fn, range(1, 6), backend=way.name)) == expected
    with lw.Executor(2, backend=way.name) as executor:
        assert [executor.submit(fn, n).result() for n in range(1, 6)] == expected


def test_the_decimal_context_as_auto_chooses(unusual):
    results = lw.map(jobs.slow_third, range(1, 41), max_workers=2)
    assert results == [jobs.third(n) for n in range(1, 41)], results.report


def test_a_decimal_context_that_a_call_sets_is_not_the_next_ones(way, unusual):
    if way.name == "serial":
        pytest.skip("a plain loop in the caller's own context")
    fn = way.fn(jobs.third_with_five_digits_once)
    with lw.Executor(1, backend=way.name) as executor:
        results = [executor.submit(fn, n).result() for n in range(4)]
        assert results == ["0.33334", *["0." + "3" * 49 + "4"] * 3]


def test_a_worker_is_started_while_another_thread_imports_multiprocessing():
    """It is in ``sys.modules`` then, and has no key yet: who wants that waits for the end of the import."""
    program = """
        import sys, threading
        from importlib.machinery import PathFinder
        import lightwork as lw

        fn = abs
        assert lw.map(fn, [-1], backend="processes") == [1]  # no module has to be loaded from here on
        name = "multiprocessing.process"
        assert name not in sys.modules
        begun, over, main = threading.Event(), threading.Event(), threading.get_ident()

        def awaited():  # whether the main thread waits for the end of an import
            frame = sys._current_frames()[main]
            while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
                frame = frame.f_back
            return frame is not None

        class Finder:
            def find_spec(self, wanted, path=None, target=None):
                if wanted != name:
                    return None
                spec = PathFinder.find_spec(wanted, path)
                execute = spec.loader.exec_module

                def slowly(module):
                    assert sys.modules[name] is module
                    begun.set()
                    while not awaited() and not over.wait(0.002):
                        pass
                    execute(module)

                spec.loader.exec_module = slowly
                return spec

        sys.meta_path.insert(0, Finder())
        thread = threading.Thread(target=lambda: __import__("multiprocessing"))
        thread.start()
        begun.wait()
        try:
            print(lw.map(fn, [-2], backend="processes"))
        finally:
            over.set()
            thread.join()
    """
    done = run("-c", textwrap.dedent(program))
    assert (done.stdout, done.stderr, done.returncode) == ("[2]\n", "", 0)
