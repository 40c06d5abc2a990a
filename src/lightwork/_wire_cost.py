"""What it costs to send a call's argument to another process, and its result back: a few are really pickled."""

from __future__ import annotations

import time

from lightwork import _pickling
from lightwork._class_names import Sending
from lightwork._demand import Wire
from lightwork._gate import of_a_signal
from lightwork._handles import Collecting
from lightwork._lean import pickle, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


_COPY = 35e-12  # s per byte and side: 8 MB into a warm shared segment takes 0.28 ms, and out of it 0.27
_BUDGET = 0.005  # s for all pickling here
_SHORT = 2e-4  # s
_TOGETHER = 32  # small things that are pickled together, as they travel
_BYTES = 16 << 20  # bytes of one item after which the rest is not pickled


class _EnoughSeen(Exception):
    """Raised inside a pickler to end it."""


class _Sink:
    """Takes a pickler's output until there is too much of it or it takes too long."""

    def __init__(self, deadline: float) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.full = False
        self.deadline = deadline

    def write(self, part: Any) -> int:
        count = memoryview(part).nbytes
        self.size += count
        # The first 64 kB are seen even if it is late: a large object is announced by a few bytes.
        if self.size > _BYTES or (self.size > 1 << 16 and time.perf_counter() > self.deadline):
            self.full = True
            raise _EnoughSeen
        self.parts.append(bytes(part))
        return count


def measure_wire(items: Sequence[Any], values: Sequence[Any], fn: Callable[..., Any] | None = None) -> Wire:
    """Pickles and unpickles a few arguments and results here, for about 10 ms at most (a class's own
    ``__reduce__`` or ``__getstate__`` is not interrupted). ``fn`` is checked too: can it be sent at all?

    Large buffers (NumPy arrays) are not copied for this; their copying is reckoned at 35 ps a byte and side.
    """
    deadline = time.perf_counter() + _BUDGET
    refused = _refusal(fn, "the function") if fn is not None else None
    (out, out_back, bytes_out, why_out, cut_out) = _both_ways(items, "an argument", deadline)
    (back, back_in, bytes_back, why_back, cut_back) = _both_ways(values, "a result", deadline + _BUDGET / 2)
    return Wire(
        caller=out + back_in,
        worker=out_back + back,
        bytes_out=bytes_out,
        bytes_back=bytes_back,
        refused=refused or why_out or why_back,
        partial=cut_out or cut_back,
    )


def _both_ways(things: Sequence[Any], what: str, deadline: float) -> tuple[float, float, int, str | None, bool]:
    """Mean seconds to pickle and to unpickle, mean bytes, why not, and whether something was cut short."""
    down = up = total = 0.0
    count, cut, refused = 0, False, None
    for thing in things:
        if count and time.perf_counter() > deadline:
            break
        began = time.perf_counter()
        try:
            sink, buffers = _dump(thing, pickle.Pickler, deadline)
            by_value = not sink.full and _pickling.by_value(b"".join(sink.parts))
        except BaseException as error:
            if of_a_signal(error):
                raise
            if (refused := _refusal(thing, what, error)) is not None:
                break
            by_value = True
        pickled = time.perf_counter()
        if by_value:
            try:
                took_down, took_up, size = _by_value(thing)
            except BaseException as error:
                if of_a_signal(error):
                    raise
                refused = f"{what} cannot be unpickled: {type(error).__name__}: {error}"
                break
            down, up, total, count = down + took_down, up + took_up, total + size, count + 1
            continue
        if sink.full:
            taken = pickled - began + sink.size * _COPY
            down, up, total, count, cut = down + taken, up + taken, total + sink.size, count + 1, True
            continue
        stream = b"".join(sink.parts)
        try:
            pickle.loads(stream, buffers=buffers)
        except BaseException as error:
            if of_a_signal(error):
                raise
            refused = f"{what} cannot be unpickled: {type(error).__name__}: {error}"
            break
        copied = sum(buffer.raw().nbytes for buffer in buffers)
        took_down, took_up = pickled - began, time.perf_counter() - pickled
        if took_down < _SHORT:
            took_down, took_up = _again(thing, stream, buffers, took_down, took_up)
        down += took_down + copied * _COPY
        up += took_up + copied * _COPY
        total += sink.size + copied
        count += 1
    count = count or 1
    return down / count, up / count, round(total / count), refused, cut


def _again(
    thing: Any, stream: bytes, buffers: list[pickle.PickleBuffer], took_down: float, took_up: float
) -> tuple[float, float]:
    """Seconds to pickle and unpickle something small, as it goes when it is not the first of its kind: among others
    like it, for to begin and end a pickle takes longer than to put a number into it."""
    # What is small may stand for something large, which is loaded when it is unpickled.
    count = 1 if buffers else max(1, min(_TOGETHER, int(_SHORT / max(took_down, took_up, 1e-9))))
    if count > 1:
        try:
            # Not the same one several times: all but the first would be references to that.
            return _timed([pickle.loads(stream) for _ in range(count)], count)
        except BaseException as error:
            if of_a_signal(error):
                raise
            count = 1
    return _timed(thing, count)


def _timed(thing: Any, count: int) -> tuple[float, float]:
    """The same of each of the ``count`` that ``thing`` is, or consists of."""
    down, up = [], []
    kept: list[pickle.PickleBuffer] = []
    with Collecting({}):
        for _ in range(3):
            began = time.perf_counter()
            data = pickle.dumps(thing, 5, buffer_callback=kept.append)
            pickled = time.perf_counter()
            pickle.loads(data, buffers=kept)
            up.append(time.perf_counter() - pickled)
            down.append(pickled - began)
            kept.clear()
    return min(down) / count, min(up) / count


def _by_value(thing: Any) -> tuple[float, float, int]:
    """Seconds to pickle and unpickle something whose class or function is sent along, and the bytes that this takes.

    As it goes when it is not the first of its kind, which pays for cloudpickle's import and brings its class along.
    """
    down, up, size, names = [], [], 0, Sending()
    with Collecting({}):
        for _ in range(4):
            names.held, names.fresh = names.fresh or names.held, {}
            began = time.perf_counter()
            data, buffers = _pickling.dump(thing, names=names)
            pickled = time.perf_counter()
            pickle.loads(data, buffers=buffers)
            up.append(time.perf_counter() - pickled)
            down.append(pickled - began)
            size = len(data) + sum(buffer.nbytes for buffer in buffers)
    return min(down), min(up), size


def _dump(thing: Any, pickler: Any, deadline: float) -> tuple[_Sink, list[pickle.PickleBuffer]]:
    sink = _Sink(deadline)
    buffers: list[pickle.PickleBuffer] = []
    with suppress(_EnoughSeen), Collecting({}):  # nothing is sent, so the handles in it need not go along
        pickler(sink, protocol=5, buffer_callback=buffers.append).dump(thing)
    return sink, buffers


def _refusal(thing: Any, what: str, error: BaseException | None = None) -> str | None:
    """Why nobody can pickle it, or None. ``error``: pickle's reason, if that was asked."""
    if error is None and (error := _failure(thing, pickle.Pickler)) is None:
        return None
    from lightwork import _by_code

    error = _failure(thing, _by_code.Pickler)
    if error is not None and not isinstance(error, _by_code.NobodysError):
        import cloudpickle  # for a class of a script, say; 10 to 40 ms to import, so only where nothing else does

        error = _failure(thing, cloudpickle.Pickler)
    if error is None:
        return None
    kind = "" if type(thing).__name__ in what else f" ({type(thing).__name__})"
    return f"{what}{kind} cannot be pickled: {error}"


def _failure(thing: Any, pickler: Any) -> BaseException | None:
    try:
        _dump(thing, pickler, time.perf_counter() + _BUDGET)
    except BaseException as error:
        if of_a_signal(error):
            raise
        return error
    return None
