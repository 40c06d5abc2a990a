"""Writes lesson.ipynb beside this file: the lesson's order, each experiment with a short explanation.

Run it again after a change here:  python notebooks/make_lesson.py
"""

from __future__ import annotations

import json
from pathlib import Path

NOTEBOOK = Path(__file__).with_name("lesson.ipynb")

INTRODUCTION = """# Threads and processes in Python

A computer can do several things at once, and Python has two classic ways to ask for it: **threads** within
one interpreter, and **processes**, each with an interpreter of its own. They are written almost alike, and
behave very differently. This notebook puts every claim about them to the test on *your* machine.

Each experiment says what is claimed and what was done, then shows the lines that the workers logged, what
was measured, a picture of who ran when, and a verdict: *holds*, *does not hold here* with the reason, or
*not enough evidence*. Verdicts are computed from what was measured, with its uncertainty."""

SETUP = """from lightwork import lab

# Short lengths, so that all of it runs in a minute. lab.Settings() has the lesson's: waits of 5 s, 100
# million counts.
settings = lab.Settings.quick()
outcomes = []


def show(key):
    for outcome in lab.run([key], settings):
        outcomes.append(outcome)
        print(lab.render_text(outcome, width=100))"""

LOCK_FORM = """import threading

lock = threading.Lock()  # with the call: `lock = Lock` would only be another name for the class


def threadsafe_print(text):
    with lock:  # released even if the print fails
        print(text)


threadsafe_print("one line at a time")"""

PARTS: list[tuple[str, str]] = [
    (
        "## Two kinds of work\n\n`io_bound` waits, as for a disk or a network; `cpu_bound` counts, and needs a "
        "core for it. Both say who they are: process id, process name, thread name.",
        "log",
    ),
    ("## Waiting\n\nOne call after another: the waits add up.", "io-serial"),
    ("A thread that waits needs nothing. Another one can wait at the same time.", "io-threads"),
    ("## Counting\n\nAgain one call after another.", "cpu-serial"),
    (
        "Now in threads. A thread must hold the interpreter's lock (the GIL) to count; in the picture "
        "they take turns. "
        "In a free-threaded build there is no such lock, and the verdict is another one.",
        "cpu-threads",
    ),
    ("A process has its own interpreter, its own lock, and can have its own core.", "cpu-processes"),
    ("## What follows\n\nOne thread's waiting is another one's time to count.", "overlap"),
    ("Who decides whose turn it is? Turn the interpreter's dial and see who feels it.", "switching"),
    ("How much of the machine do they use? CPU time divided by time counts the cores.", "one-core"),
    ("## Variables\n\nThreads live in one house: what one writes, the others read.", "namespace"),
    ("Processes live in houses of their own.", "clone"),
    ("So processes need messages: a queue that many may use,", "queue"),
    ("or a pipe between two.", "pipe"),
    ("Or a piece of memory that both can see. Nothing is packed or copied on the way.", "shared-memory"),
    ("All this has a price that is paid at the start.", "start-cost"),
    (
        "## One at a time\n\nA number is read, raised, and written back. If another one does the same in between, "
        "one of the two is lost.",
        "race",
    ),
    ("A lock lets in one at a time. In the picture, one waits while the other holds it.", "lock"),
    (
        "Could a variable do as a lock? Between looking at it and setting it there is a gap, and two "
        "can be in it. A real lock looks and sets in one step of the machine, that nothing can come between.",
        "home-made",
    ),
    ("A lock is not free, and what waits for it does not work.", "lock-cost"),
    ("## Beyond the lesson\n\nMuch C code puts the GIL down while it computes.", "gil-release"),
    ("From Python 3.14 one process can hold several interpreters.", "interpreters"),
    ("And there are builds of Python without the GIL.", "free-threading"),
    ("Coroutines wait together in one thread, but they count one after another.", "coroutines"),
    ("More processes than cores?", "beyond-cores"),
    ("How small may a task be that is sent to a process?", "batching"),
    ("And when is it better not to send it at all?", "pool-loses"),
]


def cells() -> list[dict[str, object]]:
    made = [markdown("introduction", INTRODUCTION), code("setup", SETUP)]
    for text, key in PARTS:
        made += [markdown(f"about-{key}", text), code(key, f'show("{key}")')]
        if key == "lock":
            made.append(code("lock-form", LOCK_FORM))
    made += [
        markdown("about-summary", "## All verdicts"),
        code("summary", "print(lab.summary_text(outcomes, width=100))"),
        markdown(
            "about-pictures",
            "The same with pictures that can be zoomed (`print(lab.render_html(outcomes), file=…)` "
            "keeps them in a file):",
        ),
        code(
            "pictures",
            "from html import escape\n\nfrom IPython.display import HTML\n\n"
            "# In a frame of its own, so that the page's style stays within it.\n"
            "page = escape(lab.render_html(outcomes))\n"
            'HTML(f\'<div><iframe srcdoc="{page}" width="100%" height="600"></iframe></div>\')',
        ),
    ]
    return made


def markdown(name: str, text: str) -> dict[str, object]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}


def code(name: str, text: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }


def notebook() -> dict[str, object]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells(),
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


if __name__ == "__main__":
    NOTEBOOK.write_text(json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
