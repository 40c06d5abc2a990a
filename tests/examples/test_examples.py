"""Every example does what it says, on real input, and each result is checked by another way of getting it."""

from __future__ import annotations

import ast
import asyncio
import functools
import hashlib
import importlib
import struct
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path
from types import ModuleType

import pytest

import lightwork as lw

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
LIBRARY = Path(sysconfig.get_path("stdlib"))


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example named in the test's parameters, imported as a module of its own folder."""
    if request.param == "detector_pulses":
        pytest.importorskip("numpy")
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(request.param)


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True, ids=[name])


def test_the_list_of_examples_is_not_empty() -> None:
    assert len(NAMES) >= 6


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_has_the_same_shape_as_the_others(example: ModuleType) -> None:
    assert example.__doc__ and example.items.__doc__
    assert len(example.items()) > 30, "items() is the real input"
    assert callable(example.main)


@of("parse_stdlib")
@pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
def test_parse_counts_what_the_source_shows(example: ModuleType, backend: str) -> None:
    paths = [LIBRARY / name for name in ("bisect.py", "heapq.py", "queue.py", "asyncio/locks.py")]
    counted = lw.map(example.count, paths, backend=backend)
    for path, (lines, functions, classes) in zip(paths, counted, strict=True):
        text = path.read_text(encoding="utf-8")
        starts = [line.split(maxsplit=1)[0] for line in text.splitlines() if line.strip()]
        tree = ast.parse(text)
        assert lines == len(text.splitlines())
        assert classes == starts.count("class")
        assert functions == sum(type(n) in (ast.FunctionDef, ast.AsyncFunctionDef) for n in ast.walk(tree)) > 0


@of("hash_stdlib")
@pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
def test_fingerprints_are_those_of_hashlib(example: ModuleType, backend: str) -> None:
    paths = example.items()[:40]
    for path, found in zip(paths, lw.map(example.fingerprint, paths, backend=backend), strict=True):
        with path.open("rb") as file:
            assert found.sha256 == hashlib.file_digest(file, "sha256").hexdigest()
        assert found.size == path.stat().st_size
        assert 0 < found.compressed <= found.size + 64


@of("fetch_http")
@pytest.mark.parametrize("job", ["fetch", "fetch_async"])
def test_fetched_pages_are_the_files_on_disk(example: ModuleType, job: str) -> None:
    urls = example.items()[:12]
    pages = lw.map(getattr(example, job), urls)
    assert [page.url for page in pages] == urls
    for page in pages:
        content = (LIBRARY / page.url.rpartition("/")[2]).read_bytes()
        assert (page.size, page.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@of("fetch_http")
def test_a_missing_page_is_a_failure_in_both_forms(example: ModuleType) -> None:
    nowhere = example.server_address() + "/no-such-page.py"
    with pytest.raises(OSError, match="404"):
        example.fetch(nowhere)
    with pytest.raises(OSError, match="404"):
        asyncio.run(example.fetch_async(nowhere))


@of("count_words")
@pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
def test_words_are_counted(example: ModuleType, backend: str, tmp_path: Path) -> None:
    texts = {
        "a.txt": "Many hands make light work.\nMANY hands!",
        "b.txt": "",
        "c.txt": "snake_case Ärger x 42 ärger",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    counted = lw.map(example.count_words, [tmp_path / name for name in texts], backend=backend)
    assert list(counted) == [
        {"many": 2, "hands": 2, "make": 1, "light": 1, "work": 1},
        {},
        {"snake": 1, "case": 1, "ärger": 2},
    ]


@of("detector_pulses")
def test_the_same_seed_gives_the_same_events_everywhere(example: ModuleType) -> None:
    events = {
        backend: list(lw.map(example.find_pulses, range(12), seed=7, backend=backend))
        for backend in ("serial", "threads", "processes", "auto")
    }
    assert events["threads"] == events["serial"]
    assert events["processes"] == events["serial"]
    assert events["auto"] == events["serial"]
    assert len({event.true_times for event in events["serial"]}) == 12, "no two events share random numbers"


@of("detector_pulses")
def test_pulses_that_stand_out_are_found_and_few_others(example: ModuleType) -> None:
    events = lw.map(example.find_pulses, range(20), seed=1)
    pairs = [pair for event in events for pair in example.match(event)]
    high = [(true, found) for true, found in pairs if true > 10]
    seen = [found / true for true, found in high if found is not None]
    assert len(high) > 50
    assert len(seen) / len(high) > 0.9
    assert sorted(seen)[len(seen) // 2] == pytest.approx(1.0, abs=0.05)
    assert sum(len(event.found_times) for event in events) < 1.1 * len(pairs)


def pixels_of(picture: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a PNG that uses no filters, read by the standard; checks its sums."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(picture):
        (length,) = struct.unpack(">I", picture[at : at + 4])
        kind, content = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        (checked,) = struct.unpack(">I", picture[at + 8 + length : at + 12 + length])
        assert checked == zlib.crc32(kind + content)
        chunks.append((kind, content))
        at += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colours, *_ = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, colours) == (8, 2)
    data = zlib.decompress(chunks[1][1])
    stride = 1 + 3 * width
    assert len(data) == height * stride
    assert all(data[y * stride] == 0 for y in range(height))
    return width, height, [data[y * stride + 1 : (y + 1) * stride] for y in range(height)]


@of("mandelbrot")
@pytest.mark.parametrize("backend", ["auto", "processes"])
def test_the_picture_is_a_png_of_the_mandelbrot_set(example: ModuleType, backend: str) -> None:
    width, height = 66, 44
    draw = functools.partial(example.row, width=width, height=height)
    picture = example.png(lw.map(draw, range(height), backend=backend), width)
    assert pixels_of(picture)[:2] == (width, height)
    rows = pixels_of(picture)[2]

    def pixel(c: complex) -> bytes:
        x = int((c - example.CENTRE).real / example.SPAN * width + width / 2)
        y = int(height / 2 - (c - example.CENTRE).imag / example.SPAN * width)
        return rows[y][3 * x : 3 * x + 3]

    for inside in (0j, -1 + 0j, -0.12 + 0.74j):  # the heart, the disc to its left, the bulb above
        assert pixel(inside) == b"\0\0\0"
    for outside in (-2.2 + 1j, 0.9 + 0j, 0.6 - 0.9j):
        assert pixel(outside) != b"\0\0\0"
    assert rows == rows[::-1], "the set is its own mirror image"


@of("mandelbrot")
def test_main_writes_the_picture(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(example, "WIDTH", 30)
    monkeypatch.setattr(example, "HEIGHT", 20)
    monkeypatch.setattr(example, "row", functools.partial(example.row, width=30, height=20))
    example.main(str(tmp_path / "small.png"))
    assert pixels_of((tmp_path / "small.png").read_bytes())[:2] == (30, 20)
    assert "30 × 20" in capsys.readouterr().out


@pytest.mark.parametrize("example", [name for name in NAMES if name != "mandelbrot"], indirect=True)
def test_main_prints_what_it_found_and_how_it_ran(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = example.items()[:15]
    monkeypatch.setattr(example, "items", lambda: few)
    example.main()
    said = capsys.readouterr().out
    assert str(len(few)) in said
    assert len(said.splitlines()) >= 4


def test_an_example_runs_as_a_script(tmp_path: Path) -> None:
    """From any folder, as a person would start it: workers must find the function in ``__main__``."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "count_words.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "files" in done.stdout and done.stderr == ""
