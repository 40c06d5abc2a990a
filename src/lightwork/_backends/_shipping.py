"""Functions and items on their way to workers: pickled, counted, and turned into frames."""

from __future__ import annotations

import weakref

from lightwork import _by_code, _carried, _pickling, _wire
from lightwork._backends._messages import BATCH, FUNCTION, HOLE, STYLES
from lightwork._calls import Batch
from lightwork._class_names import Sending
from lightwork._gate import of_a_signal
from lightwork._handles import Handle
from lightwork._lean import OrderedDict, deque, struct
from lightwork._pieces import Buffer, parts_of
from lightwork._standing_alone import standing_alone
from lightwork.errors import UnpicklableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


MOST_FUNCTIONS = 256
"""Functions that a crew keeps, and its workers with it; the one used longest ago is dropped."""


class Function:
    """A function as it is shipped. ``fn()`` gives it as long as it lives; ``problem`` if it cannot be shipped."""

    __slots__ = ("classes", "fn", "number", "parts", "problem")

    def __init__(
        self,
        fn: Callable[[], Callable[..., Any] | None],
        number: int,
        parts: list[_wire.Part] | None = None,
        problem: BaseException | None = None,
    ) -> None:
        self.fn = fn
        self.number = number
        self.parts: list[_wire.Part] = [] if parts is None else parts
        self.problem = problem
        self.classes: dict[int, Any] = {}
        """Those that go along, as they are sent."""


class Functions:
    """The functions of a crew, each pickled once.

    They are not kept alive here: ``executor.submit(model.predict, …)`` makes a method anew each time, which would keep
    its model.
    """

    def __init__(self, names: Sending, modules: bool = False) -> None:
        """``modules``: functions are to find what an initializer has put into their modules."""
        self._names, self._modules = names, modules
        self._held: OrderedDict[int, Function] = OrderedDict()
        self._gone: deque[tuple[int, int]] = deque()
        self._count = 0

    def get(self, fn: Callable[..., Any]) -> tuple[Function, list[int]]:
        """The function, and the numbers of those that no call will ask for again."""
        dropped = self._clear()
        held = self._held.get(id(fn))
        if held is not None:
            self._held.move_to_end(id(fn))
            return held, dropped
        self._count += 1
        fresh = self._held[id(fn)] = _dumped(fn, self._count, self._gone, self._names, self._modules)
        if len(self._held) > MOST_FUNCTIONS:
            dropped.append(self._held.popitem(last=False)[1].number)
        return fresh, dropped

    def _clear(self) -> list[int]:
        """Forgets the functions that have ceased to be, before another can be taken for one of them by its id."""
        dropped = []
        while self._gone:
            key, number = self._gone.popleft()
            if key in self._held and self._held[key].number == number:
                del self._held[key]
                dropped.append(number)
        return dropped


def _dumped(
    fn: Callable[..., Any], number: int, gone: deque[tuple[int, int]], names: Sending, modules: bool
) -> Function:
    key = id(fn)
    try:
        # Called in whatever thread the function ends.
        alive: Callable[[], Callable[..., Any] | None] = weakref.ref(fn, lambda _: gone.append((key, number)))
    except TypeError:  # a class with __slots__; it is kept, so that its id stays its own

        def alive() -> Callable[..., Any]:
            return fn

    function = Function(alive, number)
    module = str(getattr(fn, "__module__", None) or type(fn).__module__).encode()
    try:
        handles: dict[Handle, int] = {}
        names.held, names.fresh = {}, function.classes  # it is for all workers
        alone = set() if modules else standing_alone(fn)
        data = _by_code.dumps(fn, lambda _: True, {}, alone=alone) if alone else None
        buffers: list[memoryview] = []
        if data is None:
            data, buffers = _pickling.dump(fn, to_worker=True, handles=handles, names=names)
        head = FUNCTION.pack(number, len(module))
        function.parts = _wire.frame(_wire.FUNCTION, [head, module, *parts_of(data)], buffers, handles=handles)
    except BaseException as problem:  # a closure's __reduce__ may raise anything
        if of_a_signal(problem):
            raise
        function.problem = _never_begun(_carried.unpicklable(problem, fn, "function"))
    return function


class Items:
    """A batch's items as they are shipped. ``holes``: those that cannot be, with the reason."""

    __slots__ = ("buffers", "classes", "handles", "holes", "pickles")

    def __init__(
        self,
        pickles: list[bytes] | None = None,
        buffers: dict[int, Sequence[Buffer]] | None = None,
        holes: dict[int, BaseException] | None = None,
    ) -> None:
        self.pickles: list[bytes] = [] if pickles is None else pickles
        self.buffers: dict[int, Sequence[Buffer]] = {} if buffers is None else buffers
        self.holes: dict[int, BaseException] = {} if holes is None else holes
        self.handles: dict[Handle, int] = {}
        self.classes: dict[int, Any] = {}
        """Those that go along, as they are sent."""

    @property
    def flat(self) -> list[Buffer]:
        """All buffers in the items' order."""
        return [part for large in self.buffers.values() for part in large]

    def parts(self, batch: Batch, number: int, function: int, places: list[tuple[int, int]] | None) -> list[_wire.Part]:
        """The BATCH frame of the batch that is its worker's ``number``-th, with its buffers or their ``places``."""
        lengths: Sequence[int] = list(map(len, self.pickles))
        if self.holes:
            lengths = [HOLE if i in self.holes else n for i, n in enumerate(lengths)]
        pairs = [part for position, large in self.buffers.items() for part in (position, len(large))]
        style = STYLES.index(batch.style)
        head = BATCH.pack(batch.first, number, function, len(lengths), len(self.buffers), style)
        tables = struct.pack(f"<{len(lengths)}Q{len(pairs)}I", *lengths, *pairs)
        return _wire.frame(_wire.BATCH, [head, tables, *self.pickles], self.flat, places, self.handles)


def row_parts(
    batch: Batch, row: Buffer, number: int, function: int, places: list[tuple[int, int]] | None
) -> list[_wire.Part]:
    """The ROWS frame of the batch, all items of which are in ``row``, which may have its ``places``."""
    head = BATCH.pack(batch.first, number, function, len(batch.items), 0, STYLES.index(batch.style))
    if type(row) is bytes and len(row) <= _pickling.OUT_OF_BAND:
        return _wire.small_frame(_wire.ROWS, head, row)
    return _wire.frame(_wire.ROWS, [head] if places else [head, *parts_of(row)], places=places)


def dump_items(batch: Batch, names: Sending, held: dict[int, Any]) -> Items:
    """Pickles each item by itself, so that one that cannot be harms itself alone. ``held``: classes of the worker."""
    items = Items()
    names.held, names.fresh = held, items.classes
    for position, item in enumerate(batch.items):
        before = len(items.classes)
        try:
            data, large = _pickling.dump_apart(item, to_worker=True, handles=items.handles, names=names)
        except BaseException as problem:  # an item's __reduce__ may raise anything
            if of_a_signal(problem):
                raise
            for unsent in list(items.classes)[before:]:
                del items.classes[unsent]
            items.holes[position] = _never_begun(_carried.unpicklable(problem, item, "item"))
            data, large = b"", []
        items.pickles.append(data)
        if large:
            items.buffers[position] = large
    return items


def _never_begun(error: UnpicklableError) -> UnpicklableError:
    error.begun = False
    return error
