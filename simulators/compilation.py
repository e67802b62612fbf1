"""How the hot loops are compiled: numba, without the interpreter, and kept on disk so that a second start is quick.

Numba looks only at the file of a cached function to see whether it changed, not at the functions that it calls. An entry
point therefore closes over `fingerprint(...)` of all files that it is made of: what is closed over is part of the cache's key,
so an edit of any of them compiles anew. Functions that are only called by entry points need no cache of their own.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import event

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Machine code for a function that only compiled functions call. Division by zero gives inf, as numpy does."""
    made: F = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return made


def cached(function: F) -> F:
    """Machine code for an entry point, kept on disk; it must close over a `fingerprint`."""
    made: F = numba.njit(error_model="numpy", cache=True)(function)
    return made


class _Ear(event.Listener):
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def on_start(self, event: event.Event) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, event: event.Event) -> None:
        """Nobody asks how long it took."""


@contextmanager
def heard(tell: Callable[[], None]) -> Iterator[None]:
    """`tell` is called once, when something begins to be compiled because it was not found on disk."""
    with event.install_listener("numba:compile", _Ear(tell)):
        yield


def fingerprint(*modules: str) -> int:
    """A number that changes when the text of one of these modules of `simulators` (or of this one) does."""
    here = Path(__file__).parent
    value = zlib.crc32(numba.__version__.encode())
    for name in (*modules, "compilation"):
        value = zlib.crc32((here / f"{name}.py").read_bytes(), value)
    return value
