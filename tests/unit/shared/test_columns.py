"""Rows as columns: encoding, cutting and joining return the original values to a predictor."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.columns import Joiner, cut, encode_rows, join, microseconds, of_rows, row_count, take, wire_rows
from shared.messages import SCHEMA, Column, Entry, decode_entry, encode
from shared.specs import Row
from tests.support.specimens import declaration, every_type, rows_of_every_type, same

SPEC = every_type()


@given(rows_of_every_type())
def test_the_wire_keeps_every_value(rows: list[Row]) -> None:
    arrays = of_rows(SPEC, rows)
    for name in ("a_float", "a_float32", "a_int64", "a_bool", "a_string"):
        assert arrays[name].tolist() == [row[name] for row in rows]
    assert arrays["tensor"].tolist() == [row["tensor"] for row in rows]
    assert arrays["maybe_string"].tolist() == [row["maybe_string"] for row in rows]
    assert arrays["a_datetime"].tolist() == [row["a_datetime"].replace(tzinfo=None) for row in rows]
    assert np.isnat(arrays["maybe_datetime"]).tolist() == [row["maybe_datetime"] is None for row in rows]
    assert np.isnan(arrays["maybe_int64"]).tolist() == [row["maybe_int64"] is None for row in rows]


@given(rows_of_every_type(), st.data())
def test_entries_joined_are_the_rows_they_were_cut_from(rows: list[Row], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows)))
    wire = encode_rows(SPEC, rows)
    parts = [cut(SPEC, wire, 0, at), cut(SPEC, wire, at, len(rows))]
    joined, whole = join(SPEC, parts), of_rows(SPEC, rows)
    assert all(same(joined[name], whole[name]) for name in SPEC.input_names)


@given(rows_of_every_type(), st.data())
def test_a_piece_of_the_wire_is_a_piece_of_the_arrays(rows: list[Row], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows) - 1))
    stop = data.draw(st.integers(start, len(rows)))
    wire = cut(SPEC, encode_rows(SPEC, rows), start, stop)
    piece, taken = join(SPEC, [wire]), take(of_rows(SPEC, rows), start, stop)
    assert wire_rows(SPEC, wire) == row_count(taken) == stop - start
    assert all(same(piece[name], taken[name]) for name in SPEC.input_names)


@given(rows_of_every_type())
def test_columns_survive_the_message_that_carries_them(rows: list[Row]) -> None:
    wire = encode_rows(SPEC, rows)
    entry = decode_entry(encode(Entry(SCHEMA, "gateway:1", 1, 0, 1000, len(rows), wire)))
    assert entry.columns == wire


def test_a_moment_is_kept_in_utc_whatever_its_zone() -> None:
    in_seoul = datetime(2026, 3, 2, 15, 30, tzinfo=timezone(timedelta(hours=9)))
    naive = datetime(2026, 3, 2, 6, 30)  # noqa: DTZ001 - a moment without a zone is the subject
    assert microseconds(in_seoul) == microseconds(naive)


def test_batches_are_writable_so_that_torch_takes_them_without_a_copy() -> None:
    assert all(array.flags.writeable for array in of_rows(SPEC, [SPEC.example_row()]).values())


TWO = declaration(
    inputs=[
        {"name": "x", "type": "float", "example": 1.0},
        {"name": "s", "type": "string", "example": "a"},
    ]
)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ([bytes(8)], "1 columns, but specimen has 2 inputs"),
        ([bytes(8), ["a", "b"]], "differ in length"),
        ([bytes(7), ["a"]], "x: 7 bytes are not a multiple of 8"),
        ([[1, 2], ["a", "b"]], "x: a column of float does not travel as list"),
        ([bytes(8), b"a"], "s: a column of string does not travel as bytes"),
    ],
)
def test_columns_that_the_spec_does_not_declare_are_refused(columns: list[Column], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        join(TWO, [columns])


@pytest.mark.parametrize(
    ("columns", "rows", "why"),
    [
        ([bytes(16), ["a", "b"]], 1, "declares 1 rows, but its columns hold 2"),
        ([bytes(8), ["a"]], 2, "declares 2 rows, but its columns hold 1"),
        ([bytes(8), b"a"], 1, "s: a column of string does not travel as bytes"),
        ([bytes(8), ["a"], bytes(8)], 1, "3 columns, but specimen has 2 inputs"),
    ],
)
def test_an_entry_with_other_rows_than_it_declares_is_refused(
    columns: list[Column], rows: int, why: str
) -> None:
    good: list[Column] = [bytes(8), ["a"]]
    with pytest.raises(ValueError, match=why):
        Joiner(TWO)([good, columns], [1, rows])
