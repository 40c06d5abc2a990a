"""Counts the words of text files, here the sources of the standard library.

Each call gives back a whole dictionary of words, which has to travel when it was made in another process:
compare shows what that costs. Any files will do:

    lightwork compare examples/count_words.py:count_words
    lightwork compare examples/count_words.py:count_words --glob 'books/*.txt'
"""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from pathlib import Path

import lightwork as lw

WORD = re.compile(r"[^\W\d_]{2,}")
"""Two or more letters, in any script; underscores and digits part words."""


def count_words(path: str | Path) -> Counter[str]:
    """How often each word stands in a text file, in lower case."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return Counter(WORD.findall(text.lower()))


def items() -> list[Path]:
    """The top modules of the standard library."""
    return sorted(path for path in Path(sysconfig.get_path("stdlib")).glob("*.py") if path.is_file())


def main() -> None:
    paths = items()
    counted = lw.map(count_words, paths)
    total: Counter[str] = Counter()
    for words in counted:
        total.update(words)
    print(f"{len(paths)} files, {total.total():,} words, {len(total):,} different. The longer favourites:")
    for word, times in [pair for pair in total.most_common(200) if len(pair[0]) > 6][:8]:
        print(f"  {times:6,}  {word}")
    print(f"\n{counted.report}")


if __name__ == "__main__":
    main()
