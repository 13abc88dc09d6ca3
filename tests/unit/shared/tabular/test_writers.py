"""Writers of each format: the same rows in order; and content negotiation."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from shared.errors import NotAcceptableError, PayloadError
from shared.tabular.content_negotiation import negotiated
from shared.tabular.file_formats import FileFormat
from shared.tabular.json_texts import FEW_ROWS, in_line, objects, texts
from shared.tabular.writers import JsonWriter, in_threads, result_objects, tabular, written

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("lot", pa.string()),
        pa.field("prediction", pa.string()),
        pa.field("probabilities", pa.list_(pa.float64())),
        pa.field("error", pa.string()),
    ]
)
KINDS = [pa.float64(), pa.string(), pa.list_(pa.float64())]
ROWS: list[dict[str, Any]] = [
    {"row": 0, "lot": 'a "b", ü\n', "prediction": "x", "probabilities": [0.1, 1 / 3], "error": None},
    {"row": 1, "lot": None, "prediction": None, "probabilities": None, "error": "it is, broken"},
    {"row": 2, "lot": "", "prediction": "y", "probabilities": [], "error": None},
]


class Given:
    """Tables in memory."""

    schema = SCHEMA

    def __iter__(self) -> Iterator[pa.Table]:
        yield pa.Table.from_pylist(ROWS[:2], schema=SCHEMA)
        yield pa.Table.from_pylist(ROWS[2:], schema=SCHEMA)


class Nothing(Given):
    def __iter__(self) -> Iterator[pa.Table]:
        return iter(())


def rendered(kind: FileFormat, tables: Given) -> bytes:
    return b"".join(written(tables, tabular(kind, SCHEMA)))


def test_ndjson_has_every_column_on_every_line() -> None:
    assert [json.loads(line) for line in rendered(FileFormat.NDJSON, Given()).splitlines()] == ROWS


def test_parquet_and_arrow_are_the_tables_themselves() -> None:
    parquet = pa.parquet.read_table(pa.BufferReader(rendered(FileFormat.PARQUET, Given())))
    arrow = pa.ipc.open_stream(rendered(FileFormat.ARROW, Given())).read_all()
    assert parquet.to_pylist() == arrow.to_pylist() == ROWS
    assert arrow.schema == SCHEMA


def test_csv_has_one_header_writes_lists_as_json_and_distinguishes_empty_from_missing() -> None:
    data = rendered(FileFormat.CSV, Given())
    options = pa.csv.ConvertOptions(
        strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
    )
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    table = pa.csv.read_csv(io.BytesIO(data), parse_options=parse, convert_options=options)
    rows = table.to_pylist()
    for row in rows:
        row["probabilities"] = row["probabilities"] and json.loads(row["probabilities"])
    assert rows == ROWS


@pytest.mark.parametrize("kind", [FileFormat.CSV, FileFormat.PARQUET, FileFormat.ARROW])
def test_nothing_has_its_columns_still(kind: FileFormat) -> None:
    data = rendered(kind, Nothing())
    readers = {
        FileFormat.CSV: lambda: pa.csv.read_csv(io.BytesIO(data)),
        FileFormat.PARQUET: lambda: pa.parquet.read_table(pa.BufferReader(data)),
        FileFormat.ARROW: lambda: pa.ipc.open_stream(data).read_all(),
    }
    table = readers[kind]()
    assert (table.num_rows, table.schema.names) == (0, SCHEMA.names)


def test_json_keeps_the_outputs_shape_and_adds_row_indexes_on_request() -> None:
    def results(*, placed: bool) -> Any:
        writer = JsonWriter("results", "j", 3, result_objects(["lot"], placed=placed))
        return json.loads(b"".join(written(Given(), writer)))

    plain = results(placed=False)
    assert (plain["job_id"], plain["total_count"]) == ("j", 3)
    assert plain["results"] == [
        {"prediction": "x", "probabilities": [0.1, 1 / 3]},
        {"error": "it is, broken"},
        {"prediction": "y", "probabilities": []},
    ]
    placed = results(placed=True)["results"]
    assert placed[0] == {"row": 0, "lot": ROWS[0]["lot"]} | plain["results"][0]
    assert placed[1] == {"row": 1, "lot": None, "error": "it is, broken"}
    empty = b"".join(written(Nothing(), JsonWriter("results", "j", 3, result_objects([], placed=False))))
    assert json.loads(empty) == {"job_id": "j", "results": [], "total_count": 3}


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_every_text_is_its_json(values: list[str | None]) -> None:
    assert [json.loads(text) for text in texts(pa.array(values, pa.string())).to_pylist()] == values


@given(st.lists(st.none() | st.floats()))
def test_numbers_are_json_numbers_and_non_finite_values_are_null(values: list[float | None]) -> None:
    found = [json.loads(text) for text in texts(pa.array(values, pa.float64())).to_pylist()]
    assert found == [v if v is not None and math.isfinite(v) else None for v in values]
    assert all(isinstance(number, float) for number in found if number is not None)


@given(st.lists(st.tuples(st.floats(), st.text(), st.lists(st.floats() | st.none())), min_size=1, max_size=3))
def test_few_rows_are_written_like_many_rows(rows: list[tuple[float, str, list[float | None]]]) -> None:
    columns = {
        name: pa.array(list(values), kind)
        for name, kind, values in zip("abc", KINDS, zip(*rows, strict=True), strict=True)
    }
    few = objects(columns, len(rows)).to_pylist()
    times = FEW_ROWS // len(rows) + 1
    repeated = {name: pa.concat_arrays([column] * times) for name, column in columns.items()}
    many = objects(repeated, len(rows) * times).to_pylist()
    assert [json.loads(text) for text in few] == [json.loads(text) for text in many[: len(rows)]]


def test_numbers_are_written_as_predict_writes_them() -> None:
    values = [1.0, -0.0, 0.1, 5.1, 1 / 3, 1e-5, 123456.0, 0.9999999999999999, None]
    assert texts(pa.array(values, pa.float64())).to_pylist() == [encode(value).decode() for value in values]


@given(
    st.lists(st.none() | st.lists(st.none() | st.lists(st.none() | st.integers(-9, 9)))), st.integers(0, 3)
)
def test_nested_lists_are_their_json_also_in_a_slice(values: list[Any], skipped: int) -> None:
    column = pa.array(values, pa.list_(pa.list_(pa.int64()))).slice(skipped)
    assert [json.loads(text) for text in texts(column).to_pylist()] == values[skipped:]


def test_other_types_have_their_json_text() -> None:
    moment = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
    columns = {
        "at": pa.array([moment], pa.timestamp("us", tz="UTC")),
        "day": pa.array([moment.date()]),
        "good": pa.array([True]),
        "place": pa.array([{"line": 2}]),
        "none": pa.nulls(1),
        "half": pa.array([0.5], pa.float32()),
        "fixed": pa.array([[1, 2]], pa.list_(pa.int64(), 2)),
    }
    assert json.loads(in_line(objects(columns, 1), ",")) == {
        "at": "2026-03-01T08:00:00.000000Z",
        "day": "2026-03-01",
        "good": True,
        "place": {"line": 2},
        "none": None,
        "half": 0.5,
        "fixed": [1, 2],
    }


@pytest.mark.parametrize(
    ("name", "accept", "expected"),
    [
        (None, None, FileFormat.JSON),
        (None, "", FileFormat.JSON),
        (None, "*/*", FileFormat.JSON),
        (None, "text/html,application/xhtml+xml,*/*;q=0.8", FileFormat.JSON),
        (None, "text/csv", FileFormat.CSV),
        (None, "Text/CSV; charset=utf-8", FileFormat.CSV),
        (None, "text/*", FileFormat.CSV),
        (None, "application/json;q=0.5, application/vnd.apache.parquet", FileFormat.PARQUET),
        (None, "application/json;q=0, */*", FileFormat.NDJSON),
        (None, "application/x-ndjson, application/json;q=0.9", FileFormat.NDJSON),
        (None, "application/vnd.apache.arrow.stream", FileFormat.ARROW),
        ("arrow", "text/csv", FileFormat.ARROW),
        ("json", "text/html", FileFormat.JSON),
    ],
)
def test_a_format_is_chosen_by_name_or_else_by_accept(
    name: str | None, accept: str | None, expected: FileFormat
) -> None:
    assert negotiated(name, accept) is expected


@pytest.mark.parametrize(
    ("name", "accept"), [("xlsx", None), (None, "text/html"), (None, "text/csv;q=0"), (None, "text/csv;q=x")]
)
def test_an_unknown_format_is_not_acceptable(name: str | None, accept: str | None) -> None:
    with pytest.raises(NotAcceptableError, match="parquet"):
        negotiated(name, accept)


def test_an_endpoint_offers_its_own_formats() -> None:
    with pytest.raises(NotAcceptableError):
        negotiated("parquet", None, (FileFormat.JSON, FileFormat.CSV))


def test_places_take_next_to_nothing_in_parquet() -> None:
    rows = pa.table({"row": np.arange(50_000)})
    writer = tabular(FileFormat.PARQUET, rows.schema)
    data = writer.write(rows) + writer.close()
    assert len(data) < 5_000
    assert pa.parquet.read_table(pa.BufferReader(data)).equals(rows)


async def test_a_part_is_made_while_the_previous_part_is_sent() -> None:
    made = [threading.Event() for _ in range(3)]

    def parts() -> Iterator[bytes]:
        for number, done in enumerate(made):
            done.set()
            yield b"%d" % number

    sent = in_threads(parts())
    assert await anext(sent) == b"0"
    assert await asyncio.to_thread(made[1].wait, 30)
    assert not made[2].is_set()
    assert [part async for part in sent] == [b"1", b"2"]


async def test_a_part_that_cannot_be_made_ends_the_answer_after_those_before_it() -> None:
    def parts() -> Iterator[bytes]:
        yield b"0"
        raise PayloadError("gone")

    sent = in_threads(parts())
    assert await anext(sent) == b"0"
    with pytest.raises(PayloadError):
        await anext(sent)
