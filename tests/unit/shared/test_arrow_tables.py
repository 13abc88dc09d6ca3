"""Rows as Arrow tables: a predictor gets the same arrays from a job's chunks as from the online lane."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.arrow_tables import (
    Compression,
    batch_of_rows,
    columns_of_batch,
    input_schema,
    read_ipc,
    rows_of,
    write_ipc,
)
from shared.columns import of_rows, take
from shared.errors import PayloadError
from shared.specs import Row
from tests.support.specimens import every_type, rows_of_every_type, same

SPEC = every_type()


@given(rows_of_every_type())
def test_both_lanes_give_a_predictor_the_same_arrays(rows: list[Row]) -> None:
    from_job, online = columns_of_batch(SPEC, batch_of_rows(SPEC, rows)), of_rows(SPEC, rows)
    assert all(same(from_job[name], online[name]) for name in SPEC.input_names)


@given(rows_of_every_type(), st.data())
def test_a_slice_of_a_stored_chunk_gives_the_arrays_of_its_rows(rows: list[Row], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows) - 1))
    stop = data.draw(st.integers(start + 1, len(rows)))
    stored = read_ipc(write_ipc([batch_of_rows(SPEC, rows)], input_schema(SPEC)))
    (batch,) = stored.slice(start, stop - start).to_batches()
    sliced, online = columns_of_batch(SPEC, batch), take(of_rows(SPEC, rows), start, stop)
    assert all(same(sliced[name], online[name]) for name in SPEC.input_names)


@given(st.data())
def test_a_damaged_chunk_is_a_payload_error_and_nothing_else(data: st.DataObject) -> None:
    chunk = write_ipc([batch_of_rows(SPEC, [SPEC.example_row()])], input_schema(SPEC))
    end = data.draw(st.integers(0, len(chunk) // 2))
    with pytest.raises(PayloadError):
        read_ipc(chunk[:end])


def test_rows_come_back_plain_and_in_order() -> None:
    table = pa.table({"n": list(range(10_000)), "error": pa.nulls(10_000, pa.string())})
    rows = list(rows_of(table))
    assert [row["n"] for row in rows] == list(range(10_000))
    assert rows[0] == {"n": 0, "error": None}


@pytest.mark.parametrize("compression", ["lz4", None])
def test_a_chunk_says_itself_how_it_is_compressed(compression: Compression) -> None:
    batch = batch_of_rows(SPEC, [SPEC.example_row()] * 1000)
    written = write_ipc([batch], batch.schema, compression)
    assert read_ipc(written).to_batches() == [batch]
    assert (len(written) < batch.nbytes / 2) is (compression is not None)
