"""Classes of a script, and what decorators make of its functions, mean the same in a worker as in a plain loop."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import subprocess
import sys
import typing

import pytest

import lightwork as lw

BACKENDS = ["processes"] + (["interpreters"] if sys.version_info >= (3, 14) else [])

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_in_a_loop(function, items, backend):
    results = lw.map(function, items, backend=backend, max_workers=2)
    assert list(results) == [function(item) for item in items]
    return results


def test_a_class_that_comes_back_is_left_as_it_is_here(backend):
    out = run(
        f"""
import lightwork as lw
COUNT = 0
class Thing:
    made = {{}}
    def bump(self):
        global COUNT
        COUNT += 1
bump, made = Thing.bump, Thing.made
def make(x):
    Thing.made[x] = x
    return Thing()
things = lw.map(make, range(3), backend={backend!r})
things[0].bump()
print(type(things[0]) is Thing, Thing.bump is bump, Thing.made is made, COUNT)
"""
    )
    assert out == "True True True 1\n"


def test_a_worker_keeps_what_calls_have_put_into_a_class_and_takes_what_the_caller_has_changed(backend):
    out = run(
        f"""
import lightwork as lw
class Thing:
    seen, scale = [], 1
def see(thing):
    Thing.seen.append(1)
    return len(Thing.seen), thing.scale
with lw.Executor(1, backend={backend!r}) as executor:
    print(executor.submit(see, Thing()).result(), end=" ")
    Thing.scale = 2
    print(executor.submit(see, Thing()).result())
"""
    )
    assert out == "(1, 1) (2, 2)\n"


def test_slots(backend):
    @dataclasses.dataclass(slots=True)
    class Point:
        x: int
        y: int = 3

    class Hidden:
        __slots__ = ("__weakref__", "__x", "unset")

        def __init__(self, x):
            self.__x = x

        def __eq__(self, other):
            return self.__x == other.__x

        def __hash__(self):
            return self.__x

    class Named(typing.NamedTuple):
        x: int

    as_in_a_loop(lambda x: (Point(x), Hidden(x), Named(x)), range(3), backend)
    as_in_a_loop(lambda thing: thing, [Point(1), Hidden(2), Named(3)], backend)
    as_in_a_loop(lambda thing: hasattr(thing, "__dict__"), [Point(1), Hidden(2), Named(3)], backend)


def test_enumerations(backend):
    class Planet(enum.Enum):
        EARTH = (5.976e24, 6.37814e6)
        HOME = EARTH
        MARS = (6.421e23, 3.3972e6)

        def __init__(self, mass, radius):
            self.mass = mass
            self.radius = radius

    class Access(enum.Flag):
        READ = 1
        WRITE = 2
        BOTH = 3

    as_in_a_loop(lambda name: Planet[name].mass, ["EARTH", "HOME", "MARS"], backend)
    as_in_a_loop(lambda x: (Planet.HOME, Access.BOTH, Access(x)), range(3), backend)
    as_in_a_loop(lambda x: x, [Planet.MARS, Access.BOTH, Access.READ | Access.WRITE], backend)


def test_the_name_of_a_nested_class(backend):
    @dataclasses.dataclass
    class Point:
        x: int

    as_in_a_loop(lambda x: repr(Point(x)), range(3), backend)


@pytest.mark.parametrize("item", [7, [1, [2]], "x"])
def test_single_dispatch(backend, item):
    @functools.singledispatch
    def written(x):
        """Tells."""
        return f"<{x}>"

    @written.register
    def _(x: list):
        return "".join(map(written, x))

    as_in_a_loop(written, [item] * 3, backend)
    as_in_a_loop(lambda x: (written.__name__, written.__doc__, written.__wrapped__(x)), [item], backend)


def test_cached_properties(backend):
    class Square:
        def __init__(self, side):
            self.side = side

        @functools.cached_property
        def area(self):
            return self.side**2

    as_in_a_loop(lambda square: (square.area, vars(square)), [Square(2), Square(3)], backend)


def test_context_managers_as_decorators(backend):
    @contextlib.contextmanager
    def around(x):
        yield x

    @around(3)
    def more(x):
        return x + 1

    as_in_a_loop(more, range(3), backend)
