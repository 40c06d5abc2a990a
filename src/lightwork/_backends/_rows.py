"""Rows: plain items and plain results that travel many at a time.

A pickle for each item and each result lets one that fails harm its own call alone, but takes most of the time of a
short call. Where items are plain (see ``_plain``), a batch of them is one pickle. Results stand in a row, one behind
the other: numbers of one type, NumPy's too, in 8 bytes each, Nones in none, other atoms in ``marshal``'s format, which
needs no frame around each, other plain values in pickles that need none.
"""

from __future__ import annotations

import io
import marshal
import sys
from _operator import length_hint

from lightwork._backends import _plain
from lightwork._backends._ledger import BLANK, LARGEST, OUTBOX, REVOKED, SIZE, TELLS, Ledger
from lightwork._lean import pickle
from lightwork._pickling import OUT_OF_BAND
from lightwork._pieces import Bytes, Pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Read = tuple[list[Any], dict[int, BaseException]]


ATOMS = frozenset({int, float, bool, type(None), complex, bytes, str})
"""Types of which ``marshal`` gives back exactly what it took. It takes more, but makes bytes of all buffers."""

_SIZED = frozenset({bytes, str})
"""Those of them whose length tells how much they take."""

VERSION = 2
"""Of marshal's format: the last in which no value refers to an earlier one, so that any of them can be cut off."""

MARSHAL, INTEGERS, FLOATS, TRUTHS, NONES, PLAIN, FLOAT64, FLOAT32, INT64, INT32 = range(10)
_KINDS: dict[type, int] = {int: INTEGERS, float: FLOATS, bool: TRUTHS, type(None): NONES}
_NUMPY = {"float64": FLOAT64, "float32": FLOAT32, "int64": INT64, "int32": INT32}
_TYPES: dict[int, type] = {kind: each for each, kind in _KINDS.items()}
_CAPACITY = (SIZE - OUTBOX) // 8
LOW = 0 if sys.byteorder == "little" else 1
"""The half of the slot in which the position stands."""
LIMIT = 1 << 63
_NAMES = {kind: name for name, kind in _NUMPY.items()}


NOTHING = object()
"""No result."""


def dump(items: Sequence[Any]) -> bytes | Pieces | None:
    """All items as one pickle of a sequence; None where one of them is not plain."""
    if type(items) is range and len(items) > 8:  # to look up what "range" is takes as long as so many integers
        return pickle.dumps(items, 5)
    if len(items) == 1 and _is_simple(items[0]):
        return pickle.dumps(items, 5)
    return None if len(items) and _is_large(items[0]) else _plain.together(items)


def _is_simple(item: Any) -> bool:
    """Whether an item is a submitted call's arguments, all of them small atoms: no pickler has to look for more."""
    if type(item) is not tuple or len(item) != 2 or type(item[0]) is not tuple or type(item[1]) is not dict or item[1]:
        return False
    for each in item[0]:
        kind = type(each)
        if kind not in ATOMS or (kind in _SIZED and len(each) > LARGEST):
            return False
    return True


def _is_large(item: Any) -> bool:
    """Whether an item, or the first argument of a submitted call, is an array that goes into no row: that is seen at
    once, where a pickler would look for it."""
    if type(item) is tuple and item and type(item[0]) is tuple and item[0]:
        item = item[0][0]
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    return type(item) is ndarray and item.nbytes >= OUT_OF_BAND


def read(kind: int, count: int, row: Bytes) -> Read:
    """The ``count`` values that stand in a row; what one raised that cannot be rebuilt, by its place."""
    if kind == NONES:
        return [None] * count, {}
    if kind == MARSHAL:
        # So begins a list in marshal's format; what follows are its items.
        return marshal.loads(b"".join((b"[", count.to_bytes(4, "little"), row))), {}
    if kind == PLAIN:
        return _plain.read(row)
    column = memoryview(row).cast("B")
    if kind >= FLOAT64:
        import numpy as np

        numbers = np.frombuffer(column, np.float64 if kind <= FLOAT32 else np.int64)
        return list(numbers.astype(_NAMES[kind], copy=False)), {}
    values: list[Any] = column.cast("d").tolist() if kind == FLOATS else column.cast("q").tolist()
    return list(map(bool, values)) if kind == TRUTHS else values, {}


def rescue(ledger: Ledger, position: int) -> tuple[int, Read] | None:
    """The first position and the values of the row in a copy of a ledger, whose slot names the call at ``position``;
    None where the outbox holds no row."""
    word, used = ledger.words[3], min(ledger.words[1], SIZE - OUTBOX)
    if not word:
        return None
    first, kind = (word >> 8) - 1, word & 0xFF & ~TELLS
    if kind == MARSHAL:
        return first, (_all(ledger.memory[OUTBOX : OUTBOX + used]), {})
    if kind == PLAIN:
        return first, _plain.read(ledger.memory[OUTBOX : OUTBOX + used])
    count = min(max(used // 8, position - first), _CAPACITY)
    return first, read(kind, count, ledger.memory[OUTBOX : OUTBOX + 8 * count])


def _all(row: Bytes) -> list[Any]:
    """The values of a row in marshal's format, where nobody knows how many they are."""
    file, values = io.BytesIO(row), []
    while file.tell() < len(row):
        values.append(marshal.load(file))
    return values


class Row:
    """The row that a worker's outbox holds: calls, and their results as they come.

    In a row of one type nothing but the result is stored with each call: the first cell without one tells which call
    runs. Nones have no cells: there the slot names a call when all before it have ended. Word 1 counts 8 bytes for each
    even of them.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._words = ledger.words
        self._memory = ledger.memory
        self._positions = ledger.memory[:8].cast("I")
        results = ledger.memory[OUTBOX:]
        integers, floats = results.cast("q"), results.cast("d")
        self._columns: dict[int, memoryview[Any]] = dict.fromkeys((INTEGERS, TRUTHS, INT64, INT32), integers)
        self._columns |= dict.fromkeys((FLOATS, FLOAT64, FLOAT32), floats)
        self._revoked = ledger.memory[REVOKED : REVOKED + 1]
        self._blank = bytes(ledger.memory[BLANK:OUTBOX])
        self._items: Iterator[Any] | None = None
        """The items of the stretch that is under way, if it has cells; it ends before position ``_stop``."""
        self._stop = 0
        self._gone = False
        self.kind = MARSHAL
        self.first = self.used = 0
        self.refused = False
        """Whether the next call was revoked."""
        self._mixed = self._composed = False
        """Whether a result was of another type than its row: what is in ``marshal``'s format takes all atoms. Whether
        one was no atom: pickles take those, too."""
        self._odd: set[type] = set()
        """Types of results that were not plain, or large."""
        self._pickles = _plain.OneByOne()

    def renew(self) -> None:
        """The next row is that of another batch."""
        self.refused = self._mixed = self._composed = False
        self._odd.clear()
        self._pickles.renew()

    def let_go(self) -> None:
        """In a process that the worker's has forked: as the ledger."""
        self._gone = True
        for view in (self._positions, self._revoked, *self._columns.values()):
            view.release()

    @property
    def capacity(self) -> int:
        """The position before which a row of one type must end."""
        return self.first + _CAPACITY

    def end(self, position: int) -> int:
        """The byte of the ledger before which the results of calls before ``position`` stand."""
        if self.kind == NONES:
            return OUTBOX
        return self.used if self.kind in (MARSHAL, PLAIN) else OUTBOX + 8 * (position - self.first)

    @property
    def running(self) -> int | None:
        """The position of the call that runs, where the slot does not tell."""
        items = self._items
        return None if items is None else self._stop - length_hint(items) - 1

    def begin(self, position: int, value: Any, total: int) -> bool:
        """Begins a row with the result of the call at ``position`` of ``total``; False where that cannot stand in
        one."""
        type_ = type(value)
        if type_ in _SIZED and len(value) > LARGEST:
            return False
        if type_.__module__ == "numpy" and type_ not in _KINDS and type_.__name__ in _NUMPY:
            _KINDS[type_] = _NUMPY[type_.__name__]
            _TYPES[_KINDS[type_]] = type_
        if type_ in _KINDS and not self._mixed and self._begin(_KINDS[type_], position, value, total):
            return True
        if type_ in ATOMS and not self._composed:
            return self._begin(MARSHAL, position, value, total)
        return type_ not in self._odd and self._begin(PLAIN, position, value, total)

    def _begin(self, kind: int, position: int, value: Any, total: int) -> bool:
        self.kind, self.first, self.used = kind, position, OUTBOX
        head = self._pickles.begin() if kind == PLAIN else b""
        if kind in (MARSHAL, PLAIN):
            data = marshal.dumps(value, VERSION) if kind == MARSHAL else self._pickled(value)
            if data is None or len(data) > LARGEST:
                return False
            data = head + data
            self._memory[OUTBOX : OUTBOX + len(data)] = data
            self.used += len(data)
        else:
            self.used += 8
            try:
                if kind != NONES:
                    cells = min(total - position + 1, _CAPACITY)  # one is there to be found behind the last result
                    self._memory[OUTBOX : OUTBOX + 8 * cells] = self._blank * cells
                    self._columns[kind][0] = value
            except ValueError:  # an integer of more than 64 bits
                return False
        # In this order: as long as word 1 is 0 a row of word 3 is empty.
        self._words[3] = (position + 1) << 8 | kind
        self._words[1] = self.used - OUTBOX
        return True

    def fill(
        self, fn: Callable[[Any], Any], items: Sequence[Any], position: int, end: int, slot: int, written: list[Any]
    ) -> tuple[int, Any, BaseException | None]:
        """Makes the calls from ``position`` on, before ``end`` at the most.

        Returns the position before which all results are stored; what the next call returned, which found no place
        here (``NOTHING``: there is no such); what it raised. Returns after a call that has written something, too.
        """
        if self.kind == MARSHAL:
            return self._fill_marshal(fn, items, position, end, slot, written)
        if self.kind == PLAIN:
            return self._fill_plain(fn, items, position, end, slot, written)
        if self.kind == NONES:
            return self._fill_nones(fn, items, position, end, slot, written)
        end = min(end, self.first + _CAPACITY)
        revoked, words = self._revoked, self._words
        column, kind, shift = self._columns[self.kind], _TYPES[self.kind], self.first
        words[0] = slot | position
        stretch = self._items = iter(items[position:end])
        self._stop = end
        words[3] |= TELLS
        start = at = position - shift
        value = None
        try:
            for at, item in enumerate(stretch, start):
                if revoked[0] and words[7] <= slot | (shift + at) < words[8]:
                    self.refused = True
                    return self._ended(slot, shift + at), NOTHING, None
                value = fn(item)
                if type(value) is not kind:
                    self._mixed = True
                    return self._ended(slot, shift + at), value, None
                column[at] = value
                if written:
                    end = shift + at + 1
                    break
        except BaseException as problem:  # noqa: BLE001 - SystemExit too is a failure like another
            at += shift
            if self._gone:
                return at, NOTHING, problem
            if type(value) is int and not -LIMIT <= value < LIMIT:
                return self._ended(slot, at), value, None  # it came, and the column does not take it
            return self._ended(slot, at), NOTHING, problem
        self._ended(slot, end - 1)
        words[1] = 8 * (end - shift)
        self.used = OUTBOX + 8 * (end - shift)
        return end, NOTHING, None

    def _ended(self, slot: int, position: int) -> int:
        """From here on the slot tells again, and names the call at ``position``."""
        self._items = None
        # In this order: the slot has to be right when nobody looks at the cells any more.
        self._words[0] = slot | position
        self._words[3] &= ~TELLS
        return position

    def _fill_nones(
        self, fn: Callable[[Any], Any], items: Sequence[Any], position: int, end: int, slot: int, written: list[Any]
    ) -> tuple[int, Any, BaseException | None]:
        end = min(end, self.first + _CAPACITY)
        positions, revoked, words = self._positions, self._revoked, self._words
        words[0] = slot | position  # from here on only its half with the position changes
        at = position
        try:
            for at, item in enumerate(items[position:end], position):
                positions[LOW] = at
                if revoked[0] and words[7] <= slot | at < words[8]:
                    self.refused, end = True, at
                    break
                value = fn(item)
                if value is not None:
                    self._mixed = True
                    return at, value, None
                if written:
                    end = at + 1
                    break
        except BaseException as problem:  # noqa: BLE001 - SystemExit too is a failure like another
            return at, NOTHING, problem
        words[1] = 8 * (end - self.first)
        self.used = OUTBOX + 8 * (end - self.first)
        return end, NOTHING, None

    def _fill_marshal(
        self, fn: Callable[[Any], Any], items: Sequence[Any], position: int, end: int, slot: int, written: list[Any]
    ) -> tuple[int, Any, BaseException | None]:
        revoked = self._revoked
        words, memory, dumps, used = self._words, self._memory, marshal.dumps, self.used
        at = position
        try:
            for at, item in enumerate(items[position:end], position):
                words[0] = slot | at
                if revoked[0] and words[7] <= slot | at < words[8]:
                    self.refused, end = True, at
                    break
                value = NOTHING
                value = fn(item)
                if type(value) not in ATOMS:
                    self._composed = self._mixed = True
                    return at, value, None
                data = dumps(value, VERSION)
                after = used + len(data)
                if after > SIZE or len(data) > LARGEST:
                    return at, value, None
                memory[used:after] = data
                words[1] = after - OUTBOX
                used = after
                if written:
                    end = at + 1
                    break
        except BaseException as problem:  # noqa: BLE001 - SystemExit too is a failure like another
            return at, NOTHING, problem
        finally:
            self.used = used
        return end, NOTHING, None

    def _fill_plain(
        self, fn: Callable[[Any], Any], items: Sequence[Any], position: int, end: int, slot: int, written: list[Any]
    ) -> tuple[int, Any, BaseException | None]:
        # The loop once more: a call to choose between the two would take half as long as ``marshal`` does.
        revoked = self._revoked
        words, memory, pickled, used = self._words, self._memory, self._pickled, self.used
        at = position
        try:
            for at, item in enumerate(items[position:end], position):
                words[0] = slot | at
                if revoked[0] and words[7] <= slot | at < words[8]:
                    self.refused, end = True, at
                    break
                value = fn(item)
                data = pickled(value)
                if data is None or (after := used + len(data)) > SIZE:
                    return at, value, None
                memory[used:after] = data
                words[1] = after - OUTBOX
                used = after
                if written:
                    end = at + 1
                    break
        except BaseException as problem:  # noqa: BLE001 - SystemExit too is a failure like another
            return at, NOTHING, problem
        finally:
            self.used = used
        return end, NOTHING, None

    def _pickled(self, value: Any) -> bytes | None:
        """A plain value's pickle; None for one that is not, or large: the next of its type are not tried."""
        large = type(value) in _SIZED and len(value) > LARGEST
        data = None if large else self._pickles.dump(value)
        if data is None or len(data) > LARGEST:
            self._odd.add(type(value))
            return None
        return data
