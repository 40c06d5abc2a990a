"""Fetches pages from an HTTP server that takes its time: waiting, which costs no CPU.

The server is started here, on loopback; it serves the standard library's sources and thinks 20 ms about
each request, as a database behind a web service would. The same job twice: an ordinary function, and a
coroutine function, which lightwork runs on an event loop.

    lightwork compare examples/fetch_http.py:fetch
    lightwork compare examples/fetch_http.py:fetch_async
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import sysconfig
import threading
import time
import urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import lightwork as lw

SERVICE_TIME = 0.020
"""Seconds that the server needs for one request."""

LIBRARY = Path(sysconfig.get_path("stdlib"))


class Page(NamedTuple):
    url: str
    size: int
    sha256: str


def fetch(url: str) -> Page:
    """Gets one page; urllib raises HTTPError for a page that is not there."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is behind no proxy
    with direct.open(url, timeout=10) as response:
        body = response.read()
    return Page(url, len(body), hashlib.sha256(body).hexdigest())


async def fetch_async(url: str) -> Page:
    """The same on an event loop, with the standard library alone; OSError for a page that is not there."""
    where = urlsplit(url)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            writer.write(f"GET {where.path} HTTP/1.0\r\nHost: {where.netloc}\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode()
    if " 200 " not in status:
        raise OSError(f"{url} answered {status or 'nothing'}")
    return Page(url, len(body), hashlib.sha256(body).hexdigest())


class SlowServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # every client may knock at once


class ThoughtfulHandler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(SERVICE_TIME)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: a line for each request would drown what the example prints."""


@functools.cache
def server_address() -> str:
    """Starts the server, once; it ends with this process."""
    server = SlowServer(("127.0.0.1", 0), functools.partial(ThoughtfulHandler, directory=str(LIBRARY)))
    threading.Thread(target=server.serve_forever, name="http-server", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def items() -> list[str]:
    """The addresses of a hundred pages."""
    names = sorted(path.name for path in LIBRARY.glob("*.py") if path.is_file())
    return [f"{server_address()}/{name}" for name in names[:100]]


def main() -> None:
    urls = items()
    print(f"{len(urls)} pages, {len(urls) * SERVICE_TIME:.1f} s of waiting if fetched one after another\n")
    for job in (fetch, fetch_async):
        pages = lw.map(job, urls)
        print(f"{job.__name__}: {sum(page.size for page in pages) / 1e6:.2f} MB")
        print(f"{pages.report}\n")


if __name__ == "__main__":
    main()
