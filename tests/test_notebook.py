"""The notebook runs from top to bottom and is what its script writes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NOTEBOOK = NOTEBOOKS / "lesson.ipynb"


def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_lesson", NOTEBOOKS / "make_lesson.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_is_what_its_script_writes() -> None:
    assert json.loads(NOTEBOOK.read_text(encoding="utf-8")) == writer().notebook()


def test_it_has_every_experiment_in_the_lessons_order() -> None:
    from lightwork import lab

    assert [key for _, key in writer().PARTS] == list(lab.experiments())


@pytest.mark.timeout(150)
def test_it_runs_from_top_to_bottom() -> None:
    reason = "the notebook's packages are not installed (the extra lightwork[notebook])"
    nbformat = pytest.importorskip("nbformat", reason=reason)
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    (setup,) = (cell for cell in notebook.cells if "lab.Settings.quick()" in cell.source)
    shortest = "lab.Settings(0.01, 20_000, 3, 0.01)"  # verdicts need more, but are not what is tested here
    setup.source = setup.source.replace("lab.Settings.quick()", shortest)
    nbclient.NotebookClient(notebook, timeout=90, kernel_name="python3").execute()
    texts = [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    assert [text for text in texts if "The measurement failed" in text] == []
    assert "key " in texts[-2]
    assert "lock-cost" in texts[-2]
