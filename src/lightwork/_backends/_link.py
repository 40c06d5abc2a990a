"""A worker at the other end of a socket, as its crew knows it: what it was sent, what it told, what its ledger says."""

from __future__ import annotations

from lightwork import _wire
from lightwork._backends import _rows
from lightwork._backends._ledger import POSITION, READS
from lightwork._backends._messages import RESULTS, ROW, WORN_OUT
from lightwork._backends._reporting import Account
from lightwork._calls import Finished, Revoked, WorkerFailed, WorkerLost
from lightwork._lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightwork._backends._launcher import End
    from lightwork._backends._ledger import Ledger
    from lightwork._calls import Event
    from lightwork._pieces import Buffer, Bytes


class Link:
    """One worker. Without a ``ledger`` nothing can be taken back from it, and all of its buffers go over the socket.

    ``record``: the batches that it has; ``functions``: numbers of those that it has; ``ready``: it has greeted;
    ``retiring``: its end is no news; ``closing``: it closes what it holds, and ends; ``hung_up``: its socket has ended;
    ``told``: results came from it since the crew last looked into its ledger; ``death``: how it ended.
    """

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        ledger: Ledger | None,
        started: float,
        copied: Callable[[memoryview], Bytes],
        mind_room: Callable[[socket.socket, bool], None],
    ) -> None:
        """``copied``: how buffers of results are made one's own; ``mind_room``: whether to be told when the socket
        takes more."""
        self.number, self.sock, self.ledger, self.started = number, sock, ledger, started
        self.frames = _wire.receive(sock, socket.MSG_DONTWAIT, None if ledger is None else ledger.view)
        self.record = Account(copied)
        self.functions: set[int] = set()
        self.ready = self.retiring = self.closing = self.hung_up = self.writing = self.told = False
        self.death: End | None = None
        self._sender = _wire.Sender(sock)
        self._mind_room = mind_room
        self._taken = 0
        """Frames with results that came."""
        self._placed: dict[int, int] = {}
        """Where the buffers of a batch begin in the arena, by its number."""
        self._floor = 0
        """Slots below are those of calls that were taken back, as the worker comes to them."""

    # to the worker

    def post(self, parts: list[_wire.Part]) -> int:
        """Sends a frame, what the socket does not take later; returns its bytes."""
        if not self._sender.send(parts):
            self._mind_writing()
        return _wire.size(parts)

    def write_on(self) -> None:
        """The socket takes more."""
        self._sender.flush()
        self._mind_writing()

    def _mind_writing(self) -> None:
        """Sees to it that it is told when the socket takes more, while something is left to be sent."""
        if not self.hung_up and self._sender.pending != self.writing:
            self.writing = self._sender.pending
            self._mind_room(self.sock, self.writing)

    def has_only_that(self) -> bool:
        """Whether what is being sent is for its only batch, so that it makes no call meanwhile."""
        return len(self.record.batches) == 1

    def place(self, number: int, buffers: Sequence[Buffer]) -> list[tuple[int, int]] | None:
        """Puts the buffers of its ``number``-th batch into its arena, if that can be; returns their places."""
        if self.ledger is None or self.ledger.arena is None or not buffers or self.ledger.words[5] != READS:
            return None
        places = self.ledger.arena.put(buffers)
        if places is not None:
            self._placed[number] = places[0][0]
        return places

    def free(self, number: int) -> None:
        """It uses nothing any more of what came with its ``number``-th batch."""
        if self.ledger is not None and self.ledger.arena is not None and number in self._placed:
            self.ledger.arena.free(self._placed.pop(number))

    # what is taken back

    def revoke(self) -> bool:
        """Tells it to begin nothing more of what it has; whether it can be told. A while later ``revoked`` knows."""
        if self.ledger is None or self.death is not None:
            return False
        words = self.ledger.words
        slot, fetching = self.ledger.slot, words[9]
        if words[6] and slot < words[8]:
            # It has not passed yet what was taken back before, which stays so.
            begin, self._floor = words[7], words[8] if slot >= words[7] else 0
        else:
            # A call whose function is still being imported has not begun.
            begin, self._floor = slot + (not fetching), 0
        words[7], words[8] = begin, (self.record.count + 1) << 32
        # For good: what is sent from now on is not in the range, and what is may lie in the worker's socket for long.
        words[6] = 1
        return True

    def revoked(self) -> Revoked | None:
        """What it cannot have begun since it was told not to; None where it has ended."""
        if self.ledger is None or self.death is not None:
            return None
        words = self.ledger.words
        # The slot last: a call that is no longer fetched by then is named there, and refused or not.
        fetching, slot = words[9], self.ledger.slot
        # What was sent since will not be refused: it had ended what it had then, and was given more.
        positions, at, before = {}, slot & POSITION, words[8] >> 32
        if slot < words[7]:
            # No call of the range has begun. Those before it that have not are still the worker's.
            positions = self.record.revoke(words[7] >> 32, (words[7] & POSITION) - 1, before)
        elif slot < self._floor or (fetching and slot < words[8]):
            # It is at a call that it will refuse, or has.
            positions = self.record.revoke(slot >> 32, at - 1, before)
        # One that went on will refuse the next call, or has, and its frame says so.
        return Revoked(self.number, positions)

    def unread(self, number: int) -> Revoked:
        """It could not read its ``number``-th batch, which goes back whole, if it was not taken back before."""
        self.free(number)
        sent = self.record.batches.pop(number, None)
        return Revoked(self.number, {} if sent is None else {sent.batch.id: 0})

    # what it did

    def collect(self, frame: _wire.Frame) -> Finished | Revoked | None:
        """Takes in a frame with results; None where it tells nothing new, not even that it is past what was taken
        back."""
        self._taken += 1
        self.told = True
        body = frame.body
        number, last, keeps, began, seconds, cpu = RESULTS.unpack_from(body)
        if frame.kind == _wire.RESULTS:
            outcomes = self.record.collect(number, body, RESULTS.size, frame.buffers, last, frame.handles)
        else:
            rest = body[RESULTS.size :]
            kind, first, count = ROW.unpack_from(rest)
            read = _rows.read(kind, count, rest[ROW.size :])
            outcomes = self.record.collect_row(number, first, read, len(rest), last)
        if frame.placed and self.ledger is not None:
            self.ledger.words[4] += 1
        if last and self._placed and not keeps:
            self.free(number)
        if outcomes is None:
            return Revoked(self.number, {}) if last else None
        outcomes.began, outcomes.seconds, outcomes.cpu = began, seconds, cpu
        return Finished(self.number, outcomes, last != 0, last == WORN_OUT)

    def tells_more(self) -> bool:
        """Whether results may stand in its ledger that it has not sent."""
        return self.ledger is not None and bool(self.record.batches)

    def glimpse(self) -> Finished | None:
        """What stands in the ledger of a living one and was not reported yet."""
        outcomes = None
        if self.ledger is not None and self.record.batches:
            outcomes = self.record.glimpse(self.ledger, self._taken)
        return None if outcomes is None else Finished(self.number, outcomes, last=False)

    def last_words(self, death: End) -> list[Event]:
        """What a dead one did and had not reported, and last its death, where that is news."""
        events: list[Event] = []
        if self.ledger is None:
            running = self.record.oldest()
        else:
            outcomes, complete, running = self.record.recover(self.ledger)
            if outcomes is not None:
                events.append(Finished(self.number, outcomes, complete))
        if isinstance(death, BaseException):
            events.append(WorkerFailed(self.number, death, scarce=isinstance(death, OSError)))
        elif not self.retiring:
            events.append(WorkerLost(self.number, running, death, begun=not (death.apart and self.fetching())))
        return events

    def busy(self) -> bool:
        """Whether a call of it goes on, or may."""
        return not (self.retiring or self.record.reported)

    def fetching(self) -> bool:
        """Whether it is importing what a call needs, which may last."""
        return self.ledger is not None and bool(self.ledger.words[9])

    def there(self) -> bool:
        """Whether its process has begun, as far as can be told; the starter may still be importing what it needs."""
        return self.ledger is None or bool(self.ledger.words[5])

    def close(self) -> None:
        """Frees its socket and its ledger."""
        self.sock.close()
        if self.ledger is not None:
            self.ledger.close()
