"""The outputs that a model declares, the same on both lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.arrow_tables import ERROR, result_schema
from shared.columns import Array
from shared.specs import ModelSpec
from tests.support.specimens import classifier, declaration
from worker.predictors.outputs import as_batch, as_columns, failed_batch

ANSWER = np.array([[0.2, 0.5, 0.3], [0.123456, 0.2, 0.676544]])


def as_rows(spec: ModelSpec, answer: Array) -> dict[str, list[Any]]:
    return dict(zip([o.name for o in spec.outputs], as_columns(spec, answer), strict=True))


def test_each_view_shows_its_side_of_the_probabilities() -> None:
    assert as_rows(classifier(), ANSWER) == {
        "label": ["middle", "high"],
        "class_index": [1, 2],
        "confidence": [0.5, 0.676544],
        "probabilities": [[0.2, 0.5, 0.3], [0.123456, 0.2, 0.676544]],
    }


def test_the_first_of_equally_probable_classes_is_the_answer() -> None:
    assert as_rows(classifier(), np.array([[0.4, 0.4, 0.2]]))["label"] == ["low"]


def test_an_output_is_rounded_as_its_spec_says() -> None:
    spec = classifier(outputs=[{"name": "p", "view": "probabilities", "round": 4}])
    assert as_rows(spec, ANSWER) == {"p": [[0.2, 0.5, 0.3], [0.1235, 0.2, 0.6765]]}


def test_values_and_tensors_are_shown_as_they_are() -> None:
    assert as_rows(declaration(), np.array([1.5, -2.0])) == {"y": [1.5, -2.0]}
    tensor = declaration(outputs=[{"name": "t", "view": "tensor", "shape": [2, 2]}])
    assert as_rows(tensor, np.arange(8.0).reshape(2, 2, 2)) == {"t": [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]}


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_a_job_is_answered_what_an_online_request_is_answered(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tensor = declaration(outputs=[{"name": "t", "view": "tensor", "shape": [2, 3], "round": 3}])
    for spec, answer in (
        (classifier(), rng.dirichlet(np.ones(3), rows)),
        (declaration(), rng.normal(size=rows)),
        (tensor, rng.normal(size=(rows, 2, 3))),
    ):
        batch = as_batch(spec, answer)
        assert batch.schema == result_schema(spec)
        assert batch.to_pydict() == as_rows(spec, answer) | {ERROR: [None] * rows}


def test_failed_rows_have_a_reason_and_no_outputs() -> None:
    batch = failed_batch(classifier(), ["too hot", "too cold"])
    assert batch.schema == result_schema(classifier())
    assert batch.to_pylist()[1] == {
        "label": None,
        "class_index": None,
        "confidence": None,
        "probabilities": None,
        ERROR: "too cold",
    }


@given(st.integers(1, 12), st.sampled_from([1, 63, 64, 200]), st.integers(0, 2**32 - 1))
def test_the_confidence_is_the_highest_probability_however_many_rows_and_classes(
    classes: int, rows: int, seed: int
) -> None:
    names = [f"c{number}" for number in range(classes)]
    spec = classifier(classes=names, outputs=[{"name": "confidence", "view": "confidence"}])
    answer = np.random.default_rng(seed).random((rows, classes))
    assert as_rows(spec, answer) == {"confidence": answer.max(axis=1).tolist()}
