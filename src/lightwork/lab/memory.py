"""Claims about variables: shared by threads, copied into processes."""

from __future__ import annotations

import multiprocessing
import threading
from multiprocessing.connection import Connection

from lightwork.lab import _alike, _crew, _work
from lightwork.lab._estimates import count, equal, every, listed
from lightwork.lab._values import Evidence, Experiment, Figure, Judgement, Settings, Verdict

AT_IMPORT, AT_START, BY_WORKER, LATER = 1, 2, 3, 4
"""The values of the variable: as the module sets it, as the caller sets it before the start, as the worker
sets it, and as the caller sets it while the worker lives."""

variable = AT_IMPORT


def measure_namespace(_settings: Settings) -> list[Figure]:
    global variable
    variable = AT_START
    seen: list[int] = []
    changed, go_on = threading.Event(), threading.Event()

    def worker() -> None:
        global variable
        with _work.noted("looking and changing"):
            seen.append(variable)
            variable = BY_WORKER
        changed.set()
        go_on.wait()
        seen.append(variable)
        _work.say(f"Saw {seen[0]}, set {BY_WORKER}, later saw {seen[1]}")

    _crew.fresh_record()
    thread = threading.Thread(target=worker, name="Thread-1")
    thread.start()
    changed.wait()
    caller_saw = variable
    variable = LATER
    go_on.set()
    thread.join()
    return [
        count("caller set before the start", AT_START),
        count("thread saw", seen[0]),
        count("thread set", BY_WORKER),
        count("caller saw", caller_saw),
        count("caller set later", LATER),
        count("thread saw later", seen[1]),
        *_alike.one_variable(),
    ]


def judge_namespace(evidence: Evidence) -> Judgement:
    pairs = [
        ("thread saw", "caller set before the start"),
        ("caller saw", "thread set"),
        ("thread saw later", "caller set later"),
    ]
    verdict = every(*(equal(evidence[seen], evidence[made].value) for seen, made in pairs))
    reason = "one variable for both." if verdict is Verdict.HOLDS else "not one variable for both."
    sights = listed(f"{evidence[seen]} ({made}: {evidence[made]})" for seen, made in pairs)
    return Judgement(verdict, f"What was seen against what had been set: {sights}; {reason}")


def measure_clone(_settings: Settings) -> list[Figure]:
    global variable
    figures = []
    _crew.fresh_record()
    for method in multiprocessing.get_all_start_methods():
        variable = AT_START
        with _crew.child_processes([_look_change_look], method=method) as (pipe,):
            seen = pipe.recv()  # the child has looked, and changed its variable
            caller_saw = variable
            variable = LATER
            pipe.send("look again")
            later = pipe.recv()
        figures += [
            count(f"{method}: process saw at its start", seen),
            count(f"{method}: caller saw after the process's change", caller_saw),
            count(f"{method}: process saw after the caller's change", later),
        ]
    return [*figures, *_alike.one_variable()]


def _look_change_look(pipe: Connection) -> None:
    global variable
    seen = variable
    variable = BY_WORKER
    pipe.send(seen)
    pipe.recv()
    _work.say(f"Saw {seen}, set {BY_WORKER}, later saw {variable}")
    pipe.send(variable)


def judge_clone(evidence: Evidence) -> Judgement:
    methods = [m for m in evidence.here.start_methods if f"{m}: process saw at its start" in evidence]
    parts = []
    for method in methods:
        parts.append(equal(evidence[f"{method}: caller saw after the process's change"], AT_START))
        parts.append(equal(evidence[f"{method}: process saw after the caller's change"], BY_WORKER))
    copied = [m for m in methods if evidence[f"{m}: process saw at its start"].value == AT_START]
    anew = [m for m in methods if evidence[f"{m}: process saw at its start"].value == AT_IMPORT]
    verdict = every(*parts) if parts else Verdict.NOT_ENOUGH
    said = (
        "Neither side saw what the other changed after the start."
        if verdict is Verdict.HOLDS
        else "A change after the start reached the other side."
    )
    if copied:
        said += f" With {listed(copied)} the process began with a copy of the caller's variable."
    if anew:
        said += (
            f" With {listed(anew)} it imported the module anew and had the value from there ({AT_IMPORT}), "
            f"not the caller's ({AT_START}): not even a copy; give it what it needs as arguments."
        )
    return Judgement(verdict, said)


EXPERIMENTS = (
    Experiment(
        "namespace",
        "The caller's variables are there in all threads, to be seen and to be changed.",
        lambda _: (
            "A thread looks at a variable of the module and changes it; then the caller looks and "
            "changes it; "
            f"then the thread looks again. {_alike.SAME}"
        ),
        measure_namespace,
        judge_namespace,
    ),
    Experiment(
        "clone",
        "A process gets a copy of the variables when it starts, and the copy is not updated.",
        lambda _: (
            "The same with a process, for each way of starting one: the process looks and changes; "
            "the caller looks and "
            f"changes; the process looks again. {_alike.SAME}"
        ),
        measure_clone,
        judge_clone,
    ),
)
