"""Reading of files in every format, and errors of rows and files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from shared.arrow_tables import batch_of_rows, first_row_of, read_ipc
from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.specs import ModelSpec, Row
from shared.tabular import casting
from shared.tabular.column_matching import match_columns
from shared.tabular.content_types import Packing, Wrapping
from shared.tabular.file_formats import FileFormat
from shared.tabular.reading import Reading, ReadSummary, UploadLimits
from shared.tabular.upload_options import UploadOptions, read_options
from shared.validation import RowValidator
from tests.support.specimens import every_type, rows_of_every_type
from tests.unit.gateway_fakes import CLASSIFIER, IRIS, QUALITY

LIMITS = UploadLimits(job_bytes=50_000_000, chunk_rows=1000, chunk_bytes=8_000_000, spool_dir=None)
IRIS_HEADER = "sepal_length,sepal_width,petal_length,petal_width\n"
QUALITY_ROW = {
    "machine": "사출-07",
    "product": "housing",
    "shift": "day",
    "resin_lot": None,
    "melt_temperature_c": 226.5,
    "mold_temperature_c": None,
    "torque_nm": 47,
    "pressure_bar": 910.25,
    "cycle_time_s": 29.8,
    "operators": 2,
    "maintenance_due": False,
    "produced_at": "2026-03-03T18:30:00+09:00",
}


def read(
    body: bytes,
    kind: FileFormat,
    spec: ModelSpec = IRIS,
    *,
    packing: Packing = Packing.NONE,
    limits: UploadLimits = LIMITS,
    **options: Any,
) -> tuple[list[Row], ReadSummary]:
    """Returns the stored rows of a file and its summary."""
    tally = ReadSummary()
    chosen = UploadOptions(model=spec.name, **options)
    reading = Reading(Wrapping(kind, packing), RowValidator(spec), chosen, limits)
    chunks = [read_ipc(chunk.data) for chunk in reading.chunks(io.BytesIO(body), tally)]
    firsts = np.cumsum([0, *(len(chunk) for chunk in chunks)])
    assert [first_row_of(chunk) for chunk in chunks] == firsts[:-1].tolist()
    assert firsts[-1] == tally.rows
    return [row for chunk in chunks for row in chunk.to_pylist()], tally


def csv(text: str, spec: ModelSpec = IRIS, **more: Any) -> tuple[list[Row], ReadSummary]:
    return read(text.encode(), FileFormat.CSV, spec, **more)


def valid(rows: list[Row]) -> list[Row]:
    """Returns the rows; requires that none has an error."""
    assert [row.pop("error") for row in rows] == [None] * len(rows)
    return rows


def quality_csv(row: dict[str, Any], *, sep: str = ",", decimal: str = ".") -> str:
    cells = ["" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in row.values()]
    written = [
        c.replace(".", decimal) if isinstance(v, float) else c
        for c, v in zip(cells, row.values(), strict=True)
    ]
    return sep.join(row) + "\n" + sep.join(written) + "\n"


def quality_by_json() -> list[Row]:
    """Returns the row as stored for a JSON body."""
    validator = RowValidator(QUALITY)
    values = validator.read_rows(json.dumps([QUALITY_ROW]).encode(), 0)
    row = dict(zip(QUALITY.input_names, [v[0] for v in values], strict=True))
    rows: list[Row] = batch_of_rows(QUALITY, [row]).to_pylist()
    return rows


def test_csv_columns_are_found_by_name_in_any_order() -> None:
    rows, tally = csv("petal_width,note,sepal_length,petal_length,sepal_width\n1,x,2,3,4\r\n")
    assert valid(rows) == [{"sepal_length": 2, "sepal_width": 4, "petal_length": 3, "petal_width": 1}]
    assert tally.ignored_columns == ("note",)


@pytest.mark.parametrize(
    ("charset", "options", "sep", "decimal"),
    [
        ("utf-8", {}, ",", "."),
        ("utf-8-sig", {}, ",", "."),
        ("cp949", {"charset": "cp949"}, ",", "."),
        ("euc-kr", {"charset": "EUC-KR", "delimiter": ";", "decimal": ","}, ";", ","),
        ("utf-16", {"charset": "utf-16", "delimiter": "tab"}, "\t", "."),
    ],
)
def test_csv_of_any_charset_and_dialect_is_the_json_row(
    charset: str, options: dict[str, Any], sep: str, decimal: str
) -> None:
    body = quality_csv(QUALITY_ROW, sep=sep, decimal=decimal).encode(charset)
    rows, _ = read(body, FileFormat.CSV, QUALITY, **options)
    assert valid(rows) == quality_by_json()


def test_an_ndjson_row_is_the_json_row() -> None:
    line = json.dumps(QUALITY_ROW, ensure_ascii=False).encode()
    rows, _ = read(b"\xef\xbb\xbf" + line + b"\r\n\n", FileFormat.NDJSON, QUALITY)
    assert valid(rows) == quality_by_json()


@given(rows=rows_of_every_type())
@settings(max_examples=8, deadline=None)
def test_arrow_and_parquet_of_every_type_come_through_unchanged(rows: list[Row]) -> None:
    spec = every_type()
    given_batch = batch_of_rows(spec, rows)
    expected = given_batch.to_pylist()
    for kind in (FileFormat.ARROW, FileFormat.ARROW_FILE, FileFormat.PARQUET):
        found, _ = read(packed(pa.Table.from_batches([given_batch]), kind), kind, spec)
        assert valid(found) == expected


def packed(table: pa.Table, kind: FileFormat) -> bytes:
    sink = pa.BufferOutputStream()
    if kind is FileFormat.PARQUET:
        parquet.write_table(table, sink)
    else:
        make = pa.ipc.new_stream if kind is FileFormat.ARROW else pa.ipc.new_file
        with make(sink, table.schema) as writer:
            writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def test_pandas_like_columns_are_cast() -> None:
    spec = every_type()
    row = dict.fromkeys(spec.input_names)
    table = pa.table(
        {name: pa.array([None]) for name in row}
        | {
            "a_float": pa.array([1], pa.int8()),
            "a_float32": pa.array([0.5]),
            "a_int64": pa.array([7.0]),
            "maybe_int64": pa.array([float("nan")]),
            "a_bool": pa.array([True]),
            "a_string": pa.array(["x"]).dictionary_encode(),
            "a_datetime": pa.array([0], pa.timestamp("ns")),
            "tensor": pa.array([[[1, 2, 3], [4, 5, 6]]]),
        }
    )
    (found,), _ = read(packed(table, FileFormat.PARQUET), FileFormat.PARQUET, spec)
    assert found["error"] is None
    assert (found["a_float"], found["a_int64"], found["maybe_int64"]) == (1.0, 7, None)
    assert found["tensor"] == [1, 2, 3, 4, 5, 6]


def test_an_invalid_row_bears_its_reason_and_its_neighbours_do_not() -> None:
    lines = ["1,1,1,1", "x,1,1,1", "1,1", "1,11,,inf", "1,1,1,1,1", "2,2,2,2"]
    rows, tally = csv(IRIS_HEADER + "\n".join(lines))
    reasons = [row["error"] for row in rows]
    assert [reasons[i] for i in (0, 5)] == [None, None]
    assert reasons[1] == "sepal_length: 'x' is not a number (line 3)"
    assert reasons[2] == "has 2 cells, but the header has 4 (line 4)"
    assert reasons[3] == (
        "sepal_width: '11' is greater than 10; petal_length: is missing; petal_width: 'inf' is not finite "
        "(line 5)"
    )
    assert reasons[4] == "has 5 cells, but the header has 4 (line 6)"
    assert (tally.rows, tally.rows_failed) == (6, 4)
    assert [f"{p.reason} (line {p.line})" for p in tally.problems] == reasons[1:5]
    assert [p.row for p in tally.problems] == [1, 2, 3, 4]


def test_lame_lines_stand_in_their_places_across_blocks() -> None:
    lines = [f"{i % 10},1,1,1" if i % 1000 else "lame" for i in range(300_000)]
    rows, tally = csv(IRIS_HEADER + "\n".join(lines))
    assert tally.rows_failed == 300
    assert [i for i, row in enumerate(rows) if row["error"]] == list(range(0, 300_000, 1000))
    assert all(row["error"] or row["sepal_length"] == i % 10 for i, row in enumerate(rows))


LAME_LINE = "1," + "1" * 500 + "\n"


@pytest.mark.parametrize("count", [1, 3, 5000], ids=["one", "some", "several blocks"])
def test_a_csv_of_nothing_but_lame_lines_has_a_failed_row_for_each(count: int) -> None:
    rows, tally = csv(IRIS_HEADER + LAME_LINE * count)
    assert (tally.rows, tally.rows_failed) == (count, count)
    assert [row["error"] for row in rows] == [
        f"has 2 cells, but the header has 4 (line {line})" for line in range(2, 2 + count)
    ]


def test_a_row_after_blocks_of_lame_lines_keeps_its_index() -> None:
    rows, tally = csv(IRIS_HEADER + LAME_LINE * 5000 + "7,1,1,1\n")
    assert (tally.rows, tally.rows_failed) == (5001, 5000)
    assert (rows[-1]["error"], rows[-1]["sepal_length"]) == (None, 7.0)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("operators", "3.0", "operators: '3.0' is not a 64-bit integer"),
        ("operators", "99999999999999999999", "is not a 64-bit integer"),
        ("operators", "21", "operators: '21' is greater than 20"),
        ("product", "Gear", "product: 'Gear' is not one of the allowed values"),
        ("product", None, "product: is missing"),
        ("machine", "x" * 33, "machine: has more than 32 characters"),
        ("maintenance_due", "yes", "maintenance_due: 'yes' is not true, false, 1 or 0"),
        ("produced_at", "2026-03-03", "produced_at: '2026-03-03' is not a date and time as in RFC 3339"),
        ("produced_at", "2026-13-03T00:00:00", "is not a date and time"),
        ("operators", "0x2", "operators: '0x2' is not a 64-bit integer"),
        ("torque_nm", "1.234,5", "torque_nm: '1.234,5' is not a number"),
    ],
)
def test_a_csv_value_that_does_not_fit_is_named(field: str, value: str | None, reason: str) -> None:
    text = quality_csv(QUALITY_ROW | {field: value}, sep=";")
    (row,), _ = csv(text, QUALITY, delimiter=";")
    assert reason in row["error"]


def test_a_tensor_takes_a_column_per_value() -> None:
    header = ",".join(f"features_{i}" for i in range(10))
    good, bad, worse = "0,1,2,3,4,5,6,7,8,9", "0,1,x,3,4,,6,7,8,9", ",,,,,,,,,2000"
    rows, _ = csv("\n".join([header, good, bad, worse]), CLASSIFIER)
    assert rows[0] == {"features": list(range(10)), "error": None}
    assert rows[1]["error"] == "features: 'x' is not a number (line 3)"
    assert rows[2]["error"] == "features: is missing (line 4)"


def test_a_list_of_another_length_is_an_invalid_row() -> None:
    table = pa.table({"features": [[1.0] * 10, [1.0] * 9, None, [*[1.0] * 9, 5000.0], [2.0] * 10]})
    rows, _ = read(packed(table, FileFormat.ARROW), FileFormat.ARROW, CLASSIFIER)
    assert [bool(row["error"]) for row in rows] == [False, True, True, True, False]
    assert rows[4]["features"] == [2.0] * 10
    assert rows[3]["error"] == "features: '5000' is greater than 1000"


def test_an_invalid_ndjson_line_bears_its_reason() -> None:
    lines = [
        b"[1,1,1,1]",
        b"{",
        b'{"sepal_length":1}',
        b"[1,2,3]",
        b"[1,1,1,1],[1,1,1,1]",
        b"[2,2,2,2]",
    ]
    rows, tally = read(b"\n".join(lines), FileFormat.NDJSON)
    assert [row["error"] is None for row in rows] == [True, False, False, False, False, True]
    assert "sepal_width: Field required" in rows[2]["error"]
    assert rows[5]["sepal_length"] == 2
    assert tally.rows_failed == 4


def test_kept_columns_come_along() -> None:
    text = IRIS_HEADER.strip() + ",lot,id\n1,1,1,1,A,7\nx,1,1,1,,8\n"
    rows, tally = csv(text, keep_columns=("lot",), id_column="id")
    assert [(row["keep:id"], row["keep:lot"]) for row in rows] == [("7", "A"), ("8", None)]
    assert tally.ignored_columns == ()
    line = {"sepal_length": 1, "sepal_width": 1, "petal_length": 1, "petal_width": 1, "id": 7}
    rows, _ = read(
        json.dumps(line).encode(), FileFormat.NDJSON, id_column="id", keep_columns=("petal_width",)
    )
    assert (rows[0]["keep:id"], rows[0]["keep:petal_width"], rows[0]["error"]) == ("7", "1", None)


def test_kept_values_of_ndjson_are_texts_for_any_types() -> None:
    flower = {"sepal_length": 1, "sepal_width": 1, "petal_length": 1, "petal_width": 1}
    values = [7, 7.5, "x", None, True, {"line": 2}, [1]]
    lines = [json.dumps(flower | {"lot": value}).encode() for value in values]
    rows, _ = read(b"\n".join(lines), FileFormat.NDJSON, keep_columns=("lot",))
    assert [row["keep:lot"] for row in rows] == ["7", "7.5", "x", None, "true", '{"line":2}', "[1]"]


def test_values_may_hold_newlines_quotes_delimiters_and_nul() -> None:
    row = QUALITY_ROW | {"machine": '"a\n""b"",\x00"'}
    (found,), _ = csv(quality_csv(row), QUALITY)
    assert (found["machine"], found["error"]) == ('a\n"b",\x00', None)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"", FileFormat.CSV, "empty"),
        (IRIS_HEADER.encode(), FileFormat.CSV, "no row"),
        (b"a,b\n1,2\n", FileFormat.CSV, "column 'sepal_length' is missing"),
        (b"sepal_length," + IRIS_HEADER.encode() + b"1,1,1,1,1\n", FileFormat.CSV, "duplicate column"),
        ("꽃받침".encode("cp949") + b"\n1\n", FileFormat.CSV, "charset"),
        (IRIS_HEADER.encode() + b"1,1,1," + b"9" * 3_000_000, FileFormat.CSV, "cannot be read"),
        (b"PK\x03\x04", FileFormat.CSV, "ZIP archive"),
        (b"", FileFormat.NDJSON, "no row"),
        (b"\n\n", FileFormat.NDJSON, "no row"),
        (b"[" * 2_000_000, FileFormat.NDJSON, "longer"),
        (b"", FileFormat.PARQUET, "cannot be read"),
        (b"PAR1 and so on PAR1", FileFormat.PARQUET, "cannot be read"),
        (b"", FileFormat.ARROW, "cannot be read"),
        (b"ARROW1", FileFormat.ARROW_FILE, "not an Arrow file"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f", FileFormat.ARROW, "cannot be read|larger"),
    ],
)
def test_an_unreadable_file_is_rejected(body: bytes, kind: FileFormat, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read(body, kind)


@pytest.mark.parametrize("kind", [FileFormat.PARQUET, FileFormat.ARROW])
def test_a_truncated_file_is_refused(kind: FileFormat) -> None:
    table = pa.table({name: np.arange(10_000) % 10 for name in IRIS.input_names})
    with pytest.raises(InvalidInputError, match=r"cannot be read|is cut off"):
        read(packed(table, kind)[:-2000], kind)


def test_a_column_of_another_type_is_refused_by_name() -> None:
    table = pa.table({name: [True] for name in IRIS.input_names})
    with pytest.raises(InvalidInputError, match="'sepal_length' is bool"):
        read(packed(table, FileFormat.PARQUET), FileFormat.PARQUET)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_packed_files_are_unpacked_with_all_their_members(packing: Packing) -> None:
    head, tail = IRIS_HEADER.encode() + b"1,1,1,1\n", b"2,2,2,2\n"
    body = pack(head, packing) + pack(tail, packing)
    rows, _ = read(body, FileFormat.CSV, packing=packing)
    assert [row["sepal_length"] for row in rows] == [1, 2]
    with pytest.raises(InvalidInputError, match="compressed with"):
        read(body[:-6], FileFormat.CSV, packing=packing)
    with pytest.raises(InvalidInputError, match="compressed with"):
        read(head, FileFormat.CSV, packing=packing)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_a_bomb_is_cut_off_early(packing: Packing) -> None:
    bomb = pack(IRIS_HEADER.encode() + b"1,1,1,1\n" * 5_000_000, packing)
    few = UploadLimits(job_bytes=2_000_000, chunk_rows=1000, chunk_bytes=8_000_000, spool_dir=None)
    tally = ReadSummary()
    reading = Reading(Wrapping(FileFormat.CSV, packing), RowValidator(IRIS), UploadOptions(model="iris"), few)
    with pytest.raises(PayloadTooLargeError):
        list(reading.chunks(io.BytesIO(bomb), tally))
    assert tally.rows < 500_000


def test_a_parquet_bomb_is_cut_off_by_its_rows() -> None:
    table = pa.table({name: pa.array(np.ones(1_000_000)) for name in IRIS.input_names})
    few = UploadLimits(job_bytes=3_000_000, chunk_rows=1000, chunk_bytes=8_000_000, spool_dir=None)
    body = packed(table, FileFormat.PARQUET)
    assert len(body) < 1_000_000
    with pytest.raises(PayloadTooLargeError):
        read(body, FileFormat.PARQUET, limits=few)


def pack(data: bytes, packing: Packing) -> bytes:
    if packing is Packing.GZIP:
        return gzip.compress(data)
    zstd: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return zstd


def test_an_unknown_charset_is_named() -> None:
    with pytest.raises(InvalidInputError, match="unknown charset 'klingon'"):
        csv(IRIS_HEADER, charset="klingon")
    with pytest.raises(InvalidInputError, match="is not cp949"):
        read(IRIS_HEADER.encode() + b"\xff\xff,1,1,1\n", FileFormat.CSV, charset="cp949")


@pytest.mark.parametrize(
    ("text", "count", "share"),
    [("25", 25, None), ("0", 0, None), ("10%", None, 0.1), ("0.25", None, 0.25), ("100 %", None, 1.0)],
)
def test_an_error_budget_is_a_count_or_a_share(text: str, count: int | None, share: float | None) -> None:
    budget = read_options([("model", "iris"), ("max_errors", text)]).max_errors
    assert (budget.count, budget.share) == (count, share)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("model", "iris"), ("model", "iris")],
        [("model", "iris"), ("colour", "red")],
        [("model", "iris"), ("max_errors", "many")],
        [("model", "iris"), ("max_errors", "120%")],
        [("model", "iris"), ("priority", "10")],
        [("model", "iris"), ("delimiter", ";;")],
        [("model", "iris"), ("decimal", ",")],
    ],
)
def test_a_wrong_parameter_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidInputError):
        read_options(pairs)


def test_blanks_and_plus_signs_around_numbers_do_no_harm() -> None:
    row = QUALITY_ROW | {
        "operators": " +2 ",
        "torque_nm": "  ",
        "produced_at": "2026-03-03t09:30:00.1234567 ",
    }
    (found,), _ = csv(quality_csv(row), QUALITY)
    assert (found["error"], found["operators"], found["torque_nm"]) == (None, 2, None)
    assert found["produced_at"].microsecond == 123456


def extremes() -> st.SearchStrategy[list[float]]:
    edges = [0.0, -0.0, 10.0, 10.5, -1.0, 1e39, -1e300, float("inf"), float("-inf"), float("nan")]
    return st.lists(st.sampled_from(edges) | st.floats(0, 10), min_size=1, max_size=4)


@given(extremes(), st.sampled_from([pa.float64(), pa.float32(), pa.string()]))
def test_a_column_is_judged_by_its_extremes_as_value_by_value(values: list[float], kind: pa.DataType) -> None:
    given = (
        pa.array([str(value) for value in values], kind) if kind == pa.string() else pa.array(values, kind)
    )
    columns = dict.fromkeys(IRIS.input_names, given)
    batch = pa.RecordBatch.from_pydict(columns)
    caster = casting.Caster(IRIS, match_columns(IRIS, batch.schema.names, (), text=False))
    by_extremes = caster.rows(batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(casting, "_sound", lambda *_: False)
        one_by_one = caster.rows(batch)
    assert by_extremes.reasons.equals(one_by_one.reasons)
    assert [column.to_pylist() for column in by_extremes.inputs] == [
        column.to_pylist() for column in one_by_one.inputs
    ]


@pytest.mark.parametrize("given", [pa.uint64(), pa.int8(), pa.int64()])
def test_integers_of_any_width_are_accepted(given: pa.DataType) -> None:
    table = pa.table(dict.fromkeys(IRIS.input_names, pa.array([1, 7], given)))
    rows, _ = read(packed(table, FileFormat.ARROW), FileFormat.ARROW)
    assert [row["sepal_length"] for row in rows] == [1.0, 7.0]
    assert [row["error"] for row in rows] == [None, None]


def test_codes_that_are_explained_anew_in_an_arrow_stream_are_read_as_their_values() -> None:
    schema = pa.schema([pa.field(n, pa.dictionary(pa.int8(), pa.float64())) for n in IRIS.input_names])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as stream:
        for value in (1.5, 2.5):  # code 0 in both
            column = pa.array([value, value]).dictionary_encode().cast(schema.field(0).type)
            stream.write_batch(pa.RecordBatch.from_arrays([column] * 4, schema=schema))
    rows, _ = read(sink.getvalue(), FileFormat.ARROW)
    assert [row["sepal_length"] for row in rows] == [1.5, 1.5, 2.5, 2.5]


@pytest.mark.parametrize("digested", [True, False])
def test_a_body_is_digested_on_request(digested: bool) -> None:
    body, tally = (IRIS_HEADER + "1,1,1,1\n").encode(), ReadSummary()
    wrapping = Wrapping(FileFormat.CSV, Packing.NONE)
    reading = Reading(wrapping, RowValidator(IRIS), UploadOptions(model="iris"), LIMITS, digested=digested)
    assert sum(chunk.rows for chunk in reading.chunks(io.BytesIO(body), tally)) == 1
    assert tally.sha256 == (hashlib.sha256(body).hexdigest() if digested else "")
