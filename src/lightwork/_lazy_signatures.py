"""What type checkers see of ``lw.imap`` and ``lw.imap_unordered``, as ``_signatures`` has it for ``lw.map``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, Protocol, TypeVar, Unpack, overload

from lightwork._collecting import Stream
from lightwork._options import CommonOptions
from lightwork.errors import Failure

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
R = TypeVar("R")


class Lazy(Protocol):
    """``lw.imap`` and ``lw.imap_unordered``: the results as an iterator."""

    @overload
    def __call__(
        self,
        fn: Callable[[A], Coroutine[Any, Any, R]],
        a: Iterable[A],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A], Coroutine[Any, Any, R]],
        a: Iterable[A],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A], R],
        a: Iterable[A],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A], R],
        a: Iterable[A],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], R],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B], R],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], Coroutine[Any, Any, R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
    @overload
    def __call__(
        self,
        fn: Callable[[A, B, C], R],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
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
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
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
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
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
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
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
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
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
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
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
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
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
        buffersize: int | None = None,
        errors: Literal["raise"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[R]: ...
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
        buffersize: int | None = None,
        errors: Literal["return"],
        **options: Unpack[CommonOptions],
    ) -> Stream[R | Failure]: ...
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
        buffersize: int | None = None,
        errors: Literal["raise", "return"] = "raise",
        **options: Unpack[CommonOptions],
    ) -> Stream[Any]: ...
