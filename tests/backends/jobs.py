"""Functions that the tests of crews run in workers, in a module that is quick to import there."""

from __future__ import annotations

import logging
import os
import signal
import struct
import sys
import threading
import warnings

from lightwork import _context


def double(x):
    return 2 * x


def add(x, y=0):
    return x + y


def fail(x):
    raise ValueError("no", x)


def leave(x):
    sys.exit(x)


class Odd(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Locked(Exception):
    pass


def raise_odd(x):
    raise Odd(x, "odd")


def raise_locked(x):
    error = Locked("locked", x)
    error.lock, error.fine = threading.Lock(), "kept"
    raise error


def raise_from(x):
    try:
        {}[x]
    except KeyError as cause:
        raise RuntimeError("outer") from cause


def raise_in_a_circle(x):
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def stop(x):
    raise StopIteration(x)


def raise_noted(x):
    error = KeyError(x)
    error.add_note("a note")
    raise error


class Unmakeable(Exception):
    def __new__(cls, *args):
        if args and args[0] == "inner":
            return super().__new__(cls, *args)
        raise TypeError("only from inside")

    def __reduce__(self):
        raise TypeError("never")


def raise_unmakeable(x):
    error = Unmakeable("inner", x)
    error.args = (x,)
    raise error


class Holder:
    def __init__(self):
        self.handler = type("Handler", (), {})()
        self.handler._lock = threading.Lock()


def hold(x):
    return {"a": [1, Holder()]} if x else "fine"


class Thief:
    """Raises when it is unpickled, where ``where`` says."""

    def __init__(self, home):
        self.home = home

    def __setstate__(self, state):
        if state["home"] != _context.backend():
            raise ValueError("not here")
        self.__dict__.update(state)


def make_thief(x):
    return Thief(_context.backend())


_made = {}


def lambda_of(big):
    return _made.setdefault(id(big), lambda x: len(big) + x)


def sizes(x):
    return bytes(x)


def speak(x):
    print(f"line {x}")
    print(f"half {x}", end="")
    print("error", x, file=sys.stderr)


def tell(x):
    logging.getLogger("test.crews").info("told %s", x)
    logging.getLogger("test.crews").debug("too low")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("test.crews").exception("caught")


def where(_):
    import logging

    warnings.warn("w", UserWarning, stacklevel=1)
    return sys.path, sys.argv, logging.getLogger("some.logger").level, _context.depth(), _context.backend()


def draw(_):
    return _context.index(), _context.rng().random(), _context.rng().random()


def seeded(_):
    import random

    return random.random()


_greeting = None


def greet(word):
    global _greeting
    _greeting = word


def refuse(problem):
    raise problem


def greeting(_):
    return _greeting


def change(arrays):
    for array in arrays if isinstance(arrays, tuple) else (arrays,):
        array[0] = -1.0
    return arrays


def total(array):
    return float(array.sum())


_kept = []


def keep_a_part(array):
    """Keeps every third argument's slice; returns whether one of those kept has changed."""
    number = float(array[0])
    if number % 3 == 0:
        _kept.append((array[len(array) // 2 : len(array) // 2 + 4], number))
    if len(_kept) > 40:
        del _kept[::2]
    return any((part != number).any() for part, number in _kept)


def doubled_in_place(array):
    array *= 2
    return array


def doubled_then_killed_once(array, path):
    array *= 2
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return array
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it was killed")


def changed_by_a_fork(array):
    """What a forked process sees of the argument, and has after it has changed it; what is here afterwards."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = array[0]
        array[:] = -1
        os.write(theirs, struct.pack("dd", before, array[-1]))
        os._exit(0)
    os.waitpid(pid, 0)
    said = struct.unpack("dd", os.read(ours, 16))
    os.close(ours)
    os.close(theirs)
    return said, float(array[0])


def forked_reader(array):
    """A forked process that tells, when it is asked, what it sees of the argument: two descriptors and its pid."""
    ask, asked = os.pipe()
    answer, answered = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(ask, 1)
        os.write(answered, struct.pack("d", array[-1]))
        os._exit(0)
    return (asked, answer), pid


def asked(descriptors, pid):
    os.write(descriptors[0], b"?")
    (value,) = struct.unpack("d", os.read(descriptors[1], 8))
    os.waitpid(pid, 0)
    for descriptor in descriptors:
        os.close(descriptor)
    return value


def same(x):
    return x


def extended(array):
    array.append(1)
    return len(array)


def die_the_first_time(item):
    path, value = item
    if not os.path.exists(path):  # noqa: PTH110
        open(path, "x").close()  # noqa: PTH123
        os.kill(os.getpid(), signal.SIGKILL)
    return value
