"""NumPy is imported once by the process that forks workers, where that changes nothing but how long it takes."""

from __future__ import annotations

import os
import textwrap
import time

import pytest

from tests.leftovers import linux
from tests.promises.programs import ROOT, run

pytest.importorskip("numpy")

ANY = [*(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")), "VECLIB_MAXIMUM_THREADS"]
CLEAN = {name: value for name, value in os.environ.items() if name not in ANY and not name.startswith("LIGHTWORK_")}

BEGIN = """
    import os, pathlib, sys
    import lightwork as lw
    from tests.leftovers import starters, wait_for

    def come_by(_):  # whether it was there before anybody asked for it
        sys.early = getattr(sys, "early", "numpy" in sys.modules)  # as it was at this worker's first call
        import numpy
        return sys.early, numpy.__file__

    def found(**options):
        return set(lw.map(come_by, range(4), backend="processes", max_workers=2, chunksize=1, **options))
"""


def said(text, tmp_path, *, path=True, more="", **environ):
    """What a program prints, which begins like this and finds modules of ``tmp_path``."""
    paths = [str(tmp_path), str(ROOT)] if path else [str(ROOT)]
    environ = {**CLEAN, "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]), **environ}
    program = "".join(map(textwrap.dedent, (BEGIN, more, text)))
    done = run("-W", "error", "-c", program, cwd=tmp_path, env=environ)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.split()


@pytest.fixture
def made_up(tmp_path):
    """Writes a ``numpy`` into the folder."""

    def write(text, folder="."):
        package = tmp_path / folder / "numpy"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(textwrap.dedent(text))
        return str(package / "__init__.py")

    return write


@linux
def test_workers_have_the_callers_numpy_from_their_starter(tmp_path):
    text = """
        import numpy
        assert found() == {(True, numpy.__file__)}
        (starter,) = starters()
        assert found(call_timeout=20) == {(True, numpy.__file__)}
        assert starters() == [starter] and starter.num_threads() == 1
        print("fine")
    """
    assert said(text, tmp_path) == ["fine"]


@linux
def test_a_starter_is_replaced_by_one_that_stocks_what_a_function_takes(tmp_path):
    text = """
        with lw.Executor(2, backend="processes") as executor:
            assert list(executor.map(abs, [-1])) == [1]
            assert found() == {(False, __import__("numpy").__file__)}
            (first,) = starters()
            import numpy
            assert found() == {(True, numpy.__file__)}
            assert len(starters()) == 2  # the executor's workers have the other
            assert list(executor.map(abs, [-2])) == [2]
        wait_for(lambda: first.status() == "zombie")
        assert found() == {(True, numpy.__file__)}
        assert len(starters()) == 1
        print(*{"numpy" in names for names in lw.map(lambda _: set(sys.modules), [1], backend="processes")})
    """
    assert said(text, tmp_path) == ["True"]


@linux
@pytest.mark.parametrize("how", ["executor", "compare", "items", "helper", "closure"])
def test_it_is_for_all_that_runs_in_processes(how, tmp_path):
    text = f"""
        import numpy
        def early(_): return "nump" + "y" in sys.modules
        def helper(): return numpy
        def led(_): return early(_) if helper else None
        if {how!r} == "executor":
            with lw.Executor(2, backend="processes") as executor:
                print(executor.submit(come_by, 0).result()[0])
        elif {how!r} == "compare":
            lw.compare(come_by, range(2), backends=["processes"], rounds=2)
            print(found().pop()[0], len(starters()) == 1)
        elif {how!r} == "items":
            print(*lw.map(early, [numpy.arange(3)], backend="processes"))
        elif {how!r} == "closure":
            print(*lw.map((lambda held: lambda _: early(held))(numpy), [0], backend="processes"))
        else:
            print(*lw.map(led, [0], backend="processes"))
    """
    assert set(said(text, tmp_path)) == {"True"}


@linux
def test_functions_without_it_start_without_it(tmp_path):
    text = """
        import numpy
        print(*lw.map(lambda _: "nump" + "y" in sys.modules, range(2), backend="processes"))
    """
    assert said(text, tmp_path) == ["False", "False"]


@pytest.mark.parametrize("random", ["numpy", "numpy.random"])
def test_workers_draw_different_numbers(random, tmp_path):
    text = f"""
        import {random}
        def draw(_):
            state = numpy.random.get_state()[1][:3]
            return tuple(map(int, state)), os.getpid(), numpy.random.random(), numpy.random.default_rng().random()
        barrier = lw.Barrier(2)
        def both(x):
            barrier.wait()  # so that each of the two has one
            return draw(x)
        drawn = [x for _ in range(3) for x in lw.map(both, range(2), backend="processes", max_workers=2, chunksize=1)]
        print(*(len({{each[column] for each in drawn}}) for column in range(4)))
    """
    assert said(text, tmp_path) == ["6"] * 4


THREADS = """
    import numpy
    from lightwork._machine import affinity
    def threads(_):
        import threadpoolctl
        square = numpy.ones((400, 400))
        square @ square
        blas = [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
        return blas[0], len(os.listdir("/proc/self/task"))
    def used(workers):
        (found,) = set(lw.map(threads, range(2), backend="processes", max_workers=workers))
        return found
"""


@linux
def test_a_worker_has_as_many_threads_as_cores_of_its_own(tmp_path):
    text = """
        cores = affinity()
        assert used(cores) == (1, 1), used(cores)
        assert used(1) == (cores, cores), used(1)
        def nested(_): return lw.map(threads, [1], backend="processes", max_workers=1)[0]
        assert lw.map(nested, [1], backend="processes", max_workers=1) == [(cores, cores)]
        assert used(cores) == (1, 1)
        print(len(starters()))
    """
    assert said(text, tmp_path, more=THREADS) == ["1"]


@linux
def test_what_the_user_has_set_by_then_wins(tmp_path):
    text = """
        def now():
            return found().pop()[0], used(2)[0]
        assert now() == (True, 1)
        os.environ["OPENBLAS_NUM_THREADS"] = "2"
        assert now() == (False, min(2, affinity()))
        del os.environ["OPENBLAS_NUM_THREADS"]
        assert now() == (True, 1)
        os.environ["NPY_DISABLE_CPU_FEATURES"] = ""
        assert found().pop()[0]
        os.environ["OMP_NUM_THREADS"] = "1"
        assert found().pop()[0] and used(1)[0] == 1
        print(*lw.map(lambda _: numpy and os.environ.get("NPY_DISABLE_CPU_FEATURES") == "", [1], backend="processes"))
    """
    assert said(text, tmp_path, more=THREADS) == ["True"]


@linux
def test_it_finds_the_environment_of_the_first_call(made_up, tmp_path):
    made_up("import os; found = os.environ.get('NPY_WORD'), os.environ.get('NPY_OLD')")
    text = """
        import numpy
        os.environ["NPY_OLD"] = "old"
        with lw.Executor(1, backend="processes") as executor:  # its starter boots from now on
            os.environ["NPY_WORD"] = "new"
            del os.environ["NPY_OLD"]
            print(executor.submit(come_by, 0).result()[0], *executor.submit(lambda: numpy.found).result())
    """
    assert said(text, tmp_path) == ["True", "new", "None"]


@linux
def test_an_initializer_comes_before_it(tmp_path):
    text = """
        assert found().pop()[0]
        def set_up():
            assert "numpy" not in sys.modules
            os.environ["OPENBLAS_NUM_THREADS"] = "2"
        with lw.Executor(2, backend="processes", initializer=set_up) as executor:
            assert executor.submit(threads, 0).result()[0] == min(2, affinity())
        print(found().pop()[0])
    """
    assert said(text, tmp_path, more=THREADS) == ["True"]


@linux
def test_one_that_starts_a_thread_is_imported_by_workers_alone(made_up, tmp_path):
    made_up("""
        import os, threading
        with open("imports", "a") as file:
            print(os.getpid(), file=file)
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    """)
    text = """
        import numpy
        assert found() == {(False, numpy.__file__)}
        (starter,) = starters()
        print(starter.num_threads(), str(starter.pid) in pathlib.Path("imports").read_text().split())
        print(found() == {(False, numpy.__file__)}, starters() == [starter])
    """
    assert said(text, tmp_path) == ["1", "True", "True", "True"]


def test_one_that_fails_fails_in_workers(made_up, tmp_path):
    made_up("""
        import sys
        if sys.argv != ["-c"] or not hasattr(sys.modules["__main__"], "come_by"):
            raise RuntimeError("not here")
    """)
    text = """
        import numpy
        try:
            found()
        except RuntimeError as error:
            print(error)
    """
    assert said(text, tmp_path) == ["not", "here"]


@linux
def test_what_it_warns_of_is_the_callers_affair(made_up, tmp_path):
    made_up("import warnings; warnings.warn('told', RuntimeWarning)")
    text = """
        import warnings
        with warnings.catch_warnings(action="ignore"):
            import numpy
        warnings.resetwarnings()
        print(*found().pop())
    """
    file = str(tmp_path / "numpy" / "__init__.py")
    assert said(text, tmp_path) == ["True", file]


def test_only_the_callers_own_is_taken(made_up, tmp_path):
    file = made_up("", "elsewhere")
    text = """
        sys.path.insert(0, "elsewhere")
        sys.path[:1] = [os.path.abspath("elsewhere")]
        import numpy
        print(*found().pop())
    """
    assert said(text, tmp_path, path=False) == ["False", file]


def test_modules_that_hide_the_standard_librarys_are_imported_by_workers(tmp_path):
    (tmp_path / "colorsys.py").write_text("hidden = True\n")
    text = """
        import colorsys, types
        sys.modules["numpy"] = types.SimpleNamespace(__spec__=types.SimpleNamespace(origin="anything"))
        from lightwork._backends._stock import stock
        print(stock(), colorsys.hidden)
    """
    assert said(text, tmp_path) == ["None", "True"]


def test_it_works_where_nobody_counts_threads(tmp_path):
    text = """
        import numpy
        print(found() == {(False, numpy.__file__)})
    """
    assert said(text, tmp_path, LIGHTWORK_PORTABLE="1") == ["True"]


@linux
def test_one_ctrl_c_ends_a_map_whose_starter_still_imports_it(made_up, tmp_path):
    """There is no worker yet, whose end would be waited for, nor a call that would go on."""
    made_up("""
        import pathlib, sys, time
        if "_starter" in " ".join(sys.orig_argv):
            pathlib.Path("importing").touch()
            time.sleep(600)
    """)
    text = """
        import signal, threading, time
        import numpy
        from lightwork._backends import _remote, _spawning

        _remote.PATIENCE = _spawning._LAST_WORDS = 30  # so that it would be noticed on the slowest machine

        def strike():
            wait_for(pathlib.Path("importing").exists)
            pathlib.Path("struck").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=strike).start()
        try:
            found()
        except KeyboardInterrupt as interrupt:
            print(str(interrupt).replace(" ", "_"))
    """
    assert said(text, tmp_path) == ["interrupted_after_0_finished_calls;_lw.partial(exc)_has_their_results"]
    assert time.time() - float((tmp_path / "struck").read_text()) < 20, "and neither of them"
