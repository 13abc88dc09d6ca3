"""Repeated JSON is read once, and its requests are answered as if each were the first."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from api.inference_protocol.infer_inputs import TensorReaders
from api.inference_protocol.infer_plans import MOST_KEPT_BYTES, InferencePlans
from api.models.catalog import Catalog
from shared.errors import InvalidInputError
from shared.repository import open_repository
from tests.unit.gateway_fakes import MODELS

CATALOG = Catalog(open_repository(MODELS), "iris")
IRIS, CLASSIFIER, QUALITY = (CATALOG.find(name) for name in ("iris", "classifier", "quality"))
ROWS = np.random.default_rng(4).uniform(0, 5, (32, 4))


@pytest.fixture
def plans() -> InferencePlans:
    return InferencePlans(TensorReaders())


def tensor(name: str, array: np.ndarray[Any, Any], datatype: str = "FP64") -> dict[str, Any]:
    sizes = {"binary_data_size": array.nbytes}
    return {"name": name, "shape": array.shape, "datatype": datatype, "parameters": sizes}


def text_of(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": tensors, **more}).encode()


def test_the_same_json_has_the_same_plan(plans: InferencePlans) -> None:
    text = text_of(tensor("all", ROWS))
    assert plans.of(IRIS, text, kept=True) is plans.of(IRIS, text, kept=True)
    assert plans.of(IRIS, text, kept=True) is not plans.of(CLASSIFIER, text, kept=True)
    assert plans.of(IRIS, text, kept=False) is not plans.of(IRIS, text, kept=False)


def test_long_json_is_not_kept(plans: InferencePlans) -> None:
    text = text_of(tensor("all", ROWS)) + b" " * MOST_KEPT_BYTES
    assert plans.of(IRIS, text, kept=True) is not plans.of(IRIS, text, kept=True)


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT32"])
@pytest.mark.parametrize("heads", [True, False], ids=["a tensor per input", "a tensor of all inputs"])
def test_each_request_of_a_plan_has_the_columns_of_its_own_numbers(
    plans: InferencePlans, datatype: str, heads: bool
) -> None:
    dtype = {"FP64": "<f8", "FP32": "<f4", "INT32": "<i4"}[datatype]
    names = list(reversed(IRIS.spec.input_names)) if heads else ["all"]
    for factor in (1.0, 0.5, 2.0):
        rows = (ROWS * factor).astype(dtype)
        parts = list(reversed(list(np.ascontiguousarray(rows.T)))) if heads else [rows]
        text = text_of(*(tensor(name, part, datatype) for name, part in zip(names, parts, strict=True)))
        found = plans.of(IRIS, text, kept=True).columns(memoryview(b"".join(map(bytes, parts))))
        assert found == ([column.astype("<f8").tobytes() for column in rows.T], len(rows))


def test_a_number_out_of_range_is_refused_by_its_row_also_in_a_later_request(plans: InferencePlans) -> None:
    rows = np.zeros((64, 10), "<f4")
    plan = plans.of(CLASSIFIER, text_of(tensor("features", rows, "FP32")), kept=True)
    assert plan.columns(memoryview(rows.tobytes())) == ([rows.tobytes()], 64)
    rows[7, 3] = 1001
    with pytest.raises(InvalidInputError) as caught:
        plan.columns(memoryview(rows.tobytes()))
    (problem,) = caught.value.problems
    assert (problem["row"], problem["field"]) == (7, "features")
    rows[7, 3] = np.nan
    with pytest.raises(InvalidInputError):
        plan.columns(memoryview(rows.tobytes()))


@pytest.mark.parametrize("change", [-4, 4])
def test_data_of_another_size_than_the_json_states_is_refused_also_in_a_later_request(
    plans: InferencePlans, change: int
) -> None:
    rows = np.zeros((64, 10), "<f4")
    plan = plans.of(CLASSIFIER, text_of(tensor("features", rows, "FP32")), kept=True)
    plan.columns(memoryview(rows.tobytes()))
    with pytest.raises(InvalidInputError, match="bytes"):
        plan.columns(memoryview(bytes(rows.nbytes + change)))


def test_outputs_in_binary_are_asked_of_workers_only_if_no_plain_value_is_needed(
    plans: InferencePlans,
) -> None:
    def dtypes(**more: Any) -> list[Any]:
        return list(plans.of(QUALITY, text_of(tensor("all", ROWS), **more), kept=True).output_dtypes)

    in_binary = {"binary_data": True}
    assert dtypes() == []
    assert dtypes(parameters={"binary_data_output": True}) == [None, "<f8", "<f8"]
    assert dtypes(outputs=[{"name": "probabilities", "parameters": in_binary}]) == [None, "<f8", "<f8"]
    assert dtypes(outputs=[{"name": "probabilities", "parameters": in_binary}, {"name": "confidence"}]) == []
    asked = {"name": "probabilities", "parameters": in_binary | {"classification": 1}}
    assert dtypes(outputs=[asked]) == []
