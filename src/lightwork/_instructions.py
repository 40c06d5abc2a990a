"""What each of CPython's instructions does to kinds of values, and what it tells of that.

A frame has a stack and local variables as the interpreter's, which hold what is known of a value and not the value.
Where an instruction stores, calls or defines something, a listener is told.
"""

from __future__ import annotations

import builtins
import sys
from types import CodeType

from lightwork._bytecode import ATTR_HAS_FLAG, NULL_ABOVE, PARTS_WITH_FUNCTION, Decoded, Handler, Step, decode
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


_RESULT_IS_NEW = (
    *("UNARY_", "COMPARE", "FORMAT", "CONVERT", "TO_BOOL"),
    *("LIST_TO", "BUILD_", "BINARY_SLICE", "CALL_INTRINSIC", "YIELD"),
)
"""Beginnings of the names of instructions whose result, on top of the stack, shares nothing."""


class Frame:
    """One code object where it is just being run."""

    def __init__(self, code: CodeType, scope: dict[str, Any], listener: Listener, foreign: frozenset[str]) -> None:
        self.code, self.scope, self.tell, self.foreign = code, scope, listener, foreign
        self.plain: Decoded = decode(code)
        self.stack: list[Value] = []
        self.slots: dict[int, Value] = {}
        self.named: tuple[str, ...] = ()
        self.index = 0

    def do(self, step: Step) -> None:
        """One instruction that does not jump."""
        if step.op in ("TO_BOOL", "UNARY_NOT") and (true := truth(self.stack[-1])) is not None:
            self.stack[-1] = Const(true is (step.op == "TO_BOOL"))
            return
        handler = _HANDLERS.get(step.op)
        if handler is not None:
            handler(self, step)
            return
        self.stack = self.moved(step.effect())
        if self.stack and step.op.startswith(_RESULT_IS_NEW):
            self.stack[-1] = None

    def moved(self, effect: int) -> list[Value]:
        """The stack so many values higher, or lower, of which nothing is known."""
        if effect < 0:
            return self.stack[:effect]
        return self.stack + [None] * effect

    def val(self, value: Value) -> Val | None:
        """What is shared of a value: all of it, or nothing."""
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
        top = self.val(self.stack.pop())
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
        top = self.val(self.stack[-1])
        self.stack.append(child(top, self.code.co_names[step.arg]) if top else None)

    def store_attr(self, step: Step) -> None:
        target = self.val(self._pop(1 + (step.op == "STORE_ATTR"))[-1])
        if target is not None:
            part = child(target.known_as(MISSING), self.code.co_names[step.arg])
            if part is not None:
                # What was stored in belongs to the message, its kind of object to the judgement.
                self.tell.changed(part.known_as(target.obj), step.offset)

    def store_subscr(self, step: Step) -> None:
        count, place = {"STORE_SUBSCR": (3, 1), "DELETE_SUBSCR": (2, 0), "STORE_SLICE": (4, 1)}[step.op]
        self.tell.changed(self.val(self._pop(count)[place]), step.offset)

    def subscr(self, _: Step) -> None:
        base, key = self._pop(2)
        whole = isinstance(key, Const) and key.value is slice
        self.tell.special(self.val(base), "__getitem__")
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
            self.tell.inplace(self.val(left), step.offset, new_list)
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
        val = self.val(self.stack.pop())
        self.stack += [child(val, "[...]") if val else None] * count

    def copy(self, step: Step) -> None:
        self.stack.append(self.stack[-step.arg])

    def swap(self, step: Step) -> None:
        self.stack[-1], self.stack[-step.arg] = self.stack[-step.arg], self.stack[-1]

    def keep(self, _: Step) -> None:
        """GET_ITER and others that put something of the same kind in the same place."""

    def get_iter(self, _: Step) -> None:
        self.tell.special(self.val(self.stack[-1]), "__iter__")

    def contains(self, step: Step) -> None:
        part, whole = self._pop(2)
        val = self.val(whole)
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
        self.tell.identified(self.val(left), self.val(right), step.offset)
        self.stack.append(None)

    def enter(self, step: Step) -> None:
        top = self.val(self.stack[-1])
        self.tell.special(top, "__enter__")
        self.tell.special(top, "__exit__")
        self.stack = self.moved(step.effect())

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
        free = tuple(self.val(self._load(cell.slot)) if isinstance(cell, Cell) else None for cell in held)
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
        vals = [self.val(arg) for arg in args]
        split = len(vals) - len(named)
        if isinstance(target, Inner):
            if below[0] is target and below[1] is not None:  # 3.11 passes the iterator of a comprehension so
                vals.insert(0, self.val(below[1]))
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
            present = self.tell.supposed(self.val(args[0]), args[1].value)
            return Const(True) if present and target.obj is hasattr else present
        return self._supposed_in(target.base, args[0]) if target.attr == "get" and args else None


def truth(value: Value) -> bool | None:
    """Whether a value is a true one, where that is known."""
    if isinstance(value, Const):
        return value.value if isinstance(value.value, bool) else None
    return True if isinstance(value, Present) and value.true else None


_HANDLERS: dict[str, Any] = {
    name: handler
    for names, handler in {
        "LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_BORROW": Frame.load_fast,
        "LOAD_FAST_LOAD_FAST LOAD_FAST_BORROW_LOAD_FAST_BORROW": Frame.load_two,
        "LOAD_FAST_AND_CLEAR": Frame.load_and_clear,
        "LOAD_CLOSURE": Frame.load_closure,
        "LOAD_DEREF LOAD_CLASSDEREF": Frame.load_deref,
        "LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS": Frame.load_from_dict,
        "STORE_FAST": Frame.store_fast,
        "STORE_FAST_STORE_FAST": Frame.store_two,
        "STORE_FAST_LOAD_FAST": Frame.store_load,
        "STORE_DEREF": Frame.store_deref,
        "DELETE_DEREF": Frame.delete_deref,
        "STORE_GLOBAL": Frame.store_global,
        "DELETE_GLOBAL": Frame.delete_global,
        "LOAD_GLOBAL": Frame.load_global,
        "LOAD_NAME": Frame.load_name,
        "LOAD_CONST LOAD_CONST_IMMORTAL": Frame.load_const,
        "LOAD_ATTR LOAD_METHOD": Frame.load_attr,
        "IMPORT_NAME": Frame.import_name,
        "IMPORT_FROM": Frame.import_from,
        "STORE_ATTR DELETE_ATTR": Frame.store_attr,
        "STORE_SUBSCR DELETE_SUBSCR STORE_SLICE": Frame.store_subscr,
        "BINARY_SUBSCR": Frame.subscr,
        "BUILD_SLICE": Frame.build_slice,
        "BINARY_OP": Frame.binary_op,
        "BUILD_LIST": Frame.build_list,
        "BUILD_TUPLE": Frame.build_tuple,
        "UNPACK_SEQUENCE UNPACK_EX": Frame.unpack,
        "COPY": Frame.copy,
        "SWAP": Frame.swap,
        "GET_ITER": Frame.get_iter,
        "CONTAINS_OP": Frame.contains,
        "IS_OP": Frame.is_op,
        "BEFORE_WITH LOAD_SPECIAL": Frame.enter,
        "GET_YIELD_FROM_ITER NOP RESUME PRECALL": Frame.keep,
        "KW_NAMES": Frame.kw_names,
        "MAKE_FUNCTION": Frame.make_function,
        "SET_FUNCTION_ATTRIBUTE": Frame.set_function_attribute,
        "CALL CALL_KW": Frame.call,
        "CALL_FUNCTION_EX": Frame.call_ex,
    }.items()
    for name in names.split()
}
