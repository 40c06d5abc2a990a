"""Bytes on the wire: frames arrive whole, in order, in memory of their own."""

from __future__ import annotations

import os
import pickle
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightwork import _carried, _culprit, _pickling, _wire
from lightwork._clock import ManualClock
from lightwork.errors import RemoteError, UnpicklableError

PARTS = st.lists(st.binary(max_size=200), max_size=3)
LARGE = st.lists(st.integers(0, 300_000).map(bytes), max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), PARTS, LARGE), max_size=5))
def test_frames_arrive_as_they_were_sent(frames):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = _wire.Sender(ours)
        reader = _wire.receive(theirs, socket.MSG_DONTWAIT)
        for kind, body, buffers in frames:
            sender.send(_wire.frame(kind, body, buffers))
        arrived = []
        while len(arrived) < len(frames):
            frame = next(reader)
            if frame is None:
                assert sender.pending
                sender.flush()
            elif frame is not False:
                arrived.append(frame)
        assert next(frame for frame in reader if frame is not False) is None
        ours.close()
        assert next(reader, "end") == "end"
    assert [(kind, b"".join(body), buffers) for kind, body, buffers in frames] == [
        (frame.kind, bytes(frame.body), [bytes(buffer) for buffer in frame.buffers]) for frame in arrived
    ]


def test_what_was_not_sent_yet_is_not_the_callers_to_change():
    ours, theirs = socket.socketpair()
    data = bytearray(3_000_000)
    with ours, theirs:
        sender = _wire.Sender(ours)
        sender.send(_wire.frame(1, [], [data]))
        assert sender.pending
        data[:] = b"x" * len(data)
        thread = threading.Thread(target=lambda: found.extend(next(_wire.receive(theirs)).buffers))
        found = []
        thread.start()
        while sender.pending:
            sender.flush()
        thread.join()
        assert found == [bytearray(3_000_000)]


def test_a_stream_that_ends_in_a_frame_has_no_such_frame():
    ours, theirs = socket.socketpair()
    with theirs:
        ours.send(_wire.frame(1, [b"whole"])[0] + _wire.frame(2, [b"torn"])[0][:-1])
        ours.close()
        assert [bytes(frame.body) for frame in _wire.receive(theirs)] == [b"whole"]


def test_a_reset_hides_nothing():
    ours, theirs = socket.socketpair()
    with ours:
        ours.send(b"never read")
        theirs.send(_wire.frame(1, [b"last words"])[0])
        theirs.close()
        assert [bytes(frame.body) for frame in _wire.receive(ours)] == [b"last words"]


def test_a_dead_peer_takes_what_was_for_it():
    ours, theirs = socket.socketpair()
    with ours:
        sender = _wire.Sender(ours)
        theirs.close()
        sender.send([b"x" * 1_000_000])
        assert not sender.pending
        with pytest.raises(BrokenPipeError):
            _wire.send_all(ours, [b"x"])


def test_arrays_stay_out_of_the_pickle_and_arrive_writable():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000.0)
    data, buffers = _pickling.dump({"a": array, "small": numpy.arange(3)})
    assert len(data) < 1000
    assert buffers[0].nbytes == array.nbytes
    back = _pickling.load(data, [bytearray(buffer) for buffer in buffers])
    back["a"][0] = 7
    assert array[0] == 0
    inside, none = _pickling.dump(array, None)
    assert len(inside) > array.nbytes
    assert none == []


def test_what_refers_to_main_goes_by_value():
    def local(x):
        return x + 1

    data, _ = _pickling.dump(local)
    assert pickle.loads(data)(1) == 2
    data, _ = _pickling.dump(os.getcwd)
    assert b"cloudpickle" not in data


class Session:
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner


def _closure_over(value):
    return lambda: value


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda lock: [1, {"k": (lock,)}], "x[1]['k'][0]"),
        (lambda lock: Session(Session(lock)), "x.inner.inner"),
        (lambda lock: _closure_over([lock]), "x's variable 'value'[0]"),
        (lambda lock: {lock: 1}, None),
        (lambda lock: lock, "x"),
    ],
)
def test_the_way_to_the_part_at_fault(make, path):
    lock = threading.Lock()
    found, part = _culprit.find(make(lock), "x", _pickling.dump)
    assert part is lock
    if path:
        assert found == path


def test_a_cycle_and_a_crowd_end_the_search():
    crowd = [[] for _ in range(10_000)]
    crowd.append(crowd)
    crowd.append(threading.Lock())
    path, part = _culprit.find(crowd, "x", _pickling.dump)
    assert path == "x"
    assert part is crowd


def test_the_search_for_the_culprit_ends_soon_where_each_trial_takes_long(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(_culprit, "SystemClock", clock)
    nested: list[object] = []
    for _ in range(100):
        nested = [nested]

    def dump(_):
        clock.advance(0.1)
        raise TypeError("too deep")

    path, _ = _culprit.find(nested, "x", dump)
    assert path.startswith("x[0]") and clock.now() < _culprit.MOST_SECONDS + 0.2


class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")


def test_exceptions_cross():
    try:
        raise KeyError("k")
    except KeyError as raised:
        back = _carried.unpack(_carried.pack(raised))
    assert type(back) is KeyError
    assert back.args == ("k",)
    assert "test_exceptions_cross" in str(back.__cause__)
    assert isinstance(_carried.unpack(_carried.pack(Silent())), (Silent, RemoteError))
    group = _carried.unpack(_carried.pack(ExceptionGroup("g", [ValueError(1), OSError(2, "two")])))
    assert [type(each) for each in group.exceptions] == [ValueError, FileNotFoundError]
    unpicklable = _carried.unpack(_carried.pack(UnpicklableError("m", "p", "r")))
    assert (unpicklable.path, unpicklable.remedy) == ("p", "r")


def test_what_comes_after_a_short_read_is_read_too():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = _wire.receive(theirs, socket.MSG_DONTWAIT)
        for number in range(3):
            ours.sendall(b"".join(_wire.frame(1, [bytes([number])])))
            frame = next(reader)
            assert bytes(frame.body) == bytes([number])
            assert frame.last
        ours.close()
        assert next(reader, "end") == "end"
