"""The flow of shared values through one code object: an abstract machine for CPython's bytecode.

It runs every instruction on *kinds* of values instead of values, both ways at every branch, until nothing new
comes up. What an instruction does, and tells, is in ``_instructions``; here are the ways from one to the next.
"""

from __future__ import annotations

from types import CodeType

from lightwork._bytecode import ENDS, Handler, Step
from lightwork._instructions import Const, Frame, Listener, Present, Value, truth
from lightwork._shared import MISSING, Val, child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Flow(Frame):
    """One run through one code object."""

    def __init__(
        self,
        code: CodeType,
        slots: dict[int, Val | None],
        free: tuple[Val | None, ...],
        scope: dict[str, Any],
        listener: Listener,
        foreign: frozenset[str],
    ) -> None:
        super().__init__(code, scope, listener, foreign)
        self.start: dict[int, Value] = dict(slots)
        for i, val in enumerate(free):
            self.start[self.plain.free + i] = val
        self.states: dict[int, tuple[list[Value], dict[int, Value]]] = {}
        self.pending: list[int] = []

    def run(self) -> None:
        """Until nothing new comes up, or the listener has had enough."""
        self._reach(0, [], self.start)
        while self.pending:
            index = self.pending.pop()
            stack, slots = self.states[index]
            self.stack, self.slots = stack.copy(), slots.copy()
            self._straight(index)

    def _reach(self, index: int, stack: list[Value], slots: dict[int, Value]) -> bool:
        """Joins a state into what is known at an instruction; whether that was news."""
        known = self.states.get(index)
        if known is None:
            self.states[index] = (stack.copy(), slots.copy())
            self.pending.append(index)
            return True
        old_stack, old_slots = known
        if len(old_stack) != len(stack):
            return False
        news = False
        for i, value in enumerate(stack):
            if (joined := _join(old_stack[i], value)) != old_stack[i]:
                old_stack[i], news = joined, True
        for slot in old_slots.keys() | slots.keys():
            old = old_slots.get(slot)
            if (joined := _join(old, slots.get(slot))) != old:
                old_slots[slot], news = joined, True
        if news and index not in self.pending:
            self.pending.append(index)
        return news

    def _straight(self, index: int) -> None:
        """From one instruction to the next, until the path ends or joins another."""
        first, steps, leaders = index, self.plain.steps, self.plain.leaders
        while index < len(steps):
            if index != first and index in leaders:
                self._reach(index, self.stack, self.slots)
                return
            step = steps[index]
            if not self.tell.step():
                self.pending.clear()
                return
            if index in self.plain.guarded:
                for handler in self.plain.handlers:
                    if index == handler.first:
                        self._throw(handler)
            if step.target is not None:
                if not self._jump(step) or step.op in ENDS:
                    return
            else:
                self.index = index
                self.do(step)
                if step.op in ENDS:
                    return
                if "STORE" in step.op:
                    for handler in self.plain.handlers:
                        if handler.first <= index < handler.last:
                            self._throw(handler)
            index += 1

    def _throw(self, handler: Handler) -> None:
        if not self.tell.expects(handler):
            return
        stack: list[Value] = self.stack[: handler.depth] + [None] * (1 + handler.lasti)
        self._reach(handler.target, stack, self.slots)

    def _jump(self, step: Step) -> bool:
        """Takes a step that may jump; returns whether what comes after it may be next, too."""
        assert step.target is not None
        jumps = _jumps(step.op, self.stack[-1]) if "_IF_" in step.op and self.stack else None
        if step.op == "FOR_ITER":
            there = self.moved(step.effect(jump=True))
            top = self.stack[-1]
            self.tell.advanced(self.val(top), step.offset)
            self.stack.append(child(top, "[...]") if isinstance(top, Val) else None)
            self._reach(step.target, there, self.slots)
            return True
        there = self.moved(step.effect(jump=True))
        here = self.moved(step.effect(jump=False))
        if jumps is not False:
            self._reach(step.target, there, self.slots)
        self.stack = here
        return jumps is not True


def _join(old: Value, new: Value) -> Value:
    """What holds on either of two paths."""
    if old == new:
        return old
    if isinstance(old, Val):
        if isinstance(new, Val):
            known = old.obj if old.obj is new.obj else MISSING
            return Val(old.kind, old.name, known, old.maybe or new.maybe)
        return old.perhaps()
    if isinstance(new, Val):
        return new.perhaps()
    return None


def _jumps(op: str, value: Value) -> bool | None:
    """Whether a conditional jump is taken, where that is known."""
    if op.endswith("_NONE"):
        return op.endswith("NOT_NONE") if isinstance(value, (Present, Const)) else None
    true = truth(value)
    return None if true is None else true is ("IF_TRUE" in op)
