"""Copies of what lies in shared memory: their memory is used again, and never while anybody refers to any of it."""

from __future__ import annotations

import gc
import pickle
import resource
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightwork._backends import _copies
from lightwork._backends._copies import HELD, HELD_BY_CALLER, LARGE, LITTLE, MOST, Copies

numpy = pytest.importorskip("numpy")

SIZES = (64 * 1024, 70 * 1024, 300_000, LARGE - 1, LARGE, LARGE + 700_000)
WAYS = (
    lambda own: None,
    lambda own: own,
    lambda own: own[1000:1001],
    lambda own: own.obj,  # what the memory belongs to, without a view of it
    lambda own: own.toreadonly()[-7:],
    lambda own: pickle.PickleBuffer(own),
    lambda own: numpy.frombuffer(own, numpy.uint8)[::4096],
)


def bytes_of(kept):
    return bytes(memoryview(kept)) if not isinstance(kept, numpy.ndarray) else kept.tobytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SIZES), st.sampled_from(WAYS), st.booleans()), max_size=50))
def test_what_is_kept_never_changes(steps):
    copies, kept = Copies(), []
    for number, (size, way, forget) in enumerate(steps):
        own = copies(memoryview(bytes([number % 251]) * size))
        assert len(own) == size and not own.readonly and own[0] == own[-1] == number % 251
        if (part := way(own)) is not None:
            kept.append((part, bytes_of(part)))
        del own, part
        if forget and kept:
            kept.pop(0)
    assert all(bytes_of(part) == was for part, was in kept)


@pytest.mark.parametrize("size", [100_000, LARGE + 5])
def test_memory_that_nobody_uses_is_used_again(size):
    copies = Copies()
    first = copies(memoryview(bytes(size)))
    memory = id(first.obj)
    second = copies(memoryview(bytes(size)))
    assert id(second.obj) != memory
    del first
    again = copies(memoryview(b"x" * size))
    assert id(again.obj) == memory and bytes(again) == b"x" * size


def test_little_is_held():
    copies, kept = Copies(), []
    for _ in range(3 * MOST):
        kept.append(copies(memoryview(bytes(2_000_000))))
    assert sum(map(len, copies._held)) <= HELD and len(copies._held) <= MOST
    copies = Copies()
    large = copies(memoryview(bytes(HELD + 1)))
    memory = large.obj
    del large
    gc.collect()
    assert sys.getrefcount(memory) <= 2, "nobody else holds it"


@pytest.mark.parametrize(
    ("available", "most"), [(None, HELD), (0, HELD), (LITTLE * (HELD + 5), HELD + 5), (1 << 50, HELD_BY_CALLER)]
)
def test_the_caller_holds_more_where_that_is_little(available, most, monkeypatch):
    monkeypatch.setattr(_copies, "available_memory", lambda: available)
    copies = Copies(by_caller=True)
    large = memoryview(bytes(2 * LARGE))
    kept = [copies(large) for _ in range(MOST + 5)]
    held = sum(map(len, copies._held))
    assert most - len(kept[0]) < held <= most or len(copies._held) == MOST


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts private mappings on Linux alone")
def test_too_little_memory_is_a_memory_error():
    code = f"""
import resource
from lightwork._backends._copies import Copies
copies, large, kept = Copies(), memoryview(bytes(20_000_000)), []
resource.setrlimit(resource.RLIMIT_DATA, (200_000_000, {resource.RLIM_INFINITY}))
try:
    while True:
        kept.append(copies(large))
except MemoryError:
    print(len(kept))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert int(said.stdout) > 0  # how many depends on what the interpreter has reserved before
