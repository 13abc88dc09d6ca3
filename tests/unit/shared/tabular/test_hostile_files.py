"""Hostile and damaged files: each is read or rejected with a message, within limits of time and memory."""

from __future__ import annotations

import contextlib
import gzip
import random
import struct
import time
from collections.abc import Callable

import numpy as np
import psutil
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from shared.errors import InvalidInputError, PayloadTooLargeError, ServiceError
from shared.specs import ModelSpec
from shared.tabular import columnar as tabular
from shared.tabular import ipc_messages
from shared.tabular.content_types import Packing
from shared.tabular.file_formats import UPLOAD_FORMATS, FileFormat
from tests.unit.gateway_fakes import CLASSIFIER, IRIS, QUALITY
from tests.unit.shared.tabular.test_readers import IRIS_HEADER, QUALITY_ROW, pack, packed, read

MOST_S = 5.0
"""Time limit of a small body on a busy machine."""
MOST_GROWTH_BYTES = 400 * 2**20
BINARY = (FileFormat.ARROW, FileFormat.ARROW_FILE, FileFormat.PARQUET)


def outcome(body: bytes, kind: FileFormat, spec: ModelSpec = IRIS, packing: Packing = Packing.NONE) -> str:
    """Returns `read`, or the code of the error. Other errors are raised."""
    try:
        read(body, kind, spec, packing=packing)
    except ServiceError as error:
        return error.code if error.detail else "an error without words"
    return "read"


def tables(rows: int) -> list[tuple[ModelSpec, pa.Table]]:
    """A small column of each accepted kind."""
    quality = {name: [value] * rows for name, value in QUALITY_ROW.items()}
    views = pa.table(quality)
    texts = {
        "machine": pa.array([None, *["사출-07-of-a-long-name"] * (rows - 1)], pa.string_view()),
        "product": pa.array(["housing"] * rows).dictionary_encode(),
        "shift": pa.array(["day"] * rows, pa.large_string()),
    }
    for name, column in texts.items():
        views = views.set_column(views.schema.get_field_index(name), name, column)
    lists = pa.array([[1.0] * 10] * rows, pa.list_(pa.float64()))
    return [
        (IRIS, pa.table({name: np.ones(rows) for name in IRIS.input_names})),
        (CLASSIFIER, pa.table({"features": lists})),
        (CLASSIFIER, pa.table({"features": lists.cast(pa.list_(pa.float64(), 10))})),
        (QUALITY, views),
    ]


def harmed(body: bytes, dice: random.Random) -> bytes:
    """A file with some bytes overwritten, removed or inserted, mostly at its beginning and end."""
    found = bytearray(body)
    for _ in range(dice.choice([1, 1, 2, 4, 16])):
        place = dice.choice([dice.randrange(len(found)), max(0, len(found) - 1 - dice.randrange(600))])
        number = dice.choice(
            [b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 8, struct.pack("<q", 2**40)]
        )
        match dice.randrange(4):
            case 0:
                found[place] ^= 1 << dice.randrange(8)
            case 1:
                found[place : place + len(number)] = number
            case 2:
                del found[place : place + dice.choice([1, 4, 64])]
            case 3:
                found[place:place] = dice.randbytes(dice.choice([1, 4, 8]))
        found = found or bytearray(b"\0")
    return bytes(found)


@pytest.mark.parametrize("kind", BINARY)
def test_a_harmed_file_is_read_or_refused_and_never_anything_else(kind: FileFormat) -> None:
    for spec, table in tables(5):
        body = packed(table, kind)
        for seed in range(12):
            outcome(harmed(body, random.Random(seed)), kind, spec)


@pytest.mark.parametrize("kind", BINARY)
def test_a_file_that_is_cut_off_anywhere_is_refused(kind: FileFormat) -> None:
    _, table = tables(5)[0]
    body = packed(table, kind)
    assert {outcome(body[:end], kind) for end in range(0, len(body), 7)} == {"validation_error"}


@given(
    body=st.binary(max_size=300),
    head=st.sampled_from([b"", b"ARROW1\0\0", b"PAR1", b"\xff" * 4, b"PK\x03\x04"]),
)
@settings(max_examples=10)
def test_no_bytes_at_all_break_a_reader(body: bytes, head: bytes) -> None:
    for kind in UPLOAD_FORMATS:
        outcome(head + body, kind)
        for packing in (Packing.GZIP, Packing.ZSTD):
            outcome(head + body, kind, packing=packing)


def test_what_lies_under_a_null_of_a_view_is_never_followed() -> None:
    """Arrow's own cast follows them and crashes the process."""
    names = pa.array([None, "a name of more than twelve bytes", None], pa.string_view())
    validity, views, *texts = names.buffers()
    slots = np.frombuffer(views, np.uint32).reshape(-1, 4).copy()
    slots[0] = slots[2] = (0x7FFFFFFF, 0x41414141, 0x7FFFFFFF, 0x7FFFFFFF)
    lying = pa.Array.from_buffers(names.type, 3, [validity, pa.py_buffer(slots), *texts])
    table = pa.table({name: [value] * 3 for name, value in QUALITY_ROW.items()})
    table = table.set_column(0, "machine", lying)
    rows, _ = read(packed(table, FileFormat.ARROW), FileFormat.ARROW, QUALITY)
    assert [row["machine"] for row in rows] == [None, "a name of more than twelve bytes", None]


def test_an_index_that_points_outside_its_dictionary_is_refused() -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([7], pa.int32()), pa.array(["day"]), safe=False)
    table = pa.table({name: [value] for name, value in QUALITY_ROW.items()})
    table = table.set_column(table.schema.get_field_index("shift"), "shift", codes)
    assert outcome(packed(table, FileFormat.ARROW), FileFormat.ARROW, QUALITY) == "validation_error"


def growth_bytes(act: Callable[[], object]) -> int:
    """Returns the growth of the process; Arrow keeps freed memory for a while."""
    process = psutil.Process()
    before = process.memory_info().rss
    act()
    return int(process.memory_info().rss - before)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_batch_that_unpacks_too_large_is_refused_before_it_is_unpacked(
    compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 100_000
    zeros = pa.array(np.zeros(rows))
    batch = pa.RecordBatch.from_arrays([zeros] * 4, IRIS.input_names)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    body = sink.getvalue().to_pybytes()
    assert len(body) < batch.nbytes // 100
    assert outcome(body, FileFormat.ARROW) == "read"
    monkeypatch.setattr(ipc_messages, "MOST_UNPACKED_BYTES", batch.nbytes - 1)
    with pytest.raises(InvalidInputError, match="decompresses to more than"):
        read(body, FileFormat.ARROW)


def test_a_parquet_column_that_unpacks_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = dict.fromkeys(IRIS.input_names, pa.array(np.zeros(100_000)))
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink, compression="zstd", use_dictionary=False)
    body = sink.getvalue().to_pybytes()
    assert outcome(body, FileFormat.PARQUET) == "read"
    monkeypatch.setattr(tabular, "MOST_UNPACKED_BYTES", 700_000)
    with pytest.raises(
        InvalidInputError, match="Column 'sepal_length' of row group 0 decompresses to more than"
    ):
        read(body, FileFormat.PARQUET)


def test_a_table_without_columns_or_with_very_many_is_refused_or_read() -> None:
    for kind in BINARY:
        with pytest.raises(InvalidInputError, match="missing"):
            read(packed(pa.table({}), kind), kind)
    header = ",".join([*IRIS.input_names, *(f"c{n}" for n in range(20_000))])
    rows, _ = read(f"{header}\n{'1,' * 20_003}1\n".encode(), FileFormat.CSV)
    assert rows[0]["error"] is None


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


ROW = b'{"sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":%s}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (nested(50_000), ""),
        (b'{"a":' * 50_000, ""),
        (ROW % (b"9" * 500_000), ""),
        (ROW % b"1e999", ""),
        (ROW % b"NaN", ""),
        (ROW % b'"1\\u0000"', "petal_width"),
        (ROW % b"[1]", "petal_width"),
        (ROW % b'1,"petal_width":2', ""),
        (b"\x00", ""),
        (ROW % b'"\\ud800"', ""),
    ],
)
def test_a_hostile_line_bears_its_reason_alone(line: bytes, said: str) -> None:
    begun_s = time.perf_counter()
    rows, tally = read(b"[2,2,2,2]\n" + line + b"\n[3,3,3,3]\n", FileFormat.NDJSON)
    assert time.perf_counter() - begun_s < MOST_S
    assert [row["sepal_length"] for row in (rows[0], rows[2])] == [2, 3]
    if b'1,"petal_width":2' not in line:  # the later of two keys counts, as in every JSON reader here
        assert tally.rows_failed == 1
        assert said in rows[1]["error"]


@pytest.mark.parametrize(
    "cell", [b"9" * 900_000, b"1\x00", b"\xff", b"1e999", b"=1+1", "１".encode(), b"0x10", b'"1""2"', b"--1"]
)
def test_a_hostile_cell_fails_its_row_or_the_file_with_a_message(cell: bytes) -> None:
    body = IRIS_HEADER.encode() + b"2,2,2,2\n1,1,1," + cell + b"\n3,3,3,3\n"
    begun_s = time.perf_counter()
    with contextlib.suppress(InvalidInputError):
        rows, _ = read(body, FileFormat.CSV)
        assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert time.perf_counter() - begun_s < MOST_S


def test_a_body_packed_twice_is_no_file() -> None:
    body = gzip.compress(gzip.compress(IRIS_HEADER.encode() + b"1,1,1,1\n"))
    with pytest.raises(InvalidInputError):
        read(body, FileFormat.CSV, packing=Packing.GZIP)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_a_bomb_of_zeros_costs_no_memory(packing: Packing) -> None:
    bomb = pack(bytes(200_000_000), packing)

    def refused() -> None:
        with pytest.raises((InvalidInputError, PayloadTooLargeError)):
            read(bomb, FileFormat.NDJSON, packing=packing)

    assert growth_bytes(refused) < MOST_GROWTH_BYTES
