"""Amounts of memory and of workers, as people write and read them."""

from __future__ import annotations

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parsed(value: object) -> int:
    """Bytes, from a whole number or a text: "512MB", "1.5 GiB" (a kB is 1,000 bytes, a KiB 1,024).

    Raises ValueError where it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip()
        number = text.rstrip("BbKkMmGgTtIi").rstrip()
        unit = _UNITS.get(text[len(number) :].strip().upper())
        try:
            if unit is not None:
                return int(float(number) * unit)
        except (ValueError, OverflowError):
            pass  # said below
    raise ValueError(f'not a size: {value!r} (bytes, or a text such as "512MB" or "2GiB")')


_ONE = {"threads": "thread", "processes": "process", "interpreters": "interpreter"}


def workers(count: int, backend: str) -> str:
    """A number of a backend's workers: "2 processes", "1 thread"."""
    return f"{count} {_ONE.get(backend, backend) if count == 1 else backend}"


def shown(count: float) -> str:
    """Bytes with a unit: "512 MB", "1.5 GB"."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{count / size:.0f} {unit}"
    return f"{count:.0f} B"
