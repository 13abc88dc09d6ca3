"""Outputs in binary form: their element types, and how the parts of a request are joined."""

from __future__ import annotations

import numpy as np
import pytest

from shared.messages import AnswerColumn
from shared.output_columns import joined_column, output_dtypes
from tests.support.specimens import classifier, declaration

F8, F4, I8 = np.dtype("<f8"), np.dtype("<f4"), np.dtype("<i8")


def test_labels_have_no_binary_form_and_other_views_of_classes_do() -> None:
    spec = classifier()
    found = dict(zip([output.name for output in spec.outputs], output_dtypes(spec), strict=True))
    assert found == {"label": None, "class_index": I8, "confidence": F8, "probabilities": F8}


@pytest.mark.parametrize(
    ("kind", "nullable", "dtype"),
    [
        ("float64", False, F8),
        ("float64", True, F8),
        ("float32", True, F4),
        ("int64", False, I8),
        ("int64", True, None),
        ("bool", False, np.dtype("|u1")),
        ("bool", True, None),
        ("string", False, None),
    ],
)
def test_a_value_has_a_binary_form_if_every_value_of_its_type_fits(
    kind: str, nullable: bool, dtype: np.dtype[np.generic] | None
) -> None:
    output = {"name": "y", "view": "value", "type": kind, "nullable": nullable}
    assert output_dtypes(declaration(outputs=[output])) == [dtype]


def test_parts_in_binary_are_joined_to_binary() -> None:
    parts = [np.array([1.0, 2.0], "<f8").tobytes(), np.array([3.0], "<f8").tobytes()]
    assert joined_column(parts, F8) == np.array([1.0, 2.0, 3.0], "<f8").tobytes()


def test_plain_parts_are_joined_to_plain_values() -> None:
    assert joined_column([[1, 2], [3]], I8) == [1, 2, 3]
    assert joined_column([["a"], ["b"]], None) == ["a", "b"]


def test_parts_of_workers_of_two_versions_are_joined_to_binary() -> None:
    rows = np.array([[0.25, 0.75], [0.5, 0.5]], "<f8")
    parts: list[AnswerColumn] = [rows[:1].tobytes(), [[0.5, 0.5]]]
    assert joined_column(parts, F8) == rows.tobytes()
    values: list[AnswerColumn] = [[1.5, None], np.array([2.0], "<f4").tobytes()]
    joined = joined_column(values, F4)
    assert isinstance(joined, bytes)
    np.testing.assert_array_equal(np.frombuffer(joined, F4), [1.5, np.nan, 2.0])
