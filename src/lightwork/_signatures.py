"""What type checkers see of ``lw.map``: overloads for one to five iterables, coroutine functions first.

With ``errors="return"`` the results may be failures, and the types say so. The function itself is in ``mapping``; this
protocol describes it. ``_lazy_signatures`` has the same for ``lw.imap``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, Protocol, TypeVar, Unpack, overload

from lightwork._options import CommonOptions
from lightwork.errors import Failure
from lightwork.mapping import Results

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
R = TypeVar("R")


class Eager(Protocol):
    """``lw.map``: the results as a list."""

    @overload
    def __call__(
        self,
        fn: Callable[[A], Coroutine[Any, Any, R]],
        a: Iterable[A],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A], Coroutine[Any, Any, R]],
        a: Iterable[A],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A], R],
        a: Iterable[A],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A], R],
        a: Iterable[A],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], R],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], R],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D, E], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        e: Iterable[E],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D, E], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        e: Iterable[E],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D, E], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        e: Iterable[E],
        /,
        *,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C, D, E], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        e: Iterable[E],
        /,
        *,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Results[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[..., R],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        d: Iterable[Any],
        e: Iterable[Any],
        f: Iterable[Any],
        /,
        *iterables: Iterable[Any],
        errors: Literal["raise", "return"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Results[Any]: ...
