"""The interface of compiled models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TypeVar, cast

import numba
import numpy as np
from numba.cpython.unsafe import numbers

from shared.columns import Array

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


class Kernel(Protocol):
    """A model as a function of its rows."""

    def __call__(self, rows: Array, /) -> Array | None:
        """The answers to rows (rows, features), in the layout that the native model gets. None: the rows
        hold NaN or infinity and are left to the native model."""


@dataclass(frozen=True)
class Compiled:
    """A compiled estimator: kernels, each fastest for some calls."""

    kernels: Mapping[str, Kernel]
    thresholds: Mapping[int, Array] = field(default_factory=dict)
    """Feature → its decision thresholds: rows near them reveal a wrong kernel."""


class NotCompiledError(Exception):
    """The estimator is not compiled. The message is the reason, for users."""


def all_finite(rows: Array) -> bool:
    return bool(np.isfinite(rows).all())
