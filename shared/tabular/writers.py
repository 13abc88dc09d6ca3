"""Writers of result tables in each format, as the parts of a response."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from msgspec.json import encode
from typing_extensions import Buffer

from shared.arrow_tables import ERROR, ROW
from shared.tabular import json_texts
from shared.tabular.arrow_types import Family, family_of, parquet_holds
from shared.tabular.file_formats import FileFormat
from shared.tabular.value_texts import value_texts

_ROWS_AT_ONCE = 8192
"""Rows that are converted to JSON text at once."""

Shape: TypeAlias = Callable[[pa.RecordBatch], pa.StringArray]
"""Returns a JSON object for each row."""


class Tables(Protocol):
    """Tables with the same schema. Iterating blocks, because it reads stored data."""

    @property
    def schema(self) -> pa.Schema: ...

    def __iter__(self) -> Iterator[pa.Table]: ...


class Writer(Protocol):
    def write(self, table: pa.Table) -> bytes:
        """Returns the bytes of a table; the first call also returns the beginning of the file."""

    def close(self) -> bytes:
        """Returns the end of the file."""


def written(tables: Tables, writer: Writer) -> Iterator[bytes]:
    """Yields the parts of a response. Blocking."""
    for table in tables:
        yield writer.write(table)
    yield writer.close()


async def in_threads(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Makes each part in a thread while the previous part is sent; a single part is made in advance."""
    making = asyncio.create_task(asyncio.to_thread(next, parts, None))
    try:
        while (part := await making) is not None:
            making = asyncio.create_task(asyncio.to_thread(next, parts, None))
            yield part
    finally:
        making.cancel()
        making.add_done_callback(_seen)


def _seen(task: asyncio.Task[bytes | None]) -> None:
    """Discards the error of a part that is no longer needed."""
    if not task.cancelled():
        task.exception()


def tabular(kind: FileFormat, schema: pa.Schema) -> Writer:
    """Returns a writer for any format except JSON: its shape depends on the endpoint."""
    match kind:
        case FileFormat.CSV:
            return CsvWriter(schema)
        case FileFormat.PARQUET:
            return ParquetWriter(schema)
        case FileFormat.ARROW:
            return ArrowWriter(schema)
        case _:
            return NdjsonWriter()


class _Buffer(io.RawIOBase):
    """A file object that collects written bytes until `take` returns them."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class CsvWriter:
    """Writes CSV: texts in quotes, missing values empty, lists as JSON, other values as text."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Buffer()
        self._schema = _with_texts(schema, _csv_holds)
        self._writer = pa.csv.CSVWriter(self._sink, self._schema)

    def write(self, table: pa.Table) -> bytes:
        for batch in table.to_batches():
            self._writer.write_batch(_as_texts(batch, self._schema))
        return self._sink.take()

    def close(self) -> bytes:
        self._writer.close()
        return self._sink.take()


_IN_CSV = (Family.NULL, Family.BOOL, Family.INTEGER, Family.FLOAT, Family.DECIMAL, Family.DATE, Family.TIME)


def _csv_holds(kind: pa.DataType) -> bool:
    """Whether Arrow writes the type to CSV like `value_texts`, or like earlier versions of Takt."""
    if pa.types.is_timestamp(kind):
        return kind.tz in (None, "UTC")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    is_plain = not isinstance(kind, pa.BaseExtensionType) and not pa.types.is_run_end_encoded(kind)
    return is_plain and not pa.types.is_dictionary(kind) and family_of(kind) in _IN_CSV


def _with_texts(schema: pa.Schema, holds: Callable[[pa.DataType], bool]) -> pa.Schema:
    """Returns the schema with text instead of each type that a format does not support."""
    return pa.schema([field if holds(field.type) else field.with_type(pa.string()) for field in schema])


def _as_texts(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column if column.type == field.type else value_texts(column)
        for field, column in zip(schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


class _OfArrow:
    """Base of the writers that use a writer of Arrow."""

    def __init__(
        self, opened: Callable[[_Buffer], Any]
    ) -> None:  # Any: pyarrow's writers have no common type
        self._sink = _Buffer()
        self._writer = opened(self._sink)

    def write(self, table: pa.Table) -> bytes:
        self._writer.write_table(table)
        return self._sink.take()

    def close(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class ParquetWriter(_OfArrow):
    """Writes a row group per table. Columns of types that Parquet does not support are text.

    The column `row` increases by 1, so it is delta-encoded. Only this column has statistics, because those
    of the other columns cost half as much time as writing them.
    """

    def __init__(self, schema: pa.Schema) -> None:
        placed = ROW in schema.names
        self._schema = _with_texts(schema, parquet_holds)
        super().__init__(
            lambda sink: pa.parquet.ParquetWriter(
                sink,
                self._schema,
                compression="zstd",
                use_dictionary=[name for name in schema.names if name != ROW],
                column_encoding={ROW: "DELTA_BINARY_PACKED"} if placed else None,
                write_statistics=[ROW] if placed else False,
            )
        )

    def write(self, table: pa.Table) -> bytes:
        if not self._schema.equals(table.schema):
            batches = [_as_texts(batch, self._schema) for batch in table.to_batches()]
            table = pa.Table.from_batches(batches, self._schema)
        return super().write(table)


class ArrowWriter(_OfArrow):
    """An Arrow IPC stream."""

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__(lambda sink: pa.ipc.new_stream(sink, schema))


class NdjsonWriter:
    """Writes all columns on every line."""

    def write(self, table: pa.Table) -> bytes:
        lines = (json_texts.in_line(row_objects(batch), "\n") + b"\n" for batch in _batches(table))
        return b"".join(lines)

    def close(self) -> bytes:
        return b""


class JsonWriter:
    """Writes `{"job_id", <name>: […], "total_count"}`; `shape` converts a table's rows to objects."""

    def __init__(self, name: str, job_id: str, total_count: int, shape: Shape) -> None:
        self._before = b'{"job_id":%s,%s:[' % (encode(job_id), encode(name))
        self._total_count = total_count
        self._shape = shape

    def write(self, table: pa.Table) -> bytes:
        rows = b",".join(json_texts.in_line(self._shape(batch), ",") for batch in _batches(table))
        written, self._before = self._before + rows, b","
        return written

    def close(self) -> bytes:
        opening = b"" if self._before == b"," else self._before
        return opening + b'],"total_count":%d}' % self._total_count


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yields non-empty batches."""
    return (batch for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE) if batch.num_rows)


def row_objects(batch: pa.RecordBatch) -> pa.StringArray:
    return json_texts.objects(dict(zip(batch.schema.names, batch.columns, strict=True)), batch.num_rows)


def result_objects(kept: Sequence[str], *, placed: bool) -> Shape:
    """Returns a shape of each row's outputs or `error`; `placed` adds its index and kept columns in front."""
    context = [ROW, *kept] if placed else []

    def shape(batch: pa.RecordBatch) -> pa.StringArray:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        error = columns.pop(ERROR)
        about = {name: columns[name] for name in context}
        outputs = {name: column for name, column in columns.items() if name not in (ROW, *kept)}
        good = json_texts.objects(about | outputs, batch.num_rows)
        if error.null_count == batch.num_rows:
            return good
        return pc.if_else(error.is_null(), good, json_texts.objects(about | {ERROR: error}, batch.num_rows))

    return shape


error_objects: Shape = row_objects
"""Each failed row with its index, its id if the job has an id column, and its error."""
