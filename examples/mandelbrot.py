"""Draws the Mandelbrot set, a row of pixels a call, and writes the picture as PNG.

Rows through the set take six times as long as those at the edge: an even split among workers would leave
some of them idle. Pure Python; the PNG needs only zlib and struct.

    python examples/mandelbrot.py mandelbrot.png
    lightwork compare examples/mandelbrot.py:row
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import lightwork as lw

WIDTH, HEIGHT = 600, 400
CENTRE, SPAN = complex(-0.65, 0.0), 3.3
"""The middle of the picture, and its width, in the complex plane."""
LIMIT = 160
"""A point still near after so many steps is taken to be in the set."""


def row(y: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """The pixels of row ``y``, from the top, three bytes each: red, green, blue."""
    pixel = SPAN / width
    imaginary = CENTRE.imag + (height / 2 - y - 0.5) * pixel
    return b"".join(
        colour(escape(complex(CENTRE.real + (x + 0.5 - width / 2) * pixel, imaginary))) for x in range(width)
    )


def escape(c: complex) -> float:
    """After how many steps of z → z² + c the point has run away, as a smooth number; ``inf`` if it stays."""
    z = 0j
    for step in range(LIMIT):
        z = z * z + c
        if z.real * z.real + z.imag * z.imag > 256.0:
            return step + 1 - math.log2(math.log2(abs(z)))
    return math.inf


def colour(steps: float) -> bytes:
    """Black inside the set; outside, three waves of different length over the steps' logarithm."""
    if math.isinf(steps):
        return b"\0\0\0"
    turn = 1.9 * math.log1p(max(0.0, steps))
    return bytes(round(127.5 - 127.5 * math.cos(turn * speed)) for speed in (1.0, 0.72, 0.5))


def items() -> range:
    """The rows, from the top."""
    return range(HEIGHT)


def png(rows: Sequence[bytes], width: int) -> bytes:
    """A PNG file (ISO/IEC 15948) of rows with 8 bits for each of red, green and blue."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        named = kind + content
        return struct.pack(">I", len(content)) + named + struct.pack(">I", zlib.crc32(named))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0))
    pixels = b"".join(b"\0" + line for line in rows)  # filter 0: each row as it is
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")


def main(path: str = "mandelbrot.png") -> None:
    rows = lw.map(row, items())
    Path(path).write_bytes(png(rows, WIDTH))
    print(f"{path}: {WIDTH} × {HEIGHT} pixels, {Path(path).stat().st_size:,} bytes\n")
    print(rows.report)


if __name__ == "__main__":
    main(*sys.argv[1:2])
