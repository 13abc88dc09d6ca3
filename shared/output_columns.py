"""Outputs in binary form: the columns of answers to entries with `binary_outputs`.

A gateway that answers in binary requests outputs in binary, so that neither side makes a Python value of each
number. The elements of all rows follow each other, little-endian, in row-major order:

    type                       binary form
    float64                    <f8, null = NaN
    float32                    <f4, null = NaN
    int64, bool                <i8, |u1;  nullable: none
    string, and every label    none

An output without a binary form is a list of plain values. A worker that does not know `binary_outputs`
sends plain values only. Workers of both kinds may answer the parts of a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from shared.messages import AnswerColumn
from shared.output_specs import OutputSpec, OutputType
from shared.specs import ModelSpec

OutputDtypes: TypeAlias = Sequence[np.dtype[Any] | None]
"""The element type of each output in binary form; None: it has none."""

_DTYPES: dict[OutputType, np.dtype[Any]] = {
    OutputType.FLOAT64: np.dtype("<f8"),
    OutputType.FLOAT32: np.dtype("<f4"),
    OutputType.INT64: np.dtype("<i8"),
    OutputType.BOOL: np.dtype("|u1"),
}


def output_dtypes(spec: ModelSpec) -> OutputDtypes:
    """The element types of a model's outputs, in the order of the spec."""
    return [_dtype(output) for output in spec.outputs]


def _dtype(output: OutputSpec) -> np.dtype[Any] | None:
    if output.nullable and not output.value_type.is_float:
        return None
    return _DTYPES.get(output.value_type)


def joined_column(parts: Sequence[AnswerColumn], dtype: np.dtype[Any] | None) -> AnswerColumn:
    """An output of all rows, from those of the parts of a request: bytes if any part has bytes."""
    if dtype is None or not any(isinstance(part, bytes) for part in parts):
        return list(chain.from_iterable(parts))
    return b"".join(
        part if isinstance(part, bytes) else np.asarray(part, dtype=dtype).tobytes() for part in parts
    )
