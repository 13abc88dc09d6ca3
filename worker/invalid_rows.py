"""Rows that were found invalid as they came in: never predicted, and yet in the result, in their place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shared.tables import ERROR, first_row_of

MOST_NAMED = 5
"""Failed rows of a chunk whose reasons the ledger is told."""
_LONGEST_REASON = 300


@dataclass(frozen=True)
class InvalidRows:
    """What a chunk says of its rows. `reasons`: one per row, null where it is valid; none: all are."""

    first_row: int | None  # of the chunk, in its job
    reasons: pa.Array | None = None

    def put_back(self, predicted: pa.Table) -> pa.Table:
        """The results of all rows: those of the valid ones, and the others' reasons."""
        if self.reasons is None:
            return predicted
        valid = pc.is_null(self.reasons).to_numpy(zero_copy_only=False)
        places = pa.array(np.cumsum(valid) - 1, mask=~valid)
        whole = predicted.take(places)
        error = pc.coalesce(whole[ERROR], pa.chunked_array([self.reasons]))
        return whole.set_column(whole.schema.get_field_index(ERROR), whole.schema.field(ERROR), error)


@dataclass(frozen=True)
class Failures:
    """Of a chunk's rows, how many failed, and what the first of them say."""

    rows: int
    first: tuple[str, ...] = ()


def part_rows(chunk: pa.Table) -> tuple[InvalidRows, pa.RecordBatch]:
    """A stored chunk → what is invalid in it, and its valid rows."""
    first_row = first_row_of(chunk)
    if ERROR not in chunk.column_names:
        return InvalidRows(first_row), _one_batch(chunk)
    reasons = chunk[ERROR].combine_chunks()
    if reasons.null_count == len(reasons):
        return InvalidRows(first_row), _one_batch(chunk)
    return InvalidRows(first_row, reasons), _one_batch(chunk.filter(pc.is_null(reasons)))


def failures_of(answer: pa.Table, first_row: int | None) -> Failures:
    """`answer`: the results of a chunk that begins with this row of its job, where that is known."""
    failed = pc.indices_nonzero(pc.is_valid(answer[ERROR]))
    named = [_named(answer, row, first_row) for row in failed[:MOST_NAMED].to_pylist()]
    return Failures(len(failed), tuple(named))


def _named(answer: pa.Table, row: int, first_row: int | None) -> str:
    where = f"row {first_row + row}" if first_row is not None else f"row {row} of its chunk"
    return f"{where}: {answer[ERROR][row].as_py()}"[:_LONGEST_REASON]


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
