"""The book of a debug mode: which lock was taken while which was held, who waits for whom, who waited and held when: in
all processes.

One book for all checked locks that meet: each lock takes it along to other processes. Entries are only ever added, or
belong to one waiting thread; of waits and holds the latest are kept.
"""

from __future__ import annotations

import struct
from typing import Any

from lightwork._kit import _native
from lightwork._kit._identity import is_alive
from lightwork._kit._monitor import OWN, SIZE, Monitor

_EDGE = struct.Struct("<16s16sQQ120s120s")
"""A lock and another that was taken while it was held; by which process and thread; where each was taken."""
_WAIT = struct.Struct("<QQQQ16s152s")
"""Process and thread that wait, process and thread that hold; the lock; where it was asked for."""
_TURN = struct.Struct("<16sQQQqdd")
"""A lock; process and thread; whether it waited or held; the item of the call in which it did, or -1; from when on and
until when."""
MOST_EDGES, MOST_WAITS, MOST_TURNS = 4096, 256, 8192
_EDGES = SIZE
_WAITS = SIZE + MOST_EDGES * _EDGE.size
_TURNS = _WAITS + MOST_WAITS * _WAIT.size
COUNT, TURNS = OWN, OWN + 1
"""Words: edges; waits and holds so far."""
WAITED, HELD = range(2)

Thread = tuple[int, int]


class Edge:
    """``first`` was held when ``second`` was asked for."""

    def __init__(self, first: bytes, second: bytes, thread: Thread, where_first: str, where_second: str) -> None:
        self.first, self.second, self.thread = first, second, thread
        self.where_first, self.where_second = where_first, where_second


class Turn:
    """A thread's wait for a lock, or its hold of it."""

    def __init__(self, lock: bytes, thread: Thread, kind: int, item: int, began: float, ended: float) -> None:
        self.lock, self.thread, self.kind, self.item = lock, thread, kind, item
        self.began, self.ended = began, ended


class Book(Monitor):
    _size = _TURNS + MOST_TURNS * _TURN.size

    def add(self, edge: Edge) -> None:
        """Notes an edge; a full book takes no more."""
        try:
            problem = _native.trylock(self._mutex)
            if problem:
                self._enter(problem)
            count = self._words[COUNT]
            if count < MOST_EDGES:
                texts = (edge.where_first.encode()[-120:], edge.where_second.encode()[-120:])
                at = _EDGES + count * _EDGE.size
                _EDGE.pack_into(self._bytes, at, edge.first, edge.second, *edge.thread, *texts)
                self._words[COUNT] = count + 1
        except BaseException:
            _native.consistent(self._mutex)
            raise
        finally:
            _native.unlock(self._mutex)

    def edges(self) -> list[Edge]:
        end = _EDGES + self._words[COUNT] * _EDGE.size
        found = []
        for first, second, process, thread, one, two in _EDGE.iter_unpack(self._map[_EDGES:end]):
            found.append(Edge(first, second, (process, thread), _text(one), _text(two)))
        return found

    def way(self, start: bytes, goal: bytes) -> list[Edge] | None:
        """Edges that lead from one lock to another; None where none do."""
        after: dict[bytes, list[Edge]] = {}
        for edge in self.edges():
            after.setdefault(edge.first, []).append(edge)
        ways: list[tuple[bytes, list[Edge]]] = [(start, [])]
        seen = {start}
        for lock, way in ways:
            for edge in after.get(lock, ()):
                if edge.second == goal:
                    return [*way, edge]
                if edge.second not in seen:
                    seen.add(edge.second)
                    ways.append((edge.second, [*way, edge]))
        return None

    def wait(self, waiter: Thread, holder: Thread, lock: bytes, where: str) -> None:
        """Notes, or notes anew, that a thread waits."""
        free = None
        try:
            problem = _native.trylock(self._mutex)
            if problem:
                self._enter(problem)
            for at in range(_WAITS, _TURNS, _WAIT.size):
                process, thread = struct.unpack_from("<QQ", self._bytes, at)
                if (process, thread) == waiter:
                    free = at
                    break
                if free is None and (not process or not is_alive(process)):
                    free = at
                if not process:
                    break
            if free is not None:
                _WAIT.pack_into(self._bytes, free, *waiter, *holder, lock, where.encode()[-152:])
        except BaseException:
            _native.consistent(self._mutex)
            raise
        finally:
            _native.unlock(self._mutex)

    def waits(self) -> dict[Thread, tuple[Thread, bytes, str]]:
        """Who waits: for whom, for which lock, where."""
        found = {}
        for a, b, c, d, lock, where in _WAIT.iter_unpack(self._map[_WAITS:_TURNS]):
            if a and c:
                found[a, b] = ((c, d), lock, _text(where))
        return found

    def note(self, turn: Turn) -> None:
        """Notes a wait or a hold, in the place of the oldest."""
        try:
            problem = _native.trylock(self._mutex)
            if problem:
                self._enter(problem)
            count = self._words[TURNS]
            at = _TURNS + count % MOST_TURNS * _TURN.size
            _TURN.pack_into(self._bytes, at, turn.lock, *turn.thread, turn.kind, turn.item, turn.began, turn.ended)
            self._words[TURNS] = count + 1
        except BaseException:
            _native.consistent(self._mutex)
            raise
        finally:
            _native.unlock(self._mutex)

    def turns(self, since: float) -> list[Turn]:
        """The waits and holds that began at ``since`` or later, of those that are kept."""
        end = _TURNS + min(self._words[TURNS], MOST_TURNS) * _TURN.size
        return [
            Turn(lock, (process, thread), kind, item, began, ended)
            for lock, process, thread, kind, item, began, ended in _TURN.iter_unpack(self._map[_TURNS:end])
            if began >= since
        ]


def _text(data: Any) -> str:
    return bytes(data).rstrip(b"\0").decode(errors="replace")
