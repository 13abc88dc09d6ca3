"""The protocol's datatypes: their numpy types, and the datatypes of a model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from shared.input_specs import InputSpec, InputType
from shared.output_specs import OutputSpec, OutputType, View
from shared.specs import ModelSpec

BOOL, BYTES = "BOOL", "BYTES"
INT64, FP32, FP64 = "INT64", "FP32", "FP64"

NUMBERS: Mapping[str, np.dtype[Any]] = {
    "INT8": np.dtype("|i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    INT64: np.dtype("<i8"),
    "UINT8": np.dtype("|u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    FP32: np.dtype("<f4"),
    FP64: np.dtype("<f8"),
}
"""The datatypes of numbers. Their binary form is little-endian, like the columns of the online lane."""
FIXED_WIDTH: Mapping[str, np.dtype[Any]] = {BOOL: np.dtype("|u1"), **NUMBERS}

_OF_INPUT: Mapping[InputType, str] = {
    InputType.FLOAT: FP64,
    InputType.FLOAT32: FP32,
    InputType.INT64: INT64,
    InputType.BOOL: BOOL,
    InputType.STRING: BYTES,
    InputType.DATETIME: BYTES,  # RFC 3339
    InputType.IMAGE: BYTES,  # the file; in JSON as Base64
}
_OF_OUTPUT: Mapping[OutputType, str] = {
    OutputType.FLOAT64: FP64,
    OutputType.FLOAT32: FP32,
    OutputType.INT64: INT64,
    OutputType.BOOL: BOOL,
    OutputType.STRING: BYTES,
}
ANY_SIZE = -1
"""A dimension of a shape whose size the metadata does not state: the rows."""


def datatype_of_input(field: InputSpec) -> str:
    """The datatype that a model's metadata states for an input."""
    return _OF_INPUT[field.type]


def accepted_datatypes(field: InputSpec) -> frozenset[str]:
    """The datatypes that an input takes. Numbers are converted if no value is out of range."""
    own = datatype_of_input(field)
    return frozenset(NUMBERS) if own in NUMBERS else frozenset((own,))


def row_shape_of_input(field: InputSpec) -> tuple[int, ...]:
    """The shape of a row: a single value is a vector of one element."""
    return field.shape or (1,)


def datatype_of_output(output: OutputSpec) -> str:
    """The datatype of an output. Null is NaN: an output with nulls is FP64 in place of INT64 or BOOL."""
    own = _OF_OUTPUT[output.value_type]
    return FP64 if output.nullable and own in (INT64, BOOL) else own


def row_shape_of_output(spec: ModelSpec, output: OutputSpec) -> tuple[int, ...]:
    """The shape of a row of an output, as the metadata states it."""
    if output.view is View.PROBABILITIES:
        return (len(output.classes or spec.classes) or ANY_SIZE,)
    return output.shape or (1,)
