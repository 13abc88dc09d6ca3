"""Golden rows from a model's own answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from shared.columns import of_rows
from shared.errors import PredictionFailedError
from shared.messages import OutputColumn
from shared.specs import GoldenRow, ModelSpec, Row
from worker.models.drafting.artifact_facts import DraftError
from worker.predictors import Predictor
from worker.predictors.outputs import as_columns

MOST_GOLDEN_ROWS = 3
_TRIED_SINGLY = 20


def golden_rows(predictor: Predictor, rows: Sequence[Row], tolerance: float) -> list[GoldenRow]:
    """A few of the rows with the model's answers: rows with different answers, if there are such.

    `tolerance`: relative to the largest answer. Raises DraftError if the model fails on every row.
    """
    spec = predictor.spec
    valid = [row for row in rows if not any(field.problem(row[field.name]) for field in spec.inputs)]
    if not valid:
        problems = ((field.name, field.problem(rows[0][field.name])) for field in spec.inputs)
        name, problem = next((name, found) for name, found in problems if found)
        raise DraftError(f"--sample: no row is valid for the model; of the first, {name} {problem}")
    answered, columns = _answered(predictor, valid)
    return [_golden(spec, answered, columns, place, tolerance) for place in _chosen(columns[0])]


def _answered(predictor: Predictor, rows: Sequence[Row]) -> tuple[Sequence[Row], list[OutputColumn]]:
    """The rows that the model answers, and its answers. If it fails on all at once, rows are tried singly."""
    try:
        return rows, _answers(predictor, rows)
    except PredictionFailedError as error:
        reason = error.detail
    good = []
    for row in rows[:_TRIED_SINGLY]:
        try:
            _answers(predictor, [row])
        except PredictionFailedError:
            continue
        good.append(row)
    if not good:
        raise DraftError(f"the model answers no row: {reason}")
    return good, _answers(predictor, good)


def _answers(predictor: Predictor, rows: Sequence[Row]) -> list[OutputColumn]:
    return as_columns(predictor.spec, predictor.predict(of_rows(predictor.spec, rows)))


def _chosen(values: OutputColumn) -> list[int]:
    """The first row of each of the first classes; of numbers the least, the middle and the greatest."""
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        firsts = {repr(value): place for place, value in reversed(list(enumerate(values)))}
        return sorted(firsts.values())[:MOST_GOLDEN_ROWS]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    return sorted({order[0], order[len(order) // 2], order[-1]})


def _golden(
    spec: ModelSpec, rows: Sequence[Row], columns: list[OutputColumn], place: int, tolerance: float
) -> GoldenRow:
    outputs = {
        output.name: column[place]
        for output, column in zip(spec.outputs, columns, strict=True)
        if column[place] is not None
    }
    largest = max((abs(value) for value in _numbers(list(outputs.values()))), default=1.0)
    inputs = {name: value for name, value in rows[place].items() if value is not None}
    return GoldenRow(inputs=inputs, outputs=outputs, tolerance=float(f"{tolerance * max(1.0, largest):.0e}"))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float) and math.isfinite(value):
        yield value
