"""Readers of Arrow and Parquet, which have typed columns.

An Arrow stream is read while it arrives, up to its end mark; an Arrow file is such a stream between a magic
number and a footer. The metadata of a Parquet file is at its end, so the file is first written to disk.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator, Set
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from shared.errors import InvalidInputError
from shared.specs import ModelSpec
from shared.tabular.casting import Caster
from shared.tabular.column_matching import match_columns
from shared.tabular.decompression import ByteSource
from shared.tabular.ipc_messages import (
    MOST_UNPACKED_BYTES,
    Rewritten,
    checked,
    footer_follows,
    nothing_follows,
)
from shared.tabular.parquet_footer import check_footer
from shared.tabular.rows import Rows
from shared.tabular.upload_options import UploadOptions

_SLICE_ROWS = 16_384
_SLICE_BYTES = 32 * 2**20
"""Rows are checked in slices of about this size, so that the first chunk of large rows, such as images, runs
while the rest is read."""
_ARROW_MAGIC = b"ARROW1\0\0"
_COPY_BYTES = 2**20
_BETWEEN_PARQUETS = b"PAR1PAR1"
_PARQUET_TAIL_BYTES = 8


class ArrowReader:
    """Reads rows of an Arrow IPC stream or file (`.arrow`, Feather 2). Raises InvalidInputError."""

    def __init__(self, source: ByteSource, spec: ModelSpec, options: UploadOptions, *, file: bool) -> None:
        if file and source.read(len(_ARROW_MAGIC)) != _ARROW_MAGIC:
            raise InvalidInputError("The body is not an Arrow file: it does not begin with ARROW1.")
        schema, self._batches = _opened(checked(source, footer_follows if file else nothing_follows))
        self.layout = match_columns(spec, schema.names, options.kept, text=False)
        self.ignored = self.layout.ignored
        self._caster = Caster(spec, self.layout)

    def __iter__(self) -> Iterator[Rows]:
        for batch in self._batches:
            wanted = batch.select(self.layout.wanted)
            wanted.validate(full=True)  # a client's offsets may point outside of the buffers
            rows = _slice_rows(wanted.nbytes, batch.num_rows)
            for first in range(0, batch.num_rows, rows):
                yield self._caster.rows(wanted.slice(first, rows))

    def close(self) -> None:
        self._batches.close()


def _opened(messages: Iterator[pa.ipc.Message]) -> tuple[pa.Schema, Any]:
    """Returns the schema and the batches, which the caller closes.

    Batches are built from the messages in memory without a copy. Streams with dictionaries need Arrow's own
    stream reader, which keeps their state.
    """
    head = list(islice(messages, 2))
    if [message.type for message in head] != ["schema", "record batch"]:
        reader = pa.ipc.open_stream(pa.PythonFile(Rewritten(chain(head, messages)), mode="r"))
        return reader.schema, reader
    schema = pa.ipc.read_schema(head[0])
    return schema, (pa.ipc.read_record_batch(message, schema) for message in chain(head[1:], messages))


class ParquetReader:
    """Reads rows of a Parquet file, which is first written to disk. `close` removes it."""

    def __init__(
        self, source: ByteSource, spec: ModelSpec, options: UploadOptions, folder: Path | None
    ) -> None:
        self._spool: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open until `close`
        try:
            shutil.copyfileobj(source, self._spool, _COPY_BYTES)
            self._spool.seek(0)
            self._file = _parquet(self._spool)
            _check_metadata(self._spool, self._file.metadata)  # before any access to a column of it
            names = self._file.schema_arrow.names
            self.layout = match_columns(spec, names, options.kept, text=False)
            _check_rows(self._file.metadata)
            _check_rest(self._spool, self._file.metadata)
            self._slice_rows = _checked_columns(self._file.metadata, set(self.layout.wanted))
        except BaseException:
            self._spool.close()
            raise
        self.ignored = self.layout.ignored
        self._caster = Caster(spec, self.layout)

    def __iter__(self) -> Iterator[Rows]:
        batches = self._file.iter_batches(self._slice_rows, columns=self.layout.wanted, use_threads=False)
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            yield self._caster.rows(batch)
        if rows != self._file.metadata.num_rows:
            declared = self._file.metadata.num_rows
            raise InvalidInputError(
                f"The Parquet file's footer declares {declared} rows, but the file contains {rows}."
            )

    def close(self) -> None:
        self._spool.close()


def _check_metadata(file: Any, metadata: Any) -> None:
    size_bytes = metadata.serialized_size
    file.seek(-(size_bytes + _PARQUET_TAIL_BYTES), io.SEEK_END)
    footer = file.read(size_bytes)
    file.seek(0)
    check_footer(footer, metadata.schema)


def _check_rows(metadata: Any) -> None:
    """Raises InvalidInputError if the row counts of file, row groups and columns in the footer differ."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise InvalidInputError(
            "The Parquet file's footer is damaged: its row groups do not add up to its rows."
        )
    flat = [
        place
        for place in range(metadata.num_columns)
        if not metadata.schema.column(place).max_repetition_level
    ]
    for number, group in enumerate(groups):
        if any(group.column(place).num_values != group.num_rows for place in flat):
            raise InvalidInputError(
                f"The Parquet file's footer is damaged: in row group {number}, a column's number of values "
                "differs from the number of rows."
            )


def _check_rest(file: Any, metadata: Any) -> None:
    """Raises InvalidInputError if another Parquet file ends between the last column and the footer."""
    columns = (
        metadata.row_group(group).column(place)
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
    )
    place = max((_begin_of(column) + column.total_compressed_size for column in columns), default=0)
    file.seek(0, io.SEEK_END)
    end = file.tell() - metadata.serialized_size - _PARQUET_TAIL_BYTES
    file.seek(place)
    before = b""
    while place < end and (data := file.read(min(_COPY_BYTES, end - place))):
        if _BETWEEN_PARQUETS in before + data:
            raise InvalidInputError("The body contains several Parquet files: send a single file.")
        before, place = data[-len(_BETWEEN_PARQUETS) :], place + len(data)
    file.seek(0)


def _begin_of(column: Any) -> int:
    begin: int = column.data_page_offset
    return min(begin, column.dictionary_page_offset or begin)


def _checked_columns(metadata: Any, wanted: Set[str]) -> int:
    """Returns the rows of a slice. Raises InvalidInputError if a column of a row group decompresses too
    large: it may be a single page."""
    places = {
        place: name
        for place in range(metadata.num_columns)
        if (name := _column_of_leaf(metadata.schema.column(place).path, wanted))
    }
    slice_rows = _SLICE_ROWS
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        sizes = {place: row_group.column(place).total_uncompressed_size for place in places}
        for place, size_bytes in sizes.items():
            if size_bytes > MOST_UNPACKED_BYTES:
                most_rows = row_group.num_rows * MOST_UNPACKED_BYTES // size_bytes
                raise InvalidInputError(
                    f"Column {places[place]!r} of row group {group} decompresses to more than "
                    f"{MOST_UNPACKED_BYTES} bytes: write smaller row groups, for example with "
                    f"row_group_size={max(1, most_rows)} in pandas or pyarrow."
                )
        slice_rows = min(slice_rows, _slice_rows(sum(sizes.values()), row_group.num_rows))
    return slice_rows


def _slice_rows(size_bytes: int, rows: int) -> int:
    """Returns the rows of about `_SLICE_BYTES`, at most `_SLICE_ROWS`."""
    return max(1, min(_SLICE_ROWS, _SLICE_BYTES * rows // size_bytes)) if rows and size_bytes else _SLICE_ROWS


def _column_of_leaf(path: str, wanted: Set[str]) -> str | None:
    """The wanted column that has this leaf. A dot in a path separates levels, or is part of a name."""
    parts = path.split(".")
    prefixes = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((prefix for prefix in prefixes if prefix in wanted), None)


def _parquet(file: Any) -> Any:
    from pyarrow import parquet  # imported late: most gateways never read Parquet

    return parquet.ParquetFile(file, page_checksum_verification=True)
