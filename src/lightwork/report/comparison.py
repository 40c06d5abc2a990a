"""The result of ``compare`` as its caller has it: the values, and ways to show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightwork.report.html import comparison_fragment, comparison_page
from lightwork.report.rows import Compared
from lightwork.report.text import comparison_text


@dataclass(frozen=True, repr=False)
class Comparison(Compared):
    """One function on all backends, side by side.

    ``str()`` is a table for a terminal of 80 columns; notebooks show a picture; ``to_html`` writes one file that
    needs no other; ``to_json`` gives plain data, times in seconds and memory in bytes.
    """

    def __str__(self) -> str:
        return comparison_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return comparison_fragment(self)

    def to_html(self, path: str | Path) -> Path:
        """Writes one self-contained HTML file and returns its path."""
        path = Path(path)
        path.write_text(comparison_page(self), encoding="utf-8")
        return path
