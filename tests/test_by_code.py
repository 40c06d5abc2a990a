"""Plain functions by value: what arrives does what was sent, and what is more than plain is left to cloudpickle."""

from __future__ import annotations

import argparse
import dis
import importlib
import inspect
import json
import pathlib
import pickle
import subprocess
import sys
import textwrap
import types
import typing
import zipfile

import pytest

import lightwork as lw
from lightwork import _by_code, _pickling
from lightwork._standing_alone import plain_modules, standing_alone

SCRIPT = '''
import functools, json, math, xml.dom.minidom
from collections import Counter
N, TABLE = 3, {"a": [1, 2]}
def helper(x): return x + N
def plain(x): return helper(x) * math.floor(2.5)
def documented(x: int = 4, *rest, key=(5,), **others) -> "a text with __main__ in it":
    """As in ``__main__``."""
    return x, rest, key, others, __name__
documented.note = "mine"
def recursive(x): return x and recursive(x - 1)
def builder(x): return [y + N + len(TABLE) for y in range(x)], (lambda: N)()
def bind(x):
    global BOUND
    BOUND = x
    return BOUND
def closure(base):
    def again(x): return again(x - 1) if x > 5 else x + base
    return again
adder = closure(10)
def unset():
    def inner(x): return x if x else later
    early = inner
    if False: later = 0
    return early
empty = unset()
@functools.lru_cache(7)
def remembered(x): return helper(x)
def through(x): return remembered(x), remembered.cache_parameters()
def submodule(x): return xml.dom.minidom.parseString(x).documentElement.tagName
def imported(x): return Counter(x), json.dumps(x)
squared = lambda x: x * x
bound = functools.partial(documented, 1, more=2)
def generator(x): yield from range(x)
async def coroutine(x): return x
def default(x, f=helper): return f(x)
class Own:
    def method(self, x): return x
def of_class(x): return Own().method(x)
instance = Own()
def of_instance(x): return instance.method(x)
'''


@pytest.fixture
def script():
    """The names of a script that was run as ``__main__``."""
    names = {"__name__": "__main__"}
    exec(compile(SCRIPT, "script.py", "exec"), names)
    return names


def there_and_back(thing):
    data = _by_code.dumps(thing, lambda _: True, {})
    assert data is not None and _pickling._MAIN not in data
    return pickle.loads(data)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        *((name, 7) for name in ("plain", "documented", "recursive", "builder", "bind", "adder", "empty", "squared")),
        *((name, 7) for name in ("through", "bound", "default")),
        ("submodule", "<a/>"),
        ("imported", "hello"),
    ],
)
def test_what_arrives_does_the_same(script, name, argument):
    sent = script[name]
    came = there_and_back(sent)
    assert came is not sent and came(argument) == sent(argument)
    if isinstance(sent, types.FunctionType):
        for part in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__", "__dict__"):
            if name != "default" or part != "__defaults__":
                assert getattr(came, part) == getattr(sent, part), part
        assert came.__annotations__ == sent.__annotations__ and came.__globals__ is not sent.__globals__
        assert inspect.signature(came) == inspect.signature(sent) or name == "default"


def test_generators_and_coroutines(script):
    assert list(there_and_back(script["generator"])(3)) == [0, 1, 2]
    with pytest.raises(StopIteration) as ended:
        there_and_back(script["coroutine"])(8).send(None)
    assert ended.value.value == 8


def test_functions_of_several_pickles_share_their_globals(script):
    bind, use = there_and_back(script["bind"]), there_and_back(script["plain"])
    bind(12)
    assert use.__globals__ is bind.__globals__ and use.__globals__["BOUND"] == 12 and script.get("BOUND") is None


@pytest.mark.parametrize("name", ["Own", "of_class", "instance", "of_instance"])
def test_classes_of_one_s_own_take_more(script, name):
    assert _by_code.dumps(script[name], lambda _: True, {}) is None


def test_what_pickle_would_name_is_noticed(script, monkeypatch):
    """A type variable is pickled as the name of a global, without anybody being asked."""
    own = typing.TypeVar("own")
    own.__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "own", own, raising=False)
    script["own"] = own
    exec("def generic(x): return own", script)
    data = _by_code.dumps(script["generic"], lambda _: True, {})
    assert data is None or _pickling._MAIN in data


@pytest.mark.parametrize("module", [argparse, inspect, json.decoder, subprocess, textwrap, typing], ids=str)
def test_names_of_globals_are_those_that_dis_shows(module):
    def shown(code):
        ops = ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
        found = {one.argval for one in dis.get_instructions(code) if one.opname in ops}
        return found.union(*(shown(each) for each in code.co_consts if isinstance(each, types.CodeType)))

    code = compile(inspect.getsource(module), module.__file__, "exec")
    assert set(_by_code.global_names(code)) == shown(code)
    many = "\n".join(f"    print(name_{number}); global bound_{number}; bound_{number} = 1" for number in range(400))
    code = compile("def function():\n" + many, "many.py", "exec")
    assert set(_by_code.global_names(code)) == shown(code) and len(shown(code)) == 801


def test_a_script_s_function_needs_no_cloudpickle_anywhere():
    program = """
import sys, lightwork as lw
N = 2
def loaded(x): return x * N, "cloudpickle" in sys.modules, "re" in sys.modules
print(lw.map(loaded, [1], backend="processes"), "cloudpickle" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "[(2, False, False)] False\n"


def test_whether_a_function_can_be_sent_is_found_out_without_cloudpickle_where_nothing_takes_it():
    program = """
import sys, threading, lightwork as lw
def captures(thing): return lambda number: (thing, sum(range(number)))[1]
class OfThisScript: pass
for thing in 3, threading.Lock(), threading.RLock(), (n for n in ()), OfThisScript():
    refused = lw.probe(captures(thing), [20_000] * 50).refused or ""
    print(type(thing).__name__, "cannot be pickled" in refused, "cloudpickle" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.splitlines() == [
        "int False False",
        "lock True False",
        "RLock True False",
        "generator True False",
        "OfThisScript False True",
    ]


def test_what_somebody_has_taught_pickle_can_be_sent():
    program = """
import copyreg, threading, lightwork as lw
lock = threading.Lock()
copyreg.pickle(type(lock), lambda _: (threading.Lock, ()))
def waits(number):
    with lock:
        return sum(range(number))
print(lw.probe(lambda n: waits(n), [20_000] * 50).refused, lw.map(lambda n: waits(n), [3], backend="processes"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "None [3]\n"


ALONE = """
import json, math, os, sys
from collections import Counter
from json import loads
LIMIT, LONG, LIST = 7, "x" * 2_000_000, [1]
PAIRS = ((1, 2), (3, 4))
def fib(n, least=2): return n if n < least else fib(n - 1) + fib(n - 2)
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
def nested(n): return [(lambda m: fib(m))(k) for k in range(n)]
def of_a_number(n): return min(n, LIMIT)
def set_limit(n):
    global LIMIT
    LIMIT = n
def loads_a_module(_):
    import sys
    return __name__ in sys.modules
def of_a_module(n): return os.getpid() + n
def of_a_plain_module(n): return math.sqrt(len(json.loads("[4]") + [4, 4, n]))
def of_what_is_in_plain_modules(n): return Counter(loads(f"[{n}, {n}]"))[n]
def of_pairs(n): return PAIRS[0][n]
def of_a_list(n): return LIST[0] + n
def of_a_long_text(n): return LONG[n]
def of_one_that_does(n): return of_a_module(n)
def binds(n):
    global LIMIT
    LIMIT = n
    return n
def looks_around(n): return globals()["LIMIT"]
def unknown(n): return later(n)
def with_a_default(n, more=LIST): return more
def marked(n): return n
marked.seen = []
def around(base):
    def inner(n): return n + base
    return inner
closure = around(3)
async def coroutine(n): return n
class Kind:
    def method(self, n): return n
def gives(n): return fib
def compares(fn): return fn is fib
with open(__file__ + ".imported", "a") as log: log.write("x")
"""


def imports(module):
    """How often it was imported, in whatever process."""
    return len(pathlib.Path(module.__file__ + ".imported").read_text())


@pytest.fixture
def alone(tmp_path, monkeypatch):
    (tmp_path / "alone.py").write_text(ALONE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("alone")
    yield module
    del sys.modules["alone"]


@pytest.mark.parametrize(
    "name",
    ["fib", "coroutine", "of_a_plain_module", "of_what_is_in_plain_modules"],
)
def test_a_function_that_is_all_in_its_code_stands_alone(alone, name):
    assert standing_alone(getattr(alone, name)) == {getattr(alone, name)}


def test_functions_that_name_each_other_stand_together(alone):
    assert standing_alone(alone.even) == {alone.even, alone.odd}
    assert standing_alone(alone.nested) == {alone.nested, alone.fib}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "of_a_module",
            "of_pairs",
            "of_a_number",
            "of_a_list",
            "of_a_long_text",
            "loads_a_module",
            "gives",
            "compares",
            "of_one_that_does",
            "binds",
            "looks_around",
            "unknown",
        ),
        *("unknown", "with_a_default", "marked", "closure", "Kind"),
    ],
)
def test_a_function_that_needs_more_goes_by_its_name(alone, name):
    assert not standing_alone(getattr(alone, name))


def test_no_worker_imports_the_module_of_one_that_stands_alone(alone):
    assert lw.map(alone.fib, [15] * 4, backend="processes", max_workers=2) == [610] * 4
    assert lw.map(alone.even, range(4), backend="processes", max_workers=2) == [True, False, True, False]
    for fn in (alone.of_a_plain_module, alone.of_what_is_in_plain_modules):
        assert lw.map(fn, [1, 5], backend="processes", max_workers=2) == [fn(1), fn(5)]
    assert imports(alone) == 1
    assert lw.map(alone.of_a_list, range(4), backend="processes", max_workers=2) == [1, 2, 3, 4]
    assert imports(alone) > 1


def test_functions_are_what_they_are_in_the_caller_where_that_can_be_seen(alone):
    options = {"backend": "processes", "max_workers": 2}
    assert lw.map(alone.gives, range(3), **options) == [alone.fib] * 3
    assert lw.map(alone.compares, [alone.fib, alone.even], **options) == [True, False]
    assert lw.map(alone.loads_a_module, range(3), **options) == [True] * 3


SETS_UP = {
    "codecs": """
import codecs
codecs.register_error("bound", lambda error: ("?!", error.end))
def fn(n): return "\xe4".encode("ascii", "bound")
""",
    "built-ins": """
def fn(n): return _bound(n)
if True:
    __builtins__["_bound"] = abs
""",
    "replaced": """
import time, builtins as there
there.ascii, there = (lambda thing: "mine"), None
def fn(n): return ascii(n)
""",
    "json": """
import json
json.JSONEncoder.default = lambda self, thing: "bound"
def fn(n): return json.dumps([object])
""",
    "lazy": """
class Lazy:
    @property
    def __class__(self): raise RuntimeError("nobody may ask yet")
lazy, LIMIT = Lazy(), 3
def fn(n): return n + LIMIT
""",
    "package": """
def fn(n): return "\xe4".encode("ascii", "packaged")
""",
}


@pytest.mark.parametrize("name", SETS_UP)
def test_what_a_module_sets_up_when_it_is_imported_is_there(tmp_path, name):
    """In a program of its own each: none of it is to be seen by others."""
    package = tmp_path / "package"
    package.mkdir()
    setup = 'import codecs\ncodecs.register_error("packaged", lambda error: ("?!", error.end))'
    (package / "__init__.py").write_text(setup if name == "package" else "")
    (package / "module.py").write_text(SETS_UP[name])
    program = """
import lightwork as lw
from package.module import fn
print(lw.map(fn, [1, 2], backend="processes", max_workers=2) == [fn(1), fn(2)])
"""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_tracebacks_show_the_source_of_a_module_in_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("archived.py", "def fn(n):\n    return 1 / n  # in the archive")
    program = """
import sys; sys.path.insert(0, "archive.zip")
import lightwork as lw, archived, traceback
failure, = lw.map(archived.fn, [0], backend="processes", errors="return")
print("# in the archive" in "".join(traceback.format_exception(failure.exception)))
"""
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
def test_annotations_that_lead_nowhere_are_not_asked_for(tmp_path):
    (tmp_path / "module.py").write_text("def fn(n: Nowhere): return n")
    (tmp_path / "program.py").write_text("""
import lightwork as lw, module
def own(n: Nowhere): return n
class Own: pass
def of_own(n: Nowhere): return n if Own else 0
for fn in module.fn, own, of_own: print(lw.map(fn, [1, 2], backend="processes", max_workers=2))
""")
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == (3 * "[1, 2]\n", "")


def test_a_file_of_the_caller_s_that_is_called_as_one_of_the_standard_library(tmp_path):
    (tmp_path / "html.py").write_text("def shout(x): return f'{x}!'")
    (tmp_path / "module.py").write_text("import html\ndef fn(x): return html.shout(x)")
    program = "import lightwork as lw, module\nprint(lw.map(module.fn, 'ab', backend='processes', max_workers=2))"
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("['a!', 'b!']\n", "")


@pytest.mark.parametrize("more", ["0", "Own.more"])
def test_what_the_body_of_a_class_names_goes_along(tmp_path, more):
    """With a class of the script's own beside it, cloudpickle sends the function."""
    program = f"""
import lightwork as lw
LIMIT = 5
class Own: more = 0
def fn(x):
    class Inner:
        limit = LIMIT
    return Inner.limit + x + {more}
print(lw.map(fn, [1, 2], backend="processes", max_workers=2))
"""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("[6, 7]\n", "")


BOUND = """
import re
from functools import cache, wraps
MOST, TEXT, WORDS, NAMES = 9, "x y" + 200_000 * " ", re.compile("[a-z]+"), ("a", "b")
def of_constants(n): return min(n, MOST, len(WORDS.findall(TEXT)), len(NAMES))
FREE, ONE, TWO, THREE, FOUR, FIVE, SIX = range(7)
def deco(fn):
    @wraps(fn)
    def around(*args): return fn(*args)
    return around
class Kind:
    def method(self):
        global ONE
        ONE = 7
    @classmethod
    def made(cls):
        def inner():
            global TWO
            del TWO
        return inner
    @property
    def three(self):
        global THREE
        THREE += 1
@deco
def decorated():
    global FOUR
    FOUR = 0
@cache
def cached():
    global FIVE
    FIVE = 0
def poke(n):
    import bound
    bound.SIX = n
def six(n): return SIX
def free(n): return FREE
def one(n): return ONE
def two(n): return TWO
def three(n): return THREE
def four(n): return FOUR
def five(n): return FIVE
def with_a_class(n):
    class Own:
        limit = n + MOST
    return Own.limit
with open(__file__ + ".imported", "a") as log: log.write("x")
"""


@pytest.fixture
def bound(tmp_path, monkeypatch):
    (tmp_path / "bound.py").write_text(BOUND)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("bound")
    yield module
    del sys.modules["bound"]


def test_constants_that_some_code_of_the_module_binds_are_none(bound):
    assert standing_alone(bound.free)
    names = ("one", "two", "three", "four", "five", "six")
    assert [name for name in names if standing_alone(getattr(bound, name))] == []
    exec("def poke(): globals()['FREE'] = 1", vars(bound))
    assert not standing_alone(bound.free)


def test_constants_go_along_as_they_are_at_this_moment(bound, monkeypatch):
    assert standing_alone(bound.of_constants)
    assert lw.map(bound.of_constants, [1, 5], backend="processes", max_workers=2) == [1, 2]
    monkeypatch.setattr(bound, "MOST", 0)
    assert lw.map(bound.of_constants, [1, 5], backend="processes", max_workers=2) == [0, 0]
    assert lw.map(bound.with_a_class, [1, 5], backend="processes", max_workers=2) == [1, 5]
    assert imports(bound) == 1


def test_what_stands_alone_names_of_the_standard_library_is_told(alone):
    assert set(plain_modules(standing_alone(alone.of_a_plain_module))) >= {"json"}
    assert plain_modules(standing_alone(alone.fib)) == []


def test_what_a_call_has_bound_the_next_one_finds(alone):
    with lw.Executor(1, backend="processes") as executor:
        executor.submit(alone.set_limit, 3).result(20)
        assert executor.submit(alone.of_a_number, 5).result(20) == 3


def test_an_initializer_may_change_the_functions_of_a_module(alone):
    with lw.Executor(1, backend="processes", initializer=setattr, initargs=(alone, "fib", abs)) as executor:
        assert executor.submit(alone.nested, 3).result(20) == [0, 1, 2]
