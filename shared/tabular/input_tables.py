"""A job's stored rows as Arrow tables, by chunk: `row`, kept columns, inputs, and `error` of invalid rows.

Tensors and sequences are flat lists. Blocking: run it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from shared.arrow_tables import ERROR, KEEP, ROW, plain_input_name
from shared.job_payloads import JobObjects
from shared.tabular.result_pieces import Piece
from shared.tabular.result_tables import named_apart


class InputTables:
    """The tables of a response. They share a schema, which follows from the stored rows.

    Raises PayloadLostError and PayloadCorruptError if stored rows are missing or changed, and
    PayloadStoreAwayError.
    """

    def __init__(self, objects: JobObjects, pieces: Sequence[Piece]) -> None:
        self._objects = objects
        self._pieces = pieces

    def __iter__(self) -> Iterator[pa.Table]:
        return map(self._table, self._pieces)

    @cached_property
    def schema(self) -> pa.Schema:
        if not self._pieces:
            return pa.schema([pa.field(ROW, pa.int64())])
        return self._table(self._pieces[0]).schema

    def _table(self, piece: Piece) -> pa.Table:
        stored = self._objects.rows_table(piece.chunk).slice(piece.start, piece.stop - piece.start)
        first = piece.first_row + piece.start
        kept = [name for name in stored.column_names if name.startswith(KEEP)]
        inputs = [name for name in stored.column_names if name not in (ERROR, *kept)]
        has_errors = ERROR in stored.column_names
        names = list(map(plain_input_name, inputs))
        taken = [ROW, ERROR] if has_errors else [ROW]
        own = named_apart(names, taken)
        kept_own = named_apart([name.removeprefix(KEEP) for name in kept], [*taken, *own])
        columns = {ROW: pa.array(np.arange(first, first + stored.num_rows, dtype=np.int64))}
        columns |= dict(zip(kept_own, (stored[name] for name in kept), strict=True))
        columns |= dict(zip(own, (stored[name] for name in inputs), strict=True))
        return pa.table(columns | ({ERROR: stored[ERROR]} if has_errors else {}))
