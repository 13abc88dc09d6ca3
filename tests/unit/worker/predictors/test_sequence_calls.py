"""A model gets sequences in arrays of the same length, and each row its own answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.columns import Array, Columns, of_rows
from shared.specs import ModelSpec
from tests.support.specimens import declaration
from worker.predictors.separate_labels import class_numbers_of, with_labels
from worker.predictors.sequence_calls import SequenceCalls

ROWS: list[list[list[float]]] = [[[1, 2], [3, 4]], [[5, 6]], [[7, 8], [9, 1]], [[2, 2]]]


def spec_of(**changes: Any) -> ModelSpec:
    steps = {"name": "steps", "type": "float32", "shape": [-1, 2], "example": [[1, 2]]} | changes
    return declaration(inputs=[steps, {"name": "gain", "type": "float", "example": 1.0}])


def columns_of(spec: ModelSpec) -> Columns:
    return of_rows(spec, [{"steps": row, "gain": 10.0 * place} for place, row in enumerate(ROWS)])


def sums(columns: Columns) -> Array:
    answer: Array = columns["steps"].sum(axis=(1, 2)) + columns["gain"]
    return answer


EXPECTED = [np.sum(row) + 10.0 * place for place, row in enumerate(ROWS)]


def test_rows_of_a_length_run_together_and_answers_keep_the_order() -> None:
    spec, shapes = spec_of(), []

    def call(columns: Columns) -> Array:
        shapes.append(columns["steps"].shape)
        return sums(columns)

    assert SequenceCalls(spec).run(columns_of(spec), call).tolist() == EXPECTED
    assert shapes == [(2, 1, 2), (2, 2, 2)]


def test_named_answers_keep_the_order_too() -> None:
    spec = spec_of()
    found = SequenceCalls(spec).run(columns_of(spec), lambda columns: {"sum": sums(columns)})
    assert found["sum"].tolist() == EXPECTED


def test_columns_of_an_answer_and_separate_labels_keep_the_order() -> None:
    spec = spec_of()

    def call(columns: Columns) -> dict[str, Any]:
        numbers = columns["steps"][:, 0, 0].astype(np.int64)
        probabilities = np.eye(8)[numbers]
        of_one_step = columns["steps"].shape[1] == 1  # only these rows have separate labels
        return {"": [with_labels(numbers, probabilities) if of_one_step else probabilities, numbers]}

    classes, numbers = SequenceCalls(spec).run(columns_of(spec), call)[""]
    assert numbers.tolist() == class_numbers_of(classes).tolist() == [1, 5, 7, 2]


@pytest.mark.parametrize("pad", [0, -1.5])
def test_a_declared_filling_makes_one_call(pad: float) -> None:
    spec, seen = spec_of(pad=pad), []

    def call(columns: Columns) -> Array:
        seen.append(columns["steps"])
        return sums(columns)

    SequenceCalls(spec).run(columns_of(spec), call)
    (array,) = seen
    assert array.shape == (4, 2, 2)
    assert array.dtype == np.float32
    assert array[1].tolist() == [[5, 6], [pad, pad]]
