"""The check of class probabilities: few values and many values are judged alike."""

from __future__ import annotations

import numpy as np
import pytest

from worker.predictors.probabilities import NOT_FINITE, probability_problem

FEW, MANY = 1, 100
"""Numbers of rows that plain Python and numpy check."""


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize(
    ("last_row", "problem"),
    [
        ([0.5, 0.5, 0.0], None),
        ([0.5, 0.5, 1e-6], None),
        ([1.000001, -0.000001, 0.0], None),
        ([0.5, 0.4, 0.0], "they sum to 0.9"),
        ([0.5, 0.5, 0.1], "they sum to 1.1"),
        ([1.1, -0.1, 0.0], "must lie within"),
        ([np.nan, 0.5, 0.5], NOT_FINITE),
        ([0.5, 0.5, np.nan], NOT_FINITE),
        ([np.inf, 0.5, 0.5], NOT_FINITE),
    ],
)
def test_a_wrong_row_is_found_among_few_and_among_many(
    rows: int, last_row: list[float], problem: str | None
) -> None:
    answer = np.array([[0.2, 0.3, 0.5]] * (rows - 1) + [last_row])
    found = probability_problem(answer, 1e-5)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_no_rows_are_valid() -> None:
    assert probability_problem(np.empty((0, 3)), 1e-5) is None
