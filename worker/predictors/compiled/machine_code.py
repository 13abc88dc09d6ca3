"""Compiles numeric loops to machine code with numba, at their first call, for the types of that call.

numba caches its output beside the source or, if that is not writable, in the user's cache, so the next worker
starts without compiling. If neither is writable, each worker compiles again, for a second or two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
from numba.cpython.unsafe import numbers

P = ParamSpec("P")
R = TypeVar("R")

trailing_zeros = cast(Callable[[int], int], numbers.trailing_zeros)
"""Number of trailing zero bits of an unsigned number: a single instruction. For compiled code only."""


def machine_code(function: Callable[P, R]) -> Callable[P, R]:
    """The function, compiled; it releases the GIL while it runs.

    fastmath stays off: it would allow sums in another order and undefined comparisons with NaN.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder for the cache
        return numba.njit(nogil=True)(function)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Marks a part of compiled functions, inlined at each call."""
    return numba.njit(inline="always")(function)
