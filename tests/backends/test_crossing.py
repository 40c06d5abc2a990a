"""What crosses between a worker and its caller in spite of itself: odd exceptions, bytes that are printed."""

from __future__ import annotations

import codecs
import contextvars
import io
import subprocess
import sys
import textwrap
import threading

import pytest

import lightwork as lw
from lightwork import _carried, _culprit, _pickling
from lightwork._backends._output import STDOUT, Lines
from lightwork.errors import RemoteError, UnpicklableError


class Odd(Exception):
    """Does not survive a plain pickle."""

    def __init__(self, code, *, colour):
        super().__init__(code)
        self.colour = colour


class Lost(Exception):
    """Refuses every way."""

    def __new__(cls, *args):
        if args == ("unmade",):
            raise TypeError("never again")
        return super().__new__(cls, *args)

    def __init__(self, *args):
        super().__init__("unmade")


class OddGroup(ExceptionGroup):
    def __new__(cls, members, *, code):
        made = super().__new__(cls, "odd group", members)
        made.code = code
        return made

    def __init__(self, members, *, code):
        pass

    def derive(self, members):
        return OddGroup(members, code=self.code)


class Speechless(Exception):
    def __str__(self):
        raise ValueError("bad str")

    def __repr__(self):
        raise SystemExit("bad repr")


def crossed(exception):
    try:
        raise exception
    except BaseException as raised:
        return _carried.unpack(_carried.pack(raised))


def noted(exception, note):
    exception.add_note(note)
    return exception


def test_members_of_a_group_are_carried_one_by_one():
    inner = ExceptionGroup("inner", [noted(Odd(1, colour="red"), "of odd"), KeyError("k")])
    back = crossed(noted(ExceptionGroup("outer", [ValueError(1), inner, Lost()]), "of outer"))
    assert type(back) is ExceptionGroup
    assert back.message == "outer"
    assert back.__notes__ == ["of outer"]
    value, nested, lost = back.exceptions
    assert type(value) is ValueError
    assert type(nested) is ExceptionGroup
    assert [type(each) for each in nested.exceptions] == [Odd, KeyError]
    odd = nested.exceptions[0]
    assert (odd.args, odd.colour, odd.__notes__) == ((1,), "red", ["of odd"])
    assert type(lost) is RemoteError
    assert "Lost: unmade" in str(lost)
    assert "Odd: 1" in str(back.__cause__)
    matched = back.subgroup(Odd)
    assert matched.exceptions[0].exceptions == (odd,)


def test_a_group_of_base_exceptions():
    back = crossed(BaseExceptionGroup("g", [KeyboardInterrupt("k"), Odd(1, colour="red")]))
    assert type(back) is BaseExceptionGroup
    assert [type(each) for each in back.exceptions] == [KeyboardInterrupt, Odd]


def test_a_group_of_an_odd_class_keeps_it():
    back = crossed(OddGroup([Odd(1, colour="red")], code=7))
    assert (type(back), back.message, back.code) == (OddGroup, "odd group", 7)
    assert [type(each) for each in back.exceptions] == [Odd]


def test_a_group_whose_class_is_lost_keeps_its_members():
    class Closed(ExceptionGroup):
        lock = threading.Lock()

    back = crossed(Closed("g", [noted(ValueError(1), "of value"), Odd(1, colour="red")]))
    assert type(back) is ExceptionGroup
    assert [type(each) for each in back.exceptions] == [ValueError, Odd]
    assert back.exceptions[0].__notes__ == ["of value"]
    assert "Closed" in back.__notes__[0]


def test_an_exception_without_a_text_keeps_its_class():
    back = crossed(Speechless(3))
    assert (type(back), back.args) == (Speechless, (3,))
    back = crossed(Odd(Speechless(threading.Lock()), colour="red"))
    assert type(back) is Odd


def raise_what(which):
    if which == "group":
        raise ExceptionGroup("g", [ValueError(1), Odd(1, colour="red")])
    if which == "speechless":
        raise Speechless(3)
    return which


@pytest.mark.parametrize("backend", ["processes", "interpreters"])
def test_a_worker_goes_on_after_odd_exceptions(backend):
    if backend == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("needs Python 3.14")
    found = list(lw.map(raise_what, ["group", "speechless", "fine"], backend=backend, max_workers=1, errors="return"))
    assert [type(each.exception) for each in found[:2]] == [ExceptionGroup, Speechless]
    assert [type(each) for each in found[0].exception.exceptions] == [ValueError, Odd]
    assert found[2] == "fine"


# what is printed


@pytest.fixture
def stream():
    sent = []

    def send(parts):
        frame = b"".join(bytes(part) for part in parts)
        sent.append(frame[frame.index(bytes([STDOUT]), 16) + 1 :].decode())

    lines = Lines(STDOUT, sys.__stdout__, send, [], threading.RLock())
    lines.sent = sent
    return lines


def test_bytes_join_the_lines(stream):
    stream.write("a ")
    assert stream.buffer.write("é".encode()[:1]) == 1
    stream.buffer.write(memoryview("é".encode()[1:] + b"\nnext"))
    assert stream.sent == ["a é\n"]
    stream.write(" text\n")
    stream.buffer.write(b"\xff\n")
    assert "".join(stream.sent) == "a é\nnext text\n\\xff\n"
    with pytest.raises(TypeError):
        stream.buffer.write("text")
    with pytest.raises(TypeError):
        stream.write(b"bytes")


def test_half_a_character_is_shown_where_it_ends(stream):
    stream.buffer.write(b"\xc3")
    assert stream.unfinished
    stream.write("x")
    stream.buffer.write(b"\xa9\xc3")
    stream.finish()
    assert not stream.unfinished
    assert "".join(stream.sent) == "\\xc3x\\xa9\\xc3\n"


def test_what_programs_ask_of_a_text_stream(stream):
    assert (stream.encoding, stream.errors, stream.closed, stream.isatty()) == (
        "utf-8",
        "backslashreplace",
        False,
        False,
    )
    assert stream.writable()
    assert stream.buffer.writable()
    assert not stream.readable()
    assert not stream.seekable()
    assert stream.buffer is stream.buffer
    stream.writelines(["a\n", "b\n"])
    stream.buffer.writelines([b"c\n"])
    stream.flush()
    stream.buffer.flush()
    stream.reconfigure(encoding="latin-1", errors="replace", line_buffering=True)
    assert (stream.encoding, stream.errors) == ("latin-1", "replace")
    stream.buffer.write(b"\xe9\n")
    assert "".join(stream.sent) == "a\nb\nc\né\n"
    with pytest.raises(LookupError):
        stream.reconfigure(encoding="no such")


def test_no_call_closes_the_stream_for_the_next(stream):
    wrapped = io.TextIOWrapper(stream.buffer, encoding="utf-8")
    wrapped.write("wrapped\n")
    wrapped.flush()
    wrapped.close()
    codecs.getwriter("utf-8")(stream.detach()).write("encoded\n")
    with stream:
        print("within", file=stream, flush=True)
    print("after", file=stream, flush=True)
    assert "".join(stream.sent) == "wrapped\nencoded\nwithin\nafter\n"


def write_bytes(_):
    print("begun", end=" ")
    sys.stdout.buffer.write("é bytes\n".encode())
    sys.stdout.buffer.write(b"\xe2\x82")
    return sys.stdout.fileno() == sys.stdout.buffer.fileno() == 1


@pytest.mark.parametrize("backend", ["processes", "interpreters"])
def test_bytes_from_a_worker(backend, capsys):
    if backend == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("needs Python 3.14")
    assert list(lw.map(write_bytes, range(2), backend=backend, max_workers=1)) == [True, True]
    assert capsys.readouterr().out == "begun é bytes\n\\xe2\\x82\n" * 2


# what messages say


def test_the_path_into_deep_data_is_cut_in_the_middle():
    deep = threading.Lock()
    for _ in range(100):
        deep = [deep]
    path, part = _culprit.find(deep, "result", _pickling.dump)
    assert type(part) is type(threading.Lock())
    assert len(path) <= _culprit.LONGEST
    assert path.startswith("result[0][0]")
    assert " … " in path
    assert path.endswith("[0]")


def test_a_context_variable_has_a_remedy_of_its_own():
    variable = contextvars.ContextVar("variable")
    error = _carried.unpicklable(TypeError("cannot pickle"), {"v": variable}, "item")
    assert error.path == "item['v']"
    assert "pass the value as an argument" in error.remedy


def test_a_part_whose_repr_raises_does_not_hide_the_path():
    path, _ = _culprit.find({"k": threading.Lock(), 1: Speechless()}, "x", _pickling.dump)
    assert path == "x['k']"
    assert _culprit.shown(Speechless()) == "<Speechless object>"


def test_a_context_variable_of_main(tmp_path):
    program = """
    import contextvars
    import lightwork as lw
    user = contextvars.ContextVar("user", default="nobody")
    def greet(i): return user.get()
    if __name__ == "__main__":
        try: list(lw.map(greet, [1], backend="processes"))
        except lw.UnpicklableError as error: print(error)
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(program))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert "'user' is a ContextVar" in done.stdout
    assert "pass the value as an argument" in done.stdout


class Vanishing:
    def __init__(self, fault):
        self.fault = fault

    def __reduce__(self):
        return load_badly, (self.fault,)


def load_badly(fault):
    if fault == "module":
        import surely_not_there  # type: ignore[import-not-found]  # noqa: F401
    if fault == "name":
        return _pickling.load(b"ctests.backends.test_crossing\nNoSuchName\n.")
    if fault == "own":
        return object().colour
    return None


def take(item):
    return item


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("module", "The module 'surely_not_there' cannot be imported in the worker"),
        ("name", "'tests.backends.test_crossing.NoSuchName' cannot be imported in the worker"),
        ("own", "its __setstate__ must not fail"),
    ],
)
def test_the_advice_fits_the_cause(fault, advice):
    with pytest.raises(UnpicklableError) as caught:
        list(lw.map(take, [Vanishing(fault)], backend="processes", max_workers=1))
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("iterables", "text"),
    [
        (([1, 2], [1]), "strict=True: iterable 2 is shorter than iterable 1"),
        (([1], [1, 2]), "strict=True: iterable 2 is longer than iterable 1"),
        (([1, 2], [1, 2], [1]), "strict=True: iterable 3 is shorter than iterables 1-2"),
    ],
)
def test_strict_names_the_iterable(iterables, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        list(lw.map(max, *iterables, backend="serial", strict=True))


def test_an_error_of_the_callers_own_zip_is_left_alone():
    with pytest.raises(ValueError, match="zip"):
        list(lw.map(take, zip([1, 2], [1], strict=True), backend="serial"))
