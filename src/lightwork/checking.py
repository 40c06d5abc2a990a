"""``check``: what would go wrong in parallel, before it does.

Evidence comes from objects, bytecode and loaded modules; the function is never called. Each rule of ``_hazards`` looks
at it by itself. Finding nothing proves nothing, and is not called proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lightwork._awaitable import is_coroutine_function
from lightwork._backends import _registry
from lightwork._finding import FAILS, ORDER, PROBLEMS, UNKNOWN, Finding
from lightwork._hazards import crossing, crowding, imports, state
from lightwork._hazards.subject import Subject
from lightwork._preparing import AUTO
from lightwork._record import asdict
from lightwork._trace import wrapped

if TYPE_CHECKING:
    from lightwork.probing import Profile

RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    crossing.arguments,
    crossing.lazy_results,
    crossing.pickling,
    state.shared_state,
    state.random_generators,
    state.identity,
    state.shared_seeds,
    state.main_thread,
    state.resources,
    imports.turn_gil_on,
    imports.refuse_interpreters,
    imports.not_loaded,
    crowding.nested_workers,
    crowding.library_threads,
    crowding.unsafe_fork,
)


class Findings(list[Finding]):
    """What ``check`` found, the worst first: a list that is empty, and false, where nothing would go wrong.

    ``notes``: findings that are no problems: what is good to know, and what could not be found out.
    ``function``: its name; ``backends``: those that were asked about.
    """

    def __init__(
        self, found: Iterable[Finding], function: str, backends: tuple[str, ...], wanted: Iterable[str]
    ) -> None:
        ordered = sorted(found, key=lambda one: ORDER.index(one.verdict))
        super().__init__(one for one in ordered if one.verdict in PROBLEMS)
        self.notes = [one for one in ordered if one.verdict not in PROBLEMS]
        self.function, self.backends, self._wanted = function, backends, frozenset(wanted)

    @property
    def failing(self) -> bool:
        """Whether something would fail in a backend that was asked for or that lightwork may choose by itself."""
        return any(one.verdict == FAILS and not self._wanted.isdisjoint(one.backends) for one in self)

    def text(self, width: int = 80) -> str:
        """What ``str()`` shows, for a terminal of ``width`` columns (at least 40)."""
        width = max(40, width)
        lines = wrapped(f"{self.function}: {self._summary()}", width, "  ", first="")
        for one in self:
            lines += ["", *_drawn(one, width, self.backends)]
        for one in self.notes:
            mark = "? " if one.verdict == UNKNOWN else "- "
            place = f" ({one.place})" if one.where else ""
            lines += ["", *wrapped(f"{mark} {one.verdict}: {one.what}{place} {one.remedy}", width, "   ", first="")]
        return "\n".join(lines)

    def _summary(self) -> str:
        asked = f" ({', '.join(self.backends)})"
        if not self:
            return f"nothing found that would go wrong in parallel{asked}. That is evidence, no proof."
        counts = {verdict: sum(one.verdict == verdict for one in self) for verdict in ORDER}
        told = [
            f"{count} {'finding' if count == 1 else 'findings'} that {_WOULD[v]}"
            for v, count in counts.items()
            if count
        ]
        return ", ".join(told) + asked

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """The same as plain data; ready for ``json.dumps``."""
        return {
            "version": 1,
            "function": self.function,
            "backends": list(self.backends),
            "findings": [asdict(one) for one in self],
            "notes": [asdict(one) for one in self.notes],
        }


_WOULD = {"would fail": "would fail", "changes results": "would change results", "costs time": "would cost time"}


def _drawn(one: Finding, width: int, asked: tuple[str, ...]) -> list[str]:
    mark = "- " if one.verdict == "costs time" else "!!"
    place = f", {one.place}" if one.where else ""
    concerned = "all backends" if len(asked) > 1 and set(one.backends) >= set(asked) else ", ".join(one.backends)
    return [
        *wrapped(f"{mark} {one.verdict}: {one.rule}{place} ({concerned})", width, "   ", first=""),
        *wrapped(one.what, width, "   "),
        *wrapped(f"→ {one.remedy}", width, "     ", first="   "),
    ]


def check(
    fn: Callable[..., Any],
    *iterables: Iterable[Any],
    backends: str | Sequence[str] | None = None,
    profile: Profile | None = None,
) -> Findings:
    """Finds what would go wrong if ``lw.map(fn, *iterables)`` ran in parallel. **It never calls fn.**

    It reads fn's bytecode and that of functions that it calls, looks at the objects they bring along, pickles fn and
    the first 1,000 items (for a second at most), and asks loaded extension modules what they support. Iterators are not
    advanced. Without items it looks at fn alone.

    ``backends``: names that the answer is wanted for; by default all that suit fn and can run here. ``profile``: what
    ``lw.probe`` measured, if there is such; without it nobody knows whether there is enough work to share out.

    The list is empty, and false, where nothing was found; that is no proof. Raises TypeError if fn cannot be called or
    something is not iterable, ValueError for an unknown backend.
    """
    if not callable(fn):
        raise TypeError(f"check needs a function first, and was given {fn!r} ({type(fn).__name__})")
    for items in iterables:
        if not hasattr(items, "__iter__") and not hasattr(items, "__getitem__"):
            raise TypeError(f"check takes iterables after the function, and was given {items!r}")
    subject = Subject(fn, iterables, _asked(fn, backends))
    found = [finding for rule in RULES for finding in rule(subject)]
    found += crowding.too_little(subject, profile)
    names = tuple(subject.backends)
    return Findings(found, subject.name, names, names if backends is not None else (*AUTO, "asyncio"))


def _asked(fn: Callable[..., Any], wanted: str | Sequence[str] | None) -> dict[str, Any]:
    """The backends to judge, with their capabilities."""
    if wanted is not None:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        return {name: _registry.backend(name).capabilities for name in names}
    coroutine = is_coroutine_function(fn)
    return {
        name: info.capabilities
        for name, info in _registry.backends().items()
        if info and info.capabilities.coroutines == coroutine and not info.capabilities.in_caller
    }


__all__ = ["Finding", "Findings", "check"]
