"""Calls that are with nobody: in the input's order, and those that are to be tried again at some later time."""

from __future__ import annotations

from lightwork._calls import Batch
from lightwork._lean import deque
from lightwork._record import Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightwork._calls import Style


class Block(Slotted):
    """Pending calls with consecutive indices, ``first + at … first + end - 1``, cut from the left. ``joined``: those
    that came one by one, behind which others may be put."""

    __slots__ = ("at", "end", "failed", "first", "fn", "items", "joined", "style")

    def __init__(
        self,
        fn: Callable[..., Any],
        style: Style,
        first: int,
        items: Sequence[Any],
        end: int,
        at: int = 0,
        failed: BaseException | None = None,
    ) -> None:
        self.fn = fn
        self.style = style
        self.first = first
        self.items = items
        self.end = end
        self.at = at
        self.joined: list[Any] | None = None
        self.failed = failed

    def __len__(self) -> int:
        return self.end - self.at

    def fill_up(self) -> None:
        """None stands for each item that somebody has taken away meanwhile."""
        self.items = [*self.items, *[None] * (self.end - len(self.items))]


def rest_of(batch: Batch, position: int) -> Block:
    """The calls of a batch from ``position`` on."""
    return Block(batch.fn, batch.style, batch.first, batch.items, batch.stop, position)


class Backlog(Slotted):
    """``count``: calls that could begin now."""

    __slots__ = ("blocks", "count", "delayed")

    def __init__(self) -> None:
        self.blocks: deque[Block] = deque()
        self.delayed: deque[tuple[float, Block]] = deque()
        self.count = 0

    def add(self, block: Block) -> None:
        """Calls that come after all others."""
        self.blocks.append(block)
        self.count += len(block)

    def add_one(self, fn: Callable[..., Any], style: Style, index: int, item: Any, most: int) -> None:
        """A call that comes after all others, in one block with those before it that came so and are of the same
        function, up to ``most`` of them."""
        last = self.blocks[-1] if self.blocks else None
        if last is None or last.joined is None or last.fn is not fn or last.end == most:
            self.blocks.append(last := Block(fn, style, index, [], 0))
            last.joined = last.items = []
        last.joined.append(item)
        last.end += 1
        self.count += 1

    def put_back(self, block: Block) -> None:
        """Calls are pending again, in their place."""
        blocks, sooner = self.blocks, []
        while blocks and blocks[0].first + blocks[0].at < block.first + block.at:
            sooner.append(blocks.popleft())
        blocks.appendleft(block)
        blocks.extendleft(reversed(sooner))
        self.count += len(block)

    def cut(self, number: int, size: int | None) -> Batch:
        """Takes the next ``size`` calls, of one block, as the batch of that ``number``. None: all of the block, whose
        items stay where they are."""
        block = self.blocks[0]
        items, at = block.items, block.at
        if size is None:
            size = block.end - at
            batch = Batch(number, block.fn, block.style, block.first, items, at, block.end)
        else:
            if size != len(items):
                items = items[at : at + size]
            batch = Batch(number, block.fn, block.style, block.first + at, items)
        block.at += size
        if block.at == block.end:
            self.blocks.popleft()
        self.count -= size
        return batch

    def delay(self, block: Block, until: float) -> None:
        """Calls are pending again from then on: not before those that were delayed earlier."""
        self.delayed.append((until, block))

    @property
    def due(self) -> float | None:
        """When the first of those is."""
        return self.delayed[0][0] if self.delayed else None

    def ripen(self, now: float) -> None:
        """Those whose time has come are pending."""
        while self.delayed and self.delayed[0][0] <= now:
            self.put_back(self.delayed.popleft()[1])

    def take_failed(self) -> list[Block]:
        """Takes out the calls that were to be tried again, and are with nobody."""
        failed = [block for block in self.blocks if block.failed is not None]
        if failed:
            self.blocks = deque(block for block in self.blocks if block.failed is None)
            self.count -= sum(map(len, failed))
        failed += [block for _, block in self.delayed]
        self.delayed.clear()
        return failed

    def clear(self) -> None:
        """Keeps no item. The count stays."""
        self.blocks.clear()
        self.delayed.clear()
