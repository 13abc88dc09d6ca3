"""Columns of a numeric input, from an array whose values are all in range."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from api.inference_protocol.wire_tensors import Array
from shared.columns import travels_as_bytes, wire_dtype
from shared.input_specs import InputSpec, InputType
from shared.messages import Column

_MOST: dict[InputType, float | int] = {
    InputType.FLOAT: sys.float_info.max,
    InputType.FLOAT32: float(np.finfo(np.float32).max),
    InputType.INT64: 2**63 - 1,
}
_LEAST_WHOLE = -(2**63)


class NumberColumn:
    """Encodes the values of one numeric input without making Python values of them."""

    def __init__(self, field: InputSpec) -> None:
        most = _MOST[field.type]
        least = _LEAST_WHOLE if field.type is InputType.INT64 else -most
        self._least = least if field.minimum is None else max(least, field.minimum)
        self._most = most if field.maximum is None else min(most, field.maximum)
        self._nullable = field.nullable
        self._whole = field.type is InputType.INT64
        self._dtype = wire_dtype(field)

    def encode(self, values: Array) -> bytes | None:
        """The wire column of these values; None if any of them is out of range, or not a number."""
        if self._nullable:  # NaN is null
            least, most = np.fmin.reduce(values, axis=None).item(), np.fmax.reduce(values, axis=None).item()
            within = math.isnan(least) or (self._least <= least and most <= self._most)
        else:
            least, most = (
                np.minimum.reduce(values, axis=None).item(),
                np.maximum.reduce(values, axis=None).item(),
            )
            within = self._least <= least and most <= self._most
        if not within or (self._whole and values.dtype.kind == "f" and (values != np.trunc(values)).any()):
            return None
        return values.astype(self._dtype, copy=False).tobytes()


class NumberLayout:
    """The place of each input in the binary data of a request, if all its tensors contain numbers.

    `parts`: the column of each input of the model, in their order, with the type, number and offset in bytes
    of its values.
    """

    def __init__(
        self, parts: Sequence[tuple[NumberColumn, np.dtype[Any], int, int]], rows: int, size_bytes: int
    ) -> None:
        self.rows = rows
        self._parts = parts
        self._size_bytes = size_bytes

    def columns(self, binary: memoryview) -> list[Column] | None:
        """The wire columns of binary data; None if its size differs, or a value is out of range."""
        if len(binary) != self._size_bytes:
            return None
        found: list[Column] = []
        for column, dtype, count, offset in self._parts:
            encoded = column.encode(np.frombuffer(binary, dtype, count, offset))
            if encoded is None:
                return None
            found.append(encoded)
        return found


def number_column(field: InputSpec) -> NumberColumn | None:
    """None if the input is not a number, has a list of allowed values, or travels as a list."""
    if (
        field.type not in _MOST
        or field.allowed is not None
        or field.is_sequence
        or not travels_as_bytes(field)
    ):
        return None
    return NumberColumn(field)
