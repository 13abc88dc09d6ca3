"""Rows as columns: how inputs travel on the online lane, and the numpy arrays that a predictor is given.

A fixed-width input travels as the little-endian bytes of its values, so that a batch is made by joining
bytes; the others travel as lists. The same arrays come from a job's Arrow data (`shared/tables.py`), so that
a predictor never knows which lane it serves:

    type       wire                    array (first axis: rows; then the input's shape)
    float      bytes, <f8, null = NaN  float64
    float32    bytes, <f4, null = NaN  float32
    int64      bytes, <i8              int64;  nullable: list → float64 with NaN, as pandas does
    bool       bytes, |u1              bool;   nullable: list → object with None
    datetime   bytes, <i8, µs of UTC   datetime64[us]; null = NaT
    string     list                    object, str or None
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from struct import Struct
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.messages import Column
from shared.specs import InputSpec, InputType, ModelSpec, Row

Array: TypeAlias = NDArray[Any]  # Any: the element type is the input's
Columns: TypeAlias = dict[str, Array]
"""Input name → array; all of the same first axis, the rows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAT = np.iinfo(np.int64).min
_WIRE_DTYPE: dict[InputType, np.dtype[Any]] = {
    InputType.FLOAT: np.dtype("<f8"),
    InputType.FLOAT32: np.dtype("<f4"),
    InputType.INT64: np.dtype("<i8"),
    InputType.BOOL: np.dtype("|u1"),
    InputType.DATETIME: np.dtype("<i8"),
}
_STRUCT_CODE = {InputType.FLOAT: "d", InputType.FLOAT32: "f"}


def travels_as_bytes(field: InputSpec) -> bool:
    if field.type is InputType.STRING:
        return False
    return not (field.nullable and field.type in (InputType.INT64, InputType.BOOL))


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 in UTC; a moment without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def encode_rows(spec: ModelSpec, rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The wire columns of validated rows, in the order of the spec's inputs."""
    return Encoder(spec)([[row[field.name] for row in rows] for field in spec.inputs])


class Encoder:
    """Makes the wire columns of one model's validated rows, of one list of values per input."""

    def __init__(self, spec: ModelSpec) -> None:
        self._encoders = [_encoder_of(field) for field in spec.inputs]

    def __call__(self, values: Sequence[list[Any]]) -> list[Column]:
        return [encode(column) for encode, column in zip(self._encoders, values, strict=True)]


def _encoder_of(field: InputSpec) -> Callable[[list[Any]], Column]:
    """Decided once: for one row the decisions cost more than the encoding."""
    code = _STRUCT_CODE.get(field.type)
    if code is None or field.nullable or len(field.shape) > 1:
        return partial(_encode, field)
    pack = Struct(f"<{field.size}{code}").pack
    if field.shape:
        return lambda values: pack(*values[0]) if len(values) == 1 else _encode(field, values)
    return lambda values: pack(values[0]) if len(values) == 1 else _encode(field, values)


def _encode(field: InputSpec, values: list[Any]) -> Column:
    if not travels_as_bytes(field):
        return values
    if field.type is InputType.DATETIME:
        values = [_NAT if v is None else microseconds(v) for v in values]
    elif field.nullable:
        values = [np.nan if v is None else v for v in values]
    return np.asarray(values, dtype=_WIRE_DTYPE[field.type]).tobytes()


def cut(spec: ModelSpec, columns: list[Column], start: int, stop: int) -> list[Column]:
    """Rows `start` to `stop` of wire columns."""
    widths = [_width(field) for field in spec.inputs]
    return [column[start * w : stop * w] for column, w in zip(columns, widths, strict=True)]


def wire_rows(spec: ModelSpec, columns: list[Column]) -> int:
    """How many rows these wire columns hold. Raises ValueError where they are not what the spec declares."""
    if len(columns) != len(spec.inputs):
        raise ValueError(f"{len(columns)} columns, but {spec.name} has {len(spec.inputs)} inputs")
    counts = {_wire_rows(field, column) for field, column in zip(spec.inputs, columns, strict=True)}
    if len(counts) != 1:
        raise ValueError("the columns differ in length")
    return counts.pop()


def _wire_rows(field: InputSpec, column: Column) -> int:
    if isinstance(column, bytes) != travels_as_bytes(field):
        raise ValueError(f"{field.name}: a column of {field.type} does not travel as {type(column).__name__}")
    rows, rest = divmod(len(column), _width(field))
    if rest:
        raise ValueError(f"{field.name}: {len(column)} bytes are no whole rows of {_width(field)}")
    return rows


def _width(field: InputSpec) -> int:
    """What one row takes of a wire column: bytes, or one element of a list."""
    return _WIRE_DTYPE[field.type].itemsize * field.size if travels_as_bytes(field) else 1


def join(spec: ModelSpec, parts: Sequence[list[Column]]) -> Columns:
    """The arrays of a batch from the wire columns of its entries, writable and owned by the caller.

    Raises ValueError where a part is not what the spec declares.
    """
    for part in parts:
        wire_rows(spec, part)
    return {field.name: _join(field, [part[i] for part in parts]) for i, field in enumerate(spec.inputs)}


def _join(field: InputSpec, parts: list[Any]) -> Array:
    if not travels_as_bytes(field):
        return _from_list(field, [value for part in parts for value in part])
    # a bytearray, because torch does not take memory that it may not write to
    flat = np.frombuffer(bytearray().join(parts), dtype=_WIRE_DTYPE[field.type])
    if field.type is InputType.DATETIME:
        return flat.view("<M8[us]")
    if field.type is InputType.BOOL:
        return flat.view(np.bool_)
    return flat.reshape(-1, *field.shape) if field.shape else flat


def _from_list(field: InputSpec, values: list[Any]) -> Array:
    if field.type is InputType.INT64:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def row_count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def take(columns: Columns, start: int, stop: int) -> Columns:
    """Rows `start` to `stop`, without copying."""
    return {name: array[start:stop] for name, array in columns.items()}


def of_rows(spec: ModelSpec, rows: Sequence[Row]) -> Columns:
    """The arrays of validated rows: golden rows, warm-up, tests."""
    return join(spec, [encode_rows(spec, rows)])
