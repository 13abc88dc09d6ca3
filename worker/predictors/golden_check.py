"""Golden rows have known answers. They check a predictor before it serves, and after a failed call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from shared.messages import OutputColumn
from shared.specs import ModelSpec

if TYPE_CHECKING:
    from worker.predictors.base import Predictor


class BrokenModelError(Exception):
    """The predictor fails rows with known answers: the model is broken, and its process must end."""


def check_golden_rows(predictor: Predictor) -> None:
    """Decide whether the rows or the model are at fault, after a call has failed.

    Raises BrokenModelError if the golden rows fail or their answers are wrong.
    """
    problem = predictor.golden_problem()
    if problem:
        raise BrokenModelError(f"{predictor.key} fails its golden rows: {problem}")


def disagreement(spec: ModelSpec, columns: list[OutputColumn]) -> str | None:
    """The first golden row and output for which `columns` differ, with expected and actual value."""
    answers = {output.name: (output, column) for output, column in zip(spec.outputs, columns, strict=True)}
    for number, row in enumerate(spec.golden):
        for name, expected in row.outputs.items():
            output, column = answers[name]
            of_floats = (row.tolerance, spec.precision.tolerance)
            allowed = of_floats if output.value_type.is_float else (0.0, 0.0)
            if not _agree(expected, column[number], *allowed):
                return f"golden row {number}: {name}: expected {expected!r}, got {column[number]!r}"
    return None


def _agree(expected: object, got: object, tolerance: float, of_size: float) -> bool:
    """Numbers agree within the tolerance, or within `of_size` relative to their size (at least 1); lists
    agree element by element, other values exactly. NaN in a golden row stands for null."""
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(
            _agree(e, g, tolerance, of_size) for e, g in zip(expected, got, strict=True)
        )
    if isinstance(expected, float) and math.isnan(expected):
        return got is None
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return abs(expected - got) <= max(tolerance, of_size * max(1.0, abs(expected)))
    return expected == got
