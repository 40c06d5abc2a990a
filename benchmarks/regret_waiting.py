"""Jobs that wait: for time, servers, children, disks and locks."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regret_jobs import Work, count, job


def burn(steps: int) -> int:
    """Pure Python: 60 ns a step."""
    total = 0
    for step in range(steps):
        total += step * step % 7
    return total


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@job
def sleep_short(scale: float) -> Work:
    return Work(nap, [0.002] * count(300, scale))


@job
def sleep_long(scale: float) -> Work:
    return Work(nap, [0.05] * count(100, scale))


@job
def sleep_few(scale: float) -> Work:
    return Work(nap, [0.4] * count(4, scale))


@job
def sleep_many(scale: float) -> Work:
    return Work(nap, [0.01] * count(2000, scale))


def fill_in(record: dict[str, int]) -> None:
    time.sleep(0.02)
    record["answer"] = record["question"] * 2


@job
def records_to_fill_in(scale: float) -> Work:
    records = [{"question": n} for n in range(count(200, scale))]
    return Work(fill_in, records, state=lambda: records)


def nap_and_burn(item: int) -> int:
    time.sleep(0.005)
    return burn(80_000) + item


@job
def half_waiting_half_computing(scale: float) -> Work:
    return Work(nap_and_burn, range(count(100, scale)))


def mostly_nap(item: int) -> int:
    time.sleep(0.02)
    return burn(16_000) + item


@job
def waiting_with_some_python(scale: float) -> Work:
    return Work(mostly_nap, range(count(100, scale)))


# servers, each a process of its own on loopback

SERVER = Path(__file__).with_name("regret_server.py")


@contextlib.contextmanager
def server(delay: float, most: int) -> Iterator[int]:
    """The port of a server that answers after ``delay`` seconds and serves ``most`` requests at a time."""
    with subprocess.Popen([sys.executable, str(SERVER), str(delay), str(most)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Fetch:
    """A request over a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, item: int) -> bytes:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", f"/{item}")
        body = connection.getresponse().read()
        connection.close()
        return body


@job
def http(scale: float) -> Iterator[Work]:
    with server(0.02, 1000) as port:
        yield Work(Fetch(port), range(count(150, scale)))


@job
def http_rate_limit(scale: float) -> Iterator[Work]:
    """Eight at a time; whoever comes beyond that waits, and crowding slows the server down."""
    with server(0.02, 8) as port:
        yield Work(Fetch(port), range(count(200, scale)))


def run_child(item: int) -> int:
    return subprocess.run([sys.executable, "-SIc", f"sum(range({item}))"], check=True).returncode


@job
def subprocesses(scale: float) -> Work:
    return Work(run_child, [200_000] * count(40, scale))


def child_sleeps(item: float) -> int:
    return subprocess.run(["/bin/sleep", str(item)], check=True).returncode


@job
def subprocesses_that_wait(scale: float) -> Work:
    return Work(child_sleeps, [0.05] * count(40, scale))


# the disk


class Save:
    """A small file, written through to the disk."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, item: int) -> int:
        with Path(self.folder, str(item)).open("wb") as file:
            file.write(b"x" * 20_000)
            file.flush()
            os.fsync(file.fileno())
        return item


@job
def fsync(scale: float) -> Iterator[Work]:
    with tempfile.TemporaryDirectory() as folder:
        yield Work(Save(folder), range(count(300, scale)))


class Query:
    """One question to a database, over a connection of its own."""

    def __init__(self, path: str, statement: str) -> None:
        self.path, self.statement = path, statement

    def __call__(self, item: int) -> Any:
        import sqlite3

        with contextlib.closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as connection:
            return connection.execute(self.statement, (item,)).fetchall()


@contextlib.contextmanager
def database() -> Iterator[str]:
    import sqlite3

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "data.db"))
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY, name TEXT, value REAL)")
            rows = ((n, f"name {n % 997}", n * 0.5) for n in range(60_000))
            connection.executemany("INSERT INTO numbers VALUES (?, ?, ?)", rows)
        yield path


@job
def sqlite_reads(scale: float) -> Iterator[Work]:
    with database() as path:
        statement = "SELECT name, sum(value) FROM numbers WHERE id % 13 <> ? GROUP BY name LIMIT 3"
        yield Work(Query(path, statement), range(count(30, scale)))


@job
def sqlite_writes(scale: float) -> Iterator[Work]:
    with database() as path:
        yield Work(Query(path, "UPDATE numbers SET value = value + 1 WHERE id = ?"), range(count(250, scale)))


class Connected:
    """Questions over a connection that each thread makes for itself and keeps."""

    def __init__(self, path: str, statement: str) -> None:
        self.path, self.statement, self.own = path, statement, threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return Connected, (self.path, self.statement)

    def __call__(self, item: int) -> Any:
        import sqlite3

        connection = getattr(self.own, "connection", None)
        if connection is None:
            connection = self.own.connection = sqlite3.connect(self.path, timeout=60)
        return connection.execute(self.statement, (item,)).fetchall()


@job
def a_connection_for_each_thread(scale: float) -> Iterator[Work]:
    with database() as path:
        statement = "SELECT name, sum(value) FROM numbers WHERE id % 13 <> ? GROUP BY name LIMIT 3"
        yield Work(Connected(path, statement), range(count(90, scale)))


# a lock

LOCK: Any = threading.Lock()


def use_lock(lock: Any) -> None:
    global LOCK
    LOCK = lock


def guarded(item: int) -> int:
    with LOCK:
        time.sleep(0.004)
    time.sleep(0.001)
    return item


@job
def lock_held_most_of_the_time(scale: float) -> Work:
    """Worker processes have one lock together, as threads do: with one for each of them nothing would be held."""
    return Work(guarded, range(count(100, scale)), prepare=use_lock, shared=multiprocessing.Lock)
