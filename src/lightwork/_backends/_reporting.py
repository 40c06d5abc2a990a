"""What workers did, from frames and ledgers to outcomes: each call once, in order."""

from __future__ import annotations

from lightwork import _carried, _pickling
from lightwork._backends import _rows
from lightwork._backends._ledger import ENTRY, VALUE, Ledger
from lightwork._calls import Batch, Outcomes
from lightwork._handles import Arrived
from lightwork._lean import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._pieces import Bytes


HERE = "in the caller's process"


class Sent:
    """A batch that is with a worker. ``reported``: how many of its calls were; ``classes``: those that went along."""

    __slots__ = ("batch", "classes", "holes", "reported", "sound", "stop")

    def __init__(
        self,
        batch: Batch,
        holes: dict[int, BaseException] | None = None,
        classes: dict[int, Any] | None = None,
    ) -> None:
        self.batch = batch
        self.holes: dict[int, BaseException] = {} if holes is None else holes
        self.reported = 0
        self.classes: dict[int, Any] = {} if classes is None else classes
        self.stop, self.sound = batch.stop, not holes


class Account:
    """The batches that one worker has, by the number that counts what it was sent; the oldest first."""

    def __init__(self, copied: Callable[[memoryview], Bytes] = bytearray) -> None:
        self._copied = copied
        self.batches: dict[int, Sent] = {}
        self.count = 0
        self.classes: dict[int, Any] = {}
        """Those that the worker has unpickled, as they were sent."""

    def add(self, sent: Sent) -> int:
        self.count += 1
        self.batches[self.count] = sent
        return self.count

    def collect(
        self,
        number: int,
        view: memoryview,
        at: int = 0,
        buffers: Sequence[bytearray | memoryview] = (),
        last: int = 0,
        handles: Arrived | None = None,
    ) -> Outcomes | None:
        """The outcomes in ``view``, from its byte ``at`` on, that were not reported yet; None if there are none and it
        is not the end (``last``).

        ``buffers`` and ``handles`` belong to the last entry. Calls that were never sent are filled in as the
        failures they are.
        """
        sent = self.batches.get(number)
        if sent is None:
            return None
        outcomes = Outcomes(sent.batch.id, sent.reported, [])
        end = len(view)
        while at < end:
            position, kind, length = ENTRY.unpack_from(view, at)
            begin = at + ENTRY.size
            at = begin + length
            data = view[begin:at]
            if position < sent.reported:
                continue  # it was seen in the ledger before
            if position > sent.reported:
                self._fill(sent, outcomes, position)
            outcomes.sent += length
            if at < end or not (buffers or handles):
                self._unpack(position, kind, data, (), outcomes, None)
            else:
                outcomes.sent += sum(map(len, buffers))
                self._unpack(position, kind, data, buffers, outcomes, handles)
            sent.reported += 1
        return self._done(sent, number, outcomes, last)

    def collect_row(self, number: int, first: int, read: _rows.Read, size: int, last: int) -> Outcomes | None:
        """The same for a row of ``size`` bytes, whose first value is the result of the call at position ``first``."""
        sent = self.batches.get(number)
        if sent is None:
            return None
        outcomes = Outcomes(sent.batch.id, sent.reported, [])
        values, problems = read
        end = first + len(values)
        if end > sent.reported:
            for place, problem in problems.items():
                if first + place >= sent.reported:
                    outcomes.failures[first + place] = _carried.not_rebuilt(problem, "the result", HERE)
            outcomes.values = values if first == sent.reported else values[sent.reported - first :]
            outcomes.sent, sent.reported = size, end
        return self._done(sent, number, outcomes, last)

    def _done(self, sent: Sent, number: int, outcomes: Outcomes, last: int) -> Outcomes | None:
        if outcomes.failures:
            sent.sound = False  # something of it may never have been unpickled
        if last:
            if sent.classes and sent.sound and sent.reported == sent.stop:
                self.classes.update(sent.classes)
            if sent.holes:
                # A worker from which calls were taken back ends its batch before they come.
                end = sent.reported
                while end < sent.batch.stop and end in sent.holes:
                    end += 1
                self._fill(sent, outcomes, end)
            del self.batches[number]
        return outcomes if last or outcomes.values else None

    @property
    def reported(self) -> bool:
        """Whether all calls of all its batches are known, as when the last were found in the ledger."""
        return all(
            position in sent.holes
            for sent in self.batches.values()
            for position in range(sent.reported, sent.batch.stop)
        )

    def revoke(self, number: int, position: int, before: int) -> dict[int, int]:
        """What the worker had not begun when it ran the call at ``position`` of batch ``number`` is its no longer, but
        for batches from ``before`` on.

        Returns from which position on, by the batch's id; a batch of which nothing was begun is forgotten.
        """
        taken = {}
        for each, sent in list(self.batches.items()):
            if each >= before:
                break
            begun = position + 1 if each == number else 0 if each > number else sent.batch.stop
            if begun < sent.batch.stop:
                taken[sent.batch.id] = begun
                if not begun:
                    del self.batches[each]
        return taken

    def _rescue(self, ledger: Ledger) -> Outcomes | None:
        """The outcomes that stand in a ledger that does not change."""
        number, position = ledger.running
        found = _rows.rescue(ledger, position)
        if found is None:
            return self.collect(number, ledger.entries())
        return self.collect_row(number, *found, 0, last=0)

    def glimpse(self, ledger: Ledger, taken: int) -> Outcomes | None:
        """What a living worker has finished and not sent, as it waits for more. Its times come with its frame.

        ``taken``: frames of results that came. Where the outbox was emptied more often, one is on its way, and what
        stands in the outbox comes after it.
        """
        seen = ledger.copy()
        return None if seen is None or seen.words[2] > taken else self._rescue(seen)

    def recover(self, ledger: Ledger) -> tuple[Outcomes | None, bool, tuple[int, int] | None]:
        """For a worker that is dead: unreported outcomes, whether they complete their batch, and what it ran."""
        number, position = ledger.running
        sent = self.batches.get(number)
        if sent is None:
            return None, False, None
        outcomes = self._rescue(ledger)
        # Where it was revoked, the slot may name the call that the worker was about to refuse.
        if sent.reported <= position < sent.batch.stop:
            return outcomes, False, (sent.batch.id, position)
        complete = all(later in sent.holes for later in range(sent.reported, sent.batch.stop))
        if complete:
            outcomes = outcomes or Outcomes(sent.batch.id, sent.reported, [])
            self._fill(sent, outcomes, sent.batch.stop)
            del self.batches[number]
        return outcomes, complete, None

    def oldest(self) -> tuple[int, int] | None:
        """The first call that was not reported: without a ledger, the one that may have begun."""
        for sent in self.batches.values():
            return sent.batch.id, sent.reported
        return None

    def _fill(self, sent: Sent, outcomes: Outcomes, until: int) -> None:
        for position in range(sent.reported, until):
            outcomes.failures[position] = sent.holes[position]
            outcomes.values.append(None)
        sent.reported = until

    def _unpack(
        self,
        position: int,
        kind: int,
        data: memoryview,
        buffers: Sequence[bytearray | memoryview],
        outcomes: Outcomes,
        handles: Arrived | None,
    ) -> None:
        value = None
        try:
            if kind == VALUE:
                value = (
                    _pickling.load_own(data, buffers, handles, self._copied)
                    if buffers or handles is not None
                    else pickle.loads(data)
                )
            else:
                outcomes.failures[position] = _carried.unpack(data)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # noqa: BLE001 - a result's __setstate__ may raise anything
            outcomes.failures[position] = _carried.not_rebuilt(problem, "the result", HERE)
        outcomes.values.append(value)
