"""Modules that nobody has loaded, or that another thread is just importing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import types

import pytest

import lightwork as lw
from lightwork._loaded import loaded, running_loop


def count(x: int) -> int:
    return sum(range(x))


@pytest.fixture
def half(tmp_path, monkeypatch):
    """A module, by its name, of which another thread has executed the first line so far."""
    (tmp_path / "lightwork_half.py").write_text("early = 1\nbegun.set()\ngo_on.wait(20)\nlate = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr("builtins.begun", begun, raising=False)
    monkeypatch.setattr("builtins.go_on", go_on, raising=False)
    thread = threading.Thread(target=__import__, args=("lightwork_half",))
    thread.start()
    assert begun.wait(20)
    yield "lightwork_half"
    go_on.set()
    thread.join(20)
    assert loaded("lightwork_half", "late") == 2
    monkeypatch.delitem(sys.modules, "lightwork_half")


@pytest.mark.timeout(60)
def test_a_module_that_is_just_being_imported_has_what_it_has_come_to(half):
    assert (loaded(half, "early"), loaded(half, "late"), loaded(half, "late", ())) == (1, None, ())


def test_a_module_that_nobody_has_loaded_has_nothing_and_is_not_loaded():
    assert loaded("lightwork_has_no_such_module", "anything", "else") == "else"
    assert "lightwork_has_no_such_module" not in sys.modules


def test_no_loop_runs_where_asyncio_is_just_being_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncio", types.ModuleType("asyncio"))
    assert running_loop() is None
    with lw.Lock():
        assert lw.per_worker(list)() == []


@pytest.mark.timeout(60)
def test_check_does_not_ask_multiprocessing_while_another_thread_imports_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "multiprocessing", types.ModuleType("multiprocessing"))
    ended = threading.Event()
    beside = threading.Thread(target=ended.wait, args=(20,))
    beside.start()
    try:
        assert not lw.check(count, range(3)).failing
    finally:
        ended.set()
        beside.join()


@pytest.mark.timeout(60)
def test_calls_with_a_seed_do_not_ask_numpy_while_another_thread_imports_it():
    script = """
        import sys, types
        import lightwork as lw

        def first(x):
            sys.modules["numpy"] = types.ModuleType("numpy")
            return x

        def fn(x):
            return x

        if __name__ == "__main__":
            with lw.Executor(1, backend="processes", seed=1) as executor:
                print([executor.submit(each, 1).result() for each in (first, fn)])
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (found.stdout, found.stderr) == ("[1, 1]\n", "")
