"""Classes of a script, and what decorators make of its functions, mean the same in a worker as in a plain loop."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import gc
import os
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


def test_a_class_is_sent_once_and_named_from_then_on(backend):
    class Large:
        text = "x" * 100_000

        def __init__(self, number):
            self.number = number

    results = lw.map(lambda large: Large(large.number + 1), map(Large, range(300)), backend=backend, max_workers=1)
    assert [large.number for large in results] == list(range(1, 301)) and {*map(type, results)} == {Large}
    assert results.report.sent < 10_000_000


def test_what_the_caller_changes_in_a_class_is_seen_also_when_it_was_named_before(backend):
    class Base:
        offset = 0

    class Scaled(Base):
        scale = 1

        def value(self):
            return 10 * self.scale + self.offset

    with lw.Executor(1, backend=backend) as executor:
        found = []
        for change in range(4):
            found += [executor.submit(lambda scaled: scaled.value(), Scaled()).result() for _ in range(4)]
            if change % 2:
                Base.offset += 1
            else:
                Scaled.scale += 1
        assert found == [each for each in (10, 20, 21, 31) for _ in range(4)]
        assert [executor.submit(lambda scaled: scaled.offset, Scaled()).result() for _ in range(3)] == [2] * 3
        Scaled.added = property(lambda scaled: [scaled.offset])
        assert executor.submit(lambda scaled: scaled.added, Scaled()).result() == [2]


def test_classes_that_are_gone_here_can_come_back(backend):
    def fresh(number):
        class Local:
            def __init__(self):
                self.number = number

        return Local()

    kept = []

    def keep(thing, at):
        if at is None:
            kept.append(thing)
        return len(kept) if at is None else kept[at]

    with lw.Executor(1, backend=backend) as executor:
        for number in range(20):
            assert executor.submit(keep, fresh(number), None).result() == number + 1
            gc.collect()
        assert [executor.submit(keep, None, at).result().number for at in range(20)] == list(range(20))


def test_a_new_worker_is_sent_what_the_last_one_had(backend):
    if backend != "processes":
        pytest.skip("what kills an interpreter kills its caller")

    class Thing:
        pass

    def call(thing, dies):
        if dies:
            os._exit(3)
        return thing

    with lw.Executor(1, backend=backend) as executor:
        for number in range(24):
            future = executor.submit(call, Thing(), number % 6 == 5)
            if number % 6 == 5:
                assert isinstance(future.exception(), lw.WorkerCrashed)
            else:
                assert type(future.result()) is Thing


def test_more_classes_than_are_kept(backend, monkeypatch):
    from lightwork import _class_names

    monkeypatch.setattr(_class_names, "MOST", 3)
    kinds = [type(f"Kind{number}", (), {"number": number}) for number in range(8)]
    with lw.Executor(1, backend=backend) as executor:
        for _ in range(3):
            for kind in kinds:
                assert type(executor.submit(lambda thing: thing, kind()).result()) is kind
