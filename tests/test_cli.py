"""The command line as a shell sees it: output, messages, exit codes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lightwork
from lightwork import cli
from lightwork._doctor import RULES, Evidence, diagnose, look
from lightwork._inventory import Pool
from lightwork._items import InvalidItems, from_expression, from_json, from_lines
from lightwork._json_lines import encode

WORK = """
import dataclasses, time
from pathlib import Path

items = [1, 2, 3]

@dataclasses.dataclass
class Pair:
    a: int
    b: object

def double(x):
    return x * 2

def chatty(x):
    print(f"saw {x}")
    return x

def fails_at_two(x):
    if x == 2:
        raise ValueError("two is bad")
    return x

def rich_result(x):
    return Pair(x, {"path": Path("a") / "b", "set": {2, 1}, "raw": b"\\x01\\xff", "nan": float("nan")})

def odd(x):
    return lambda: x

def nap(x):
    time.sleep(0.01)
    return x

not_callable = 3
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A directory with work_cli.py; modules loaded from it are forgotten afterwards."""
    (tmp_path / "work_cli.py").write_text(WORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def run(*args, stdin=None, env=None, timeout=30, errors="strict"):
    """The command in a process of its own, without a terminal: (exit code, stdout, stderr)."""
    command = [sys.executable, "-m", "lightwork", *args]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LIGHTWORK_")} | (env or {})
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, errors=errors, env=environment, timeout=timeout
    )
    return done.returncode, done.stdout, done.stderr


def here(capfd, *args):
    """The command in this process, for speed: (exit code, stdout, stderr)."""
    code = cli.main(args)
    out, err = capfd.readouterr()
    return code, out, err


def test_version_by_every_way_in():
    assert run("--version") == (0, f"lightwork {lightwork.__version__}\n", "")


def test_version_and_help_import_nothing_heavy():
    code = (
        "import sys; from lightwork.cli import main; main(['--version']); main(['compare', '--help']);"
        "heavy = ('numpy', 'rich', 'psutil', 'cloudpickle', 'asyncio', 'multiprocessing');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_help_fits_in_80_columns(capfd):
    for args in (["-h"], *([name, "-h"] for name in cli.cli.commands)):
        code, out, _ = here(capfd, *args)
        assert code == 0 and max(map(len, out.splitlines())) <= 80


# map


def test_map_writes_one_line_of_json_for_each_result_in_order(work):
    code, out, err = run("map", "work_cli.py:double", "--items", "range(100)")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [2 * n for n in range(100)]


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_what_the_function_prints_does_not_mix_with_results(work, backend):
    code, out, err = run("map", "work_cli:chatty", "--items", "[7, 8]", "--backend", backend)
    assert (code, out) == (0, "7\n8\n")
    assert "saw 7" in err and "saw 8" in err


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_the_users_exception_is_shown_in_the_users_frames(work, backend):
    code, _, err = run("map", "work_cli.py:fails_at_two", "--items", "[1, 2]", "--backend", backend)
    assert code == 1
    assert 'raise ValueError("two is bad")' in err and "raised by item 1" in err
    assert str(Path(cli.__file__).parent) not in err and "click" not in err


def test_failures_can_be_lines_and_the_exit_code_tells(work):
    code, out, err = run("map", "work_cli.py:fails_at_two", "--items", "[1, 2, 3]", "--errors", "return", "--report")
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines == [1, {"index": 1, "error": "ValueError", "message": "two is bad"}, 3]
    assert "3 calls" in err and "1 call failed" in err


def test_a_timeline_is_written(work, capfd):
    options = ("--items", "[1, 2]", "--backend", "threads", "--trace", "run.json")
    code, _, _ = here(capfd, "map", "work_cli.py:double", *options)
    events = json.loads((work / "run.json").read_text())["traceEvents"]
    assert code == 0 and any("calls" in event["args"] for event in events)


def test_the_modules_own_items_are_used_and_it_is_said(work, capfd):
    code, out, err = here(capfd, "map", "work_cli.py:double", "--unordered")
    assert code == 0 and sorted(map(int, out.split())) == [2, 4, 6]
    assert "Items: items of work_cli" in err


def test_items_from_files(work, capfd):
    (work / "names.txt").write_text("one\r\ntwo\n\nlast")
    assert here(capfd, "map", "builtins:len", "--lines", "names.txt")[1].split() == ["3", "3", "0", "4"]
    (work / "sub").mkdir()
    (work / "sub" / "b.dat").write_text("")
    (work / "a.dat").write_text("")
    out = here(capfd, "map", "builtins:str", "--glob", "**/*.dat")[1]
    assert [json.loads(line) for line in out.splitlines()] == ["a.dat", "sub/b.dat"]


def test_standard_input_is_read_as_it_comes(work):
    command = [
        sys.executable,
        "-m",
        "lightwork",
        "map",
        "work_cli.py:double",
        "--json",
        "-",
        "--backend",
        "serial",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("1\n")
        process.stdin.flush()
        assert process.stdout.readline() == "2\n", "the first result comes while the input is still open"
        process.stdin.write("2\n")
        process.stdin.close()
        assert process.stdout.read() == "4\n"
    assert process.returncode == 0


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_endless_input_and_a_reader_that_leaves(work, backend):
    command = [sys.executable, "-m", "lightwork", "map", "work_cli.py:double", "--items", "itertools.count()"]
    process = subprocess.Popen(
        [*command, "--backend", backend], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_ctrl_c_ends_it_with_130_and_without_a_traceback(work, backend):
    command = [sys.executable, "-m", "lightwork", "map", "work_cli.py:nap", "--items", "itertools.count()"]
    process = subprocess.Popen(
        [*command, "--backend", backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "0\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip() == "Interrupted."


@pytest.mark.parametrize("args", [["map", "work_cli.py:double", "--items", "[1]"], ["--help"], ["map", "-h"], []])
def test_a_full_disk_is_said(work, args):
    full = "/dev/full"
    if not Path(full).exists():
        pytest.skip("no /dev/full here")
    with Path(full).open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "lightwork", *args],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["map", "work_cli.py:duoble", "--items", "[1]"], "Did you mean double?"),
        (["map", "work_cl.py:double", "--items", "[1]"], "Did you mean work_cli.py?"),
        (["map", "work_cli.py", "--items", "[1]"], "Which function"),
        (["map", "work_cli.py:not_callable", "--items", "[1]"], "cannot be called"),
        (["map", ".:double", "--items", "[1]"], "is a directory"),
        (["map", "math:sqrt"], "--items 'range(100)'"),
        (["map", "math:sqrt", "--items", "[1]", "--glob", "*"], "one of"),
        (["map", "math:sqrt", "--items", "5"], "Did you mean range(5)?"),
        (["map", "math:sqrt", "--items", "rnage(5)"], "Did you mean range?"),
        (["map", "math:sqrt", "--items", "range(5"], "not a Python expression"),
        (["map", "math:sqrt", "--items", "'abc'"], "single text"),
        (["map", "math:sqrt", "--glob", "*.nothing"], "No file matches"),
        (["map", "math:sqrt", "--lines", "nothing.txt"], "cannot be read"),
        (["map", "math:sqrt", "--lines", "."], "is a directory"),
        (["map", "math:sqrt", "--items", "[1]", "--backend", "thraeds"], "Did you mean 'threads'?"),
        (["map", "math:sqrt", "--items", "[1]", "--backend", "threads", "--call-timeout", "1"], "processes"),
        (["map", "math:sqrt", "--items", "[1]", "--max-workers", "0"], "x>=1"),
        (["compare", "math:sqrt", "--items", "[]"], "no items"),
        (["compare", "math:sqrt", "--items", "[1]", "--backends", "thraeds"], "Did you mean 'threads'?"),
        (["probe", "math:sqrt", "--items", "[]"], "no items"),
        (["comprae", "math:sqrt"], "Did you mean compare?"),
        (["math:sqrt"], "lightwork compare math:sqrt"),
        (["memory", "lsit"], "Did you mean list?"),
        (["memory", "nothing"], "There is no command 'nothing'."),
        (["lab", "cpu-thread"], "Did you mean cpu-threads?"),
        (["lab", "--sleep", "0"], "above 0"),
        (["lab", "--sleep", "nan"], "above 0"),
        (["probe", "math:sqrt", "--items", "[1]", "--budget", "inf"], "above 0"),
        (["compare", "math:sqrt", "--items", "[1]", "--html", "nowhere/page.html"], "no directory nowhere"),
        (["lab", "--html", "."], "is a directory"),
        (["compare", "math:sqrt", "--items", "range(10**12)"], "itertools.islice"),
        (["compare", "math:sqrt", "--items", "itertools.count()"], "itertools.islice"),
    ],
)
def test_a_users_mistake_gets_a_message_and_exit_code_2(work, capfd, args, words):
    code, out, err = here(capfd, *args)
    flat = " ".join(err.split())
    assert code == 2 and out == "" and words in flat and "Traceback" not in err
    assert max(map(len, err.splitlines())) <= 100


def test_broken_json_lines_name_the_line(work):
    code, out, err = run("map", "work_cli.py:double", "--json", "-", stdin='1\n2\n{"a"\n')
    assert code == 2 and out == "2\n4\n" and "Line 3 of standard input" in err


def test_a_file_that_fails_shows_its_own_traceback_only(work, capfd):
    (work / "broken_cli.py").write_text("def f(x): ...\nprint(1 / 0)\n")
    code, _, err = here(capfd, "map", "broken_cli.py:f", "--items", "[1]")
    assert code == 2 and "ZeroDivisionError" in err and "print(1 / 0)" in err and "_target" not in err


# JSON


def test_results_of_every_kind_become_json(work):
    code, out, err = run("map", "work_cli.py:rich_result", "--items", "[5]")
    assert code == 0
    assert json.loads(out) == {"a": 5, "b": {"path": "a/b", "set": [1, 2], "raw": "01ff", "nan": None}}
    assert "JSON has no nan" in err


def test_what_json_cannot_hold_is_written_as_text_with_one_warning(work):
    code, out, err = run("map", "work_cli.py:odd", "--items", "range(3)", "--backend", "threads")
    assert code == 0 and len(out.splitlines()) == 3 and err.count("Warning:") == 1


def test_numpy_and_odd_keys_and_surrogates():
    np = pytest.importorskip("numpy")
    said = []
    assert encode(np.float64(1.5), said.append) == b"1.5\n"
    assert encode({"m": np.arange(4).reshape(2, 2)}, said.append) == b'{"m": [[0, 1], [2, 3]]}\n'
    assert encode({(1, 2): True, None: 1}, said.append) == b'{"(1, 2)": true, "null": 1}\n'
    assert encode("é", said.append) == '"é"\n'.encode()
    assert json.loads(encode("\udcff", said.append)) == "\udcff"
    assert said == []
    loop = []
    loop.append(loop)
    assert encode(loop, said.append) and said


def test_long_integers_are_written_whole_and_deep_lists_are_no_error():
    said = []
    assert encode([10**5000], said.append) == b"[1" + 5000 * b"0" + b"]\n" and not said
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert encode(deep, said.append).startswith(b"[[[") and len(said) == 1


def test_what_has_keys_but_is_no_mapping_is_an_object():
    with sqlite3.connect(":memory:") as database:
        database.row_factory = sqlite3.Row
        assert encode(database.execute("select 1 as a, 'x' as b").fetchone(), print) == b'{"a": 1, "b": "x"}\n'


def test_a_mark_of_byte_order_is_no_part_of_the_items(work):
    (work / "lines.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    (work / "x.json").write_bytes(b"\xef\xbb\xbf[1, 2]")
    assert [*from_lines("lines.txt")] == ["a", "b"]
    assert [*from_json("x.json")] == [1, 2]
    code, out, _ = run("map", "builtins:str", "--lines", "-", stdin="\ufeffa\n", env={"PYTHONUTF8": "1"})
    assert (code, out) == (0, '"a"\n')


def test_items_that_cannot_be_read(work):
    (work / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    code, out, err = run("map", "builtins:str", "--json", "deep.json")
    assert (code, out) == (2, "") and err.startswith("Error: deep.json is neither")
    code, out, err = run("map", "builtins:str", "--glob", "")
    assert (code, out) == (2, "") and err.startswith("Error: No file matches ''")
    program = [sys.executable, "-m", "lightwork", "map", "builtins:str", "--lines", "-"]
    closed = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *program], capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (2, "Error: There is no standard input to read items from.\n")


def test_a_directory_that_is_gone(tmp_path):
    program = [
        "-c",
        "import sys; from lightwork.cli import main; sys.exit(main())",
        "map",
        "math:sqrt",
        "--items",
        "[4]",
    ]
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(tmp_path), sys.executable, *program], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2.0\n", "")


def test_json_items_of_each_form(tmp_path):
    path = tmp_path / "x.json"
    for text, expected in [
        ("[1, 2]", [1, 2]),
        ("[1,\n 2]\n", [1, 2]),
        ("1\n\n2\n", [1, 2]),
        ("[1]\n[2]\n", [[1], [2]]),
        ('{"a": 1}', [{"a": 1}]),
        ("", []),
    ]:
        path.write_text(text)
        assert list(from_json(str(path))) == expected
    path.write_text('{\n"a": 1}')
    with pytest.raises(InvalidItems, match="array"):
        list(from_json(str(path)))


def test_expressions_see_the_module_and_common_modules():
    import types

    module = types.ModuleType("m")
    module.base = 10
    assert list(from_expression("[base + k for k in range(2)]", module)) == [10, 11]
    assert list(from_expression("[math.floor(x) for x in (1.5, 2.5)]", module)) == [1, 2]
    assert [str(p) for p in from_expression("[Path('a')]", module)] == ["a"]
    with pytest.raises(InvalidItems, match="ZeroDivisionError"):
        from_expression("[1 / 0]", module)


# compare, probe, lab, doctor


def test_compare_prints_a_table_writes_a_page_and_gives_data(work):
    args = (
        "compare",
        "work_cli.py:nap",
        "--items",
        "range(20)",
        "--rounds",
        "1",
        "--backends",
        "serial,threads",
    )
    code, out, err = run(*args, "--max-workers", "10", "--html", "page.html")
    assert code == 0 and "Threads win" in out and "mostly waits" in out
    assert max(map(len, out.splitlines())) <= 80
    assert err == "Written: page.html\n" and "<svg" in (work / "page.html").read_text()
    assert "\x1b" not in out + err
    code, out, _ = run(*args, "--as-json", env={"COLUMNS": "50"})
    assert code == 0 and json.loads(out)["function"] == "work_cli:nap"


def test_without_arguments_the_help_is_shown(capfd):
    code, out, err = here(capfd)
    assert code == 0 and out.startswith("Usage: lightwork") and err == ""


def test_an_encoding_without_lines_gets_a_plain_table(work):
    args = ("compare", "work_cli.py:double", "--rounds", "1", "--backends", "serial,threads")
    code, out, err = run(*args, env={"PYTHONIOENCODING": "latin-1:strict"}, errors="replace")
    assert code == 0 and "-----" in out and "Traceback" not in err


def test_a_wrong_number_of_workers_in_the_environment_is_a_usage_error(work, capfd, monkeypatch):
    monkeypatch.setenv("LIGHTWORK_MAX_WORKERS", "0")
    code, out, err = here(capfd, "compare", "work_cli.py:double")
    assert code == 2 and out == "" and "LIGHTWORK_MAX_WORKERS" in err


def test_a_file_called_like_a_standard_module_keeps_its_name(work, capfd):
    (work / "random.py").write_text("items = [1]\ndef f(x):\n    return x\n")
    code, out, err = here(capfd, "compare", "random.py:f", "--rounds", "1", "--backends", "serial")
    assert code == 0 and out.startswith("random:f,") and "_lightwork_target" not in out + err


def test_compare_of_a_failing_function_is_exit_code_1(work, capfd):
    code, out, err = here(capfd, "compare", "work_cli.py:fails_at_two")
    assert code == 1 and out == "" and "two is bad" in err and "item 1" in err


def test_compare_tells_by_its_exit_code_that_results_differ(work, capfd):
    (work / "differs_cli.py").write_text(
        "import threading\ndef f(x):\n    return threading.current_thread() is threading.main_thread()\n"
    )
    code, out, _ = here(capfd, "compare", "differs_cli.py:f", "--items", "[1]", "--backends", "serial,threads")
    assert code == 1 and "DIFFERENT RESULTS" in out


def test_probe(work, capfd):
    code, out, _ = here(capfd, "probe", "work_cli.py:nap", "--items", "itertools.count()", "--budget", "0.05")
    assert code == 0 and "nap" in out
    code, out, _ = here(capfd, "probe", "work_cli.py:nap", "--budget", "0.05", "--as-json")
    assert code == 0 and json.loads(out)["demand"]["wait"] > 0.005


def test_lab_lists_and_runs_one(work, capfd):
    code, out, _ = here(capfd, "lab", "--list")
    assert code == 0 and "cpu-threads" in out and max(map(len, out.splitlines())) <= 100
    code, out, err = here(capfd, "lab", "io-serial", "--quick", "--json", "--html", "lab.html")
    assert code == 0 and json.loads(out)[0]["key"] == "io-serial" and "Written: lab.html" in err


def test_doctor(capfd):
    code, out, _ = here(capfd, "doctor")
    assert code == 0 and "usable core" in out and "backend processes" in out
    code, out, _ = here(capfd, "doctor", "--json")
    assert code == 0 and json.loads(out)["evidence"]["machine"]["cores"] >= 1


# the doctor's rules, from evidence made up


def evidence(environment=None, pools=(), open_files=4096, shared_memory=2**33, backends=None, **machine):
    from lightwork._record import replace

    sound = replace(
        look().machine,
        cores=8,
        affinity=8,
        cpu_count=8,
        quota=None,
        memory_available=2**34,
        gil=True,
        free_threaded=False,
    )
    return Evidence(
        replace(sound, **machine),
        backends or dict.fromkeys(("serial", "threads", "processes")),
        pools,
        open_files,
        shared_memory,
        {"PYTHONHASHSEED": "0", **(environment or {})},
    )


def rules_that_speak(seen):
    found = diagnose(seen)
    return [finding.rule for finding in found.findings], [unknown.rule for unknown in found.unknown]


def test_nothing_is_found_where_nothing_is_wrong():
    assert rules_that_speak(evidence()) == ([], [])


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        (dict(cores=1, affinity=1, cpu_count=1), "one core"),  # noqa: C408
        (dict(cores=2, quota=2.0), "cores"),  # noqa: C408
        (dict(free_threaded=True, gil=True), "GIL"),  # noqa: C408
        (dict(pools=(Pool("openblas", 8, "x"),)), "library threads"),  # noqa: C408
        (dict(open_files=64), "open files"),  # noqa: C408
        (dict(memory_available=2**29), "memory"),  # noqa: C408
        (dict(shared_memory=2**26), "/dev/shm"),  # noqa: C408
        (dict(backends={"processes": "no fork here"}), "processes"),  # noqa: C408
        (dict(environment={"LIGHTWORK_BACKEND": "thraeds"}), "settings"),  # noqa: C408
        (dict(environment={"LIGHTWORK_MAX_WORKERS": "many"}), "settings"),  # noqa: C408
        (dict(environment={"LIGHTWORK_MAX_WORKERS": "64"}), "settings"),  # noqa: C408
        (dict(environment={"LIGHTWORK_MAXWORKERS": "4"}), "settings"),  # noqa: C408
        (dict(environment={"PYTHONHASHSEED": "random"}), "string hashes"),  # noqa: C408
    ],
)
def test_each_rule_speaks_where_it_should(seen, rule):
    assert rule in [name.name for name in RULES]
    found = diagnose(evidence(**seen))
    assert [finding.rule for finding in found.findings] == [rule]
    assert found.findings[0].what and found.findings[0].remedy


def test_a_rule_that_cannot_tell_says_so():
    assert rules_that_speak(evidence(pools=None)) == ([], ["library threads"])
