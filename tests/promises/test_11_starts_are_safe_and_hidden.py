"""Promise 11: never forks a process that has threads; the start is hidden behind useful work and is reported."""

from __future__ import annotations

import itertools

import psutil

import lightwork as lw
from tests.leftovers import starters
from tests.promises import jobs
from tests.promises.programs import run

THREADED = """
import os, threading
import lightwork as lw

forks = []
os.register_at_fork(before=lambda: forks.append(os.getpid()))
held = threading.Lock()
held.acquire()  # a fork would inherit it for ever held
waiting = threading.Event()
threads = [threading.Thread(target=waiting.wait, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
results = lw.map(lambda x: (x, len(__import__("threading").enumerate())), range(8), backend="processes", max_workers=4)
assert results == [(x, 1) for x in range(8)], results
assert not forks, forks
waiting.set()
print("fine")
"""


def test_a_caller_with_threads_is_not_forked():
    done = run("-W", "error", "-c", THREADED)
    assert (done.stdout, done.stderr) == ("fine\n", "")


NEEDS = """
import json, queue as named_otherwise, sys
from decimal import Decimal
from fractions import Fraction  # a file of the user's own
from near import through
import lightwork as lw
from lightwork._backends._needs import needs

def uses(x):
    return json.dumps(x), Decimal(x), Fraction(x)

print(sorted({"decimal", "json", "queue", "fractions"}.intersection(needs(uses)[0])))
print({"colorsys", "wave"} <= set(needs(through)[0]))
print(needs(abs) == needs(3) == ([name for name in ("logging", "warnings") if name in sys.modules], None))
print(lw.map(uses, [1], backend="processes"))
"""


def test_what_a_function_takes_of_the_standard_library_is_told_to_the_starter(tmp_path):
    (tmp_path / "fractions.py").write_text("Fraction = str\n")
    (tmp_path / "near.py").write_text("import colorsys\nfrom far import through\n")
    (tmp_path / "far.py").write_text("import near, wave\ndef through(x): return wave and x\n")
    done = run("-W", "error", "-c", NEEDS, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout == "['decimal', 'json']\nTrue\nTrue\n[('1', Decimal('1'), '1')]\n"


PROXIES = """
import lightwork as lw

class Unset:  # as settings that nobody has made, and what stands for a request outside of one
    @property
    def __class__(self):
        raise RuntimeError("somebody wanted it made")

    def __getattr__(self, name):
        raise RuntimeError("somebody wanted it made")

class Mock:
    def __getattr__(self, name):
        return lambda *_: name

    def __call__(self, x):
        return -x

class Shy:
    def __getattr__(self, name):
        raise RuntimeError("somebody wanted to know")

unset, mock, shy = Unset(), Mock(), Shy()

def uses(x):
    return x + 1 if unset is not None else 0

if __name__ == "__main__":
    import proxies
    print([str(lw.check(fn, [1])).partition(":")[0] for fn in (uses, proxies.uses)])
    print(lw.map(proxies.uses, [1, 2], backend="processes"), lw.map(proxies.mock, [1, 2], backend="processes"))
    from lightwork._backends import _spawning
    _spawning.hasten(proxies.shy)
    _spawning.relax(proxies.shy)
    try:
        lw.map(uses, [1, 2], backend="processes")
    except lw.UnpicklableError as error:
        print(error.path)
"""


def test_objects_that_only_stand_for_others_are_not_asked_for_these(tmp_path):
    (tmp_path / "proxies.py").write_text(PROXIES)
    done = run("proxies.py", cwd=tmp_path)
    said = "['uses', 'uses']\n[2, 3] [-1, -2]\nfunction's global 'unset'\n"
    assert (done.stdout, done.stderr) == (said, "")


def test_what_forks_has_one_thread():
    with lw.Executor(2, backend="processes") as executor:
        executor.submit(jobs.square, 1).result(20)
        (starter,) = starters()
        assert starter.num_threads() == 1
        assert all(psutil.Process(child.pid).num_threads() == 1 for child in starter.children())


def test_the_start_is_in_the_report():
    report = lw.map(jobs.square, range(8), backend="processes").report
    assert 0 < report.startup <= report.seconds


def test_auto_works_while_processes_start():
    """The calls of a computing function go on in the caller until the first worker is there."""
    fn = lambda x: (sum(range(60_000)), __import__("os").getpid())[1]  # noqa: E731 - travels by value
    me, pids = psutil.Process().pid, []
    results = lw.imap(fn, itertools.count(), backend=("serial", "processes"), max_workers=2)
    while not pids or pids[-1] == me:  # on a crowded machine a process takes its time
        pids.append(next(results))
    results.close()
    assert len(pids) > 10 and pids[0] == me
