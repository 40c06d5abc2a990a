"""The worker's way out: finished results into the ledger, and from there in frames to the crew."""

from __future__ import annotations

import time

from lightwork import _wire
from lightwork._backends._ledger import ENTRY, LARGEST, OUTBOX, SIZE, Ledger
from lightwork._backends._messages import ENDED, RESULTS, ROW
from lightwork._backends._rows import Row
from lightwork._handles import Handle
from lightwork._lean import RLock, deque, get_ident, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from lightwork._lean import socket
    from lightwork._pieces import Buffer, Bytes


PROMPT = 0.010
"""Seconds that a finished result waits for more at most; so a frame costs under 1 % of the time it stands for."""


class Post:
    """Sends whole frames, one at a time, from any thread.

    A frame that is sent while another is on its way in the same thread (a ``__del__`` or a signal handler that prints)
    waits for that one. The alarm of ``call_timeout`` stands still meanwhile: the crew may take its time to read.
    """

    def __init__(self, sock: socket.socket, ledger: Ledger) -> None:
        self._sock, self._ledger = sock, ledger
        self._lent: deque[tuple[int, int]] = deque()
        self._placed = 0
        self.lock = RLock()
        """Taken by who prints, too, before anything else: who sends may print in the midst, and who prints sends."""
        self._waiting: deque[Sequence[_wire.Part]] = deque()
        self._busy = False
        self._caller = get_ident()
        self.alarm: float | None = None

    def arm(self, seconds: float) -> None:
        """Sets the alarm, 0: none; in the ledger stands for when, should the function have the signal for itself."""
        signal.setitimer(signal.ITIMER_REAL, seconds)
        self._ledger.words[10] = int((time.perf_counter() + seconds) * 1e6) if seconds else 0

    def send(self, parts: Sequence[_wire.Part]) -> None:
        """Sends between calls, when no alarm is set."""
        with self.lock:
            if self._busy:
                self._waiting.append(parts)
                return
            self._busy = True
            try:
                _wire.send_all(self._sock, parts)
                while self._waiting:
                    _wire.send_all(self._sock, self._waiting.popleft())
            finally:
                self._busy = False

    def place(self, buffers: Sequence[Buffer]) -> list[tuple[int, int]] | None:
        """Puts the buffers of the next frame into the arena; None where that cannot be."""
        arena = self._ledger.arena
        if arena is None or not buffers:
            return None
        while self._lent and self._lent[0][0] <= self._ledger.words[4]:
            arena.free(self._lent.popleft()[1])
        places = arena.put(buffers)
        if places is not None:
            self._placed += 1
            self._lent.append((self._placed, places[0][0]))
        return places

    def send_within_call(self, parts: Sequence[_wire.Part]) -> None:
        """Sends what is printed or logged: while a call runs, or where no alarm is set, as what a worker lets go of
        between its calls may print too."""
        if self.alarm is None or get_ident() != self._caller or not self._ledger.words[10]:
            self.send(parts)
            return
        words, began = self._ledger.words, time.perf_counter()
        (left, _), due, words[10] = signal.setitimer(signal.ITIMER_REAL, 0), words[10], 0
        try:
            self.send(parts)
        finally:
            signal.setitimer(signal.ITIMER_REAL, left)
            words[10] = due + int((time.perf_counter() - began) * 1e6)


class Outbox:
    """Results of one batch after another."""

    def __init__(self, ledger: Ledger, post: Post) -> None:
        self._post, self._batch = post, 0
        self._memory, self._words = ledger.memory, ledger.words
        self._used = OUTBOX
        self.row: Row | None = None
        """The row that the outbox holds, if it holds one."""
        self._row = Row(ledger)
        self._began = self._cpu = self._ended = 0.0

    def begin(self, batch: int) -> None:
        """The next results are those of a batch whose calls begin now."""
        self._batch = batch
        self._began, self._cpu = time.perf_counter(), time.thread_time()
        self._ended = self._began

    def add(
        self,
        position: int,
        kind: int,
        data: bytes,
        buffers: Sequence[Buffer] = (),
        handles: Collection[Handle] = (),
    ) -> None:
        """Keeps the outcome of the call at ``position``; sends it with the others when it is time."""
        size = len(data)
        if buffers or handles or size > LARGEST:
            self._send(False, [ENTRY.pack(position, kind, size), data], buffers, handles)
            return
        start = self._used + ENTRY.size
        if start + size > SIZE:
            self._send(False)
            start = OUTBOX + ENTRY.size
        self._used = start + size
        ENTRY.pack_into(self._memory, start - ENTRY.size, position, kind, size)
        self._memory[start : self._used] = data
        self._words[1] = self._used - OUTBOX
        self._ended = time.perf_counter()
        if self._ended - self._began >= PROMPT:
            self._send(False)

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be sent."""
        return self._used == OUTBOX and self.row is None

    @property
    def since(self) -> float:
        """When the calls began whose results are waiting."""
        return self._began

    def let_go(self) -> None:
        """In a process that the worker's has forked: as the ledger."""
        self._row.let_go()

    @property
    def running(self) -> int | None:
        """The position of the call that runs, where the slot does not tell."""
        return self._row.running

    def begin_row(self, position: int, value: Any, total: int) -> bool:
        """Makes the empty outbox a row that begins with ``value``, if that can stand in one."""
        self.row = self._row if self._row.begin(position, value, total) else None
        return self.row is not None

    def send_row(self, position: int, last: bool = False) -> None:
        """Sends the row, which ends before ``position``."""
        row = self._row
        head = [self._head(last), ROW.pack(row.kind, row.first, position - row.first)]
        self._post.send(_wire.frame(_wire.RESULT_ROW, [*head, self._memory[OUTBOX : row.end(position)]]))
        self._emptied(last)

    def finish(self, end: int = ENDED, keeps: bool = False) -> None:
        """Sends what there is and says that the batch has ended; ``keeps``: that something of its buffers is in use."""
        self._send(end, keeps=keeps)

    def _head(self, last: int, keeps: bool = False) -> bytes:
        if self._post.alarm is not None:
            self._post.arm(0)
        seconds, cpu = time.perf_counter() - self._began, time.thread_time() - self._cpu
        return RESULTS.pack(self._batch, last, keeps, self._began, seconds, cpu)

    def _emptied(self, last: int) -> None:
        self._words[1] = self._words[3] = 0
        self._words[2] += 1
        self._used, self.row = OUTBOX, None
        if last:
            self._row.renew()
        else:
            self._began, self._cpu = time.perf_counter(), time.thread_time()

    def _send(
        self,
        last: int,
        entry: Sequence[bytes] = (),
        buffers: Sequence[Buffer] = (),
        handles: Collection[Handle] = (),
        keeps: bool = False,
    ) -> None:
        if entry:
            places = self._post.place(buffers)
            body: list[Bytes] = [self._head(last, keeps), self._memory[OUTBOX : self._used], *entry]
            self._post.send(_wire.frame(_wire.RESULTS, body, buffers, places, handles))
        else:
            results = self._memory[OUTBOX : self._used]
            self._post.send(_wire.small_frame(_wire.RESULTS, self._head(last, keeps), results))
        self._emptied(last)
