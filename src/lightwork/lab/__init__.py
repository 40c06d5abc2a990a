"""The lab: every claim of the lesson on threads and processes, put to the test on this machine, now.

    from lightwork import lab

    for outcome in lab.run(settings=lab.Settings.quick()):
        print(lab.render_text(outcome))

Each experiment measures in a process of its own, and its verdict is computed from what was measured.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightwork.lab._experiments import BEYOND, LESSON, experiments
    from lightwork.lab._page import render_html
    from lightwork.lab._runner import Event, run
    from lightwork.lab._text import render_rich, render_text, summary_text
    from lightwork.lab._values import Experiment, Figure, Outcome, Settings, Span, Verdict

# Every worker of an experiment imports this package. It takes what it needs, and nothing else costs it time.
_HOME = {
    "BEYOND": "_experiments",
    "LESSON": "_experiments",
    "Event": "_runner",
    "Experiment": "_values",
    "Figure": "_values",
    "Outcome": "_values",
    "Settings": "_values",
    "Span": "_values",
    "Verdict": "_values",
    "experiments": "_experiments",
    "render_html": "_page",
    "render_rich": "_text",
    "render_text": "_text",
    "run": "_runner",
    "summary_text": "_text",
}

__all__ = [
    "BEYOND",
    "LESSON",
    "Event",
    "Experiment",
    "Figure",
    "Outcome",
    "Settings",
    "Span",
    "Verdict",
    "experiments",
    "render_html",
    "render_rich",
    "render_text",
    "run",
    "summary_text",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
