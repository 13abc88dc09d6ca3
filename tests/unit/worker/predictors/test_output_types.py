"""Values of an answer in the type that an output declares: exact, or refused with the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from shared.output_specs import OutputSpec
from worker.predictors.output_types import UnfitValuesError, typed


def output(kind: str, *, nullable: bool = False) -> OutputSpec:
    return OutputSpec.model_validate({"name": "y", "view": "value", "type": kind, "nullable": nullable})


@pytest.mark.parametrize(
    ("kind", "values", "dtype", "expected"),
    [
        ("float64", np.array([1, 2]), np.float64, [1.0, 2.0]),
        ("float64", np.array([1, 2.5], dtype=object), np.float64, [1.0, 2.5]),
        ("float32", np.array([0.1]), np.float32, [float(np.float32(0.1))]),
        ("int64", np.array([-1, 1], dtype=np.int8), np.int64, [-1, 1]),
        ("int64", np.array([3.0, -4.0]), np.int64, [3, -4]),
        ("int64", np.array([2**63 - 1, -(2**63)]), np.int64, [2**63 - 1, -(2**63)]),
        ("int64", np.array([2**60 + 1, 0], dtype=object), np.int64, [2**60 + 1, 0]),
        ("bool", np.array([True, False]), np.bool_, [True, False]),
        ("bool", np.array([0, 1]), np.bool_, [False, True]),
        ("bool", np.array([True, False], dtype=object), np.bool_, [True, False]),
        ("string", np.array(["양호", "ng"]), object, ["양호", "ng"]),
        ("string", np.array([np.str_("a"), "b"], dtype=object), object, ["a", "b"]),
        ("string", np.array(["a", "b"], dtype=np.dtypes.StringDType()), object, ["a", "b"]),
    ],
)
def test_values_become_the_declared_type(kind: str, values: Any, dtype: Any, expected: list[Any]) -> None:
    found = typed(output(kind), values)
    assert found.dtype == dtype
    assert found.tolist() == expected
    assert [type(value) for value in found.tolist()] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("float64", np.array([1.0, np.nan]), "answered NaN or infinity in row 1"),
        ("float64", np.array([np.inf]), "answered NaN or infinity in row 0"),
        ("float64", np.array(["1"]), "is <U1, not float64"),
        ("float64", np.array([1.0, "1"], dtype=object), "answered '1' in row 1, which is not float64"),
        ("float32", np.array([1e39]), "answered NaN or infinity in row 0"),
        ("int64", np.array([1.0, 1.5]), "answered 1.5 in row 1, which is not int64"),
        ("int64", np.array([2.0**63]), "which is not int64"),
        ("int64", np.array([2**63], dtype=np.uint64), "which is not int64"),
        ("int64", np.array([1.0, np.nan]), "has no value in row 1; a value may be missing if nullable"),
        ("int64", np.array(["1"]), "is <U1, not int64"),
        ("bool", np.array([0, 2]), "answered 2 in row 1, which is not bool"),
        ("bool", np.array(["yes"]), "is <U3, not bool"),
        ("string", np.array([1, 2]), "is int64, not string"),
        ("string", np.array(["a", 1], dtype=object), "answered 1 in row 1, which is not string"),
        ("string", np.array(["a", None], dtype=object), "has no value in row 1"),
        ("string", np.array(["\ud800"], dtype=object), "in row 0, which is not string"),
    ],
)
def test_values_of_another_type_are_refused_with_the_row(kind: str, values: Any, why: str) -> None:
    with pytest.raises(UnfitValuesError) as caught:
        typed(output(kind), values)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("int64", np.array([2**60 + 1, None], dtype=object), [2**60 + 1, None]),
        ("int64", np.array([1.0, np.nan]), [1, None]),
        ("int64", pd.array([5, None], dtype="Int64").to_numpy(dtype=object), [5, None]),
        ("bool", np.array([True, None, pd.NA], dtype=object), [True, None, None]),
        ("string", np.array(["a", None, np.nan, pd.NaT], dtype=object), ["a", None, None, None]),
    ],
)
def test_a_nullable_output_may_lack_values(kind: str, values: Any, expected: list[Any]) -> None:
    found = typed(output(kind, nullable=True), values)
    assert found.tolist() == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_a_nullable_float_is_nan_where_it_is_missing_and_never_infinite() -> None:
    found = typed(output("float64", nullable=True), np.array([1.5, None, pd.NA], dtype=object))
    assert np.array_equal(found, [1.5, np.nan, np.nan], equal_nan=True)
    with pytest.raises(UnfitValuesError, match="infinity in row 1"):
        typed(output("float64", nullable=True), np.array([np.nan, np.inf]))


def test_a_tensor_names_the_row_of_an_unfit_value() -> None:
    tensor = OutputSpec.model_validate({"name": "t", "view": "tensor", "shape": [2], "type": "int64"})
    assert typed(tensor, np.array([[1, 2], [3, 4]])).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(UnfitValuesError, match=r"answered 4\.5 in row 1"):
        typed(tensor, np.array([[1, 2], [3, 4.5]]))
