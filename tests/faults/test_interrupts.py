"""SIGINT at random moments of a map: what was finished is right and told once, and nothing goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
    import json, os, random, signal, sys, threading, time
    import psutil
    import lightwork as lw
    from tests.conformance.jobs import marks
    from tests.faults import nasty
    from tests.leftovers import workers

    folder, rounds, count = sys.argv[1], int(sys.argv[2]), 20_000
    lost, seconds = [], []
    for number in range(rounds):
        path = os.path.join(folder, str(number))
        struck, ready = [], threading.Event()

        def strike(delay=random.uniform(0.01, 0.2)):
            ready.wait()  # not while the main thread is still at starting this one
            time.sleep(delay)
            struck.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        rest = iter(range(count))
        columns = [path] * count, rest
        got, partial, thread = [], {}, threading.Thread(target=strike)
        thread.start()
        try:
            ready.set()
            if number % 2:
                got = lw.map(nasty.mark_and_square, *columns, backend="processes", max_workers=2)
                thread.join()
            else:
                results = lw.imap(nasty.mark_and_square, *columns, backend="processes", max_workers=2)
                try:
                    for value in results:
                        got.append(value)
                finally:
                    results.close()
                thread.join()
        except KeyboardInterrupt as exc:
            partial = lw.partial(exc)
            seconds.append(time.perf_counter() - struck[0])
        thread.join()
        remainder = list(rest)
        assert not workers()
        assert list(got) == [x * x for x in range(len(got))]
        assert all(value == x * x for x, value in partial.items())
        assert not partial.keys() & set(range(len(got)))
        assert remainder == list(range(count - len(remainder), count))
        begun = marks(__import__("pathlib").Path(path))
        assert len(begun) == len(set(begun)), "no call begins twice"
        assert not set(begun) & set(remainder), "what was not drawn was not called"
        told = set(range(len(got))) | partial.keys()
        assert told <= set(begun), "no result without its call"
        if number % 2:  # of a stream Ctrl-C may strike while the caller has it, outside of it
            lost.append(len(set(begun) - told))
    print(json.dumps({"lost": lost, "seconds": seconds}))
"""


def interrupted(tmp_path, rounds):
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path), str(rounds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=45,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return json.loads(run.stdout)


@pytest.mark.timeout(50)
def test_results_are_right_and_told_once_wherever_it_strikes(tmp_path):
    """Results given out and those kept never overlap; what was not drawn from the input was not called."""
    told = interrupted(tmp_path, 24)
    assert len(told["seconds"]) > 4
    assert max(told["seconds"]) < 5


@pytest.mark.timeout(50)
def test_all_that_was_finished_is_kept(tmp_path):
    """But for the calls that ran just then, one for each of the two workers."""
    assert max(interrupted(tmp_path, 16)["lost"]) <= 2


LOADING = """
    import signal, sys, time, weakref
    import lightwork as lw

    def work(x):
        time.sleep(0.001)
        return x

    class Lock:
        pass

    def strike(_):
        signal.raise_signal(signal.SIGINT)
        return None

    class Finder:
        struck = False

        def find_spec(self, name, path=None, target=None):
            if not self.struck and name == sys.argv[1]:
                self.struck = True
                lock = Lock()
                gone = weakref.ref(lock, strike)  # what is raised in here, CPython swallows
                del lock
                gone()

    sys.meta_path.insert(0, finder := Finder())
    try:
        {call}
    except KeyboardInterrupt:
        assert finder.struck
        print("interrupted")
    else:
        print("went on", finder.struck)
"""


@pytest.mark.parametrize(
    "call",
    [
        "lw.map(work, range(3000))",
        "lw.map(work, range(3000), backend='threads')",
        "lw.map(work, range(3000), backend='processes')",
        "list(lw.imap(work, range(3000)))",
    ],
)
def test_none_is_lost_while_the_main_thread_loads_modules(call):
    """Not even one that comes where the interpreter itself swallows what is raised."""
    script = textwrap.dedent(LOADING).replace("{call}", call)
    run = subprocess.run(
        [sys.executable, "-c", script, "lightwork._collecting"], cwd=ROOT, capture_output=True, text=True, timeout=45
    )
    assert (run.stdout, run.stderr, run.returncode) == ("interrupted\n", "", 0)


HANDLED = """
    looked = None  # the first thing that there is to be looked at
    import functools, signal, sys
    import lightwork as lw

    class Told(Exception):
        pass

    kind = {"told": Told, "timeout": TimeoutError}[sys.argv[1]]
    by = []

    def strike():
        if by:
            return
        by.append(sys._getframe(1).f_code.co_name)
        if sys.argv[3] == "itself":
            raise kind
        signal.raise_signal(signal.SIGUSR1)

    class Handler:
        def __call__(self, *_):
            raise kind

        handle = __call__

    def handle(*_):
        raise kind

    handlers = {"method": Handler().handle, "object": Handler(), "partial": functools.partial(handle)}
    signal.signal(signal.SIGUSR1, handlers.get(sys.argv[3], handle))

    class Meta(type):
        @property
        def __module__(cls):  # nobody but who prepares for what a worker will import has reason to ask for it
            strike()
            return "elsewhere"

    class Looked(metaclass=Meta):
        pass

    def see(event, arguments):
        if event == "import" and arguments[0] == "lightwork._backends._needs":
            strike()

    if sys.argv[2] == "look":
        looked = Looked()
    else:
        sys.addaudithook(see)
    try:
        lw.map(lambda x: -x, range(4), backend="processes", max_workers=1)
    except kind:
        print("raised", *by)
    else:
        print("went on", *by)
    looked = None
    print(*lw.map(lambda x: -x, range(4), backend="processes", max_workers=1))
"""


def handled(*arguments):
    script = textwrap.dedent(HANDLED)
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=45
    )
    assert (run.stderr, run.returncode) == ("", 0)
    said, results = run.stdout.splitlines()
    assert results == "0 -1 -2 -3"
    return said


@pytest.mark.parametrize("kind", ["told", "timeout"])
@pytest.mark.parametrize("handler", ["function", "method", "object", "partial"])
def test_what_a_handler_raises_comes_out_also_where_what_objects_raise_does_not(kind, handler):
    assert handled(kind, "look", handler) == "raised __module__"


@pytest.mark.parametrize("kind", ["told", "timeout"])
def test_what_a_handler_raises_while_the_starter_boots_comes_out(kind):
    assert handled(kind, "import", "function") == "raised see"


@pytest.mark.parametrize("kind", ["told", "timeout"])
def test_what_an_object_raises_that_is_looked_at_does_not(kind):
    assert handled(kind, "look", "itself") == "went on __module__"


TRAVELLING = """
    import fractions, signal, sys
    import lightwork as lw
    from lightwork import _context

    struck = []

    def handle(*_):
        struck.append(True)
        raise ZeroDivisionError

    signal.signal(signal.SIGUSR1, handle)

    def strike():
        if not struck and _context.backend() is None:
            signal.raise_signal(signal.SIGUSR1)

    class Item:
        def __reduce__(self):
            strike()
            return Item, ()

    def fraction(item):
        import fractions
        return fractions.Fraction(1, 3)

    items = [1, 2, 3]
    if sys.argv[1] == "item":
        items = [Item() for _ in items]
    else:
        lw.map(fraction, items, backend="processes", max_workers=1)
        sys.addaudithook(lambda event, _: strike() if event == "pickle.find_class" else None)
    try:
        results = lw.map(fraction, items, backend="processes", max_workers=1, errors=sys.argv[2])
    except ZeroDivisionError:
        print("raised")
    else:
        print("went on", results, struck)
    print(*lw.map(fraction, items, backend="processes", max_workers=1))
"""


@pytest.mark.parametrize("what", ["item", "result"])
@pytest.mark.parametrize("errors", ["raise", "return"])
def test_what_a_handler_raises_while_something_is_pickled_or_read_is_no_trouble_of_that(what, errors):
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRAVELLING), what, errors],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=45,
    )
    assert (run.stdout, run.stderr) == ("raised\n1/3 1/3 1/3\n", "")
