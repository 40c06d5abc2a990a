"""The memory of past runs: a small SQLite database, for those who switch it on with ``lw.config(memory=path)``.

A row is what was learnt of one function, in one version of its code, on one machine. It is read before the first call
and written after the last. Processes share the file: it is in WAL mode, where nobody waits for a reader, a transaction
is one row, and a writer waits for another for a moment at most. Whatever goes wrong with the file is told once, and the
map goes on as without. A file that is no database any more is set aside, not destroyed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import warnings
from contextlib import closing, contextmanager, suppress
from functools import partial
from types import CodeType
from zlib import crc32

from lightwork import _machine
from lightwork._by_code import MAINS
from lightwork._demand import Demand
from lightwork._past import Past
from lightwork._record import Record, asdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


VERSION, BEFORE = 2, 1
"""Of the tables; a file of another version is left alone. In one of the version before nothing is known of what child
processes compute, which is to say that none did."""

PATIENCE = 0.25
"""Seconds to wait for another process that is writing."""

MOST_ROWS = 10_000
"""Rows that are kept; the ones learnt longest ago go first."""

_TABLE = """
create table if not exists past (
    function text not null, code text not null, machine text not null,
    demand text not null, gil_known integer not null, wire_known integer not null, refused text not null,
    backend text not null, workers integer not null, throughput real not null, calls integer not null,
    runs integer not null, learnt real not null,
    primary key (function, code, machine)
) without rowid
"""
_COLUMNS = "demand, gil_known, wire_known, refused, backend, workers, throughput, calls, runs"
_NOW = "cast(strftime('%s', 'now') as real)"


class Row(Record, frozen=True):
    """A line of the memory, for people. ``learnt``: when, in UTC, as SQLite writes it: "2026-03-31 12:00:00"."""

    function: str
    code: str
    machine: str
    learnt: str
    past: Past


class Memory:
    """The place of one function in the file at ``path``. ``past`` is what it held when this was made; ``began``: the
    time on the run's clock when it was asked for."""

    def __init__(self, path: str, fn: Callable[..., Any], cores: int, began: float) -> None:
        self.began = began
        self._path = path
        self._key = (*identity(fn), here(cores))
        self.past: Past | None = None
        with _told_once(path), _opened(path) as base:
            query = f"select {_COLUMNS} from past where function = ? and code = ? and machine = ?"
            if (row := base.execute(query, self._key).fetchone()) is not None:
                self.past = _past(row)

    def keep(self, past: Past) -> None:
        """Puts ``past`` in the place of what was there."""
        row = (
            *self._key,
            json.dumps(asdict(past.demand)),
            past.gil_known,
            past.wire_known,
            json.dumps(past.refused),
            past.backend,
            past.workers,
            past.throughput,
            past.calls,
        )
        with _told_once(self._path), _opened(self._path) as base, _transaction(base):
            base.execute(
                f"insert into past values ({', '.join('?' * len(row))}, 1, {_NOW}) "
                "on conflict do update set demand = excluded.demand, gil_known = excluded.gil_known, "
                "wire_known = excluded.wire_known, refused = excluded.refused, backend = excluded.backend, "
                "workers = excluded.workers, throughput = excluded.throughput, calls = excluded.calls, "
                "runs = runs + 1, learnt = excluded.learnt",
                row,
            )
            if base.execute("select count(*) from past").fetchone()[0] > MOST_ROWS:
                base.execute(
                    "delete from past where (function, code, machine) in "
                    f"(select function, code, machine from past order by learnt limit {MOST_ROWS // 10})"
                )


# whose it is


def identity(fn: Any) -> tuple[str, str]:
    """A function's name with its module, and a checksum of its bytecode and constants ("" where it has none)."""
    while isinstance(fn, partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)
    if not hasattr(fn, "__qualname__"):
        fn = type(fn).__call__  # an object that can be called
    code = getattr(fn, "__code__", None)
    module = str(getattr(fn, "__module__", ""))
    if module in MAINS:
        module = str(getattr(sys.modules["__main__"], "__file__", module))
    if not isinstance(code, CodeType):
        return f"{module}:{fn.__qualname__}", ""
    # No more than a checksum is needed: what is remembered is compared with the first calls in any case.
    text = "".join(_parts(code)).encode(errors="surrogatepass")
    return f"{module}:{fn.__qualname__}", f"{crc32(text):08x}"


def _parts(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_flags, code.co_argcount))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
        elif isinstance(constant, frozenset):  # its order differs from process to process
            yield repr(sorted(map(repr, constant)))
        else:
            yield repr(constant)


def here(cores: int) -> str:
    """What of this machine decides how a function runs: a row of another is not looked at."""
    quota = _machine._cached_quota()
    gil = "with the GIL" if _machine.gil_enabled() else "without the GIL"
    limit = "" if quota is None else f", a quota of {quota:g}"
    return f"{cores} {'core' if cores == 1 else 'cores'}{limit}, Python {_machine.python_version()} {gil}"


# the file


class _OtherVersion(Exception):
    """The file was written by another version of lightwork."""


@contextmanager
def _opened(path: str) -> Iterator[sqlite3.Connection]:
    """The database, with its table. A damaged file is set aside, and a new one made."""
    which = _which(path)
    try:
        base = _connected(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as problem:
        _set_aside(path, which, problem)
        base = _connected(path)
    with closing(base):
        try:
            yield base
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as problem:
            base.close()
            _set_aside(path, which, problem)


def _connected(path: str) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        version = base.execute("pragma user_version").fetchone()[0]
        # Waiting for the disk takes 10 ms a row. A power failure may damage the file, which is then set aside: what it
        # holds is soon learnt again. The end of a process, however sudden, harms nothing.
        base.execute("pragma synchronous = off")
        if version == 0:
            version = _made(base)
        elif version == BEFORE:
            base.execute(f"pragma user_version = {VERSION}")
            version = VERSION
        if version != VERSION:
            raise _OtherVersion(f"it is of version {version} of lightwork's memory, and this lightwork knows {VERSION}")
    except BaseException:
        base.close()
        raise
    return base


def _made(base: sqlite3.Connection) -> int:
    """Makes the table in an empty database, unless another thread or process has just done it; returns the version."""
    with _transaction(base):  # table and version appear at once
        version: int = base.execute("pragma user_version").fetchone()[0]
        if version:
            return version
        if base.execute("select count(*) from sqlite_master").fetchone()[0]:
            raise _OtherVersion("it is a database of something else")
        base.execute(_TABLE)
        base.execute(f"pragma user_version = {VERSION}")
    with suppress(sqlite3.OperationalError):  # others have it open already
        base.execute("pragma journal_mode = wal")
    return VERSION


@contextmanager
def _transaction(base: sqlite3.Connection) -> Iterator[None]:
    base.execute("begin immediate")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            base.execute("rollback")
        raise
    base.execute("commit")


_BEGINNING = b"SQLite format 3\0"
"""So a database begins, or with zeros, where a power failure has kept that from the disk. What begins otherwise never
was one, and is the user's."""


def _which(path: str) -> tuple[int, int] | None:
    """What tells a file from another one that has taken its place."""
    try:
        found = os.stat(path)  # noqa: PTH116 - here and below: pathlib takes 4 ms to import
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _set_aside(path: str, which: tuple[int, int] | None, problem: Exception) -> None:
    """Renames the file ``which``. Of several processes that find it damaged one does so: the kernel's lock on the file
    itself says which."""
    from fcntl import LOCK_EX, flock

    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        flock(descriptor, LOCK_EX)
        if _which(path) != which:
            return  # another process has just done so: this is a new one
        if os.read(descriptor, len(_BEGINNING)) not in (_BEGINNING, bytes(len(_BEGINNING))):
            raise _OtherVersion("it is something else than a database")
        aside = next((name for name in _names_aside(path) if not os.path.lexists(name)), None)
        if aside is None:
            raise sqlite3.OperationalError(f"there are too many damaged files beside {path}")
        # What belongs to it goes first: when it is gone itself, others make a new one with the like.
        for ending in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                os.rename(path + ending, aside + ending)  # noqa: PTH104
    finally:
        os.close(descriptor)
    _warn(path, f"is damaged ({problem}); it was set aside as {aside}, and a new one was begun")


def _names_aside(path: str) -> Iterator[str]:
    return (f"{path}.damaged-{number}" for number in range(1, 1000))


_told: set[str] = set()


@contextmanager
def _told_once(path: str) -> Iterator[None]:
    """Whatever is wrong with the file ends the block, and is warned of once in this process."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, _OtherVersion) as problem:
        _warn(path, f"cannot be used ({problem}); maps go on without it")


def _warn(path: str, what: str) -> None:
    if path not in _told:
        _told.add(path)
        warnings.warn(f"lightwork's memory {path} {what}", RuntimeWarning, stacklevel=_depth())


def _depth() -> int:
    """How many frames from the one that asks the caller of lightwork is, whose line a warning is to name."""
    own, depth, frame = (os.path.dirname(__file__), contextlib.__file__), 1, sys._getframe(1)  # noqa: PTH120
    while frame.f_code.co_filename.startswith(own) and frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def _past(row: tuple[Any, ...]) -> Past:
    demand, gil_known, wire_known, refused, *rest = row
    return Past(
        Demand(**json.loads(demand)),
        bool(gil_known),
        bool(wire_known),
        tuple((name, why) for name, why in json.loads(refused)),
        *rest,
    )


# for people


class Unreadable(Exception):
    """The file is not there, or no memory of lightwork's; the message says which."""


def rows(path: str) -> list[Row]:
    """All that is remembered, the latest first. Raises Unreadable."""
    with _looked_at(path) as base:
        found = base.execute(
            f"select function, code, machine, datetime(learnt, 'unixepoch'), {_COLUMNS} from past "
            "order by learnt desc, function"
        ).fetchall()
    return [Row(row[0], row[1], row[2], row[3], _past(row[4:])) for row in found]


def clear(path: str, function: str | None = None) -> int:
    """Forgets all, or what is remembered of functions whose name contains ``function``; returns how many rows went.

    Raises Unreadable.
    """
    with _looked_at(path) as base, _transaction(base):
        where, values = ("", ()) if function is None else (" where instr(function, ?)", (function,))
        return base.execute("delete from past" + where, values).rowcount


@contextmanager
def _looked_at(path: str) -> Iterator[sqlite3.Connection]:
    if not os.path.isfile(path):  # noqa: PTH113
        raise Unreadable(f"{path} is no file" if os.path.exists(path) else f"there is no file {path}")  # noqa: PTH110
    try:
        with closing(_connected(path)) as base:
            yield base
    except (sqlite3.Error, OSError, _OtherVersion) as problem:
        raise Unreadable(f"{path} cannot be read as lightwork's memory: {problem}") from None
