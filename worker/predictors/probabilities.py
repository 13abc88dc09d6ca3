"""Whether an answer holds class probabilities: each within [0, 1], and of each row 1 in sum."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from shared.columns import Array

NOT_FINITE = "answered NaN or infinity"
_TOLERANCES = {np.dtype(np.float16): 1e-2, np.dtype(np.float32): 1e-3}
_TOLERANCE = 1e-5  # of float64, which models fill with sums of float32 as well


def tolerance_of(dtype: np.dtype[Any]) -> float:
    """How far a sum of probabilities may be off that were computed in this type."""
    return _TOLERANCES.get(dtype, _TOLERANCE)


def probability_problem(answer: Array, tolerance: float) -> str | None:
    """What is wrong with probabilities of shape (rows, classes); None: nothing."""
    # NaN fails every comparison
    if not answer.size:
        return None
    sums = answer @ _ones(answer.shape[1])
    if answer.min() >= -tolerance and sums.min() >= 1 - tolerance and sums.max() <= 1 + tolerance:
        return None
    return _words(answer, sums)


@lru_cache(maxsize=64)
def _ones(classes: int) -> Array:
    return np.ones(classes)


def _words(answer: Array, sums: Array) -> str:
    if not np.isfinite(answer).all():
        return NOT_FINITE
    row = int(np.abs(sums - 1).argmax()) if answer.min() >= 0 else int(answer.min(axis=1).argmin())
    shown = ", ".join(f"{one:.6g}" for one in answer[row][:4]) + (", …" if answer.shape[1] > 4 else "")
    return (
        f"answered {shown} as class probabilities: each must lie within [0, 1], and they must sum to 1 "
        f"(they sum to {sums[row]:.6g})"
    )
