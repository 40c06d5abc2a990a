"""Workers times the threads of numerical libraries stay within the cores, unless the user has said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from threading import Barrier

import pytest

import lightwork as lw
from lightwork import _library_threads
from lightwork._machine import usable_cores
from lightwork._platform import interpreters

numpy = pytest.importorskip("numpy")
threadpoolctl = pytest.importorskip("threadpoolctl")

CORES = usable_cores()
NOBODYS = max(CORES, os.cpu_count() or 1) + 1
"""Threads that no library has by itself."""
WITH_INTERPRETERS = ["threads", "processes", *(["interpreters"] if interpreters() else [])]

several_cores = pytest.mark.skipif(CORES < 2, reason="on one core every share is one thread")


@pytest.fixture(autouse=True)
def nothing_set_by_the_user(monkeypatch):
    for name in _library_threads.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)


def blas_threads(_=None):
    """Threads of the BLAS library that NumPy uses here."""
    import numpy  # noqa: F401
    from threadpoolctl import threadpool_info

    (found,) = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return found


def environment(_):
    return {name: os.environ.get(name) for name in _library_threads.VARIABLES.values()}


def run(program, **environ):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@several_cores
@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("workers", [1, CORES, 2 * CORES])
def test_workers_share_the_cores(backend, workers):
    before = blas_threads()
    found = list(lw.map(blas_threads, range(8), backend=backend, max_workers=workers))
    assert set(found) == {max(1, CORES // workers)}
    assert blas_threads() == before == CORES


@several_cores
def test_a_library_that_a_call_in_a_thread_loads_is_kept_to_the_share_from_the_next_calls_on():
    program = """
        import sys
        import lightwork as lw

        def first(_):
            import numpy

        def count(_):
            from threadpoolctl import threadpool_info
            return threadpool_info()[0]["num_threads"]

        with lw.Executor(backend="threads", max_workers=64) as executor:
            executor.submit(first, 0).result()
            print(executor.submit(count, 0).result(), count(0))
    """
    assert run(program) == f"1 {CORES}"


@several_cores
@pytest.mark.parametrize("outer", ["threads", "processes"])
@pytest.mark.parametrize("inner", ["threads", "processes", "serial"])
def test_nested_calls_share_their_workers_share(outer, inner):
    before = blas_threads()
    options = {"backend": inner} if inner == "serial" else {"backend": inner, "max_workers": 2}

    def call(_):
        return list(lw.map(blas_threads, range(4), **options))

    assert list(lw.map(call, range(2), backend=outer, max_workers=CORES)) == [[1] * 4] * 2
    assert blas_threads() == before


@several_cores
def test_overlapping_maps_in_threads_keep_to_the_smaller_share_and_restore_in_the_end():
    before, both = blas_threads(), Barrier(2, timeout=20)

    def meet(_):
        both.wait()
        found = blas_threads()
        both.wait()
        return found

    with (
        lw.Executor(backend="threads", max_workers=1) as alone,
        lw.Executor(backend="threads", max_workers=CORES) as many,
    ):
        futures = [alone.submit(meet, 0), many.submit(meet, 0)]
        assert [future.result() for future in futures] == [1, 1]
    assert blas_threads() == before


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_the_users_lower_limit_wins(backend):
    with threadpoolctl.threadpool_limits(1):
        assert set(lw.map(blas_threads, range(4), backend=backend, max_workers=1)) == {1}
        assert blas_threads() == 1


def test_the_users_higher_limit_wins():
    with threadpoolctl.threadpool_limits(NOBODYS):
        assert set(lw.map(blas_threads, range(4), backend="threads", max_workers=CORES)) == {NOBODYS}
        assert blas_threads() == NOBODYS


@several_cores
@pytest.mark.parametrize(("threads", "workers"), [(1, 1), (CORES, CORES)])  # OpenBLAS takes no more than the cores
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_the_users_variable_wins(name, threads, workers):
    program = f"""
        import numpy
        import lightwork as lw
        from tests.test_library_threads import blas_threads

        for backend in ("threads", "processes"):
            print(set(lw.map(blas_threads, range(4), backend=backend, max_workers={workers})), blas_threads())
    """
    assert run(program, **{name: str(threads)}).splitlines() == [f"{{{threads}}} {threads}"] * 2


def test_variables_are_for_worker_processes_alone_and_nothing_that_is_set_is_changed(monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    (found,) = lw.map(environment, [0], backend="processes", max_workers=CORES)
    assert found == {**dict.fromkeys(_library_threads.VARIABLES.values(), "1"), "MKL_NUM_THREADS": "5"}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (found,) = lw.map(environment, [0], backend="processes", max_workers=CORES)
    assert found == {**environment(0), "OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "5"}


@pytest.mark.parametrize("backend", WITH_INTERPRETERS)
def test_nothing_is_imported_where_no_library_is_loaded(backend):
    program = f"""
        import sys
        import lightwork as lw

        list(lw.map(abs, range(10), backend={backend!r}, max_workers=2))
        print([name for name in ("numpy", "threadpoolctl") if name in sys.modules])
    """
    assert run(program) == "[]"


@several_cores
@pytest.mark.skipif(interpreters() is None, reason="no sub-interpreters here")
def test_libraries_of_this_process_are_kept_to_the_share_while_interpreters_live():
    before = blas_threads()
    with lw.Executor(backend="interpreters", max_workers=CORES) as executor:
        executor.submit(abs, 1).result()
        assert blas_threads() == 1
    assert blas_threads() == before
