"""Reads every module of the standard library and counts what it defines.

Parsing and walking a syntax tree is Python's own work: a thread that does it holds the GIL, so threads
gain nothing on an ordinary build. Try it:

    lightwork compare examples/parse_stdlib.py:count
"""

from __future__ import annotations

import ast
import contextlib
import sysconfig
from pathlib import Path
from typing import NamedTuple

import lightwork as lw

NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3"}
"""Folders that hold others' packages, or files which are meant not to parse."""


class Counts(NamedTuple):
    lines: int
    functions: int
    classes: int


def count(path: Path) -> Counts:
    """How many lines, functions and classes a Python file has."""
    source = path.read_bytes()
    functions = classes = 0
    for node in ast.walk(parse(source, path)):
        functions += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        classes += isinstance(node, ast.ClassDef)
    return Counts(len(source.splitlines()), functions, classes)


def parse(source: bytes, path: Path) -> ast.Module:
    """``ast.parse``, again where Python 3.11 gave up because another thread was parsing too (cpython#106905)."""
    for _ in range(9):
        with contextlib.suppress(SystemError):
            return ast.parse(source, str(path))
    return ast.parse(source, str(path))


def items() -> list[Path]:
    """The standard library's own modules."""
    library = Path(sysconfig.get_path("stdlib"))
    return sorted(
        path
        for path in library.rglob("*.py")
        if NOT_THE_LIBRARY.isdisjoint(path.relative_to(library).parts) and path.is_file()
    )


def main() -> None:
    paths = items()
    counts = lw.map(count, paths)
    lines, functions, classes = (sum(column) for column in zip(*counts, strict=True))
    print(f"{len(paths)} modules: {lines:,} lines, {functions:,} functions, {classes:,} classes\n")
    print("Most functions:")
    richest = sorted(zip(paths, counts, strict=True), key=lambda pair: -pair[1].functions)
    for path, counted in richest[:5]:
        print(f"  {counted.functions:5,}  {path.parent.name}/{path.name}")
    print(f"\n{counts.report}")


if __name__ == "__main__":
    main()
