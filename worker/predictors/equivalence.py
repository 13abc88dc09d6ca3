"""Compares another runtime of a model with its native runtime, bit by bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from shared.columns import Array, Columns, row_count, take
from worker.predictors.base import ArrayRuntime
from worker.predictors.separate_labels import probabilities_of


@dataclass(frozen=True)
class Parity:
    """The result of a comparison."""

    rows: int
    bit_equal: bool
    max_difference: float


class Reference:
    """The native model's answers: to all rows at once, and to the first rows in calls of each size,
    because sums may run in another order there. Raises any exception of the model."""

    def __init__(self, native: ArrayRuntime, columns: Columns, sizes: Iterable[int]) -> None:
        self._rows = row_count(columns)
        distinct = sorted({min(size, self._rows) for size in sizes} | {self._rows})
        self._calls = [take(columns, 0, size) for size in distinct]
        self._answers = [native(call) for call in self._calls]

    def compare(self, other: ArrayRuntime) -> Parity:
        """Raises any exception of the runtime, and ValueError if its answers have another shape."""
        found = [
            _compare(expected, other(call)) for call, expected in zip(self._calls, self._answers, strict=True)
        ]
        equal = all(bit_equal for bit_equal, _ in found)
        return Parity(self._rows, equal, max(difference for _, difference in found))


def _numbers(answer: Array) -> Array:
    """The computed part of an answer: separate labels come from the native model in either case."""
    probabilities = probabilities_of(answer)
    return answer if probabilities is None else probabilities


def _compare(expected: Array, got: Array) -> tuple[bool, float]:
    ours, theirs = (np.ascontiguousarray(_numbers(one), dtype=np.float64) for one in (expected, got))
    if ours.shape != theirs.shape:
        raise ValueError(f"answered shape {theirs.shape}, the native model {ours.shape}")
    return ours.tobytes() == theirs.tobytes(), float(np.abs(ours - theirs).max(initial=0.0))
