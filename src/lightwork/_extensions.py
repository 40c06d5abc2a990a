"""What a loaded extension module says of itself: whether it needs the GIL, and whether it loads in a sub-interpreter.

Both stand in its definition in C: an array of slots, which Python reads when it imports the module. They are read
again here, from memory; nothing is imported. See PEP 489 (multi-phase initialisation), PEP 684 (an own GIL for each
interpreter) and PEP 703 (free threading); ``Include/moduleobject.h`` has the layout, stable since Python 3.5.

A module without slots is of the older kind (single-phase): no interpreter with a GIL of its own loads it. Whether it
turns the GIL on stands in the module object, on free-threaded builds alone.
"""

from __future__ import annotations

import sys
from types import ModuleType

from lightwork._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MULTIPLE_INTERPRETERS, _GIL = 3, 4  # Py_mod_multiple_interpreters (3.12), Py_mod_gil (3.13)
_GIL_NOT_USED, _OWN_GIL_SUPPORTED = 1, 2
_MOST_SLOTS = 32


class Extension(Record, frozen=True):
    """``needs_gil``, ``refuses_interpreters``: None where that cannot be told. ``old``: single-phase."""

    name: str
    needs_gil: bool | None
    refuses_interpreters: bool | None
    old: bool


def extension(module: ModuleType) -> Extension | None:
    """What an extension module declares; None for a module written in Python, or where nothing can be read."""
    try:
        import ctypes

        definition = ctypes.pythonapi.PyModule_GetDef
    except (ImportError, AttributeError):  # not CPython, or one without ctypes
        return None
    definition.restype, definition.argtypes = ctypes.c_void_p, [ctypes.py_object]
    found = definition(module)
    if not found:
        return None
    pointer = ctypes.sizeof(ctypes.c_void_p)
    # PyModuleDef: the object's head, m_init, m_index, m_copy; m_name, m_doc, m_size, m_methods; m_slots.
    slots = ctypes.c_void_p.from_address(found + object.__basicsize__ + 7 * pointer).value
    if slots is None:
        used = _gil_field(module)
        return Extension(module.__name__, None if used is None else used != _GIL_NOT_USED, True, True)
    declared: dict[int, int] = {}
    for number in range(_MOST_SLOTS):
        at = slots + number * 2 * pointer
        slot = ctypes.c_int.from_address(at).value
        if slot == 0:
            break
        declared[slot] = ctypes.c_void_p.from_address(at + pointer).value or 0
    own_gil = declared.get(_MULTIPLE_INTERPRETERS) == _OWN_GIL_SUPPORTED
    return Extension(module.__name__, declared.get(_GIL) != _GIL_NOT_USED, not own_gil, False)


def _gil_field(module: ModuleType) -> int | None:
    """What a module object of a free-threaded build holds on the GIL: the sixth field after the object's head.

    That the field is there is tried on two modules of which it is known.
    """
    import ctypes

    from lightwork._machine import free_threaded_build

    pointer = ctypes.sizeof(ctypes.c_void_p)
    offset = object.__basicsize__ + 5 * pointer
    if not free_threaded_build() or ModuleType.__basicsize__ < offset + pointer:
        return None

    def field(one: Any) -> int:
        return ctypes.c_void_p.from_address(id(one) + offset).value or 0

    known = sys.modules.get("_ctypes")
    if known is None or field(known) != _GIL_NOT_USED or field(ModuleType("blank")) != 0:
        return None
    return field(module)
