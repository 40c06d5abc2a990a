"""A server for ``regret_waiting.py``: answers after a while, so many requests at a time, and prints its port.

python benchmarks/regret_server.py SECONDS MOST
"""

from __future__ import annotations

import asyncio
import sys


async def main(delay: float, most: int) -> None:
    at_once = asyncio.Semaphore(most)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        async with at_once:
            await asyncio.sleep(delay)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
