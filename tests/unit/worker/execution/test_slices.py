"""A chunk with invalid rows: they are not predicted, keep their places, and count as failed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from shared.arrow_tables import (
    columns_of_batch,
    numbered,
    read_ipc,
    result_schema,
    streamed_schema,
    write_ipc,
)
from shared.columns import Columns, row_count
from shared.ledger import FailedRows
from shared.specs import Row
from tests.support.specimens import classifier
from worker.execution.invalid_rows import Failures, failures_of, part_rows
from worker.execution.slices import ChunkWork

SPEC = classifier(inputs=[{"name": "x", "type": "int64", "example": 1}])


class Recorder:
    """A predictor that records its input, and raises on negative numbers."""

    spec = SPEC
    decoder = None

    def __init__(self) -> None:
        self.seen: list[int] = []

    def predict(self, columns: Columns) -> Any:
        import numpy as np

        assert columns["x"].dtype == np.int64
        if (columns["x"] < 0).any():
            raise ValueError("negative")
        self.seen += columns["x"].tolist()
        return np.eye(3)[np.arange(row_count(columns)) % 3]


def chunk(rows: list[tuple[int | None, str | None]], first_row: int | None = 100) -> pa.Table:
    """A stored chunk, with its kept column."""
    schema = streamed_schema(SPEC, {"id": pa.string()})
    if first_row is not None:
        schema = numbered(schema, first_row)
    records: list[Row] = [{"x": x, "error": error, "keep:id": "i"} for x, error in rows]
    return read_ipc(write_ipc([pa.RecordBatch.from_pylist(records, schema=schema)], schema))


def failed(reason: str, row: int) -> FailedRows:
    return FailedRows(key=reason, text=reason, rows=1, first=f"row {row}")


def run(table: pa.Table) -> tuple[list[int], list[str | None], Failures]:
    """→ the predicted rows, each row's error, and the committed failures."""
    predictor = Recorder()
    invalid, valid = part_rows(table)
    work = ChunkWork(predictor, "job/0", columns_of_batch(SPEC, valid), invalid)  # type: ignore[arg-type]
    while not work.complete:
        work.run_slice(2, lambda: None)
    answer = work.answer()
    assert answer.schema == result_schema(SPEC)
    assert [label is None for label in answer["label"].to_pylist()] == [
        error is not None for error in answer["error"].to_pylist()
    ]
    return predictor.seen, answer["error"].to_pylist(), failures_of(answer, invalid.first_row)


def test_invalid_rows_are_skipped_and_stand_in_their_places() -> None:
    seen, errors, failures = run(chunk([(1, None), (None, "x: is missing"), (3, None), (9, "no"), (5, None)]))
    assert seen == [1, 3, 5]
    assert errors == [None, "x: is missing", None, "no", None]
    assert failures == Failures(2, (failed("x: is missing", 101), failed("no", 103)))


def test_a_row_that_the_model_fails_on_counts_with_the_invalid_rows() -> None:
    _, errors, failures = run(chunk([(1, None), (-2, None), (None, "bad")]))
    assert errors == [None, "The model raised ValueError: negative", "bad"]
    assert failures == Failures(2, (failed("The model raised ValueError: negative", 101), failed("bad", 102)))


@pytest.mark.parametrize("rows", [[(None, "bad")], [(None, "bad"), (None, "worse")]])
def test_a_chunk_without_a_valid_row_needs_no_engine(rows: list[tuple[int | None, str | None]]) -> None:
    seen, errors, failures = run(chunk(rows))
    assert seen == []
    assert errors == [error for _, error in rows]
    assert failures.rows == len(rows)


def test_a_chunk_whose_rows_are_all_valid_is_as_it_was() -> None:
    seen, errors, failures = run(chunk([(1, None), (2, None)]))
    assert (seen, errors, failures) == ([1, 2], [None, None], Failures(0))


def test_a_chunk_that_does_not_say_where_it_begins_names_its_own_row() -> None:
    assert run(chunk([(None, "bad")], first_row=None))[2].first == (
        FailedRows(key="bad", text="bad", rows=1, first="row 0 of its chunk"),
    )


def test_failed_rows_are_counted_by_their_reasons_whatever_their_values() -> None:
    reasons = [None, "x: 'a' is not a number (line 3)", "no", "x: 'b' is not a number (line 5)"]
    answer = pa.table({"error": pa.array([*reasons, "no", *["x: 'c' is not a number"] * 9], pa.string())})
    assert failures_of(answer, 100) == Failures(
        13,
        (
            FailedRows(
                key="x: … is not a number", text="x: 'a' is not a number", rows=11, first="row 101 (line 3)"
            ),
            FailedRows(key="no", text="no", rows=2, first="row 102"),
        ),
    )


def test_of_many_reasons_the_commonest_are_kept_and_none_is_long() -> None:
    letters = [chr(ord("a") + n) for n in range(20)]
    answer = pa.table({"error": pa.array([*letters, "z" * 10_000, "z" * 10_000], pa.string())})
    failures = failures_of(answer, 0)
    assert (failures.rows, len(failures.first)) == (22, 10)
    assert failures.first[-1].rows == 2
    assert len(failures.first[-1].text) <= 200
