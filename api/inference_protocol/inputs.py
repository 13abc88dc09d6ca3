"""A request's tensors → the columns of a model version.

A request has a tensor per input of the model, or, if all inputs are numbers, a single tensor `[rows, values]`
with the inputs in their declared order, under any name. Numbers in a binary tensor become a column without
becoming Python values if all of them are in range; every other value is validated like those of `/predict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from api.inference_protocol.datatypes import (
    BOOL,
    NUMBERS,
    accepted_datatypes,
    datatype_of_input,
    row_shape_of_input,
)
from api.inference_protocol.number_columns import number_column, python_values
from api.inference_protocol.tensors import Array, InputTensor, as_texts, nested
from api.models.catalog import Servable
from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.messages import Column
from shared.names import composed
from shared.specs import InputSpec, InputType
from shared.texts import did_you_mean, listed, named

FEW_VALUES = 16
"""Up to so many values, checking Python values takes less time than numpy's calls."""


class TensorReader:
    """Reads the tensors of requests to a model version."""

    def __init__(self, servable: Servable) -> None:
        spec = servable.spec
        self._fields = spec.inputs
        self._names = spec.input_names
        self._most_rows = spec.limits.max_rows_per_request
        self._validate = servable.validator.columns
        self._encode = servable.encode.column
        self._numbers = [number_column(field) for field in spec.inputs]
        ends = list(accumulate((field.size for field in spec.inputs), initial=0))
        self._spans = list(pairwise(ends))
        self._matrix_width = ends[-1] if all(_is_number(field) for field in spec.inputs) else None

    def read(self, tensors: Sequence[InputTensor]) -> tuple[list[Column], int]:
        """The model's columns, and their rows.

        Raises InvalidInputError, or PayloadTooLargeError if a request may not have that many rows.
        """
        if not tensors:
            raise InvalidInputError("The request has no inputs.")
        rows = self._rows(tensors)
        if (
            len(tensors) == 1
            and composed(tensors[0].name) not in self._names
            and self._matrix_width is not None
        ):
            return self._columns(self._split(tensors[0], self._matrix_width)), rows
        return self._columns(self._heads(tensors)), rows

    def _rows(self, tensors: Sequence[InputTensor]) -> int:
        rows = tensors[0].rows
        for tensor in tensors:
            if tensor.rows != rows:
                raise InvalidInputError(
                    f"Input {named(tensor.name)} has {tensor.rows} rows, but {named(tensors[0].name)} has "
                    f"{rows}: the first dimension is the same in all shapes."
                )
        if rows > self._most_rows:
            raise PayloadTooLargeError(
                f"The request has {rows} rows; this model takes at most {self._most_rows} per request."
            )
        return rows

    def _split(self, tensor: InputTensor, width: int) -> dict[int, Array | list[Any]]:
        """The inputs of a tensor that has all of them side by side."""
        if tensor.datatype not in NUMBERS or tensor.shape[1:] not in ((width,), self._only_shape()):
            raise InvalidInputError(
                f"Input {named(tensor.name)} has datatype {tensor.datatype} and shape {list(tensor.shape)}. "
                f"A tensor of all inputs of this model has numbers and shape [rows, {width}]. Or send a "
                f"tensor for each input: {listed(self._names)}."
            )
        if len(self._fields) == 1:
            return {0: tensor.data}
        if isinstance(tensor.data, np.ndarray):
            matrix = tensor.data.reshape(-1, width)
            return {index: matrix[:, start:stop].ravel() for index, (start, stop) in enumerate(self._spans)}
        rows = nested(tensor.data, (width,))
        return {
            index: [value for row in rows for value in row[start:stop]]
            for index, (start, stop) in enumerate(self._spans)
        }

    def _only_shape(self) -> tuple[int, ...] | None:
        return self._fields[0].shape if len(self._fields) == 1 else None

    def _heads(self, tensors: Sequence[InputTensor]) -> dict[int, Array | list[Any]]:
        """The inputs of a request with a tensor per input; missing nullable inputs are null."""
        found: dict[int, Array | list[Any]] = {}
        for tensor in tensors:
            index = self._index(tensor)
            if index in found:
                raise InvalidInputError(f"Input {named(tensor.name)} occurs twice.")
            _check_head(self._fields[index], tensor)
            found[index] = tensor.data
        for index, field in enumerate(self._fields):
            if index not in found:
                if not field.nullable:
                    raise InvalidInputError(f"Input {named(field.name)} is missing.")
                found[index] = [None] * tensors[0].rows
        return found

    def _index(self, tensor: InputTensor) -> int:
        try:
            return self._names.index(composed(tensor.name))
        except ValueError:
            near = did_you_mean(tensor.name, self._names)
            raise InvalidInputError(
                f"This model has no input {named(tensor.name)}. Inputs: {listed(self._names)}.{near}"
            ) from None

    def _columns(self, data: Mapping[int, Array | list[Any]]) -> list[Column]:
        """Encode the inputs; those that are not encoded as arrays are validated together."""
        columns: dict[int, Column] = {}
        values: dict[int, list[Any]] = {}
        for index, field in enumerate(self._fields):
            encoded = self._encoded(index, data[index])
            if encoded is not None:
                columns[index] = encoded
            else:
                values[index] = _rows_of(field, data[index])
        for index, valid in self._validate(values).items():
            columns[index] = self._encode(index, valid)
        return [columns[index] for index in range(len(columns))]

    def _encoded(self, index: int, data: Array | list[Any]) -> bytes | None:
        column = self._numbers[index]
        if column is None or not isinstance(data, np.ndarray) or data.size <= FEW_VALUES:
            return None
        return column.encode(data)


def _rows_of(field: InputSpec, data: Array | list[Any]) -> list[Any]:
    if isinstance(data, np.ndarray):
        data = data != 0 if datatype_of_input(field) == BOOL else data
    elif field.type is not InputType.IMAGE:
        data = as_texts(field.name, data)
    values = python_values(field, data)
    return nested(values, field.shape) if field.shape else values


def _is_number(field: InputSpec) -> bool:
    return datatype_of_input(field) in NUMBERS


def _check_head(field: InputSpec, tensor: InputTensor) -> None:
    """Raises InvalidInputError if the tensor's datatype or shape is not the input's."""
    if tensor.datatype not in accepted_datatypes(field):
        raise InvalidInputError(
            f"Input {named(field.name)} has datatype {tensor.datatype}, but takes {_datatypes(field)}."
        )
    row_shape = tensor.shape[1:]
    if row_shape != row_shape_of_input(field) and (field.shape or row_shape):
        wanted = ", ".join(["rows", *map(str, row_shape_of_input(field))])
        raise InvalidInputError(
            f"Input {named(field.name)} has shape {list(tensor.shape)}, but takes [{wanted}]."
        )


def _datatypes(field: InputSpec) -> str:
    own = datatype_of_input(field)
    return f"{own} or another type of numbers" if own in NUMBERS else own
