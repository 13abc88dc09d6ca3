"""Checks that an answer holds class probabilities: each within [0, 1], and a sum of 1 for each row."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from shared.columns import Array

NOT_FINITE = "answered NaN or infinity"
_TOLERANCES = {np.dtype(np.float16): 1e-2, np.dtype(np.float32): 1e-3}
_TOLERANCE = 1e-5  # for float64, which some models fill with sums of float32

_FEW_VALUES = 64


def tolerance_of(dtype: np.dtype[Any]) -> float:
    """The allowed error of a sum of probabilities that were computed in this type."""
    return _TOLERANCES.get(dtype, _TOLERANCE)


def probability_problem(answer: Array, tolerance: float) -> str | None:
    """The problem with probabilities of shape (rows, classes); None: they are valid."""
    # NaN fails every comparison
    if answer.size <= _FEW_VALUES and _are_valid(answer.tolist(), tolerance):
        return None
    sums = answer @ _ones(answer.shape[1])
    if answer.min() >= -tolerance and sums.min() >= 1 - tolerance and sums.max() <= 1 + tolerance:
        return None
    return _words(answer, sums)


def _are_valid(rows: list[list[float]], tolerance: float) -> bool:
    """For few rows, plain Python takes a third of the time of numpy's calls."""
    return all(min(row) >= -tolerance and abs(sum(row) - 1) <= tolerance for row in rows)


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
