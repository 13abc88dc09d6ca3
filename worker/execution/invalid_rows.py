"""Rows found invalid at submission: they are not predicted, and keep their place in the result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shared.arrow_tables import ERROR, first_row_of
from shared.ledger import FailedRows
from shared.safe_texts import bounded

MOST_NAMED = 10
"""Most reasons that the ledger keeps for the failed rows of a chunk."""
MOST_COUNTED_ROWS = 100_000
"""Failed rows of a chunk that are grouped by reason; further failed rows count only in the total."""
_LONGEST_REASON = 200
_VALUE = re.compile(r"'[^']*'|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_LINE = re.compile(r" \(line (\d+)\)$")


@dataclass(frozen=True)
class InvalidRows:
    """The invalid rows of a chunk. `reasons`: by row, null for a valid row; None: all rows are valid."""

    first_row: int | None  # index in the job of the chunk's first row
    reasons: pa.Array | None = None

    def put_back(self, predicted: pa.Table) -> pa.Table:
        """The results of all rows: predictions of the valid rows, reasons of the invalid rows."""
        if self.reasons is None:
            return predicted
        valid = pc.is_null(self.reasons).to_numpy(zero_copy_only=False)
        places = pa.array(np.cumsum(valid) - 1, mask=~valid)
        whole = predicted.take(places)
        error = pc.coalesce(whole[ERROR], pa.chunked_array([self.reasons]))
        return whole.set_column(whole.schema.get_field_index(ERROR), whole.schema.field(ERROR), error)


@dataclass(frozen=True)
class Failures:
    """The number of failed rows of a chunk, and the most frequent reasons."""

    rows: int
    first: tuple[FailedRows, ...] = ()


def part_rows(chunk: pa.Table) -> tuple[InvalidRows, pa.RecordBatch]:
    """A stored chunk → its invalid rows, and its valid rows."""
    first_row = first_row_of(chunk)
    if ERROR not in chunk.column_names:
        return InvalidRows(first_row), _one_batch(chunk)
    reasons = chunk[ERROR].combine_chunks()
    if reasons.null_count == len(reasons):
        return InvalidRows(first_row), _one_batch(chunk)
    return InvalidRows(first_row, reasons), _one_batch(chunk.filter(pc.is_null(reasons)))


def failures_of(answer: pa.Table, first_row: int | None) -> Failures:
    """Count the failures in `answer`. `first_row`: index in the job of its first row; None: unknown."""
    failed = pc.indices_nonzero(pc.is_valid(answer[ERROR]))
    if not len(failed):
        return Failures(0)
    counted = failed[:MOST_COUNTED_ROWS]
    texts = answer[ERROR].take(counted).to_pylist()
    groups: dict[str, list[int]] = {}  # by key: rows, index of the first
    for place, text in enumerate(texts):
        group = groups.setdefault(_key(text), [0, place])
        group[0] += 1
    most = sorted(groups.items(), key=lambda item: (-item[1][0], item[1][1]))[:MOST_NAMED]
    named = [
        _named(key, texts[place], rows, counted[place].as_py(), first_row)
        for key, (rows, place) in sorted(most, key=lambda item: item[1][1])
    ]
    return Failures(len(failed), tuple(named))


@lru_cache(maxsize=1024)
def _key(text: str) -> str:
    """A reason without its values and line numbers, which differ from row to row."""
    return _VALUE.sub("…", _LINE.sub("", text))[:_LONGEST_REASON]


def _named(key: str, text: str, rows: int, row: int, first_row: int | None) -> FailedRows:
    where = f"row {first_row + row}" if first_row is not None else f"row {row} of its chunk"
    line = _LINE.search(text)
    if line is not None:
        where, text = f"{where} (line {line[1]})", text[: line.start()]
    return FailedRows(key=key, text=bounded(text, _LONGEST_REASON), rows=rows, first=where)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
