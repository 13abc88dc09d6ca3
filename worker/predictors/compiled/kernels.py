"""The interface of compiled models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from shared.columns import Array


class Kernel(Protocol):
    """A model as a function of its rows."""

    def __call__(self, rows: Array, /) -> Array | None:
        """The answers to rows (rows, features), in the layout that the native model gets. None: the rows
        hold NaN or infinity and are left to the native model."""


@dataclass(frozen=True)
class Compiled:
    """A compiled estimator: one or more kernels, each fastest for some calls."""

    kernels: Mapping[str, Kernel]
    thresholds: Mapping[int, Array] = field(default_factory=dict)
    """Feature → its decision thresholds: rows near them reveal a wrong kernel."""


class NotCompiledError(Exception):
    """The estimator is not compiled. The message is the reason, for users."""


def all_finite(rows: Array) -> bool:
    return bool(np.isfinite(rows).all())
