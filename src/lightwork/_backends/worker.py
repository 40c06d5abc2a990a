"""What runs in a worker, in a process or a sub-interpreter: frames in, calls, results out, until told to end.

    crew ── HELLO · FUNCTION · BATCH · DROP · RETIRE ──▶ worker
    crew ◀── READY or FAILED · RESULTS · OUTPUT · LOG ── worker

One socket, one thread. Before each call its number goes into the ledger's slot, after it the pickled result into the
ledger's outbox; that is sent when the batch ends, when it is full, and when results have waited long enough.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

from lightwork import _carried, _context, _descriptors, _per_worker, _pickling, _wire
from lightwork._backends import _stacks
from lightwork._backends._forked import end_fork
from lightwork._backends._ledger import FAILURE, POSITION, REVOKED, VALUE, Ledger
from lightwork._backends._messages import BATCH, ENDED, FUNCTION, HOLE, STYLES, WORN_OUT, Hello
from lightwork._backends._outbox import PROMPT, Outbox, Post
from lightwork._backends._output import STDERR, STDOUT, Lines, forward_records
from lightwork._backends._rows import NOTHING
from lightwork._backends._surroundings import around
from lightwork._calls import Terms, apply
from lightwork._class_names import HOME
from lightwork._handles import Arrived, Handle
from lightwork._lean import deque, partial, pickle, socket, struct
from lightwork._polling import Polling
from lightwork.errors import LightworkError, UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._backends._ceiling import Ceiling
    from lightwork._calls import Style
    from lightwork._pieces import Bytes


HERE = "in the worker"

_NUMBERS = frozenset({int, float, bool, type(None)})
"""Types whose pickles are small and refer to nothing."""
LOOKS = 8
"""How often in ``PROMPT`` seconds short calls look at the clock."""
MOST_UNSEEN = 1024
"""Calls between two looks at the clock, at most: one of them may take longer than all before."""
LONGEST_ALARM = 1e8
"""Seconds that every system's timers take; three years."""


class _Parcel:
    """A function that was sent; it is unpickled when the first batch asks for it."""

    __slots__ = ("buffers", "data", "handles", "module")

    def __init__(self, module: str, data: memoryview, buffers: Sequence[Bytes], handles: Arrived | None) -> None:
        self.module = module
        self.data = data
        self.buffers = buffers
        self.handles = handles


def main(descriptor: int, ledger: Ledger | None = None) -> int:
    """Serves one crew over the socket ``descriptor`` until it ends; returns an exit code.

    With a ledger this process is the worker's own; without, it is a sub-interpreter of the caller's. The descriptor
    stays open.
    """
    sock = _descriptors.adopted(descriptor)
    try:
        return Worker(sock, ledger).serve()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the crew is gone: nobody is left to tell
    finally:
        sock.detach()


def end() -> None:
    """What a process of its own does at the end of a peaceful life: the exit handlers run, the streams are flushed."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    atexit._run_exitfuncs()
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()


class Worker:
    def __init__(self, sock: socket.socket, ledger: Ledger | None) -> None:
        self._sock = sock
        self._own_process = ledger is not None
        self._ledger = ledger or Ledger()
        self._revoked = self._ledger.memory[REVOKED : REVOKED + 1]
        self._post = Post(sock, self._ledger)
        self._outbox = Outbox(self._ledger, self._post)
        self._functions: dict[int, _Parcel | Callable[..., Any]] = {}
        self._terms = Terms()
        self._polling = Polling(allowed=False)
        self._backend = ""
        self._ceiling: Ceiling | None = None
        self._lent = self._ledger.lent()
        self._forwards_logs = self._forked = False
        self._position = _Position(self._ledger.words, self._outbox)
        self._written: list[Lines] = []
        self._lines = (
            Lines(STDOUT, sys.__stdout__, self._post.send_within_call, self._written, self._post.lock),
            Lines(STDERR, sys.__stderr__, self._post.send_within_call, self._written, self._post.lock),
        )

    def serve(self) -> int:
        """Does what the frames say; returns when the crew says so or is gone."""
        view = None if self._lent is None else self._lent.view
        for frame in _wire.receive(self._sock, view=view, polling=self._polling):
            assert isinstance(frame, _wire.Frame)
            if frame.kind in (_wire.BATCH, _wire.ROWS):
                try:
                    self._run(frame)
                except BaseException:
                    if self._forked:  # it came back from its call, and found nothing to put the result into
                        end_fork(None)
                    raise
            elif frame.kind == _wire.FUNCTION:
                number, length = FUNCTION.unpack_from(frame.body)
                rest = frame.body[FUNCTION.size :]
                self._functions[number] = _Parcel(
                    bytes(rest[:length]).decode(), rest[length:], frame.buffers, frame.handles
                )
            elif frame.kind == _wire.DROP:
                for number in frame.body.cast("I").tolist():
                    self._functions.pop(number, None)
            elif frame.kind == _wire.HELLO:
                if not self._greet(_pickling.load(frame.body), frame.buffers, frame.handles):
                    return 1
            else:
                if _per_worker.closes():
                    self._post.send(_wire.frame(_wire.CLOSING, []))
                _per_worker.release()
                self._finish_lines()
                break
        return 0

    # the start

    def _greet(self, hello: Hello, buffers: Sequence[Bytes], handles: Arrived | None) -> bool:
        self._backend, self._polling.allowed = hello.backend, hello.polls
        sys.stdout, sys.stderr = self._lines
        if self._own_process:
            os.register_at_fork(after_in_child=self._become_fork)
            if self._lent is not None:
                os.register_at_fork(before=self._lent.make_private)
            _stacks.answer()
        try:
            self._surroundings = hello.surroundings
            self._surroundings.apply(self._own_process)
            self._terms = _pickling.load(hello.terms, buffers, handles)
            self._forward_logs()
            self._terms.initialize()
        except BaseException as problem:  # noqa: BLE001 - whatever it was, no worker will do better
            self._finish_lines()
            self._post.send(_wire.frame(_wire.FAILED, [_carried.pack(problem)]))
            return False
        self._finish_lines()
        if self._own_process:
            limit = self._terms.call_timeout
            self._post.alarm = None if limit is None else min(limit, LONGEST_ALARM)
            if self._terms.max_memory is not None:
                from lightwork._backends._ceiling import Ceiling

                self._ceiling = Ceiling(self._terms.max_memory)
                if self._lent is not None:
                    self._lent.copied = bytearray  # nothing is held that a call could have, and all of it counts
        self._post.send(_wire.frame(_wire.READY, [struct.pack("<Q", os.getpid())]))
        return True

    def _become_fork(self) -> None:
        """In a process that a call has forked: the call is its parent's, and so is all that is shared with the crew."""
        self._forked = True
        self._position.keep()
        self._revoked.release()
        self._outbox.let_go()
        self._ledger.let_go()
        _restore_output()

    def _forward_logs(self) -> None:
        """Once ``logging`` is there; importing it for functions that never log would delay every start."""
        if not self._forwards_logs and "logging" in sys.modules:
            self._forwards_logs = True
            forward_records(self._post.send_within_call, self._post.lock)

    def _finish_lines(self) -> None:
        for lines in self._lines:
            if lines.unfinished:
                lines.finish()
        self._written.clear()

    # calls

    def _run(self, frame: _wire.Frame) -> None:
        first, number, function, count, sparse, code = BATCH.unpack_from(frame.body)
        style, words, slot = STYLES[code], self._ledger.words, number << 32
        if self._ceiling is not None and self._ceiling.worn:
            self._outbox.begin(number)
            self._outbox.finish(WORN_OUT)
            return
        if self._lent is not None and (numbers := self._lent.free()):
            self._post.send(_wire.frame(_wire.FREE, [struct.pack(f"<{len(numbers)}I", *numbers)]))
        items: Sequence[Any] | _Parcels
        if frame.kind == _wire.ROWS:
            positions: Sequence[int] = range(count)
        else:
            items = _Parcels(frame, count, sparse, bytearray if self._lent is None else self._lent.own)
            positions = items.positions
        # The function's module, and what plain items are made of, is imported on the first call's account: if that
        # kills, it is this one that is lost. In this order: who looks between the two takes the call for begun.
        words[0] = slot | positions[0]
        words[9] = 1
        if self._post.alarm is not None:
            self._post.arm(self._post.alarm)
        if frame.kind == _wire.ROWS:
            try:
                items = pickle.loads(frame.buffers.pop() if frame.buffers else frame.body[BATCH.size :])
            except BaseException:  # noqa: BLE001 - the import of a class's module may raise anything
                if self._post.alarm is not None:
                    self._post.arm(0)
                self._post.send(_wire.frame(_wire.UNREAD, [struct.pack("<I", number)]))
                return
        del frame
        fn = around(self._function(function))
        if self._ceiling is not None:
            fn = self._ceiling.over(fn)
        self._surroundings.install_filters()
        self._forward_logs()
        # From here on: what the function's module took to import says nothing of its calls.
        words[9] = 0
        outbox = self._outbox
        outbox.begin(number)
        with _context.stretch(first, self._position, self._terms.seed, self._backend):
            if (
                not isinstance(items, _Parcels)
                and (style != "full" or count > 1)
                and self._post.alarm is None
                and self._ceiling is None
                and not self._terms.seed_globals
            ):
                self._run_row(fn if style == "one" else partial(apply, fn, style), items, slot, outbox)
            else:
                self._run_each(fn, items, positions, style, slot, outbox)

    def _run_each(
        self,
        fn: Callable[..., Any],
        items: Sequence[Any] | _Parcels,
        positions: Sequence[int],
        style: Style,
        slot: int,
        outbox: Outbox,
    ) -> None:
        """Calls whose items or results may be anything."""
        words, alarm, seeds = self._ledger.words, self._post.alarm, self._terms.seed_globals
        ceiling = self._ceiling
        revoked = self._revoked
        for position in positions:
            if alarm is not None:
                # Before the slot names this call: the last one's alarm must not strike it.
                self._post.arm(alarm)
            words[0] = slot | position
            if revoked[0] and words[7] <= slot | position < words[8]:
                break
            if seeds:
                _context.seed_globals()
            try:
                item = items[position]
            except BaseException as problem:  # noqa: BLE001 - it harms this call alone
                failure = _never_begun(_carried.not_rebuilt(problem, "the item", HERE))
                outbox.add(position, FAILURE, self._pack(failure))
                continue
            try:
                value = fn(item) if style == "one" else apply(fn, style, item)
            except BaseException as problem:  # noqa: BLE001 - SystemExit too is a failure like another
                if self._forked:
                    end_fork(problem)
                self._finish_lines()
                outbox.add(position, FAILURE, self._pack(problem))
            else:
                if self._written:
                    self._finish_lines()
                self._keep(outbox, position, value)
                value = None
            item = None
            if ceiling is not None and ceiling.after_call():
                outbox.finish(WORN_OUT)
                return
        outbox.finish(ENDED, self._lent is not None and self._lent.end(slot >> 32))

    def _run_row(self, fn: Callable[..., Any], items: Sequence[Any], slot: int, outbox: Outbox) -> None:
        """Calls for which nothing was asked that takes time, in stretches between which is a look at the clock.

        Results stand in a row as long as they can; the first that cannot sends it, and entries follow until those are
        sent. A stretch is as many calls as took a fraction of ``PROMPT`` the last time.
        """
        words, clock, total = self._ledger.words, time.perf_counter, len(items)
        revoked = self._revoked
        position, looked, stretch = 0, outbox.since, 1
        while position < total:
            began, end = position, min(position + stretch, total)
            while position < end:
                value: Any = NOTHING
                problem = None
                if outbox.row is not None:
                    position, value, problem = outbox.row.fill(fn, items, position, end, slot, self._written)
                    if problem is not None and self._forked:
                        end_fork(problem)
                    if outbox.row.refused:
                        total = end = position
                        break
                    if value is NOTHING and problem is None and position < outbox.row.capacity:
                        if self._written:
                            self._finish_lines()
                        continue
                    outbox.send_row(position)
                    if value is NOTHING and problem is None:
                        continue
                else:
                    words[0] = slot | position
                    if revoked[0] and words[7] <= slot | position < words[8]:
                        total = end = position
                        break
                    try:
                        value = fn(items[position])
                    except BaseException as raised:  # noqa: BLE001 - SystemExit too is a failure like another
                        if self._forked:
                            end_fork(raised)
                        problem = raised
                if self._written:
                    self._finish_lines()
                if problem is not None:
                    outbox.add(position, FAILURE, self._pack(problem))
                elif not (outbox.empty and outbox.begin_row(position, value, len(items))):
                    self._keep(outbox, position, value)
                position += 1
            now = clock()
            if outbox.row is not None and now - outbox.since >= PROMPT and position < total:
                outbox.send_row(position)
            calls = (position - began) * PROMPT / (LOOKS * max(now - looked, 1e-9))
            stretch, looked = max(1, min(MOST_UNSEEN, int(calls))), now
        if outbox.row is not None:
            outbox.send_row(position, last=True)
        else:
            outbox.finish()

    def _keep(self, outbox: Outbox, position: int, value: Any) -> None:
        if type(value) in _NUMBERS:
            outbox.add(position, VALUE, pickle.dumps(value, 5))
            return
        try:
            handles: dict[Handle, int] = {}
            data, large = _pickling.dump_apart(value, handles=handles, names=HOME)
        except Exception as problem:  # noqa: BLE001 - the result's own __reduce__ raised
            outbox.add(position, FAILURE, self._pack(_carried.unpicklable(problem, value, "result")))
        except BaseException as problem:  # noqa: BLE001 - SystemExit there is what it is in the call
            outbox.add(position, FAILURE, self._pack(problem))
        else:
            outbox.add(position, VALUE, data, large, handles)

    def _pack(self, problem: BaseException) -> bytes:
        if isinstance(problem, StopIteration):
            stopped = RuntimeError("the function raised StopIteration")
            stopped.__cause__ = problem
            problem = stopped
        if not self._own_process:
            _explain_refusal(problem)
        return _carried.pack(problem)

    def _function(self, number: int) -> Callable[..., Any]:
        """The function of this number; one that raises the reason where it cannot be unpickled."""
        held = self._functions[number]
        if not isinstance(held, _Parcel):
            return held
        _context.importing = held.module
        if self._ceiling is not None:
            self._ceiling.look()
        try:
            fn: Callable[..., Any] = _pickling.load(held.data, held.buffers, held.handles)
        except BaseException as problem:  # noqa: BLE001 - every call of it reports this
            fn = _Broken(problem, held.module)
        finally:
            _context.importing = None
        if self._ceiling is not None:
            self._ceiling.rebase()
        self._functions[number] = fn
        return fn


class _Parcels:
    """Items that travel each in a pickle of its own: they are unpickled one after another, each when its turn comes."""

    def __init__(self, frame: _wire.Frame, count: int, sparse: int, copied: Callable[[memoryview], Bytes]) -> None:
        self._copied = copied
        at = BATCH.size + 8 * count
        lengths = frame.body[BATCH.size : at].cast("Q").tolist()
        pairs = frame.body[at : at + 8 * sparse].cast("I").tolist()
        self.positions = [position for position, length in enumerate(lengths) if length != HOLE]
        self._body, self._at, self._lengths = frame.body, at + 8 * sparse, lengths
        self._counts = dict(zip(pairs[::2], pairs[1::2], strict=True))
        self._buffers: deque[bytearray | memoryview] = deque(frame.buffers)
        frame.buffers.clear()
        self._handles = frame.handles

    def __getitem__(self, position: int) -> Any:
        """To be asked for every one of ``positions``, in their order."""
        own = [self._buffers.popleft() for _ in range(self._counts.get(position, 0))]
        at = self._at
        self._at = at + self._lengths[position]
        return _pickling.load_own(self._body[at : self._at], own, self._handles, self._copied)


class _Position:
    """As many calls of the batch as have ended."""

    def __init__(self, words: Sequence[int], outbox: Outbox) -> None:
        self._words, self._outbox = words, outbox
        self._kept: int | None = None

    def keep(self) -> None:
        """From now on it stays as it is."""
        self._kept = len(self)

    def __len__(self) -> int:
        if self._kept is not None:
            return self._kept
        running = self._outbox.running
        return self._words[0] & POSITION if running is None else running


class _Broken:
    """Stands for a function that could not be unpickled, and fails each call with the reason."""

    def __init__(self, problem: BaseException, module: str) -> None:
        self.problem, self.module = problem, module

    def __call__(self, *_: Any, **__: Any) -> Any:
        if isinstance(self.problem, LightworkError):
            raise self.problem
        raise _never_begun(_carried.not_rebuilt(self.problem, f"the function (of module {self.module})", HERE))


def _never_begun(error: LightworkError) -> LightworkError:
    if isinstance(error, UnpicklableError):
        error.begun = False
    return error


def _restore_output() -> None:
    """A process that a call forks prints for itself: the socket is its parent's."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    if "logging" in sys.modules:
        import logging

        for handler in logging.root.handlers[:]:
            if getattr(handler, "lightwork_worker", False):
                logging.root.removeHandler(handler)


def _explain_refusal(problem: BaseException) -> None:
    """Adds what helps to the error of a module that does not load in sub-interpreters."""
    cause: BaseException | None = problem
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # nobody keeps exceptions from causing each other
        import re

        seen.add(id(cause))
        refusal = re.search(r"module (\S+) does not support loading in subinterpreters", _carried.said(cause) or "")
        if refusal:
            problem.add_note(
                f"The module {refusal[1]} refuses to load in a sub-interpreter. "
                'Use backend="processes" (or "threads", if the work releases the GIL).'
            )
            return
        cause = cause.__cause__ or cause.__context__
