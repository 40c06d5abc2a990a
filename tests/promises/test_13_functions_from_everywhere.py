"""Promise 13: works from a notebook, the REPL, stdin, ``-c`` and an unguarded script."""

from __future__ import annotations

import os
import sys
import textwrap

import pytest

from tests.promises.programs import run

PROGRAM = """
import lightwork as lw
FACTOR = 3
class Point:
    def __init__(self, x): self.x = x
def times(x): return Point(x * FACTOR)
for backend in {backends!r}:
    results = lw.map(times, range(4), backend=backend)
    assert [p.x for p in results] == [0, 3, 6, 9], results
    assert all(isinstance(p, Point) for p in results)
    assert lw.map(lambda p: p.x, results, backend=backend) == [0, 3, 6, 9]
print("fine")
"""
BACKENDS = ["serial", "threads", "processes"] + (["interpreters"] if sys.version_info >= (3, 14) else [])


def test_a_script_without_a_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(backends=BACKENDS))
    done = run(str(script))
    assert done.stdout == "fine\n", done.stderr


def test_dash_c():
    done = run("-c", PROGRAM.format(backends=BACKENDS))
    assert done.stdout == "fine\n", done.stderr


def test_stdin():
    done = run("-", input=PROGRAM.format(backends=BACKENDS))
    assert done.stdout == "fine\n", done.stderr


def test_the_interactive_prompt():
    text = "import lightwork as lw\ndef f(x):\n    return x + 1\n\nprint(lw.map(f, [1, 2], backend='processes'))\n"
    done = run("-i", "-q", input=text)
    assert "[2, 3]" in done.stdout, done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing(tmp_path, method):
    """Where it is not forked its main module calls itself otherwise."""
    script = tmp_path / "script.py"
    lines = PROGRAM.format(backends=BACKENDS).strip().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("for "))
    body = "".join(f"    {line}\n" for line in lines[at:])
    script.write_text(
        "\n".join(["import multiprocessing", *lines[:at], "def work():", body])
        + "    assert lw.map(Point.double, results, backend=backend) == [0, 6, 12, 18]\n"
        + "Point.double = lambda point: 2 * point.x\n"
        + "if __name__ == '__main__':\n"
        + f"    process = multiprocessing.get_context({method!r}).Process(target=work)\n"
        + "    process.start()\n"
        + "    process.join()\n"
    )
    done = run(str(script))
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_is_said_of_a_function_in_a_process_of_multiprocessing(tmp_path, method):
    """Its main module's functions are sent there too, with what they use."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing
            import lightwork as lw

            log = open({str(tmp_path / "log")!r}, "a")

            def note(x):
                print(x, file=log)
                return x

            def tell():
                print(lw.check(note, [1, 2]))
                print(lw.compare(note, [1, 2], backends=["serial"], rounds=2).function, flush=True)

            if __name__ == "__main__":
                tell()
                process = multiprocessing.get_context({method!r}).Process(target=tell)
                process.start()
                process.join()
            """
        )
    )
    done = run(str(script))
    assert (done.stderr, done.returncode) == ("", 0)
    half = len(done.stdout) // 2
    assert done.stdout[:half] == done.stdout[half:]
    assert "log" in done.stdout


def test_a_notebook():
    """Cells that define, map, print from workers, define again and map again."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [
        "import lightwork as lw\nclass Point:\n    def __init__(self, x): self.x = x",
        "def fn(x):\n    print('item', x)\n    return Point(x + 1)\n"
        "results = lw.map(fn, range(3), backend='processes')",
        "assert all(isinstance(p, Point) for p in results)\ndef fn(x): return x * 10\n"
        "assert lw.map(fn, range(3), backend='processes') == [0, 10, 20]\nprint([p.x for p in results])",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=40, kernel_name="python3").execute()
    shown = ["".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells]
    assert sorted(shown[1].splitlines()) == ["item 0", "item 1", "item 2"]
    assert shown[2] == "[1, 2, 3]\n"


def test_a_module_that_maps_when_it_is_imported_is_named(tmp_path):
    (tmp_path / "careless.py").write_text(
        "import lightwork as lw\nHERE = [1]\ndef f(x): return x + HERE[0]\n"
        "print(lw.map(f, [1], backend='processes', errors='return'))\n"
    )
    done = run("-c", "import careless", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "careless" in done.stdout + done.stderr
    assert "CalledWhileImporting" in done.stdout + done.stderr


def test_a_module_may_map_when_it_is_imported_what_needs_nothing_of_it(tmp_path):
    (tmp_path / "careless.py").write_text(
        "import lightwork as lw\ndef f(x): return x + 1\nprint(lw.map(f, [1], backend='processes'))\n"
    )
    done = run("-c", "import careless", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.stdout, done.stderr) == ("[2]\n", "")
