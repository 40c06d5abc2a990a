"""What a run begins because workers are likely to be wanted, and gives up again where they are not.

Most answers that the policy asks for lead to processes, and to find them takes as long as these take to start: so both
go on at once. What was begun in vain would take a core from those who are wanted, and is ended; that is waited for when
these have their work behind them. (The first start of all is begun before even this is loaded: see ``_preparing``.)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from lightwork._backends.base import Backend
    from lightwork._policy import Candidate


class Speculation:
    """Of one run, whose backends are ``usable`` by their names."""

    def __init__(self, usable: Callable[[str], Backend]) -> None:
        self._usable = usable
        self._given_up: set[str] = set()
        self.begun = False

    def begin(self, candidates: Iterable[Candidate], fn: object, sample: list[Any]) -> None:
        """Begins what a first worker for ``fn`` would wait for, on each backend that may be chosen."""
        self.begun = True
        for candidate in candidates:
            if candidate.refused is None:
                self._usable(candidate.name).hasten(fn, sample, likely=True)

    def end_but(self, name: str, candidates: Iterable[Candidate], fn: object) -> None:
        """Ends what was begun for other backends than this one."""
        for candidate in candidates:
            if candidate.name != name and candidate.refused is None:
                self.end(candidate.name, fn)

    def end(self, name: str, fn: object) -> None:
        """Ends what was begun for this one."""
        self._given_up.add(name)
        self._usable(name).relax(fn)

    def tidy(self) -> None:
        """At the run's end: sees to what was ended."""
        for name in self._given_up:
            self._usable(name).tidy()
