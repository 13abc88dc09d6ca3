"""Rows as Arrow tables, the row format of jobs. Chunks are Arrow IPC streams, LZ4-compressed if that pays
off.

The schemas of a chunk's inputs and results follow from the ModelSpec. A result has a column per output, and
`error`, which is null for rows that succeeded. Chunks of a streamed file have `error` too, with the reason
why a row is invalid, and `keep:…` for each column of the file that is returned in the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from shared.columns import Array, Columns, microseconds
from shared.errors import PayloadError
from shared.input_specs import InputSpec, InputType
from shared.output_specs import OutputSpec, OutputType, View
from shared.specs import ModelSpec, Row

Compression: TypeAlias = Literal["lz4"] | None
"""Compression of a payload's buffers; each payload records its own compression."""

ROW = "row"
"""The column with a row's index in the results of a job."""
ERROR = "error"
"""The column with the reason why a result's row failed, or why a streamed chunk's row is invalid."""
KEEP = "keep:"
"""Prefix of a kept column's name in a chunk."""
_INPUT = "input:"
"""Prefix of an input whose own name is that of another column of a chunk."""
_FIRST_ROW = b"takt:first_row"
_PLAIN_BYTES = 4096
"""Smaller payloads are not compressed: for each column, waking Arrow's threads takes ten times as long as
writing it, and the same again when it is read."""
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"

_ARROW = {
    InputType.FLOAT: pa.float64(),
    InputType.FLOAT32: pa.float32(),
    InputType.INT64: pa.int64(),
    InputType.BOOL: pa.bool_(),
    InputType.STRING: pa.string(),
    InputType.DATETIME: pa.timestamp("us", tz="UTC"),
    InputType.IMAGE: pa.binary(),
}
ARROW_OF_OUTPUTS = {
    OutputType.FLOAT64: pa.float64(),
    OutputType.FLOAT32: pa.float32(),
    OutputType.INT64: pa.int64(),
    OutputType.BOOL: pa.bool_(),
    OutputType.STRING: pa.string(),
}


def input_schema(spec: ModelSpec) -> pa.Schema:
    return pa.schema([pa.field(_column_of(i), _input_type(i), nullable=i.nullable) for i in spec.inputs])


def _column_of(field: InputSpec) -> str:
    """The name of an input's column in a chunk."""
    is_taken = field.name == ERROR or field.name.startswith((KEEP, _INPUT))
    return _INPUT + field.name if is_taken else field.name


def plain_input_name(column: str) -> str:
    """The name of the input that a column of a chunk holds."""
    return column.removeprefix(_INPUT)


def streamed_schema(spec: ModelSpec, kept: Mapping[str, pa.DataType]) -> pa.Schema:
    """The schema of a chunk that may contain invalid rows, with null or meaningless inputs."""
    inputs = [field.with_nullable(True) for field in input_schema(spec)]
    columns = [pa.field(KEEP + name, kind) for name, kind in kept.items()]
    return pa.schema([*inputs, pa.field(ERROR, pa.string()), *columns])


def numbered(schema: pa.Schema, first_row: int) -> pa.Schema:
    """The schema of a chunk, with the index of its first row in the job."""
    return schema.with_metadata({_FIRST_ROW: str(first_row)})


def first_row_of(table: pa.Table) -> int | None:
    """The index of a chunk's first row in the job, if the chunk records it."""
    recorded = (table.schema.metadata or {}).get(_FIRST_ROW)
    return None if recorded is None else int(recorded)


def _input_type(field: InputSpec) -> pa.DataType:
    if field.is_sequence:
        return pa.list_(_ARROW[field.type])  # flat: all values of all steps
    # a tensor lies flat: a fixed-size list reshapes without a copy
    return pa.list_(_ARROW[field.type], field.size) if field.shape else _ARROW[field.type]


def result_schema(spec: ModelSpec) -> pa.Schema:
    """The outputs, and `error`. An output of the name `row` or `error` is `output_row` or `output_error`."""
    names = [f"output_{o.name}" if o.name in (ROW, ERROR) else o.name for o in spec.outputs]
    outputs = [pa.field(name, _output_type(o)) for name, o in zip(names, spec.outputs, strict=True)]
    return pa.schema([*outputs, pa.field(ERROR, pa.string())])


def _output_type(output: OutputSpec) -> pa.DataType:
    kind = ARROW_OF_OUTPUTS[output.value_type]
    if output.view is View.PROBABILITIES:
        return pa.list_(kind)
    for _ in output.shape:
        kind = pa.list_(kind)
    return kind


def batch_of_rows(spec: ModelSpec, rows: Sequence[Row]) -> pa.RecordBatch:
    """Validated rows, as the gateway's validators return them, as a record batch."""
    return batch_of_values(spec, [[row[field.name] for row in rows] for field in spec.inputs])


def batch_of_values(spec: ModelSpec, values: Sequence[list[Any]]) -> pa.RecordBatch:
    """A record batch from a list of values per input."""
    arrays = [_array(field, column) for field, column in zip(spec.inputs, values, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=input_schema(spec))


def _array(field: InputSpec, values: list[Any]) -> pa.Array:
    if field.is_sequence:
        return pa.array([np.ravel(np.asarray(steps)) for steps in values], type=_input_type(field))
    if field.shape:
        flat = np.asarray(values, dtype=np.dtype(_ARROW[field.type].to_pandas_dtype())).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), field.size)
    if field.type is InputType.DATETIME:
        values = [None if v is None else microseconds(v) for v in values]
        return pa.array(values, type=pa.int64()).cast(_ARROW[field.type])
    return pa.array(values, type=_ARROW[field.type])


def columns_of_batch(spec: ModelSpec, batch: pa.RecordBatch) -> Columns:
    """The arrays for a predictor, without a copy if no value is missing."""
    return {field.name: _columns(field, batch.column(_column_of(field))) for field in spec.inputs}


def _columns(field: InputSpec, array: pa.Array) -> Array:
    if field.is_sequence:
        return _sequences(field, array)
    if field.shape:
        return np.asarray(array.flatten()).reshape(-1, *field.shape)
    return _scalars(field, array)


def _scalars(field: InputSpec, array: pa.Array) -> Array:
    match field.type:
        case InputType.FLOAT | InputType.FLOAT32:
            return np.asarray(array.to_numpy(zero_copy_only=False))
        case InputType.INT64:
            # past 2^53 a float64 is not exact, as in pandas, and Arrow would refuse
            dense = array.cast(pa.float64(), safe=False) if field.nullable else array
            return np.asarray(dense.to_numpy(zero_copy_only=False))
        case InputType.DATETIME:
            return np.asarray(array.to_numpy(zero_copy_only=False)).astype("<M8[us]", copy=False)
        case InputType.BOOL if not field.nullable:
            return np.asarray(array.to_numpy(zero_copy_only=False))
        case _:
            return np.asarray(array.to_numpy(zero_copy_only=False)).astype(object, copy=False)


def _sequences(field: InputSpec, array: pa.Array) -> Array:
    """An array of arrays, (steps, *shape) each."""
    values = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, *field.shape[1:])
    ends = np.cumsum(array.value_lengths().to_numpy(zero_copy_only=False)) // field.size
    rows = np.empty(len(array), dtype=object)
    for place, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        rows[place] = values[start:end]
    return rows


def write_ipc(
    batches: Sequence[pa.RecordBatch], schema: pa.Schema, compression: Compression = "lz4"
) -> bytes:
    """A payload: an Arrow IPC stream of these batches."""
    sink = pa.BufferOutputStream()
    small = sum(batch.get_total_buffer_size() for batch in batches) <= _PLAIN_BYTES
    options = pa.ipc.IpcWriteOptions(compression=None if small else compression, use_threads=False)
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow publishes no types


def read_ipc(data: bytes, *, verified: bool = False) -> pa.Table:
    """Raises PayloadError if the bytes are not a complete, unchanged Arrow IPC stream.

    `verified`: their digest matched the recorded one, so no further check is needed.
    """
    if not data.endswith(_END_OF_STREAM):  # Arrow accepts a stream without its end
        raise PayloadError("a stored chunk is not readable: it is cut off")
    try:
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            table = reader.read_all()
        if not verified:
            table.validate(full=True)  # an offset damaged on disk could point anywhere
        return table
    except MemoryError:  # pyarrow.ArrowMemoryError is a subclass: the bytes are valid
        raise
    except (pa.ArrowException, OSError, EOFError) as error:
        raise PayloadError(f"a stored chunk is not readable: {error}") from error


def rows_of(table: pa.Table) -> Iterator[Row]:
    """Plain rows for JSON."""
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()
