"""Takes a fingerprint of every file of the standard library, and the size it would have compressed.

hashlib and zlib are C code that lets go of the GIL while it works: threads compute side by side here.

    lightwork compare examples/hash_stdlib.py:fingerprint
"""

from __future__ import annotations

import hashlib
import sysconfig
import zlib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import lightwork as lw

NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests"}


class Fingerprint(NamedTuple):
    sha256: str
    size: int
    """Bytes in the file."""
    compressed: int
    """Bytes after zlib at its usual level."""


def fingerprint(path: Path) -> Fingerprint:
    """The SHA-256 of a file, its size, and its size compressed."""
    content = path.read_bytes()
    return Fingerprint(hashlib.sha256(content).hexdigest(), len(content), len(zlib.compress(content)))


def items() -> list[Path]:
    """The standard library's files, without its tests: sources, extension modules and texts."""
    library = Path(sysconfig.get_path("stdlib"))
    return sorted(
        path
        for path in library.rglob("*")
        if path.suffix in {".py", ".so", ".txt"}
        and NOT_THE_LIBRARY.isdisjoint(path.relative_to(library).parts)
        and path.is_file()
    )


def main() -> None:
    paths = items()
    prints = lw.map(fingerprint, paths)
    size, compressed = sum(p.size for p in prints), sum(p.compressed for p in prints)
    print(f"{len(paths)} files: {size / 1e6:.1f} MB, {compressed / 1e6:.1f} MB compressed")

    same = defaultdict(list)
    for path, print_ in zip(paths, prints, strict=True):
        if print_.size:
            same[print_.sha256].append(path)
    twins = [found for found in same.values() if len(found) > 1]
    print(f"{len(twins)} contents are there more than once:")
    for found in sorted(twins, key=len, reverse=True)[:3]:
        print(f"  {len(found)} ×  " + ", ".join(f"{path.parent.name}/{path.name}" for path in found[:3]))
    print(f"\n{prints.report}")


if __name__ == "__main__":
    main()
