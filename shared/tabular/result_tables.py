"""A job's results as Arrow tables, by piece, so that at most 1 chunk is in memory.

    row      the row's index in the job, from 0
    …        the kept input columns, the id column first
    …        the model's outputs
    error    the row's error, or null

Blocking: run it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shared.arrow_tables import ERROR, KEEP, ROW, result_schema
from shared.job_payloads import JobObjects
from shared.ledger import ChunkState, JobRecord
from shared.specs import ModelSpec
from shared.tabular.result_pieces import Piece
from shared.tabular.upload_options import kept_columns

ID = "id"
_ERRORS = pa.schema([pa.field(ERROR, pa.string())])


def named_apart(kept: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Returns unique names for kept columns: their own, or `input_…` if another column has that name."""
    names: list[str] = []
    for own_name in kept:
        name = own_name
        while name in (*taken, *names):
            name = f"input_{name}"
        names.append(name)
    return names


class ResultTables:
    """The tables of a response. They share a schema, which follows from the stored data.

    Raises ResultLost if a stored result is missing, PayloadLost if stored rows are missing, PayloadStoreAway.
    """

    def __init__(
        self, objects: JobObjects, record: JobRecord, pieces: Sequence[Piece], spec: ModelSpec | None
    ) -> None:
        self._objects = objects
        self._record = record
        self._pieces = pieces
        self._spec = spec
        self._last_read: tuple[Piece, pa.Table] | None = None  # the first is also read for its schema

    def __iter__(self) -> Iterator[pa.Table]:
        return map(self._table, self._pieces)

    @cached_property
    def schema(self) -> pa.Schema:
        outputs = self._outputs
        names = named_apart([field.name.removeprefix(KEEP) for field in self._kept], [ROW, *outputs.names])
        kept = [field.with_name(name) for field, name in zip(self._kept, names, strict=True)]
        return pa.schema([pa.field(ROW, pa.int64()), *kept, *outputs])

    @property
    def kept_names(self) -> list[str]:
        """The names of the kept columns in the tables."""
        return list(self.schema.names[1 : 1 + len(self._kept)])

    @cached_property
    def _outputs(self) -> pa.Schema:
        done = next((piece for piece in self._pieces if piece.chunk.state is ChunkState.DONE), None)
        if done is not None:
            return self._result(done).schema.remove_metadata()
        return result_schema(self._spec) if self._spec else _ERRORS

    @cached_property
    def _kept(self) -> list[pa.Field]:
        wanted = [KEEP + name for name in kept_columns(self._record.id_column, self._record.keep_columns)]
        if not wanted or not self._pieces:
            return [pa.field(name, pa.string()) for name in wanted]
        return list(self._rows(self._pieces[0]).select(wanted).schema)

    def _table(self, piece: Piece) -> pa.Table:
        first, stop = piece.first_row + piece.start, piece.first_row + piece.stop
        columns = [
            pa.array(np.arange(first, stop, dtype=np.int64)),
            *self._kept_of(piece),
            *self._outputs_of(piece),
        ]
        table = pa.table(columns, names=self.schema.names)
        return table if table.schema.equals(self.schema) else table.cast(self.schema)

    def _kept_of(self, piece: Piece) -> list[pa.ChunkedArray]:
        if not self._kept:
            return []
        rows = _cut(self._rows(piece), piece)
        return [rows[field.name] for field in self._kept]

    def _outputs_of(self, piece: Piece) -> list[pa.Array | pa.ChunkedArray]:
        if piece.chunk.state is ChunkState.DONE:
            return list(_cut(self._result(piece), piece).columns)
        rows = piece.stop - piece.start
        missing = [pa.nulls(rows, field.type) for field in list(self._outputs)[:-1]]
        return [*missing, pa.repeat(pa.scalar(piece.chunk.error, pa.string()), rows)]

    def _result(self, piece: Piece) -> pa.Table:
        if self._last_read is None or self._last_read[0] is not piece:
            self._last_read = None  # release it before the next is read
            self._last_read = piece, self._objects.result_table(piece.chunk)
        return self._last_read[1]

    def _rows(self, piece: Piece) -> pa.Table:
        return self._objects.rows_table(piece.chunk)


def _cut(table: pa.Table, piece: Piece) -> pa.Table:
    return table.slice(piece.start, piece.stop - piece.start)


class ErrorTables:
    """The failed rows of each piece: `row`, `id` if the job has an id column, and `error`."""

    def __init__(self, objects: JobObjects, record: JobRecord, pieces: Sequence[Piece]) -> None:
        whole = [Piece(piece.chunk, 0, piece.chunk.rows, piece.first_row) for piece in pieces]
        self._tables = ResultTables(objects, record, whole, None)
        self._pieces = pieces
        self._has_id = bool(record.id_column)

    def __iter__(self) -> Iterator[pa.Table]:
        for piece, table in zip(self._pieces, self._tables, strict=True):
            yield _cut(self._failed(table), piece)

    @cached_property
    def schema(self) -> pa.Schema:
        return self._failed(self._tables.schema.empty_table()).schema

    def _failed(self, table: pa.Table) -> pa.Table:
        wanted = {ROW: ROW} | ({ID: self._tables.kept_names[0]} if self._has_id else {}) | {ERROR: ERROR}
        failed = table.filter(pc.is_valid(table[ERROR]))
        return pa.table({name: failed[source] for name, source in wanted.items()})
