"""NumPy in stock: imported by the starter, once for all workers that it forks, where their function takes it.

To import it takes a tenth of a second and more of a core, in each worker anew; a fork has it for nothing. The caller's
own modules are never stocked: they may do what must be done once in each process. NumPy may be, with conditions:

- it is the file that the caller has, from the standard library that it has;
- its BLAS has started no threads, so it is told to have one, and told again in a worker that may use more; where the
  user has set another number, nothing is stocked, and where a thread was started all the same, the starter begins anew
  without it;
- what else it reads from the environment when it is imported is now as it was then, and no initializer is to set
  anything up before;
- each worker has another state of its global random generator.
"""

from __future__ import annotations

import os
import sys

from lightwork import _platform
from lightwork._library_threads import VARIABLES, users_environment
from lightwork._loaded import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Settings = tuple[tuple[str, str], ...]
    Stock = tuple[str, tuple[str, ...], Settings]
    """NumPy's file, which modules of it, and what it finds in the environment."""

NUMPY = "numpy"

_WORDS = """
    astropy cv2 h5py jax matplotlib numba numpy pandas scipy seaborn shapely skimage sklearn statsmodels xarray
"""
TAKE_IT = frozenset(_WORDS.split())
"""Packages that import NumPy."""

PARTS = ("numpy.random", "numpy.ma", "numpy.polynomial", "numpy.fft")
"""What is imported when it is first used, and takes long; stocked where the caller has it."""

_READ = ("BLIS_", "GOMP_", "GOTO_", "KMP_", "MKL_", "NPY_", "NUMEXPR_", "NUMPY_", "OMP_", "OPENBLAS_", "VECLIB_")
"""How variables begin that are looked at when NumPy and its BLAS are loaded."""

_THREADS = frozenset({*VARIABLES.values(), "GOTO_NUM_THREADS", "OPENBLAS_DEFAULT_NUM_THREADS"})


# in the caller


def stock() -> Stock | None:
    """What a starter may stock now; None where the caller has no NumPy, or each worker is to import it for itself."""
    origin = getattr(loaded(NUMPY, "__spec__"), "origin", None)
    if not isinstance(origin, str) or _platform.threads() is None:
        return None
    settings = tuple(sorted(_read(users_environment()).items()))
    if any(name in _THREADS and value != "1" for name, value in settings) or _shadowed():
        return None
    return origin, (NUMPY, *(name for name in PARTS if name in sys.modules)), settings


def fits(stocked: Stock, now: Stock | None) -> bool:
    """Whether workers may have what a starter has ``stocked`` in place of what they would import ``now``."""
    return now is not None and (stocked[0], stocked[2]) == (now[0], now[2])


def _read(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in environ if name.startswith(_READ)}


def _shadowed() -> bool:
    """Whether a module of the caller's has the name of one of the standard library, which NumPy may have found."""
    home = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib takes 8 ms to import
    for name in sys.stdlib_module_names:
        file = loaded(name, "__file__")
        if file is not None and not file.startswith(home):
            return True
    return False


# in the starter


def lay_in(stocked: Stock) -> bool:
    """Imports it, if it is the caller's; returns whether this process may go on to fork."""
    origin, names, settings = stocked
    before = _read(os.environ)
    try:
        from importlib.util import find_spec

        spec = find_spec(NUMPY)
        if spec is None or spec.origin != origin:
            return True
        # As the caller has it now: that may have changed since this process was spawned.
        _set({**dict(settings), **dict.fromkeys(VARIABLES.values(), "1")})
        import warnings

        with warnings.catch_warnings(action="ignore"):  # the caller has had them, and workers have its filters
            for name in names:
                __import__(name)
    except Exception:  # noqa: BLE001 - half of it may be there: workers see what the matter is
        return False
    finally:
        _set(before)
    return _platform.threads() == 1


def _set(wanted: Mapping[str, str]) -> None:
    for name in _read(os.environ).keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


# in a worker


def take() -> None:
    """In a fork that has just begun: what no two workers may share is made anew."""
    if (seed := loaded("numpy.random", "seed")) is not None:
        seed()
