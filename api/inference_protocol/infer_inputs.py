"""A request's tensors → the columns of a model version.

A request has a tensor per input of the model, or, if all inputs are numbers, a single tensor `[rows, values]`
with the inputs in their declared order, under any name. Numbers in a binary tensor become a column without
becoming Python values if all of them are in range; every other value is validated like those of `/predict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from api.inference_protocol.datatypes import (
    ANY_SIZE,
    BOOL,
    NUMBERS,
    accepted_datatypes,
    datatype_of_input,
    row_shape_of_input,
)
from api.inference_protocol.number_columns import NumberColumn, NumberLayout, number_column
from api.inference_protocol.wire_tensors import Array, InputTensor, as_texts
from api.models.catalog import Servable
from shared.columns import nested
from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.input_specs import InputSpec, InputType
from shared.messages import Column
from shared.safe_texts import did_you_mean, listed, named

FEW_VALUES = 16
"""Up to so many values, checking Python values takes less time than numpy's calls."""


class TensorReaders:
    """The readers of model versions, each made at its first request."""

    def __init__(self) -> None:
        self._readers: WeakKeyDictionary[Servable, TensorReader] = WeakKeyDictionary()

    def of(self, servable: Servable) -> TensorReader:
        found = self._readers.get(servable)
        if found is None:
            found = self._readers[servable] = TensorReader(servable)
        return found


class TensorReader:
    """Reads the tensors of requests to a model version."""

    def __init__(self, servable: Servable) -> None:
        spec = servable.spec
        self._fields = spec.inputs
        self._names = spec.input_names
        self._places = {key: place for place, field in enumerate(spec.inputs) for key in field.keys}
        self._only = len(spec.inputs) == 1
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
        if self._has_all_inputs(tensors) and self._matrix_width is not None:
            return self._columns(self._split(tensors[0], self._matrix_width)), rows
        return self._columns(self._heads(tensors)), rows

    def layout(self, tensors: Sequence[InputTensor]) -> NumberLayout | None:
        """The layout of binary tensors that `read` accepted; None unless each is an input of many numbers."""
        if len(tensors) != len(self._fields) or self._has_all_inputs(tensors):
            return None
        parts: dict[int, tuple[NumberColumn, np.dtype[Any], int, int]] = {}
        offset = 0
        for tensor in tensors:
            place, data = self._place(tensor), tensor.data
            column = self._numbers[place]
            if column is None or not isinstance(data, np.ndarray) or data.size <= FEW_VALUES:
                return None
            parts[place] = column, data.dtype, data.size, offset
            offset += data.nbytes
        return NumberLayout([parts[place] for place in range(len(parts))], tensors[0].rows, offset)

    def _has_all_inputs(self, tensors: Sequence[InputTensor]) -> bool:
        """Whether the only tensor is that of all inputs: it has no input's name."""
        return len(tensors) == 1 and not self._only and tensors[0].name not in self._places

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

    def _split(self, tensor: InputTensor, width: int) -> dict[int, InputTensor]:
        """The inputs of a tensor that has all of them side by side."""
        if tensor.datatype not in NUMBERS or tensor.shape[1:] != (width,):
            raise InvalidInputError(
                f"Input {named(tensor.name)} has datatype {tensor.datatype} and shape {list(tensor.shape)}. "
                f"A tensor of all inputs of this model has numbers and shape [rows, {width}]. Or send a "
                f"tensor for each input: {listed(self._names)}."
            )
        return {
            place: InputTensor(
                field.name, tensor.datatype, (tensor.rows, *field.shape), _between(tensor, *span)
            )
            for place, (field, span) in enumerate(zip(self._fields, self._spans, strict=True))
        }

    def _heads(self, tensors: Sequence[InputTensor]) -> dict[int, InputTensor]:
        """The inputs of a request with a tensor per input; missing nullable inputs are null."""
        found: dict[int, InputTensor] = {}
        for tensor in tensors:
            place = self._place(tensor)
            if place in found:
                raise InvalidInputError(f"Input {named(tensor.name)} occurs twice.")
            _check_head(self._fields[place], tensor)
            found[place] = tensor
        for place, field in enumerate(self._fields):
            if place not in found:
                found[place] = _missing(field, tensors[0].rows)
        return found

    def _place(self, tensor: InputTensor) -> int:
        found = 0 if self._only else self._places.get(tensor.name)
        if found is None:
            near = did_you_mean(tensor.name, self._names)
            raise InvalidInputError(
                f"This model has no input {named(tensor.name)}. Inputs: {listed(self._names)}.{near}"
            )
        return found

    def _columns(self, tensors: Mapping[int, InputTensor]) -> list[Column]:
        """Encode the inputs; those that are not encoded as arrays are validated together."""
        columns: dict[int, Column] = {}
        values: dict[int, list[Any]] = {}
        for place, field in enumerate(self._fields):
            encoded = self._encoded(place, tensors[place].data)
            if encoded is not None:
                columns[place] = encoded
            else:
                values[place] = _rows_of(field, tensors[place])
        if values:
            for place, valid in self._validate(values).items():
                columns[place] = self._encode(place, valid)
        return [columns[place] for place in range(len(columns))]

    def _encoded(self, place: int, data: Array | list[Any]) -> bytes | None:
        column = self._numbers[place]
        if column is None or not isinstance(data, np.ndarray) or data.size <= FEW_VALUES:
            return None
        return column.encode(data)


def _between(tensor: InputTensor, start: int, stop: int) -> Array | list[Any]:
    """Columns `start` to `stop` of a tensor `[rows, values]`, flat."""
    width = tensor.shape[1]
    if isinstance(tensor.data, np.ndarray):
        return tensor.data.reshape(-1, width)[:, start:stop].ravel()
    return [value for row in nested(tensor.data, (width,)) for value in row[start:stop]]


def _missing(field: InputSpec, rows: int) -> InputTensor:
    if not field.nullable:
        raise InvalidInputError(f"Input {named(field.name)} is missing.")
    return InputTensor(field.name, datatype_of_input(field), (rows,), [None] * rows)


def _rows_of(field: InputSpec, tensor: InputTensor) -> list[Any]:
    data = tensor.data
    if isinstance(data, np.ndarray):
        data = data != 0 if tensor.datatype == BOOL else data
    elif field.type is not InputType.IMAGE:
        data = as_texts(field.name, data)
    values = data.tolist() if isinstance(data, np.ndarray) else data
    return nested(values, tensor.shape[1:]) if field.shape else values


def _is_number(field: InputSpec) -> bool:
    return datatype_of_input(field) in NUMBERS and not field.is_sequence


def _check_head(field: InputSpec, tensor: InputTensor) -> None:
    """Raises InvalidInputError if the tensor's datatype or shape is not the input's."""
    if tensor.datatype not in accepted_datatypes(field):
        raise InvalidInputError(
            f"Input {named(field.name)} has datatype {tensor.datatype}, but takes {_datatypes(field)}."
        )
    if not _fits(field, tensor.shape[1:]):
        wanted = ["steps" if length == ANY_SIZE else str(length) for length in row_shape_of_input(field)]
        raise InvalidInputError(
            f"Input {named(field.name)} has shape {list(tensor.shape)}, but takes "
            f"[{', '.join(['rows', *wanted])}]."
        )


def _fits(field: InputSpec, row_shape: tuple[int, ...]) -> bool:
    """Whether a row has the shape of the input. A single value needs no dimension."""
    if field.is_sequence:
        return len(row_shape) == len(field.shape) and row_shape[1:] == field.shape[1:]
    return row_shape == row_shape_of_input(field) or not (field.shape or row_shape)


def _datatypes(field: InputSpec) -> str:
    own = datatype_of_input(field)
    return f"{own} or another type of numbers" if own in NUMBERS else own
