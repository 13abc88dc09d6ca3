"""What compiled models are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from shared.columns import Array


class Kernel(Protocol):
    """A model as a function of its rows."""

    def __call__(self, rows: Array, /) -> Array | None:
        """The answers to rows (rows, features), laid out as the native model is given them. None: rows that
        only the native model may judge, since they hold NaN or infinity."""


@dataclass(frozen=True)
class Compiled:
    """What an estimator was compiled to: one or more kernels, each faster than another for some calls."""

    kernels: Mapping[str, Kernel]
    thresholds: Mapping[int, Array] = field(default_factory=dict)
    """Feature → where its value decides: the rows on which a wrong kernel would show."""


class NotCompiledError(Exception):
    """There is nothing to compile. The message says why, for people."""


def all_finite(rows: Array) -> bool:
    return bool(np.isfinite(rows).all())
