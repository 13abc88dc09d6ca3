"""A request's tensors become the same columns as the rows of `/predict/batch`."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.inference_protocol.datatypes import NUMBERS
from api.inference_protocol.infer_inputs import TensorReader
from api.inference_protocol.wire_tensors import InputTensor, of_binary, of_values, pack_texts
from api.models.catalog import Catalog, Servable
from shared.columns import encode_rows
from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.images import SMALLEST_PNG
from shared.messages import Column
from shared.repository import Repository, open_repository
from shared.specs import ModelSpec
from tests.unit.gateway_fakes import MODELS

CATALOG = Catalog(open_repository(MODELS), "iris")
IRIS, CLASSIFIER, QUALITY = (CATALOG.find(name) for name in ("iris", "classifier", "quality"))
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
MANY = np.random.default_rng(1).uniform(0, 10, (64, 4))
PART = QUALITY.spec.example_row()


def servable_of(**fields: Any) -> Servable:
    """A model with an input of these fields."""
    spec = ModelSpec.model_validate(
        {
            "name": "one",
            "framework": "scikit-learn",
            "default_version": "1.0.0",
            "inputs": [{"name": "x", "example": 1} | fields],
            "outputs": [{"name": "y", "view": "value"}],
        }
    )
    return Catalog(Repository(Path("/nowhere"), {"one": spec}, {}), "one").find()


def expected(servable: Servable, *rows: list[Any] | dict[str, Any]) -> list[Column]:
    """The columns of `/predict/batch`."""
    names = servable.spec.input_names
    return encode_rows(
        servable.spec, [row if isinstance(row, dict) else dict(zip(names, row, strict=True)) for row in rows]
    )


def read(servable: Servable, *tensors: InputTensor) -> tuple[list[Column], int]:
    return TensorReader(servable).read(tensors)


def binary(name: str, array: np.ndarray[Any, Any], datatype: str = "FP64") -> InputTensor:
    return of_binary(name, datatype, array.shape, array.tobytes())


# -- heads and the tensor of all inputs ------------------------------------------------------------------


@pytest.mark.parametrize("rows", [ROWS, MANY], ids=["few", "many"])
@pytest.mark.parametrize("one_tensor", [True, False])
@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("flat", [True, False], ids=["[N]", "[N,1]"])
def test_every_form_has_the_columns_of_predict(
    rows: np.ndarray[Any, Any], one_tensor: bool, is_binary: bool, flat: bool
) -> None:
    def tensor(name: str, array: np.ndarray[Any, Any]) -> InputTensor:
        return binary(name, array) if is_binary else of_values(name, "FP64", array.shape, array.tolist())

    columns = [np.ascontiguousarray(rows[:, place]) for place in range(4)]
    heads = [
        tensor(name, column if flat else column.reshape(-1, 1))
        for name, column in zip(IRIS.spec.input_names, columns, strict=True)
    ]
    found = read(IRIS, tensor("input-0", rows)) if one_tensor else read(IRIS, *reversed(heads))
    assert found == (expected(IRIS, *rows.tolist()), len(rows))


@pytest.mark.parametrize("name", ["features", "predict"])
def test_the_only_tensor_of_a_model_may_have_any_name(name: str) -> None:
    rows = np.random.default_rng(2).uniform(-1, 1, (64, 10)).astype("<f4")
    columns, count = read(CLASSIFIER, binary(name, rows, "FP32"))
    assert (columns, count) == ([rows.tobytes()], 64)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "INT8", "INT32", "UINT64"])
def test_other_numbers_are_converted(datatype: str) -> None:
    values = np.array([[1, 2, 3, 4]] * 20)
    found, _ = read(IRIS, binary("all", values.astype(NUMBERS[datatype]), datatype))
    assert found == expected(IRIS, *values.tolist())


# -- mixed types ------------------------------------------------------------------------------------------


def part_tensors(is_binary: bool) -> list[InputTensor]:
    rows = [PART, PART | {"resin_lot": "C", "mold_temperature_c": 61.0, "operators": 0}]
    kinds = {"float": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES", "datetime": "BYTES"}
    found = []
    for field in QUALITY.spec.inputs:
        values = [row[field.name] for row in rows]
        values = [value.isoformat() if hasattr(value, "isoformat") else value for value in values]
        datatype = kinds[field.type]
        if not is_binary:
            found.append(of_values(field.name, datatype, [2, 1], values))
        elif datatype == "BYTES":
            found.append(of_binary(field.name, datatype, [2, 1], pack_texts(values)))
        else:
            wire = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[datatype]
            found.append(of_binary(field.name, datatype, [2, 1], np.array(values, wire).tobytes()))
    return found


@pytest.mark.parametrize("is_binary", [True, False])
def test_texts_times_booleans_and_numbers_go_together(is_binary: bool) -> None:
    second = PART | {"resin_lot": "C", "mold_temperature_c": 61.0, "operators": 0}
    assert read(QUALITY, *part_tensors(is_binary)) == (expected(QUALITY, PART, second), 2)


def test_missing_values_are_nan_null_or_an_input_that_is_left_out() -> None:
    optional = {"resin_lot", "mold_temperature_c", "torque_nm"}
    present = [tensor for tensor in part_tensors(is_binary=True) if tensor.name not in optional]
    tensors = [
        *present,
        binary("mold_temperature_c", np.array([np.nan, 60.0])),
        of_values("resin_lot", "BYTES", [2], [None, "A"]),
    ]
    second = PART | {"operators": 0}
    rows = [
        row | {"torque_nm": None, "resin_lot": lot, "mold_temperature_c": warm}
        for row, lot, warm in ((PART, None, None), (second, "A", 60.0))
    ]
    assert read(QUALITY, *tensors)[0] == expected(QUALITY, *rows)


@pytest.mark.parametrize("count", [3, 30])
def test_nan_is_null_for_a_nullable_number_of_any_count(count: int) -> None:
    servable = servable_of(type="float", nullable=True, maximum=9)
    values = np.full(count, np.nan)
    assert read(servable, binary("x", values))[0] == expected(servable, *([None] for _ in values))
    values[1] = 3
    assert read(servable, binary("x", values))[0] == expected(
        servable, *([3.0 if place == 1 else None] for place in range(count))
    )


@pytest.mark.parametrize("count", [3, 30])
def test_nullable_whole_numbers_take_nan(count: int) -> None:
    servable = servable_of(type="int64", nullable=True)
    values = np.arange(count, dtype=float)
    values[0] = np.nan
    assert read(servable, binary("x", values))[0] == [[None, *range(1, count)]]


def test_images_are_files_in_binary_and_base64_in_json() -> None:
    options = {"height": 1, "width": 1, "channels": 1}
    servable = servable_of(type="image", image=options, example=b64decode(SMALLEST_PNG))
    file = b64decode(SMALLEST_PNG)
    for tensor in (
        of_binary("x", "BYTES", [2, 1], pack_texts([file, file])),
        of_values("x", "BYTES", [2], [SMALLEST_PNG, SMALLEST_PNG]),
    ):
        assert read(servable, tensor) == ([[file, file]], 2)
    with pytest.raises(InvalidInputError) as found:
        read(servable, of_binary("x", "BYTES", [1], pack_texts(["no image"])))
    assert found.value.problems[0]["row"] == 0


def test_sequences_have_the_length_of_their_tensor() -> None:
    servable = servable_of(type="float32", shape=[-1, 2], example=[[1, 2]])
    rows = np.arange(12, dtype="<f4").reshape(2, 3, 2)
    for tensor in (binary("x", rows, "FP32"), of_values("any", "FP32", rows.shape, rows.tolist())):
        assert read(servable, tensor) == (expected(servable, *([row] for row in rows.tolist())), 2)
    with pytest.raises(InvalidInputError, match=r"takes \[rows, steps, 2\]"):
        read(servable, binary("x", rows.reshape(2, 6), "FP32"))


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 30])
@pytest.mark.parametrize(
    ("fields", "value", "reason"),
    [
        ({"type": "float"}, np.nan, "finite"),
        ({"type": "float"}, np.inf, "finite"),
        ({"type": "float", "nullable": True}, np.inf, "finite"),
        ({"type": "float", "maximum": 5}, 5.5, "less than or equal to 5"),
        ({"type": "float", "nullable": True, "minimum": -5}, -5.5, "greater than or equal to -5"),
        ({"type": "float32"}, 1e39, "less than or equal to"),
        ({"type": "int64"}, 0.5, "valid integer"),
        ({"type": "int64"}, 1e19, "less than or equal to"),
        ({"type": "int64", "allowed": [0, 1]}, 2.0, "0 or 1"),
    ],
)
def test_a_number_out_of_range_is_refused_with_its_row(
    count: int, fields: dict[str, Any], value: float, reason: str
) -> None:
    values = np.zeros(count)
    values[1] = value
    for tensor in (binary("x", values), binary("any", values.reshape(-1, 1))):
        with pytest.raises(InvalidInputError) as found:
            read(servable_of(**fields), tensor)
        (problem,) = found.value.problems
        assert (problem["row"], problem["field"]) == (1, "x")
        assert reason in str(problem["msg"])


def test_problems_of_several_inputs_are_listed_together() -> None:
    rows = ROWS.copy()
    rows[0, 1], rows[1, 3] = 11, -1
    with pytest.raises(InvalidInputError) as found:
        read(IRIS, binary("x", rows))
    assert [(p["row"], p["field"]) for p in found.value.problems] == [(0, "sepal_width"), (1, "petal_width")]


@pytest.mark.parametrize(
    ("servable", "tensor", "reason"),
    [
        (IRIS, of_values("x", "FP64", [1, 3], [1, 2, 3]), r"shape \[rows, 4\]"),
        (IRIS, of_values("x", "BYTES", [1, 4], ["1"] * 4), "has datatype BYTES"),
        (IRIS, of_values("sepal_length", "BYTES", [1, 1], ["1"]), "takes FP64 or another type of numbers"),
        (IRIS, of_values("sepal_length", "FP64", [1, 2], [1, 2]), r"takes \[rows, 1\]"),
        (IRIS, of_values("sepal_length", "FP64", [1, 1], [1]), "'sepal_width' is missing"),
        (QUALITY, of_values("mashine", "BYTES", [1], ["a"]), "no input 'mashine'.*Did you mean 'machine'"),
        (CLASSIFIER, of_values("features", "FP32", [10], [1.0] * 10), r"takes \[rows, 10\]"),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_refused(
    servable: Servable, tensor: InputTensor, reason: str
) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        read(servable, tensor)


def test_tensors_of_different_length_and_doubled_tensors_are_refused() -> None:
    one, two = of_values("sepal_length", "FP64", [1], [1]), of_values("sepal_width", "FP64", [2], [1, 2])
    with pytest.raises(InvalidInputError, match="the first dimension is the same"):
        read(IRIS, one, two)
    with pytest.raises(InvalidInputError, match="occurs twice"):
        read(IRIS, one, one)
    with pytest.raises(InvalidInputError, match="no inputs"):
        read(IRIS)


def test_more_rows_than_a_request_may_have_are_refused() -> None:
    with pytest.raises(PayloadTooLargeError, match="1001 rows"):
        read(IRIS, binary("x", np.ones((1001, 4))))
