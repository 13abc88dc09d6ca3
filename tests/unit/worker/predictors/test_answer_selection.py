"""Outputs that select among several answers of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shared.specs import ModelSpec
from tests.support.specimens import declaration
from worker.predictors.answer_selection import shown_outputs
from worker.predictors.output_types import UnfitValuesError
from worker.predictors.outputs import as_batch, as_columns
from worker.predictors.separate_labels import with_labels

TWO = np.array([[0.25, 0.75], [0.5, 0.5]])


def spec_of(*outputs: dict[str, Any], **changes: Any) -> ModelSpec:
    named = [{"name": f"output_{number}"} | output for number, output in enumerate(outputs)]
    return declaration(outputs=named, **changes)


def shown(spec: ModelSpec, answers: Any, rows: int = 2) -> list[list[Any]]:
    """Plain values of each output, which are checked to equal those of a job."""
    found = shown_outputs(spec, answers, rows)
    plain = as_columns(spec, found)
    for column, values in zip(as_batch(spec, found).columns[:-1], plain, strict=True):
        assert column.equals(pa.array(values, column.type))
    return plain


def test_each_output_shows_the_answer_that_it_selects() -> None:
    spec = spec_of(
        {"view": "value", "from": "score"},
        {"view": "value", "from": "grade", "type": "string"},
        {"view": "tensor", "from": "code", "type": "int64", "shape": [2]},
        {"view": "label", "from": "state", "classes": ["off", "on"]},
        {"view": "confidence", "from": "state", "classes": ["off", "on"]},
    )
    answers = {
        "score": np.array([1.5, 2.0]),
        "grade": np.array(["가", "B"]),
        "code": np.array([[1, 2**60], [3, -4]]),
        "state": TWO,
    }
    assert shown(spec, answers) == [
        [1.5, 2.0],
        ["가", "B"],
        [[1, 2**60], [3, -4]],
        ["on", "off"],
        [0.75, 0.5],
    ]


def test_an_output_without_from_shows_the_answer_of_its_name_or_the_only_one() -> None:
    spec = spec_of({"name": "a", "view": "value", "type": "float32"}, {"name": "b", "view": "value"})
    assert shown(spec, {"a": np.array([0.1, 1e20], np.float32), "b": np.array([3, 4])}) == [
        [0.1, 1e20],
        [3.0, 4.0],
    ]
    only = spec_of({"name": "a", "view": "value", "type": "bool"})
    assert shown(only, {"whatever": np.array([True, False])}) == [[True, False]]


def test_columns_of_an_answer_are_outputs_of_their_own() -> None:
    spec = spec_of(
        {"view": "value", "column": 1},
        {"view": "value", "column": 0, "type": "int64"},
        {"view": "label", "column": 1, "from": "classes", "classes": ["a", "b"]},
    )
    listed = [TWO, with_labels(np.array([1, 0]), None)]
    assert shown(spec, {"": np.array([[1.0, 2.5], [3.0, 4.5]]), "classes": listed}) == [
        [2.5, 4.5],
        [1, 3],
        ["b", "a"],
    ]


@pytest.mark.parametrize("answer", [np.array(["on", "off"]), np.array([1, 0]), np.array([True, False])])
def test_names_and_indices_of_classes_are_labels(answer: Any) -> None:
    spec = spec_of(
        {"view": "label", "from": "state"}, {"view": "class_index", "from": "state"}, classes=["off", "on"]
    )
    assert shown(spec, {"state": answer}) == [["on", "off"], [1, 0]]


def test_a_column_vector_is_a_value_per_row() -> None:
    assert shown(spec_of({"view": "value", "type": "string"}), {"": np.array([["a"], ["b"]])}) == [["a", "b"]]


def test_missing_values_of_a_nullable_output_are_null() -> None:
    spec = spec_of(
        {"view": "value", "from": "x", "nullable": True},
        {"view": "value", "from": "n", "nullable": True, "type": "int64"},
        {"view": "tensor", "from": "t", "nullable": True, "type": "float32", "shape": [2]},
    )
    answers = {
        "x": np.array([np.nan, 1.0]),
        "n": np.array([None, 2**55 + 1], dtype=object),
        "t": np.array([[np.nan, 0.1], [0.2, 3]], np.float32),
    }
    assert shown(spec, answers) == [[None, 1.0], [None, 2**55 + 1], [[None, 0.1], [0.2, 3.0]]]


@pytest.mark.parametrize(
    ("output", "answers", "why"),
    [
        (
            {"from": "b"},
            {"a": TWO, "c": TWO},
            "the model does not answer; there is: 'a', 'c'",
        ),
        ({"from": "b"}, {"": TWO}, "shows 'b', which the model does not answer; there is: a single answer"),
        ({"method": "transform"}, {"predict": TWO}, "shows 'transform', which the model does not answer"),
        ({}, {"a": TWO, "c": TWO}, "needs `from`: the model answers 'a', 'c'"),
        ({}, {"": TWO}, "answered shape (2, 2), expected (2,)"),
        ({}, {"": np.zeros(3)}, "answered shape (3,), expected (2,)"),
        ({}, {"": [TWO, TWO]}, "needs `column`: the model's answer has 2 columns"),
        ({"column": 2}, {"": TWO}, "shows column 2, but the answer has 2 columns"),
        ({"column": 0}, {"": np.zeros(2)}, "selects a column, but the answer has shape (2,)"),
        ({"view": "probabilities"}, {"": np.array([0.1, 0.2])}, "class probabilities have a column for"),
        (
            {"view": "probabilities"},
            {"": np.array([1, 0])},
            "needs class probabilities",
        ),
        ({"view": "confidence"}, {"": 2 * TWO}, "they must sum to 1"),
        ({"view": "label", "classes": ["a", "b"]}, {"": np.array(["a", "c"])}, "predict answered 'c'"),
        ({"view": "label", "classes": ["a", "b"]}, {"": np.array([0, 2])}, "predicted class 2; there are 2"),
        ({"view": "label", "classes": ["a"]}, {"": TWO}, "answered shape (2, 2), expected (2, 1)"),
    ],
)
def test_an_answer_that_does_not_fit_names_the_output_and_why(
    output: dict[str, Any], answers: Any, why: str
) -> None:
    spec = spec_of({"name": "y", "view": "value"} | output)
    with pytest.raises(UnfitValuesError) as caught:
        shown_outputs(spec, answers, 2)
    assert str(caught.value).startswith("output 'y' ")
    assert why in str(caught.value)
