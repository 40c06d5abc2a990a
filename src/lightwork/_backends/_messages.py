"""What a crew, the starter and workers say to each other, apart from frames (see ``_wire``): heads and requests.

In a module of its own, because each of them needs the others' words, and none needs what the others are made of.
"""

from __future__ import annotations

from lightwork._lean import Struct
from lightwork._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightwork._backends._surroundings import Surroundings
    from lightwork._calls import Style


# from a crew to a worker


class Hello(Record):
    """The first frame's content."""

    surroundings: Surroundings
    backend: str
    terms: bytes
    """Pickled by itself, because it may need the caller's ``sys.path``."""
    polls: bool
    """Whether there is a core to spare for a moment of polling."""


FUNCTION = Struct("<II")
"""Number of the function, length of its module's name; then the name, then the pickle."""

BATCH = Struct("<QIIIIB")
"""First index, number of the batch, number of the function, count of calls, count of calls with buffers, style.

Then the pickles' lengths (8 bytes each; HOLE: not for the worker), pairs (position, count of buffers), the pickles.
ROWS frames have the same head; one pickle of all items follows, or is the frame's buffer.
"""
HOLE = 2**64 - 1
STYLES: tuple[Style, ...] = ("one", "star", "full")

# from a worker to its crew

RESULTS = Struct("<IB?xxddd")
"""Number of the batch, whether it is the batch's end (ENDED, WORN_OUT), whether something of the batch's buffers is in
use beyond that (a FREE frame follows when it is not any more), when its calls began, their seconds, their CPU seconds.
Entries follow, as in the ledger; the frame's buffers belong to the last one. In a RESULT_ROW follow ROW and the row."""
ENDED, WORN_OUT = 1, 2
"""Ends of a batch; WORN_OUT: it may be early, and the worker is to be given nothing more, but to be replaced."""
ROW = Struct("<BxxxII")
"""Kind, position of the first value, count."""

# from the caller to the starter

NEW_CREW, LAST_CREW = b"\0", b"\1"
"""A crew's channel comes along; no further one will come: it is to end with those that it has."""

# from a crew to the starter

REQUEST = Struct("<BBxxxxxxQd")
"""What, flags, worker, ``call_timeout`` (0: none). START comes with the descriptors of the worker: see ``_blank``."""
START, KILL = 1, 2
WITH_GROUP = 1
"""Flag: kill what the worker has started too."""
IMPORTED = {2: "cloudpickle", 4: "logging", 8: "multiprocessing.process", 16: "warnings"}
"""Flags: import these before forking, so that it is done once. Workers need them where the caller has them."""

# from the starter to a crew

NOTICE = Struct("<QqqQ")
"""Worker, its pid (0: it could not be forked, and the status is the errno), wait status, whether the kernel killed
for lack of memory."""
