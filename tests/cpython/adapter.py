"""Runs CPython's own ``test_concurrent_futures`` against ``lw.Executor``.

    python tests/cpython/adapter.py threads
    python tests/cpython/adapter.py processes

The suite is the one of the interpreter that runs this, or, where that ships without, the one in the folder that
``LIGHTWORK_CPYTHON_TEST`` names (it holds the package ``test``). Nothing of it is copied or changed: before it is
imported, ``concurrent.futures`` gets lightwork's executor in the places of its own.

Exit code: 0 where all passed, 1 where some did not, ``NOT_HERE`` where there is no suite.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import importlib
import os
import sys
import unittest
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import process as process_pools
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))  # for the interpreters that the suite starts, too

from left_out import LEFT_OUT

import lightwork as lw
from lightwork._carried import RemoteTraceback

SUITE = "test.test_concurrent_futures"
FOLDER = "LIGHTWORK_CPYTHON_TEST"
NOT_HERE = 77

EXECUTORS = {"threads": "ThreadPoolExecutor", "processes": "ProcessPoolExecutor"}
START_METHOD = "Spawn"
"""The suite repeats the process tests with each start method of multiprocessing. lightwork's processes have one way to
start, which is most like this one."""


class Standing(lw.Executor):
    """lightwork's executor with the signature of CPython's. ``mp_context`` says nothing to it."""

    kind = ""

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: object = None,
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        super().__init__(
            max_workers,
            backend=self.kind,
            initializer=initializer,
            initargs=initargs,
            max_tasks_per_child=max_tasks_per_child,
        )

    @property
    def _broken(self) -> bool:
        """The one private attribute of CPython's executors that the suite reads only to wait for what it tests."""
        return any(service.broken is not None for service in self._services.values())


def install() -> None:
    """Puts lightwork's executors in the places of CPython's, and makes the suite importable."""
    folder = os.environ.get(FOLDER)
    if folder:
        sys.path.insert(0, folder)
    for kind, name in EXECUTORS.items():
        standing = type(name, (Standing,), {"kind": kind, "__module__": __name__})
        globals()[name] = standing
        setattr(futures, name, standing)
    # Private, but only looked for in the cause of an exception that was raised in a worker.
    process_pools._RemoteTraceback = RemoteTraceback


def modules() -> list[Any]:
    """The suite's modules: one up to Python 3.11, a package of several since."""
    suite = importlib.import_module(SUITE)
    if not hasattr(suite, "__path__"):
        return [suite]
    folder = Path(next(iter(suite.__path__)))
    names = sorted(path.stem for path in folder.glob("test_*.py") if path.stem != "test_interpreter_pool")
    return [importlib.import_module(f"{SUITE}.{name}") for name in names]


def through_lightwork(module: Any) -> None:
    """Has the interpreters that a module starts with ``-c`` begin with ``install``."""
    if hasattr(module, "assert_python_ok"):
        module.assert_python_ok = functools.partial(_python_ok, module.assert_python_ok)


def _python_ok(original: Any, flag: str, code: str, **environment: str) -> Any:
    # These interpreters ignore the environment's paths (-I).
    prelude = f"import sys; sys.path[:] = {sys.path!r}; import adapter; adapter.install()\n"
    return original(flag, prelude + code, **environment)


class Managed:
    """A multiprocessing context whose queues are a manager's.

    CPython's workers inherit a plain ``multiprocessing.Queue`` when they are started by that context; lightwork starts
    its workers by itself. A manager's queue goes to any process of the program.
    """

    def __init__(self, context: Any, test: unittest.TestCase) -> None:
        self._context, self._test = context, test

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Queue(self) -> Any:
        manager = self._context.Manager()
        self._test.addCleanup(manager.shutdown)
        return manager.Queue()


def _give_queues(cls: Any) -> None:
    original = cls.get_context
    cls.get_context = lambda self: Managed(original(self), self)


def cases(backend: str) -> Iterator[tuple[str, unittest.TestCase]]:
    """All tests that have an executor of this kind, by the name that ``left_out`` has for them."""
    wanted = getattr(futures, EXECUTORS[backend])
    for module in modules():
        through_lightwork(module)
        for cls in list(vars(module).values()):
            if not (isinstance(cls, type) and issubclass(cls, unittest.TestCase)) or cls.__module__ != module.__name__:
                continue
            if getattr(cls, "executor_type", None) is not wanted:
                continue
            if backend == "processes" and getattr(cls, "ctx", None) != START_METHOD.lower():
                continue
            if cls.__name__.endswith("FailingInitializerTest") and backend == "processes":
                _give_queues(cls)
            label = cls.__name__.removeprefix("ProcessPool" + START_METHOD)
            for method in unittest.defaultTestLoader.getTestCaseNames(cls):
                yield f"{label}.{method}", cls(method)


def run(backend: str, only: str, verbose: bool) -> bool:
    """Runs the tests of one backend and prints what came out; whether all passed."""
    left_out = LEFT_OUT[backend]
    suite, omitted = unittest.TestSuite(), []
    for name, case in cases(backend):
        if only not in name:
            continue
        if name in left_out:
            omitted.append(name)
        else:
            suite.addTest(case)
    result = unittest.TextTestRunner(sys.stdout, verbosity=2 if verbose else 1).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    for name in omitted:
        print(f"left out: {name}: {left_out[name]}")
    passed = result.testsRun - bad - skipped
    print(
        f"{backend}, Python {sys.version.split()[0]}: {passed} of {result.testsRun - skipped} passed, "
        f"{skipped} skipped by the suite itself, {len(omitted)} left out"
    )
    return not bad and result.testsRun > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", choices=list(EXECUTORS))
    parser.add_argument("--only", default="", help="run the tests whose name has this in it")
    parser.add_argument("--verbose", action="store_true", help="name each test as it runs")
    options = parser.parse_args()
    faulthandler.dump_traceback_later(60, repeat=True)  # no test takes that long
    install()
    try:
        importlib.import_module(SUITE)
    except ModuleNotFoundError as missing:
        print(
            f"this interpreter ships no {SUITE} ({missing}); {FOLDER} may name a folder that holds the package 'test'"
        )
        return NOT_HERE
    return 0 if run(options.backend, options.only, options.verbose) else 1


if __name__ == "__main__":
    sys.exit(main())
