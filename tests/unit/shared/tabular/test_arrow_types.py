"""The tables of types: each Arrow type for each input, and each kept type in each result format."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from api.gateway import Gateway
from shared.errors import InvalidInputError
from shared.input_specs import InputType
from shared.tabular.arrow_types import KEPT, TAKEN, Family, Taken, family_of, parquet_holds, taken
from shared.tabular.casting import kept_values
from shared.tabular.file_formats import FileFormat
from tests.support.specimens import declaration
from tests.unit.gateway_fakes import IRIS, FakeRedis
from tests.unit.job_stage import job_stage, run_chunks
from tests.unit.shared.tabular.test_readers import packed, read
from tools.types_page import page

NUMBER = 1_500_000_001
ZONES = {"": None, "_utc": "UTC", "_seoul": "Asia/Seoul", "_offset": "+09:00", "_unknown": "Mars/Phobos"}
UUID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")


def counted(kind: pa.DataType, count: int = NUMBER) -> pa.Array:
    return pa.array([count, None], pa.int64()).cast(kind)


def stored(kind: pa.DataType, values: list[Any], storage: pa.DataType) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, storage))


UNION = [pa.array([7, 8]), pa.array(["x", "y"])]
SAMPLES: dict[str, pa.Array] = {
    "null": pa.nulls(2),
    "bool": pa.array([True, None]),
    **{
        name: pa.array([1, None], getattr(pa, name)())
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    "float16": pa.array([1.0, None]).cast(pa.float16()),
    "float32": pa.array([1.0, None], pa.float32()),
    "float64": pa.array([1.0, None]),
    "decimal32": pa.array([Decimal("1.00"), None], pa.decimal32(9, 2)),
    "decimal64": pa.array([Decimal("1.00"), None], pa.decimal64(18, 2)),
    "decimal128": pa.array([Decimal(1), None], pa.decimal128(38, 0)),
    "decimal256": pa.array([Decimal("1.00"), None], pa.decimal256(76, 2)),
    "decimal_negative_scale": pa.array([Decimal("1500"), None], pa.decimal128(10, -2)),
    "string": pa.array(["1", None]),
    "large_string": pa.array(["1", None], pa.large_string()),
    "string_view": pa.array(["1", None], pa.string_view()),
    "binary": pa.array([b"\xff1", None]),
    "large_binary": pa.array([b"\xff1", None], pa.large_binary()),
    "binary_view": pa.array([b"\xff1", None], pa.binary_view()),
    "fixed_size_binary": pa.array([b"\xff1", None], pa.binary(2)),
    "date32": pa.array([dt.date(2026, 3, 2), None], pa.date32()),
    "date64": pa.array([dt.date(2026, 3, 2), None], pa.date64()),
    "date32_far": pa.array([10_000_000, None], pa.int32()).cast(pa.date32()),
    **{f"time32_{unit}": pa.array([1, None], pa.int32()).cast(pa.time32(unit)) for unit in ("s", "ms")},
    **{f"time64_{unit}": counted(pa.time64(unit), 1) for unit in ("us", "ns")},
    **{
        f"timestamp_{unit}{name}": counted(pa.timestamp(unit, zone))
        for unit in ("s", "ms", "us", "ns")
        for name, zone in ZONES.items()
    },
    **{f"duration_{unit}": counted(pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
    "interval": pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    "dictionary": pa.array(["1", None]).dictionary_encode(),
    "dictionary_of_numbers": pa.array([1.0, None]).dictionary_encode(),
    "run_end_encoded": pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["1", None])),
    "run_end_encoded_numbers": pa.RunEndEncodedArray.from_arrays([1, 2], pa.array([1, None])),
    "list": pa.array([[1, 2], None]),
    "large_list": pa.array([[1, 2], None], pa.large_list(pa.int64())),
    "fixed_size_list": pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
    "list_view": pa.array([[1, 2], None], pa.list_view(pa.int64())),
    "large_list_view": pa.array([[1, 2], None], pa.large_list_view(pa.int64())),
    "list_of_views": pa.array([["a", None], None], pa.list_(pa.string_view())),
    "list_of_moments": pa.array([[NUMBER], None]).cast(pa.list_(pa.timestamp("ns"))),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "struct": pa.array([{"a": 1, "b": "x"}, None]),
    "struct_of_binary": pa.array([{"a": [b"x"], "b": None}, None]),
    "empty_struct": pa.array([{}, None], pa.struct([])),
    "dense_union": pa.UnionArray.from_dense(pa.array([0, 1], pa.int8()), pa.array([0, 1], pa.int32()), UNION),
    "sparse_union": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), UNION),
    "uuid": stored(pa.uuid(), [UUID.bytes, None], pa.binary(16)),
    "json": stored(pa.json_(), ['{"a":1}', None], pa.string()),
    "bool8": stored(pa.bool8(), [1, None], pa.int8()),
    "opaque": stored(pa.opaque(pa.binary(), "a", "b"), [b"\xff1", None], pa.binary()),
    "tensor": stored(pa.fixed_shape_tensor(pa.int64(), (2,)), [[1, 2], None], pa.list_(pa.int64(), 2)),
}
MOMENTS = {
    "s": ("2017-07-14T02:40:01", "2017-07-14T11:40:01"),
    "ms": ("1970-01-18T08:40:00.001", "1970-01-18T17:40:00.001"),
    "us": ("1970-01-01T00:25:00.000001", "1970-01-01T09:25:00.000001"),
    "ns": ("1970-01-01T00:00:01.500000001", "1970-01-01T09:00:01.500000001"),
}
TEXTS: dict[str, Any] = {
    "null": None,
    "bool": True,
    "bool8": True,
    "string": "1",
    "large_string": "1",
    "string_view": "1",
    "dictionary": "1",
    "run_end_encoded": "1",
    "decimal_negative_scale": 1500,
    **dict.fromkeys(("binary", "large_binary", "binary_view", "fixed_size_binary", "opaque"), "/zE="),
    "date32": "2026-03-02",
    "date64": "2026-03-02",
    "date32_far": "29349-01-26",
    "time32_s": "00:00:01",
    "time32_ms": "00:00:00.001",
    "time64_us": "00:00:00.000001",
    "time64_ns": "00:00:00.000000001",
    **{
        f"timestamp_{unit}{name}": text
        for unit, (utc, seoul) in MOMENTS.items()
        for name, text in {
            "": utc,
            "_utc": f"{utc}Z",
            "_unknown": f"{utc}Z",
            "_seoul": f"{seoul}+09:00",
            "_offset": f"{seoul}+09:00",
        }.items()
    },
    "duration_s": "P17361DT9601S",
    "duration_ms": "P17DT31200.001S",
    "duration_us": "PT1500.000001S",
    "duration_ns": "PT1.500000001S",
    "interval": "P1M2DT0.000000003S",
    **{
        name: [1, 2]
        for name in ("list", "large_list", "fixed_size_list", "list_view", "large_list_view", "tensor")
    },
    "list_of_views": ["a", None],
    "list_of_moments": ["1970-01-01T00:00:01.500000001"],
    "map": [["a", 1]],
    "struct": {"a": 1, "b": "x"},
    "struct_of_binary": {"a": ["eA=="], "b": None},
    "empty_struct": {},
    "dense_union": "7",
    "sparse_union": "7",
    "uuid": str(UUID),
    "json": '{"a":1}',
}
GOOD: dict[InputType, Any] = {
    InputType.FLOAT: 1.0,
    InputType.FLOAT32: 1.0,
    InputType.INT64: 1,
    InputType.BOOL: True,
    InputType.STRING: "1",
}
ENCODED = ("DICTIONARY", "RUN_END_ENCODED")


def test_every_type_that_pyarrow_has_is_in_the_matrix_and_has_a_sample() -> None:
    known = {name for name in dir(pa.lib) if name.startswith("Type_")}
    ids = {sample.type.id for sample in SAMPLES.values() if not isinstance(sample, pa.ExtensionArray)}
    without = {name.removeprefix("Type_") for name in known if getattr(pa.lib, name) not in ids}
    # pyarrow makes no arrays of these two
    assert without == {"INTERVAL_MONTHS", "INTERVAL_DAY_TIME"}
    assert {family_of(sample.type) for sample in SAMPLES.values()} == set(Family) == set(KEPT)


def test_the_page_of_types_is_made_of_the_code() -> None:
    kept = Path("docs/types.md").read_text()
    assert kept == page(), "python -m tools.types_page > docs/types.md"


@pytest.mark.parametrize("name", list(SAMPLES))
@pytest.mark.parametrize("kind", list(InputType))
def test_columns_are_accepted_by_inputs_as_in_the_table(name: str, kind: InputType) -> None:
    sample = SAMPLES[name]
    image = {"image": {"height": 1, "width": 1}} if kind is InputType.IMAGE else {}
    spec = declaration(inputs=[{"name": "x", "type": str(kind), "nullable": True, **image}])
    formats = [FileFormat.ARROW] + [FileFormat.PARQUET] * parquet_holds(sample.type)
    for each in formats:
        body = packed(pa.table({"x": sample}), each)
        if taken(sample.type, kind) is Taken.NO:
            with pytest.raises(InvalidInputError, match=f"column 'x' is .*, but x is {kind}"):
                read(body, each, spec)
            continue
        rows, tally = read(body, each, spec)
        read_as_text = taken(sample.type, kind) is Taken.READ
        readable = kind is not InputType.IMAGE or name == "null"  # no sample is an image
        fits = readable and not (read_as_text and kind is InputType.DATETIME)
        fits = fits and (name != "decimal_negative_scale" or kind is not InputType.BOOL)
        assert tally.rows_failed == (0 if fits else 1), rows
        if fits:
            assert [row["x"] for row in rows] == [expected(name, kind), None]


def expected(name: str, kind: InputType) -> Any:
    if name == "null":
        return None
    if name == "decimal_negative_scale":
        return 1500
    if kind is InputType.STRING:
        return TEXTS[name]
    if kind is InputType.DATETIME:
        parts = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[name.split("_")[1]]
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=NUMBER * 10**6 // parts)
    return GOOD[kind]


BAD = [
    (pa.array([Decimal("1.50"), Decimal(2**70), Decimal("-2.00")], pa.decimal128(38, 2)), InputType.INT64, 2),
    (pa.array([Decimal("0.50"), Decimal("0E-10"), Decimal(2)], pa.decimal128(38, 10)), InputType.INT64, 1),
    (
        pa.array([Decimal(2**63), Decimal(2**63 - 1), Decimal(-(2**63))], pa.decimal128(38, 0)),
        InputType.INT64,
        1,
    ),
    (pa.array([Decimal("1.5"), Decimal("2.0"), Decimal(3)], pa.decimal256(76, 1)), InputType.INT64, 1),
    (pa.array([Decimal("1.5"), Decimal("2.0"), Decimal(3)], pa.decimal32(9, 1)), InputType.INT64, 1),
    (pa.array([2**63, 2**63 - 1, 0], pa.uint64()), InputType.INT64, 1),
    (pa.array([1.5, float("inf"), 3.0]), InputType.INT64, 2),
    (pa.array([1e39, float("inf"), 3.0]), InputType.FLOAT32, 2),
    (pa.array([2, -1, 1]), InputType.BOOL, 2),
    (pa.array([0.5, 0.0, 1.0]), InputType.BOOL, 1),
    (pa.array([2**62, -(2**62), 0], pa.int64()).cast(pa.timestamp("s")), InputType.DATETIME, 2),
    (pa.array([2**62, -(2**62), 0], pa.int64()).cast(pa.timestamp("ms", "UTC")), InputType.DATETIME, 2),
]


@pytest.mark.parametrize(("column", "kind", "failed"), BAD)
def test_a_value_that_does_not_fit_fails_its_row_alone(
    column: pa.Array, kind: InputType, failed: int
) -> None:
    spec = declaration(inputs=[{"name": "x", "type": str(kind), "nullable": True}])
    rows, tally = read(packed(pa.table({"x": column}), FileFormat.ARROW), FileFormat.ARROW, spec)
    assert tally.rows_failed == failed
    assert all(row["error"].startswith("x: ") for row in rows if row["error"])
    for value, row in zip(column, rows, strict=True):
        assert row["error"] or row["x"] in (value.as_py(), dt.datetime(1970, 1, 1, tzinfo=dt.UTC))


def test_whole_decimals_are_cast_exactly() -> None:
    values = [2**63 - 1, -(2**63), 2**53 + 1, 0]
    spec = declaration(inputs=[{"name": "x", "type": "int64", "example": 1}])
    column = pa.array([Decimal(value) for value in values], pa.decimal128(38, 0))
    for each in (FileFormat.ARROW, FileFormat.PARQUET):
        rows, _ = read(packed(pa.table({"x": column}), each), each, spec)
        assert [row["x"] for row in rows] == values


TENSORS = [
    pa.array([None, [1, 2, 3, 4], [5, 6, 7, 8]], pa.list_view(pa.int64())),
    pa.array([None, [1, 2, 3, 4], [5, 6, 7, 8]], pa.large_list_view(pa.float32())),
    pa.array([None, [[1, 2], [3, 4]], [[5, 6], [7, 8]]], pa.list_view(pa.list_view(pa.int64()))),
    pa.array([None, [[1, 2], [3, 4]], [[5, 6], [7, 8]]], pa.large_list(pa.list_(pa.int8(), 2))),
    pa.array([None, [1, 2, 3, 4], [5, 6, 7, 8]], pa.list_(pa.decimal128(9, 2))),
    pa.array([None, ["1", "2", "3", "4"], ["5", "6", "7", "8"]], pa.list_(pa.string_view())),
    pa.array(
        [None, ["1", "2", "3", "4"], ["5", "6", "7", "8"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))
    ),
    stored(
        pa.fixed_shape_tensor(pa.float32(), (2, 2)),
        [None, [1, 2, 3, 4], [5, 6, 7, 8]],
        pa.list_(pa.float32(), 4),
    ),
]


@pytest.mark.parametrize("column", TENSORS, ids=lambda column: str(column.type))
def test_a_tensor_is_taken_of_lists_of_every_kind(column: pa.Array) -> None:
    spec = declaration(inputs=[{"name": "x", "type": "float", "shape": [2, 2], "example": [[1, 2], [3, 4]]}])
    rows, tally = read(packed(pa.table({"x": column}), FileFormat.ARROW), FileFormat.ARROW, spec)
    assert [row["x"] for row in rows[1:]] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert tally.rows_failed == 1


@pytest.mark.parametrize("shape", [(4, 1), (2, 3)])
def test_tensors_of_another_shape_are_refused(shape: tuple[int, int]) -> None:
    size = shape[0] * shape[1]
    column = stored(pa.fixed_shape_tensor(pa.float32(), shape), [[0] * size], pa.list_(pa.float32(), size))
    spec = declaration(inputs=[{"name": "x", "type": "float", "shape": [2, 2], "example": [[1, 2], [3, 4]]}])
    with pytest.raises(InvalidInputError, match="holds tensors of shape"):
        read(packed(pa.table({"x": column}), FileFormat.ARROW), FileFormat.ARROW, spec)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    async with job_stage(FakeRedis(), tmp_path) as started:
        yield started


async def job_that_keeps(
    stage: tuple[Gateway, httpx.AsyncClient], samples: dict[str, pa.Array], id_column: str
) -> str:
    """Submit a job that keeps these columns; its second row fails. Returns its path."""
    gateway, http = stage
    inputs = dict.fromkeys(IRIS.input_names, pa.array([1.0, None]))
    answer = await http.post(
        "/jobs",
        params={
            "model": "iris",
            "keep_columns": ",".join(samples),
            "id_column": id_column,
            "max_errors": "100%",
        },
        content=packed(pa.table(inputs | samples), FileFormat.ARROW),
        headers={"content-type": FileFormat.ARROW.media_type},
    )
    assert answer.status_code == 202, answer.text
    await run_chunks(gateway, answer.json()["id"])
    return f"/jobs/{answer.json()['id']}"


def halves() -> list[dict[str, pa.Array]]:
    """Split the columns: a job keeps at most 50."""
    items = list(SAMPLES.items())
    return [dict(items[:40]), dict(items[40:])]


def text_of(name: str) -> Any:
    return TEXTS.get(name, 1)


@pytest.mark.parametrize("samples", halves(), ids=["first", "second"])
async def test_a_kept_column_of_every_type_comes_back_in_every_format(
    stage: tuple[Gateway, httpx.AsyncClient], samples: dict[str, pa.Array]
) -> None:
    _, http = stage
    job = await job_that_keeps(stage, samples, "")
    answers = {
        kind: await http.get(f"{job}/results", params={"format": kind})
        for kind in ("json", "ndjson", "csv", "parquet", "arrow")
    }
    assert {kind: answer.status_code for kind, answer in answers.items()} == dict.fromkeys(answers, 200)
    by_json = answers["json"].json()["results"][0]
    by_ndjson = json.loads(answers["ndjson"].text.splitlines()[0])
    by_csv = next(csv.DictReader(io.StringIO(answers["csv"].text)))
    in_parquet = pa.parquet.read_table(io.BytesIO(answers["parquet"].content))
    in_arrow = pa.ipc.open_stream(answers["arrow"].content).read_all()
    for name, sample in samples.items():
        expected = text_of(name)
        assert by_json[name] == by_ndjson[name] == expected, name
        assert cell_value(by_csv[name], expected) == expected, name
        kept = kept_values(sample).type
        if parquet_holds(kept):
            assert in_parquet.schema.field(name).type != pa.string() or kept == pa.string(), name
        else:
            assert in_parquet.schema.field(name).type == pa.string(), name
        if name in UNCHANGED:
            assert in_arrow[name].combine_chunks().equals(sample), name


UNCHANGED = [
    name
    for name, sample in SAMPLES.items()
    if not any(word in name for word in ("dictionary", "run_end", "view", "large_string", "float16", "union"))
]


def cell_value(cell: str, expected: Any) -> Any:
    """Parse a cell as JSON."""
    if expected is None:
        return cell or None
    if isinstance(expected, str):
        return cell.replace(" ", "T")
    return json.loads(cell)


@pytest.mark.parametrize("name", ["uuid", "interval", "string_view", "dense_union", "timestamp_ns_unknown"])
async def test_a_failed_row_is_named_by_an_id_of_any_type(
    stage: tuple[Gateway, httpx.AsyncClient], name: str
) -> None:
    _, http = stage
    column = SAMPLES[name].take(pa.array([0, 0])) if name not in UNFIT_FOR_TAKE else SAMPLES[name]
    job = await job_that_keeps(stage, {name: column}, name)
    for kind in ("json", "ndjson", "csv"):
        answer = await http.get(f"{job}/errors", params={"format": kind})
        assert answer.status_code == 200, answer.text
        assert name in UNFIT_FOR_TAKE or str(text_of(name)) in answer.text.replace(" ", "T")


UNFIT_FOR_TAKE = ("string_view", "dense_union")


def test_types_outside_of_the_table_are_rejected() -> None:
    assert TAKEN.keys() < set(Family)
    assert taken(pa.struct([("a", pa.int64())]), InputType.FLOAT) is Taken.NO
