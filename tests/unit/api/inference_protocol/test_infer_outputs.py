"""The columns of an answer become tensors; the classification extension."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from api.inference_protocol.infer_outputs import OutputSelection, RequestedOutput, tensor_of
from api.inference_protocol.metadata import config_of, metadata_of
from api.inference_protocol.wire_tensors import as_texts, of_binary
from shared.errors import InvalidInputError
from shared.output_specs import OutputSpec
from tests.unit.gateway_fakes import CLASSIFIER, IRIS, QUALITY

IRIS_ANSWER: list[list[object]] = [["setosa", "virginica"], [1.0, 0.5]]
QUALITY_ANSWER: list[list[object]] = [["ok"], [0.75], [[0.75, 0.25]]]


def test_all_outputs_come_in_the_order_of_the_spec() -> None:
    pairs = OutputSelection(IRIS, [], all_binary=True).tensors(IRIS_ANSWER, 2)
    assert [(t.name, t.datatype, t.shape, t.values(), in_binary) for t, in_binary in pairs] == [
        ("prediction", "BYTES", (2, 1), ["setosa", "virginica"], True),
        ("confidence", "FP64", (2, 1), [1.0, 0.5], True),
    ]


def test_requested_outputs_come_in_the_order_of_the_request() -> None:
    asked = [RequestedOutput("probabilities", True), RequestedOutput("prediction")]
    pairs = OutputSelection(QUALITY, asked, all_binary=False).tensors(QUALITY_ANSWER, 1)
    assert [(tensor.name, tensor.shape, in_binary) for tensor, in_binary in pairs] == [
        ("probabilities", (1, 2), True),
        ("prediction", (1, 1), False),
    ]
    assert np.frombuffer(pairs[0][0].binary(), "<f8").tolist() == [0.75, 0.25]


def test_classification_lists_the_highest_scores_with_their_labels() -> None:
    asked = [RequestedOutput("probabilities", classes=5)]
    ((tensor, _),) = OutputSelection(QUALITY, asked, all_binary=False).tensors(QUALITY_ANSWER, 1)
    assert (tensor.datatype, tensor.shape) == ("BYTES", (1, 2))
    assert tensor.values() == ["0.750000:0:ok", "0.250000:1:defect"]


def test_classification_without_labels_has_the_index_alone() -> None:
    answer: list[list[object]] = [[2], [[0.1, 0.2, 0.7]]]
    asked = [RequestedOutput("probabilities", classes=1)]
    ((tensor, _),) = OutputSelection(CLASSIFIER, asked, all_binary=False).tensors(answer, 1)
    assert tensor.values() == ["0.700000:2"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (RequestedOutput("predictions"), "no output 'predictions'.*Did you mean 'prediction'"),
        (RequestedOutput("prediction", classes=2), "has no scores"),
    ],
)
def test_an_output_that_does_not_exist_or_has_no_scores_is_refused(
    asked: RequestedOutput, reason: str
) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        OutputSelection(IRIS, [asked], all_binary=False)


def test_the_metadata_states_names_datatypes_and_shapes() -> None:
    found = metadata_of(QUALITY, ["1.0.0"])
    assert {each.name: (each.datatype, each.shape) for each in found.outputs} == {
        "prediction": ("BYTES", [-1, 1]),
        "confidence": ("FP64", [-1, 1]),
        "probabilities": ("FP64", [-1, 2]),
    }
    inputs = {each.name: each.datatype for each in found.inputs}
    assert inputs["machine"] == inputs["produced_at"] == "BYTES"
    assert (inputs["operators"], inputs["maintenance_due"], inputs["torque_nm"]) == ("INT64", "BOOL", "FP64")
    (features,) = metadata_of(CLASSIFIER, []).inputs
    assert (features.datatype, features.shape) == ("FP32", [-1, 10])


def test_the_configuration_has_the_shapes_of_rows() -> None:
    found = config_of(QUALITY)
    assert found.max_batch_size == QUALITY.limits.max_rows_per_request
    assert {each.name: each.data_type for each in found.input}["machine"] == "TYPE_STRING"
    assert [each.dims for each in found.output] == [[1], [1], [2]]
    assert {each.name for each in found.input if each.optional} == {
        "resin_lot",
        "mold_temperature_c",
        "torque_nm",
    }


@pytest.mark.parametrize(
    ("fields", "column", "datatype", "shape", "values"),
    [
        ({"type": "int64"}, [1, 2], "INT64", (2, 1), [1, 2]),
        ({"type": "bool"}, [True, False], "BOOL", (2, 1), [True, False]),
        ({"type": "string"}, ["a", "b"], "BYTES", (2, 1), ["a", "b"]),
        (
            {"type": "float32", "view": "tensor", "shape": [2]},
            [[1.5, 2], [3, 4]],
            "FP32",
            (2, 2),
            [1.5, 2, 3, 4],
        ),
        ({"type": "string", "view": "tensor", "shape": [2]}, [["a", "b"]], "BYTES", (1, 2), ["a", "b"]),
        ({"type": "int64", "nullable": True}, [1, None], "FP64", (2, 1), [1, None]),
        ({"nullable": True}, [0.5, None], "FP64", (2, 1), [0.5, None]),
    ],
)
def test_each_type_of_output_has_its_datatype_in_both_forms(
    fields: dict[str, Any], column: list[Any], datatype: str, shape: tuple[int, ...], values: list[Any]
) -> None:
    output = OutputSpec.model_validate({"name": "온도", "view": "value"} | fields)
    tensor = tensor_of(output, column)
    assert (tensor.name, tensor.datatype, tensor.shape, tensor.values()) == ("온도", datatype, shape, values)
    back = of_binary("x", datatype, shape, tensor.binary()).data
    if datatype == "BYTES":
        assert as_texts("x", back) == values
    else:
        expected = np.array(values, dtype=float)
        assert np.array_equal(np.asarray(back, dtype=float), expected, equal_nan=True)
