"""Rows as columns: the wire format of the online lane, and the numpy arrays of predictors.

Fixed-width inputs are sent as the little-endian bytes of their values, so that a batch is formed by joining
bytes; other inputs are sent as lists. A job's Arrow data becomes the same arrays
(`shared/arrow_tables.py`), so that a predictor is independent of the lane:

    type       wire                    array (first axis: rows; then the input's shape)
    float      bytes, <f8, null = NaN  float64
    float32    bytes, <f4, null = NaN  float32
    int64      bytes, <i8              int64;  nullable: list → float64 with NaN, as pandas does
    bool       bytes, |u1              bool;   nullable: list → object with None
    datetime   bytes, <i8, µs of UTC   datetime64[us]; null = NaT
    string     list                    object, str or None
    image      list of the files       object, bytes or None; decoded by `worker/predictors/image_decoder.py`

A sequence (`shape = [-1, …]`) is sent as a list of bytes, an element per row; it becomes an array of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from struct import Struct
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.input_specs import InputSpec, InputType
from shared.messages import Column
from shared.specs import ModelSpec, Row

Array: TypeAlias = NDArray[Any]  # Any: the element type is the input's
Columns: TypeAlias = dict[str, Array]
"""Input name → array; all with the same first axis, the rows."""

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
_VIEW_DTYPE: dict[InputType, np.dtype[Any]] = {
    InputType.BOOL: np.dtype(np.bool_),
    InputType.DATETIME: np.dtype("<M8[us]"),
}
_STRUCT_CODE = {InputType.FLOAT: "d", InputType.FLOAT32: "f"}


def travels_as_bytes(field: InputSpec) -> bool:
    if field.is_sequence or field.type in (InputType.STRING, InputType.IMAGE):
        return False
    return not (field.nullable and field.type in (InputType.INT64, InputType.BOOL))


def wire_dtype(field: InputSpec) -> np.dtype[Any]:
    """The element type of an input that travels as bytes."""
    return _WIRE_DTYPE[field.type]


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, UTC; a datetime without a zone counts as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def encode_rows(spec: ModelSpec, rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The wire columns of validated rows, in the order of the spec's inputs."""
    return Encoder(spec)([[row[field.name] for row in rows] for field in spec.inputs])


class Encoder:
    """Encodes a model's validated rows as wire columns, from a list of values per input."""

    def __init__(self, spec: ModelSpec) -> None:
        self._encoders = [_encoder_of(field) for field in spec.inputs]

    def __call__(self, values: Sequence[list[Any]]) -> list[Column]:
        return [encode(column) for encode, column in zip(self._encoders, values, strict=True)]

    def column(self, index: int, values: list[Any]) -> Column:
        """Encode the values of one input, by its place in the spec."""
        return self._encoders[index](values)


def _encoder_of(field: InputSpec) -> Callable[[list[Any]], Column]:
    """Selects the encoder once: for a single row, selecting costs more than encoding."""
    code = _STRUCT_CODE.get(field.type)
    if code is None or field.nullable or len(field.shape) > 1 or field.is_sequence:
        return partial(_encode, field)
    pack = Struct(f"<{field.size}{code}").pack
    if field.shape:
        return lambda values: pack(*values[0]) if len(values) == 1 else _encode(field, values)
    return lambda values: pack(values[0]) if len(values) == 1 else _encode(field, values)


def _encode(field: InputSpec, values: list[Any]) -> Column:
    if field.is_sequence:
        return [np.asarray(steps, dtype=_WIRE_DTYPE[field.type]).tobytes() for steps in values]
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


def wire_rows(spec: ModelSpec, columns: Sequence[Column]) -> int:
    """The number of rows in wire columns. Raises ValueError if they do not match the spec."""
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
        raise ValueError(f"{field.name}: {len(column)} bytes are not a multiple of {_width(field)}")
    return rows


def _width(field: InputSpec) -> int:
    """Length of a row in a wire column: bytes, or an element of a list."""
    return _WIRE_DTYPE[field.type].itemsize * field.size if travels_as_bytes(field) else 1


class Joiner:
    """Joins the wire columns of a batch's entries to a model's arrays, writable and owned by the caller."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._kinds = [bytes if travels_as_bytes(field) else list for field in spec.inputs]
        self._widths = [_width(field) for field in spec.inputs]
        self._joins = [(field.name, _joiner_of(field)) for field in spec.inputs]

    def __call__(self, parts: Sequence[list[Column]], part_rows: Sequence[int]) -> Columns:
        """`part_rows`: the rows that each part declares. Raises ValueError if a part does not match."""
        for part, rows in zip(parts, part_rows, strict=True):
            if not self._holds(part, rows):
                self._refuse(part, rows)
        columns = zip(*parts, strict=True)
        return {name: join(column) for (name, join), column in zip(self._joins, columns, strict=True)}

    def _holds(self, part: list[Column], rows: int) -> bool:
        """Compares lists, because a check of each column would cost more than decoding the entry."""
        widths = self._widths if rows == 1 else [width * rows for width in self._widths]
        return [*map(len, part)] == widths and [*map(type, part)] == self._kinds

    def _refuse(self, part: list[Column], rows: int) -> None:
        found = wire_rows(self._spec, part)
        raise ValueError(f"an entry declares {rows} rows, but its columns hold {found}")


def join(spec: ModelSpec, parts: Sequence[list[Column]]) -> Columns:
    """The arrays of wire columns. Raises ValueError if a part does not match the spec."""
    return Joiner(spec)(parts, [wire_rows(spec, part) for part in parts])


def _joiner_of(field: InputSpec) -> Callable[[Sequence[Any]], Array]:
    """Selects once how an input's parts are joined."""
    if not travels_as_bytes(field):
        return lambda parts: _from_list(field, [value for part in parts for value in part])
    wire, shape = _WIRE_DTYPE[field.type], (-1, *field.shape)
    view = _VIEW_DTYPE.get(field.type)

    def join_bytes(parts: Sequence[bytes]) -> Array:
        # a bytearray, because torch rejects read-only memory
        flat: Array = np.frombuffer(bytearray().join(parts), dtype=wire)
        if view is not None:
            return flat.view(view)
        return flat.reshape(shape) if field.shape else flat

    return join_bytes


def _from_list(field: InputSpec, values: list[Any]) -> Array:
    if field.is_sequence:
        values = [_steps(field, value) for value in values]
    elif field.type is InputType.INT64:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):  # numpy would join arrays of one length
        array[place] = value
    return array


def _steps(field: InputSpec, value: bytes) -> Array:
    flat = np.frombuffer(bytearray(value), dtype=_WIRE_DTYPE[field.type])
    return flat.reshape(-1, *field.shape[1:])


def nested(values: list[Any], row_shape: Sequence[int]) -> list[Any]:
    """Flat values as rows of this shape."""
    for length in reversed(row_shape):
        ends = range(0, len(values) + 1, length)
        values = [values[start:stop] for start, stop in pairwise(ends)]
    return values


def row_count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def take(columns: Columns, start: int, stop: int) -> Columns:
    """Rows `start` to `stop`, without a copy."""
    return {name: array[start:stop] for name, array in columns.items()}


def of_rows(spec: ModelSpec, rows: Sequence[Row]) -> Columns:
    """The arrays of validated rows, for golden rows, warm-up and tests."""
    return join(spec, [encode_rows(spec, rows)])
