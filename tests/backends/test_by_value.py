"""Functions that travel by value: shared globals in a worker, caches, redefinition. Each program is a script's."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lightwork as lw
from lightwork._captured import ties

BACKENDS = ["processes"] + (["interpreters"] if sys.version_info >= (3, 14) else [])


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("before", ["", "V = 10", "V = None", "V = {}"])
def test_what_an_initializer_puts_into_a_global_is_seen_by_the_calls(backend, before):
    out = run(
        f"""
import lightwork as lw
{before}
def prepare(x):
    global V
    V = x
def use(i):
    return V + i
with lw.Executor(2, backend={backend!r}, initializer=prepare, initargs=(11,)) as executor:
    print(list(executor.map(use, range(3))))
"""
    )
    assert out == "[11, 12, 13]\n"


def test_a_container_that_was_filled_stays_filled():
    out = run(
        """
import lightwork as lw
CACHE = {}
def fill(x): CACHE["model"] = x
def use(i): return CACHE["model"] + i
def other(i): return sorted(CACHE), i
with lw.Executor(1, backend="processes", initializer=fill, initargs=(5,)) as executor:
    print(executor.submit(use, 1).result(), executor.submit(other, 2).result())
"""
    )
    assert out == "6 (['model'], 2)\n"


def test_a_helper_that_is_defined_again_is_taken_as_it_is_now():
    out = run(
        """
import lightwork as lw
N = 1
def helper(): return "old"
def one(_): return helper(), N
with lw.Executor(1, backend="processes") as executor:
    print(executor.submit(one, 0).result())
    def helper(): return "new"
    N = 2
    def two(_): return helper(), N
    print(executor.submit(two, 0).result())
"""
    )
    assert out == "('old', 1)\n('new', 2)\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_cached_functions_travel(backend):
    out = run(
        f"""
import functools, lightwork as lw
@functools.lru_cache(maxsize=None)
def square(x): return x * x
def through(x): return square(x) + 1
class Shape:
    @functools.lru_cache
    def area(self, x): return x * 2
def method(x): return Shape().area(x)
for fn in (square, through, method):
    print(lw.map(fn, range(4), backend={backend!r}))
"""
    )
    assert out == "[0, 1, 4, 9]\n[1, 2, 5, 10]\n[0, 2, 4, 6]\n"


def test_functions_that_come_back_do_not_share():
    out = run(
        """
import lightwork as lw
N = 0
def make(i):
    global N
    N = i
    def get(): return N
    return get
print([get() for get in lw.map(make, [3, 4], backend="processes", max_workers=1, chunksize=1)], N)
"""
    )
    assert out == "[3, 4] 0\n"


def test_a_module_that_is_registered_to_travel_by_value_does():
    out = run(
        """
import sys, types, cloudpickle, lightwork as lw
module = types.ModuleType("nowhere_to_be_found")
exec("def double(x): return 2 * x", module.__dict__)
sys.modules[module.__name__] = module
cloudpickle.register_pickle_by_value(module)
print(lw.map(module.double, range(3), backend="processes"))
"""
    )
    assert out == "[0, 2, 4]\n"


def test_functions_of_random_draw_from_each_workers_own_generator():
    """By the names under which ``from random import …`` brings them: the one generator behind them is not copied."""
    scope = {"__name__": "__main__"}
    exec("from random import random, randint\ndef draw(x): return random(), randint(1, 1 << 60)", scope)
    results = lw.map(scope["draw"], range(60), backend="processes", max_workers=2, chunksize=5)
    for column in zip(*results, strict=True):
        assert len(set(column)) == 60
    assert not ties(scope["draw"])


def test_functions_of_numpy_random_do_too():
    numpy = pytest.importorskip("numpy")
    scope = {"__name__": "__main__", "rand": numpy.random.rand}
    exec("def draw(x): return float(rand())", scope)
    results = lw.map(scope["draw"], range(60), backend="processes", max_workers=2, chunksize=5)
    assert len(set(results)) == 60
