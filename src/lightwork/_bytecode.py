"""Bytecode of CPython 3.11 to 3.14 in one plain form: what follows what, and what each name is.

Only what the reading of effects needs. Versions differ in names and in how arguments are packed; where an
instruction is asked for by name here, the versions that lack it simply never show it.
"""

from __future__ import annotations

import opcode as dis  # what ``dis`` tells of instructions, without what it imports
from weakref import WeakKeyDictionary

from lightwork._record import Record, Slotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

_EXTENDED = dis.opmap["EXTENDED_ARG"]
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)
_HAS_ARG = dis.HAVE_ARGUMENT

# How instructions are packed differs between versions; which way it is here shows in the names that there are.
ATTR_HAS_FLAG = "PRECALL" not in dis.opmap
"""LOAD_ATTR's argument holds the name's index, shifted by one, and whether a method is wanted (3.12)."""
NULL_ABOVE = "CALL_KW" in dis.opmap
"""The NULL beside a function to be called stands above it on the stack (3.13), not below it."""
PARTS_WITH_FUNCTION = "SET_FUNCTION_ATTRIBUTE" not in dis.opmap
"""MAKE_FUNCTION takes defaults and cells itself (up to 3.12)."""

ENDS = frozenset(
    (
        *("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "INTERPRETER_EXIT"),
        *("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"),
    )
)
"""After these, the next instruction is not what runs next."""


class Step(Slotted):
    """One instruction: its name, opcode and argument, its place in bytes, and the step that it may jump to."""

    __slots__ = ("arg", "code", "offset", "op", "target")

    def __init__(self, op: str, code: int, arg: int, offset: int, target: int | None) -> None:
        self.op, self.code, self.arg, self.offset, self.target = op, code, arg, offset, target

    def effect(self, jump: bool = False) -> int:
        """By how much the stack grows."""
        return dis.stack_effect(self.code, self.arg if self.code >= _HAS_ARG else None, jump=jump)


class Handler(Record, frozen=True):
    """While steps ``first`` to ``last`` (not included) run, an exception leads to ``target``."""

    first: int
    last: int
    target: int
    depth: int
    lasti: bool


class Decoded(Record, frozen=True):
    """The steps of a code object, its handlers (``guarded``: where one begins to hold), and the names of its
    local slots, cells and free ones too. ``leaders``: steps that are jumped to."""

    steps: tuple[Step, ...]
    handlers: tuple[Handler, ...]
    guarded: frozenset[int]
    leaders: frozenset[int]
    slots: tuple[str, ...]
    free: int
    """Slots from here on are free variables: they belong to an enclosing function."""
    cells: frozenset[int]


_decoded: WeakKeyDictionary[CodeType, Decoded] = WeakKeyDictionary()


def decode(code: CodeType) -> Decoded:
    """The plain form of a code object, remembered for as long as the code lives."""
    found = _decoded.get(code)
    if found is None:
        found = _decoded[code] = _decode(code)
    return found


def _decode(code: CodeType) -> Decoded:
    raw = code.co_code
    rows: list[tuple[int, int, int, int]] = []  # opcode, argument, offset, offset of the jump or -1
    where: dict[int, int] = {}
    extended = 0
    length = len(raw)
    opname = dis.opname
    offset = 0
    while offset < length:
        op, arg = raw[offset], raw[offset + 1] | extended
        where[offset] = len(rows)
        start, offset = offset, offset + 2
        if op == _EXTENDED:
            extended = arg << 8
            continue
        extended = 0
        while offset < length and raw[offset] == 0:  # CACHE
            offset += 2
        target = -1
        if op in _JUMPS:
            target = offset - 2 * arg if "BACKWARD" in opname[op] else offset + 2 * arg
        rows.append((op, arg, start, target))
    steps = tuple(Step(opname[op], op, arg, at, where.get(to)) for op, arg, at, to in rows)
    handlers = _handlers(code, where, len(steps))
    leaders = {step.target for step in steps if step.target is not None} | {h.target for h in handlers}
    names = code.co_varnames + tuple(name for name in code.co_cellvars if name not in code.co_varnames)
    cells = frozenset(i for i, name in enumerate(names) if name in code.co_cellvars)
    slots = names + code.co_freevars
    guarded = frozenset(handler.first for handler in handlers)
    return Decoded(steps, handlers, guarded, frozenset(leaders), slots, len(names), cells)


def _handlers(code: CodeType, where: dict[int, int], end: int) -> tuple[Handler, ...]:
    """The exception table: groups of four numbers in 6-bit digits (CPython's InternalDocs/exception_handling)."""
    table = iter(code.co_exceptiontable)

    def number(first: int) -> int:
        value = first & 63
        while first & 64:
            first = next(table)
            value = value << 6 | first & 63
        return value

    found = []
    for byte in table:
        start = number(byte) * 2
        stop = start + number(next(table)) * 2
        target = number(next(table)) * 2
        depth = number(next(table))
        if start in where and target in where:
            found.append(Handler(where[start], where.get(stop, end), where[target], depth >> 1, bool(depth & 1)))
    return tuple(found)


def line(code: CodeType, offset: int) -> int:
    """The source line of the instruction at a byte offset; the function's first line where there is none."""
    for start, end, number in code.co_lines():
        if start <= offset < end and number is not None:
            return number
    return code.co_firstlineno
