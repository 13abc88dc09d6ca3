"""Loops over numbers as machine code, by numba: compiled when they are first called, for the types they get.

numba keeps what it compiled beside the source or, where that is not writable, in the user's cache; the next
worker starts without compiling. Where neither is writable each worker compiles anew, for a second or two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
from numba.cpython.unsafe import numbers

P = ParamSpec("P")
R = TypeVar("R")

trailing_zeros = cast(Callable[[int], int], numbers.trailing_zeros)
"""How many bits of an unsigned number are 0 below its lowest 1: one instruction. For machine code only."""


def machine_code(function: Callable[P, R]) -> Callable[P, R]:
    """The function, compiled; other threads of Python run while it does.

    Without fastmath, which would let sums be made in another order, and NaN compare as it likes.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no folder for the cache
        return numba.njit(nogil=True)(function)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of such functions, copied to where it is called."""
    return numba.njit(inline="always")(function)
