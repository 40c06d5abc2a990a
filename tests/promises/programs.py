"""Programs of users, run as such: in a process of their own, from anywhere."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter to its end."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=50, **{"cwd": "/", **options}
    )


def program(text: str, *arguments: str) -> list[str]:
    """The command for a program's text."""
    return [sys.executable, "-c", textwrap.dedent(text), *arguments]


def start(text: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Starts a program that may use the tests' own functions."""
    return subprocess.Popen(
        program(text, *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All that it has started and that has started from that."""
    return psutil.Process(process.pid).children(recursive=True)
