"""Tensors: binary and JSON forms, shapes, texts."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.inference_protocol.datatypes import FIXED_WIDTH
from api.inference_protocol.wire_tensors import OutputTensor, as_texts, of_binary, of_values, pack_texts
from shared.columns import nested
from shared.errors import InvalidInputError


@pytest.mark.parametrize("datatype", FIXED_WIDTH)
def test_a_binary_tensor_has_the_values_of_its_bytes(datatype: str) -> None:
    values = np.array([0, 1, 1, 0, 1, 0], dtype=FIXED_WIDTH[datatype])
    tensor = of_binary("x", datatype, [3, 2], values.tobytes())
    assert isinstance(tensor.data, np.ndarray)
    assert tensor.data.tolist() == values.tolist()
    assert tensor.shape == (3, 2)


@given(st.lists(st.text(), min_size=1))
def test_texts_survive_the_binary_form(texts: list[str]) -> None:
    elements = of_binary("x", "BYTES", [len(texts)], pack_texts(texts)).data
    assert as_texts("x", elements) == texts


@pytest.mark.parametrize(
    ("data", "count"),
    [(b"", 1), (b"\x01\0\0", 1), (b"\x05\0\0\0abc", 1), (b"\x01\0\0\0ab", 1), (b"\x01\0\0\0a", 2)],
)
def test_a_binary_text_tensor_of_the_wrong_size_is_refused(data: bytes, count: int) -> None:
    with pytest.raises(InvalidInputError, match=f"not {count} elements of BYTES"):
        of_binary("x", "BYTES", [count], data)


def test_a_text_that_is_not_utf_8_is_refused_by_its_place() -> None:
    data = struct.pack("<I", 1) + b"a" + struct.pack("<I", 1) + b"\xff"
    elements = of_binary("x", "BYTES", [2], data).data
    assert elements == [b"a", b"\xff"]
    with pytest.raises(InvalidInputError, match="Row 1, input 'x': the text is not UTF-8"):
        as_texts("x", elements)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "reason"),
    [
        ("FP64", [1, 4], b"\0" * 31, "takes 32 bytes, but the input has 31"),
        ("BF16", [1], b"\0\0", "'BF16' is not supported"),
        ("FP64", [], b"", "shape .* is invalid"),
        ("FP64", [0, 4], b"", "shape .* is invalid"),
    ],
)
def test_a_binary_tensor_that_does_not_fit_is_refused(
    datatype: str, shape: list[int], data: bytes, reason: str
) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        of_binary("x", datatype, shape, data)


@pytest.mark.parametrize(
    "data", [[1, 2, 3, 4, 5, 6], [[1, 2], [3, 4], [5, 6]], [[[1], [2]], [[3], [4]], [[5], [6]]]]
)
def test_values_may_be_flat_or_nested(data: list[Any]) -> None:
    assert of_values("x", "INT64", [3, 2], data).data == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([1, 2, 3], "takes 4 values, but it has 3"),
        ([[1, 2], [3]], "differ in length"),
        ([[1, 2], 3], "differ"),
    ],
)
def test_values_that_do_not_fit_the_shape_are_refused(data: list[Any], reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        of_values("x", "FP64", [2, 2], data)


def test_booleans_may_be_texts() -> None:
    assert of_values("x", "BOOL", [3], ["true", "False", True]).data == [True, False, True]


def test_flat_values_become_rows_of_any_shape() -> None:
    assert nested([1, 2, 3, 4], (2,)) == [[1, 2], [3, 4]]
    assert nested(list(range(8)), (2, 2)) == np.arange(8).reshape(2, 2, 2).tolist()


def test_an_output_has_both_forms() -> None:
    numbers = OutputTensor("x", "INT64", (2, 1), [1, 2])
    assert numbers.values() == [1, 2]
    assert np.frombuffer(numbers.binary(), "<i8").tolist() == [1, 2]
    texts = OutputTensor("x", "BYTES", (2, 1), ["a", "온도"])
    assert of_binary("x", "BYTES", [2], texts.binary()).data == [b"a", "온도".encode()]
