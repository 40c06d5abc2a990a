"""The flow of shared values through one code object: an abstract machine for CPython's bytecode.

It runs every instruction on *kinds* of values instead of values, both ways at every branch, until nothing new
comes up. What matters (stores, calls, definitions) it tells to a listener.
"""

from __future__ import annotations

import builtins
import sys
from types import CodeType

from lightwork._bytecode import ATTR_HAS_FLAG, ENDS, NULL_ABOVE, PARTS_WITH_FUNCTION, Decoded, Handler, Step, decode
from lightwork._record import Record
from lightwork._shared import MISSING, Val, child
from lightwork._typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Cell(Record, frozen=True):
    """The cell of a local slot, on its way into a closure."""

    slot: int


class Inner(Record, frozen=True):
    """A function defined here, with what its free variables hold. ``foreign``: names of those among them that
    belong to no function that is being read."""

    code: CodeType
    free: tuple[Val | None, ...] = ()
    foreign: frozenset[str] = frozenset()


class Const(Record, frozen=True):
    """A constant that matters: code, names of arguments, cells for a closure, a fresh list."""

    value: Any


class Present(Record, frozen=True):
    """What a local of threads is supposed to hold under a name, which is not None. ``true``: as every object whose
    class does not say otherwise."""

    true: bool


Value = Val | Cell | Inner | Const | Present | None


class Listener(Protocol):
    """Who judges what happens; ``at`` is the byte offset of the instruction."""

    def step(self) -> bool: ...
    def supposed(self, val: Val | None, name: str) -> Present | None: ...
    def expects(self, handler: Handler) -> bool: ...
    def stored_global(self, name: str, at: int) -> None: ...
    def stored_free(self, name: str, at: int) -> None: ...
    def changed(self, val: Val | None, at: int) -> None: ...
    def inplace(self, val: Val | None, at: int, new_list: bool) -> None: ...
    def nested(self, inner: Inner, slots: dict[int, Val | None]) -> None: ...
    def fetched(self, base: Val, found: property) -> None: ...
    def advanced(self, val: Val | None, at: int) -> None: ...
    def special(self, val: Val | None, name: str) -> None: ...
    def handed(self, val: Val | None, at: int) -> None: ...
    def identified(self, left: Val | None, right: Val | None, at: int) -> None: ...
    def called(
        self, fn: Val, args: list[Val | None], named: Mapping[str, Val | None], at: int, used: bool
    ) -> Val | None: ...


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


_RESULT_IS_NEW = (
    *("UNARY_", "COMPARE", "FORMAT", "CONVERT", "TO_BOOL"),
    *("LIST_TO", "BUILD_", "BINARY_SLICE", "CALL_INTRINSIC", "YIELD"),
)
"""Beginnings of the names of instructions whose result, on top of the stack, shares nothing."""


class Flow:
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
        self.code, self.scope, self.tell, self.foreign = code, scope, listener, foreign
        self.plain: Decoded = decode(code)
        self.start: dict[int, Value] = dict(slots)
        for i, val in enumerate(free):
            self.start[self.plain.free + i] = val
        self.states: dict[int, tuple[list[Value], dict[int, Value]]] = {}
        self.pending: list[int] = []
        self.stack: list[Value] = []
        self.slots: dict[int, Value] = {}
        self.named: tuple[str, ...] = ()
        self.index = 0

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
                self._do(step)
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
            there = self._moved(step.effect(jump=True))
            top = self.stack[-1]
            self.tell.advanced(self._val(top), step.offset)
            self.stack.append(child(top, "[...]") if isinstance(top, Val) else None)
            self._reach(step.target, there, self.slots)
            return True
        there = self._moved(step.effect(jump=True))
        here = self._moved(step.effect(jump=False))
        if jumps is not False:
            self._reach(step.target, there, self.slots)
        self.stack = here
        return jumps is not True

    def _moved(self, effect: int) -> list[Value]:
        if effect < 0:
            return self.stack[:effect]
        return self.stack + [None] * effect

    # one instruction

    def _do(self, step: Step) -> None:
        if step.op in ("TO_BOOL", "UNARY_NOT") and (true := _truth(self.stack[-1])) is not None:
            self.stack[-1] = Const(true is (step.op == "TO_BOOL"))
            return
        handler = _HANDLERS.get(step.op)
        if handler is not None:
            handler(self, step)
            return
        self.stack = self._moved(step.effect())
        if self.stack and step.op.startswith(_RESULT_IS_NEW):
            self.stack[-1] = None

    def _val(self, value: Value) -> Val | None:
        return value if isinstance(value, Val) else None

    def _pop(self, count: int) -> list[Value]:
        if len(self.stack) < count:
            raise IndexError("the stack is not as deep as the bytecode asks")
        popped = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return popped

    def _is_free(self, slot: int) -> bool:
        return slot >= self.plain.free

    def _load(self, slot: int) -> Value:
        return self.slots.get(slot)

    def _load_fast(self, slot: int) -> Value:
        # From 3.13 on this loads cells too, for a closure; their content is loaded by LOAD_DEREF.
        return Cell(slot) if slot in self.plain.cells or self._is_free(slot) else self._load(slot)

    def load_fast(self, step: Step) -> None:
        self.stack.append(self._load_fast(step.arg))

    def load_two(self, step: Step) -> None:
        self.stack += [self._load_fast(step.arg >> 4), self._load_fast(step.arg & 15)]

    def load_and_clear(self, step: Step) -> None:
        self.stack.append(self.slots.pop(step.arg, None))

    def load_closure(self, step: Step) -> None:
        self.stack.append(Cell(step.arg))

    def load_deref(self, step: Step) -> None:
        self.stack.append(self._load(step.arg))

    def load_from_dict(self, _: Step) -> None:
        self.stack[-1] = None

    def store_fast(self, step: Step) -> None:
        self.slots[step.arg] = self.stack.pop()

    def store_two(self, step: Step) -> None:
        self.slots[step.arg >> 4] = self.stack.pop()
        self.slots[step.arg & 15] = self.stack.pop()

    def store_load(self, step: Step) -> None:
        self.slots[step.arg >> 4] = self.stack.pop()
        self.stack.append(self._load_fast(step.arg & 15))

    def store_deref(self, step: Step) -> None:
        self.slots[step.arg] = self.stack.pop()
        self._stored_free(step)

    def _stored_free(self, step: Step) -> None:
        name = self.plain.slots[step.arg]
        if self._is_free(step.arg) and name in self.foreign:
            self.tell.stored_free(name, step.offset)

    def delete_deref(self, step: Step) -> None:
        self._stored_free(step)

    def store_global(self, step: Step) -> None:
        self.stack.pop()
        self.tell.stored_global(self.code.co_names[step.arg], step.offset)

    def delete_global(self, step: Step) -> None:
        self.tell.stored_global(self.code.co_names[step.arg], step.offset)

    def load_global(self, step: Step) -> None:
        val = self._named(self.code.co_names[step.arg >> 1])
        both: list[Value] = [val, None] if NULL_ABOVE else [None, val]
        self.stack += both if step.arg & 1 else [val]

    def load_name(self, step: Step) -> None:
        self.stack.append(self._named(self.code.co_names[step.arg]))

    def _named(self, name: str) -> Val | None:
        obj = self.scope.get(name, MISSING)
        if obj is MISSING:
            obj = vars(builtins).get(name, MISSING)
        if obj is not MISSING and isinstance(obj, (int, float, complex, str, bytes, type(None))):
            return None
        return Val("global", name, obj)

    def load_const(self, step: Step) -> None:
        value = self.code.co_consts[step.arg]
        if isinstance(value, slice):  # from 3.14 on
            value = slice
        # Of texts only names of attributes matter.
        self.stack.append(Const(value) if value is slice or isinstance(value, (CodeType, tuple, str)) else None)

    def load_attr(self, step: Step) -> None:
        shifted = step.op == "LOAD_ATTR" and ATTR_HAS_FLAG
        name = self.code.co_names[step.arg >> 1 if shifted else step.arg]
        top = self._val(self.stack.pop())
        part: Value = self.tell.supposed(top, name) or (child(top, name) if top else None)
        if top is not None and isinstance(part, Val) and isinstance(part.obj, property):
            self.tell.fetched(top, part.obj)
            part = None
        self.stack.append(part)
        if step.op == "LOAD_METHOD" or (shifted and step.arg & 1):
            self.stack.append(None)

    def import_name(self, step: Step) -> None:
        self._pop(2)
        name = self.code.co_names[step.arg]
        module = sys.modules.get(name.partition(".")[0])
        self.stack.append(Val("global", name, module) if module else None)

    def import_from(self, step: Step) -> None:
        top = self._val(self.stack[-1])
        self.stack.append(child(top, self.code.co_names[step.arg]) if top else None)

    def store_attr(self, step: Step) -> None:
        target = self._val(self._pop(1 + (step.op == "STORE_ATTR"))[-1])
        if target is not None:
            part = child(target.known_as(MISSING), self.code.co_names[step.arg])
            if part is not None:
                # What was stored in belongs to the message, its kind of object to the judgement.
                self.tell.changed(part.known_as(target.obj), step.offset)

    def store_subscr(self, step: Step) -> None:
        count, place = {"STORE_SUBSCR": (3, 1), "DELETE_SUBSCR": (2, 0), "STORE_SLICE": (4, 1)}[step.op]
        self.tell.changed(self._val(self._pop(count)[place]), step.offset)

    def subscr(self, _: Step) -> None:
        base, key = self._pop(2)
        whole = isinstance(key, Const) and key.value is slice
        self.tell.special(self._val(base), "__getitem__")
        self.stack.append(child(base, "[...]") if isinstance(base, Val) and not whole else None)

    def build_slice(self, step: Step) -> None:
        self._pop(step.arg)
        self.stack.append(Const(slice))

    def binary_op(self, step: Step) -> None:
        if step.arg == 26:  # from 3.14 on: subscription
            self.subscr(step)
            return
        left, right = self._pop(2)
        if step.arg >= 13:  # the in-place operators
            new_list = isinstance(right, Const) and right.value is list
            self.tell.inplace(self._val(left), step.offset, new_list)
            self.stack.append(left)
        else:
            self.stack.append(None)

    def build_list(self, step: Step) -> None:
        self._pop(step.arg)
        self.stack.append(Const(list))

    def build_tuple(self, step: Step) -> None:
        parts = self._pop(step.arg)
        cells = parts and all(isinstance(part, Cell) for part in parts)
        self.stack.append(Const(tuple(parts)) if cells else None)

    def unpack(self, step: Step) -> None:
        count = step.arg if step.op == "UNPACK_SEQUENCE" else (step.arg & 255) + 1 + (step.arg >> 8)
        val = self._val(self.stack.pop())
        self.stack += [child(val, "[...]") if val else None] * count

    def copy(self, step: Step) -> None:
        self.stack.append(self.stack[-step.arg])

    def swap(self, step: Step) -> None:
        self.stack[-1], self.stack[-step.arg] = self.stack[-step.arg], self.stack[-1]

    def keep(self, _: Step) -> None:
        """GET_ITER and others that put something of the same kind in the same place."""

    def get_iter(self, _: Step) -> None:
        self.tell.special(self._val(self.stack[-1]), "__iter__")

    def contains(self, step: Step) -> None:
        part, whole = self._pop(2)
        val = self._val(whole)
        self.tell.special(val, "__contains__")
        there = self._supposed_in(val, part)
        self.stack.append(None if there is None else Const(not step.arg))

    def _supposed_in(self, val: Val | None, name: Value) -> Present | None:
        """What a local of threads is supposed to hold under a name, where ``val`` is the local's ``__dict__``."""
        if val is None or val.attr != "__dict__" or not isinstance(name, Const):
            return None
        return self.tell.supposed(val.base, name.value)

    def is_op(self, step: Step) -> None:
        left, right = self._pop(2)
        self.tell.identified(self._val(left), self._val(right), step.offset)
        self.stack.append(None)

    def enter(self, step: Step) -> None:
        top = self._val(self.stack[-1])
        self.tell.special(top, "__enter__")
        self.tell.special(top, "__exit__")
        self.stack = self._moved(step.effect())

    def kw_names(self, step: Step) -> None:
        self.named = self.code.co_consts[step.arg]

    def make_function(self, step: Step) -> None:
        code = self.stack.pop()
        free: Value = None
        if PARTS_WITH_FUNCTION:
            for flag in (8, 4, 2, 1):
                if step.arg & flag:
                    popped = self.stack.pop()
                    free = popped if flag == 8 else free
        self.stack.append(code)
        self._define(free)

    def set_function_attribute(self, step: Step) -> None:
        value, function = self._pop(2)
        self.stack.append(function)
        if step.arg == 8:
            self._define(value)

    def _define(self, cells: Value) -> None:
        top = self.stack[-1]
        if isinstance(top, Const) and isinstance(top.value, CodeType):
            code = top.value
        elif isinstance(top, Inner):
            code = top.code
        else:
            return
        held = cells.value if isinstance(cells, Const) else ()
        free = tuple(self._val(self._load(cell.slot)) if isinstance(cell, Cell) else None for cell in held)
        slots = [cell.slot for cell in held if isinstance(cell, Cell)]
        foreign = {self.plain.slots[slot] for slot in slots if self._is_free(slot)}
        inner = Inner(code, free, self.foreign & foreign)
        self.stack[-1] = inner
        if len(free) == len(code.co_freevars):
            self.tell.nested(inner, {})

    def call(self, step: Step) -> None:
        named: tuple[str, ...] = ()
        if step.op == "CALL_KW":
            names = self.stack.pop()
            named = names.value if isinstance(names, Const) else ()
        else:
            named, self.named = self.named, ()
        args = self._pop(step.arg)
        below = self._pop(2)
        self._called(below, args, named, step)

    def call_ex(self, step: Step) -> None:
        popped = self._pop(1 - step.effect())
        self._called(popped[:2], [], (), step)

    def _called(self, below: list[Value], args: list[Value], named: tuple[str, ...], step: Step) -> None:
        target = below[0] if below[0] is not None else below[1]
        vals = [self._val(arg) for arg in args]
        split = len(vals) - len(named)
        if isinstance(target, Inner):
            if below[0] is target and below[1] is not None:  # 3.11 passes the iterator of a comprehension so
                vals.insert(0, self._val(below[1]))
            slots = dict(enumerate(vals[:split] if named else vals))
            self.tell.nested(target, slots)
            self.stack.append(None)
            return
        if not isinstance(target, Val):
            for val in vals:
                self.tell.handed(val, step.offset)
            self.stack.append(None)
            return
        present = self._asked(target, args)
        if present is not None:
            self.stack.append(present)
            return
        following = self.plain.steps[self.index + 1].op
        by_name = dict(zip(named, vals[split:], strict=False))
        self.stack.append(self.tell.called(target, vals[:split], by_name, step.offset, following != "POP_TOP"))

    def _asked(self, target: Val, args: list[Value]) -> Present | Const | None:
        """The answer to a call that asks a local of threads for what it is supposed to hold."""
        if (target.obj is getattr or target.obj is hasattr) and len(args) > 1 and isinstance(args[1], Const):
            present = self.tell.supposed(self._val(args[0]), args[1].value)
            return Const(True) if present and target.obj is hasattr else present
        return self._supposed_in(target.base, args[0]) if target.attr == "get" and args else None


def _truth(value: Value) -> bool | None:
    """Whether a value is a true one, where that is known."""
    if isinstance(value, Const):
        return value.value if isinstance(value.value, bool) else None
    return True if isinstance(value, Present) and value.true else None


def _jumps(op: str, value: Value) -> bool | None:
    """Whether a conditional jump is taken, where that is known."""
    if op.endswith("_NONE"):
        return op.endswith("NOT_NONE") if isinstance(value, (Present, Const)) else None
    true = _truth(value)
    return None if true is None else true is ("IF_TRUE" in op)


_HANDLERS: dict[str, Any] = {
    name: handler
    for names, handler in {
        "LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_BORROW": Flow.load_fast,
        "LOAD_FAST_LOAD_FAST LOAD_FAST_BORROW_LOAD_FAST_BORROW": Flow.load_two,
        "LOAD_FAST_AND_CLEAR": Flow.load_and_clear,
        "LOAD_CLOSURE": Flow.load_closure,
        "LOAD_DEREF LOAD_CLASSDEREF": Flow.load_deref,
        "LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS": Flow.load_from_dict,
        "STORE_FAST": Flow.store_fast,
        "STORE_FAST_STORE_FAST": Flow.store_two,
        "STORE_FAST_LOAD_FAST": Flow.store_load,
        "STORE_DEREF": Flow.store_deref,
        "DELETE_DEREF": Flow.delete_deref,
        "STORE_GLOBAL": Flow.store_global,
        "DELETE_GLOBAL": Flow.delete_global,
        "LOAD_GLOBAL": Flow.load_global,
        "LOAD_NAME": Flow.load_name,
        "LOAD_CONST LOAD_CONST_IMMORTAL": Flow.load_const,
        "LOAD_ATTR LOAD_METHOD": Flow.load_attr,
        "IMPORT_NAME": Flow.import_name,
        "IMPORT_FROM": Flow.import_from,
        "STORE_ATTR DELETE_ATTR": Flow.store_attr,
        "STORE_SUBSCR DELETE_SUBSCR STORE_SLICE": Flow.store_subscr,
        "BINARY_SUBSCR": Flow.subscr,
        "BUILD_SLICE": Flow.build_slice,
        "BINARY_OP": Flow.binary_op,
        "BUILD_LIST": Flow.build_list,
        "BUILD_TUPLE": Flow.build_tuple,
        "UNPACK_SEQUENCE UNPACK_EX": Flow.unpack,
        "COPY": Flow.copy,
        "SWAP": Flow.swap,
        "GET_ITER": Flow.get_iter,
        "CONTAINS_OP": Flow.contains,
        "IS_OP": Flow.is_op,
        "BEFORE_WITH LOAD_SPECIAL": Flow.enter,
        "GET_YIELD_FROM_ITER NOP RESUME PRECALL": Flow.keep,
        "KW_NAMES": Flow.kw_names,
        "MAKE_FUNCTION": Flow.make_function,
        "SET_FUNCTION_ATTRIBUTE": Flow.set_function_attribute,
        "CALL CALL_KW": Flow.call,
        "CALL_FUNCTION_EX": Flow.call_ex,
    }.items()
    for name in names.split()
}
