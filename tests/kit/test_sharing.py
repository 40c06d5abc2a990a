"""Shared memory: sent by handle, seen by all, kept as long as a view lives, and no longer."""

from __future__ import annotations

import array
import ctypes
import gc
import mmap
import os
import pickle
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import lightwork as lw
from lightwork._kit import sharing

np = pytest.importorskip("numpy")

ARRAYS = {
    "C order": lambda: np.arange(24.0).reshape(4, 6),
    "Fortran order": lambda: np.asfortranarray(np.arange(24.0).reshape(4, 6)),
    "a slice": lambda: np.arange(100)[10:90:7],
    "reversed": lambda: np.arange(100)[::-1],
    "transposed": lambda: np.arange(60).reshape(3, 4, 5).transpose(2, 0, 1),
    "empty": lambda: np.zeros((0, 3)),
    "no dimension": lambda: np.array(3.5),
    "booleans": lambda: np.array([True, False]),
    "complex": lambda: np.array([1 + 2j]),
    "dates": lambda: np.array(["2026-01-01", "NaT"], "M8[D]"),
    "text": lambda: np.array(["a", "bcd"]),
    "records": lambda: np.array([(1, 2.0)], [("a", "i2"), ("b", "f8")]),
    "halves": lambda: np.ones(3, "f2"),
    "another byte order": lambda: np.arange(5, dtype=">i4"),
    "raw bytes": lambda: np.frombuffer(b"abcdef", "V3"),
    "unaligned": lambda: np.frombuffer(bytes(range(17)), "u1", offset=1).view("i8"),
    "repeated": lambda: np.broadcast_to(np.arange(3), (4, 3)),
    "arrays in records": lambda: np.ones(2, [("x", "f4", (2, 2))]),
    "a Fortran slice": lambda: np.asfortranarray(np.arange(24.0).reshape(4, 6))[:, 1:3],
}
BYTES_LIKE = {
    "bytes": lambda: b"abc",
    "nothing": lambda: b"",
    "bytearray": lambda: bytearray(b"abc"),
    "array": lambda: array.array("d", [1, 2, 3]),
    "ctypes": lambda: (ctypes.c_int * 4)(1, 2, 3, 4),
    "mmap": lambda: mmap.mmap(-1, 100),
    "two dimensions": lambda: memoryview(np.arange(6, dtype="i4").reshape(2, 3)),
    "Fortran order": lambda: memoryview(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
    "every other": lambda: memoryview(np.arange(10, dtype="i4"))[::2],
}
VIEWS = {
    "all": lambda a: a,
    "a slice": lambda a: a[1:],
    "every other": lambda a: a[::2],
    "reversed": lambda a: a[::-1],
    "transposed": lambda a: a.T,
}


def is_shared(array) -> bool:
    return sharing._at(array.__array_interface__["data"][0]) is not None


def look(array):
    """What a worker sees, and the array itself as a result."""
    return type(array).__name__, array.flags.writeable, array.size == 0 or is_shared(array), array


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_every_kind_of_array(kind: str, backend: str) -> None:
    original = ARRAYS[kind]()
    array = lw.share(original)
    assert type(array) is np.ndarray and array.dtype == original.dtype
    np.testing.assert_array_equal(array, original)
    [(name, writeable, shared, came)] = lw.map(look, [array], backend=backend)
    assert (name, writeable, shared) == ("ndarray", False, True)
    np.testing.assert_array_equal(came, original)
    assert came.dtype == original.dtype and came.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("view", VIEWS)
def test_views_go_by_handle_both_ways(view: str) -> None:
    array = VIEWS[view](lw.share(np.arange(12.0).reshape(4, 3)))
    [(_, _, shared, came)] = lw.map(look, [array], backend="processes")
    assert shared and is_shared(came)
    np.testing.assert_array_equal(came, array)


def test_an_array_captured_by_a_function_goes_by_handle() -> None:
    array = lw.share(np.arange(1000.0))
    assert lw.map(lambda i: (is_shared(array), array[i]), [3], backend="processes") == [(True, 3.0)]


def test_writing_needs_leave() -> None:
    array = lw.share(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError):
        array.flags.writeable = True


def put(array, index):
    array[index] = index


def test_what_one_writes_all_see() -> None:
    array = lw.share(np.zeros(8), writable=True)
    lw.starmap(put, [(array, i) for i in range(8)], backend="processes", max_workers=2)
    assert array.tolist() == list(range(8))


def test_copies_and_results_are_ordinary_arrays() -> None:
    array = lw.share(np.arange(5.0))
    for made in (array.copy(), array + 1, np.sort(array), array.astype(int)):
        assert type(made) is np.ndarray and made.flags.writeable and not is_shared(made)
    # NumPy's own pickles of read-only arrays come back read-only with protocol 5, which Python 3.14 writes by default.
    again = pickle.loads(pickle.dumps(array))
    assert type(again) is np.ndarray and not is_shared(again) and (again == array).all()


def test_objects_cannot_be_shared() -> None:
    with pytest.raises(TypeError, match="references to Python objects"):
        lw.share(np.array([object()]))
    with pytest.raises(TypeError, match="no data in plain memory"):
        lw.share({"a": 1})


def test_bytes(way) -> None:
    view = lw.share(b"0123456789" * 100)
    assert isinstance(view, memoryview) and view.readonly
    assert lw.map(way.fn(bytes), [view, view[5:8]], backend=way.name) == [b"0123456789" * 100, b"567"]


@pytest.mark.parametrize("kind", BYTES_LIKE)
def test_bytes_like_objects_keep_format_and_shape(kind: str) -> None:
    original = BYTES_LIKE[kind]()
    shared = lw.share(original)
    assert type(shared) is memoryview and shared.readonly
    [(values, readonly)] = lw.map(lambda v: (v.tolist(), v.readonly), [shared], backend="processes")
    assert readonly and np.array_equal(np.array(values), np.asarray(memoryview(original)))


@pytest.mark.parametrize(
    "thing",
    [
        np.ma.array([1, 2], mask=[0, 1]),
        np.rec.array([(1, 2.0)]),
        np.float64(1),
        memoryview(np.ones(2, "i4,f8")),
        "text",
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_would_lose_something_is_refused(thing) -> None:
    with pytest.raises(TypeError, match="share"):
        lw.share(thing)


def test_tables() -> None:
    pandas = pytest.importorskip("pandas")
    table = lw.share(pandas.DataFrame({"a": np.arange(1000.0), "b": np.arange(1000.0) * 2}))
    assert is_shared(table["b"].to_numpy())
    [(shared, total)] = lw.map(lambda t: (is_shared(t["b"].to_numpy()), t["b"].sum()), [table], backend="processes")
    assert shared and total == 999000.0


def test_arrow_tables() -> None:
    pa = pytest.importorskip("pyarrow")
    table = lw.share(pa.table({"a": list(range(1000)), "s": ["x"] * 1000}))
    at = table["a"].chunk(0).buffers()[1].address
    assert sharing._at(at) is not None

    def look(t):
        return sharing._at(t["a"].chunk(0).buffers()[1].address) is not None, t["a"][999].as_py(), t.num_rows

    assert lw.map(look, [table], backend="processes") == [(True, 999, 1000)]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_it_goes_with_its_last_view() -> None:
    gc.collect()
    before, leases = descriptors(), len(sharing._leases)
    array = lw.share(np.arange(10.0))
    part = array[3:5]
    del array
    gc.collect()
    assert part.tolist() == [3.0, 4.0] and len(sharing._leases) == leases + 1
    del part
    gc.collect()
    assert (descriptors(), len(sharing._leases)) == (before, leases)


def test_a_view_outlives_the_process_that_shared_it() -> None:
    """A worker shares an array, gives it back, and is gone before it is read."""
    with lw.Executor(1, backend="processes") as executor:
        array = executor.submit(lambda: lw.share(__import__("numpy").arange(100_000.0))).result()
    assert array.sum() == 4999950000.0


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/smaps_rollup")
def test_eight_workers_share_one_copy() -> None:
    """256 MB, to be kind to small machines: handed to 8 workers in under 50 ms, and in memory once."""
    size = 256 << 20
    array = lw.share(np.ones(size // 8))
    with lw.Executor(8, backend="processes", initializer=__import__, initargs=("numpy",)) as executor:
        barrier = lw.Barrier(8)
        together = [executor.submit(memory_after, array[:1], barrier) for _ in range(8)]
        assert len({future.result()[0] for future in together}) == 8
        taken = []
        for _ in range(20):  # at some time of these the machine is not busy with others
            began = time.perf_counter()
            for future in [executor.submit(np.shape, array) for _ in range(8)]:
                future.result()
            taken.append(time.perf_counter() - began)
        used = dict(future.result() for future in [executor.submit(memory_after, array, barrier) for _ in range(8)])
    assert min(taken) < 0.05
    # Each page counts to each of its users as a fraction: together they have it once.
    assert len(used) == 8 and 0.9 * size < sum(used.values()) < 1.1 * size


def memory_after(array, barrier) -> tuple[int, int]:
    """This process's share of all shared memory, in bytes, while all have read the whole array and hold it."""
    assert array.sum() == array.size
    barrier.wait(60)
    text = Path("/proc/self/smaps_rollup").read_text()
    barrier.wait(60)
    return os.getpid(), next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss_Shmem"))


def test_nothing_is_left_in_dev_shm_after_a_kill() -> None:
    program = """
        import os, signal
        import numpy as np
        import lightwork as lw
        array, queue = lw.share(np.ones(1000)), lw.Queue()
        queue.put(bytes(100_000))
        print(lw.map(np.sum, [array], backend="processes"), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    shm = Path("/dev/shm")
    before = set(shm.iterdir()) if shm.exists() else set()
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50)
    assert "1000" in done.stdout
    assert (set(shm.iterdir()) if shm.exists() else set()) <= before


def test_pickling_elsewhere_says_what_to_do() -> None:
    for thing in (lw.Lock(), lw.Queue(), lw.Pipe()[0]):
        with pytest.raises(TypeError, match="lightwork's own workers"):
            pickle.dumps(thing)
