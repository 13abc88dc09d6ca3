"""A body that is cut, changed or divided anywhere is read completely or rejected; no row is lost silently."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from shared.arrow_tables import read_ipc
from shared.errors import InvalidInputError, ServiceError
from shared.specs import Row
from shared.tabular import csv as csv_reader
from shared.tabular.content_types import Packing, Wrapping
from shared.tabular.csv_records import Records
from shared.tabular.file_formats import FileFormat
from shared.tabular.parquet_footer import check_footer
from shared.tabular.reading import Reading, ReadSummary
from shared.tabular.upload_options import UploadOptions
from shared.validation import RowValidator
from tests.unit.gateway_fakes import IRIS
from tests.unit.shared.tabular.test_readers import LIMITS, pack, read

HEADER = b"note,sepal_length,sepal_width,petal_length,petal_width\n"
NOTES = ['"3/4"" pipe, \r\n""long"""', "5", '"\r\n"', "설비", '"a\nb"', '""', "", '"a,b"', '5" pipe', '"뷁"']
ROWS = 12


class Trickle(io.RawIOBase):
    """A file that limits the bytes of each read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def csv_body(line_end: bytes = b"\r\n") -> bytes:
    lines = [f"{NOTES[i % len(NOTES)]},{i % 10},1,2,3".encode() for i in range(ROWS)]
    return HEADER.strip() + line_end + line_end.join(lines) + line_end


def ndjson_body() -> bytes:
    note = NOTES[0].encode().hex()
    line = b'{"note":"%s","sepal_length":%d,"sepal_width":1,"petal_length":2,"petal_width":3}\n'
    return b"".join(line % (note.encode(), i % 10) for i in range(ROWS))


def table() -> pa.Table:
    columns = {name: np.arange(ROWS) % 10 for name in IRIS.input_names}
    return pa.table(columns | {"note": [NOTES[i % len(NOTES)] for i in range(ROWS)]})


def arrow_body(kind: FileFormat, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    make = pa.ipc.new_stream if kind is FileFormat.ARROW else pa.ipc.new_file
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with make(sink, table().schema, options=options) as writer:
        for batch in table().to_batches(max_chunksize=3):
            writer.write_batch(batch)
    return sink.getvalue()


def parquet_body() -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table(), sink, row_group_size=3, write_page_checksum=True, compression="zstd")
    return sink.getvalue()


BODIES = {
    FileFormat.CSV: csv_body(),
    FileFormat.NDJSON: ndjson_body(),
    FileFormat.PARQUET: parquet_body(),
    FileFormat.ARROW: arrow_body(FileFormat.ARROW),
    FileFormat.ARROW_FILE: arrow_body(FileFormat.ARROW_FILE),
}
WHOLE = {kind: read(body, kind, keep_columns=("note",))[0] for kind, body in BODIES.items()}
BINARY = (FileFormat.PARQUET, FileFormat.ARROW, FileFormat.ARROW_FILE)
TEXTS = (FileFormat.CSV, FileFormat.NDJSON)


def rows_of(body: bytes, kind: FileFormat, packing: Packing = Packing.NONE) -> list[Row] | None:
    """Returns the rows of an accepted body; None if the body or a row is rejected."""
    try:
        rows, tally = read(body, kind, packing=packing, keep_columns=("note",))
    except ServiceError:
        return None
    return None if tally.rows_failed else rows


def places_in(body: bytes) -> list[int]:
    """Returns the offsets of cuts and changes: at the beginning, at the end, and evenly between."""
    return sorted({*range(12), *range(0, len(body), 1 + len(body) // 80), *range(len(body) - 20, len(body))})


def at_line_ends(body: bytes) -> set[int]:
    return {place for place in range(len(body) + 1) if body[:place].endswith((b"\n", b"\r"))}


def test_the_bodies_are_read_as_they_were_written() -> None:
    for rows in WHOLE.values():
        assert [row["sepal_length"] for row in rows] == [i % 10 for i in range(ROWS)]
    for kind in BINARY:
        assert [row["keep:note"] for row in WHOLE[kind]] == (NOTES * ROWS)[:ROWS]


@pytest.mark.parametrize("kind", BINARY)
def test_a_binary_body_that_is_cut_anywhere_is_refused(kind: FileFormat) -> None:
    body = BODIES[kind]
    assert [end for end in places_in(body) if rows_of(body[:end], kind) is not None] == []


@pytest.mark.parametrize("kind", BINARY)
def test_a_binary_body_that_goes_on_after_its_end_is_refused(kind: FileFormat) -> None:
    body = BODIES[kind]
    for behind in (b"\0", b"\n", b"x" * 100, body, body[: len(body) // 2]):
        assert rows_of(body + behind, kind) is None


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_is_cut_within_a_record_is_refused_or_names_the_row(kind: FileFormat) -> None:
    """A cut between two records, or within the last cell of CSV, shows only in the body's length."""
    body = BODIES[kind]
    for end in sorted({*places_in(body), *at_line_ends(body)}):
        rows = rows_of(body[:end], kind)
        if rows is not None:
            assert rows == WHOLE[kind][: len(rows)]
            assert body[:end].endswith((b",1,2,3", b"}")) or end in at_line_ends(body), body[:end]


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
@pytest.mark.parametrize("kind", list(BODIES))
def test_a_packed_body_that_is_cut_anywhere_is_refused(kind: FileFormat, packing: Packing) -> None:
    body = pack(BODIES[kind], packing)
    assert [end for end in places_in(body) if rows_of(body[:end], kind, packing) is not None] == []
    for behind in (b"x", b"\0\0\0\0\0\0\0\0", b"\x1f\x8b"):
        assert rows_of(body + behind, kind, packing) is None


@pytest.mark.parametrize("kind", list(BODIES))
def test_a_body_packed_with_gzip_survives_no_changed_bit_that_changes_a_row(kind: FileFormat) -> None:
    body = gzip.compress(BODIES[kind], mtime=0)
    for place in places_in(body):
        changed = bytearray(body)
        changed[place] ^= 1 << (place % 8)
        assert rows_of(bytes(changed), kind, Packing.GZIP) in (None, WHOLE[kind])


@given(place=st.integers(0, 2**20), bit=st.integers(0, 7), kind=st.sampled_from(list(BODIES)))
@settings(max_examples=150, deadline=None)
def test_a_changed_bit_never_loses_a_row_without_a_word(place: int, bit: int, kind: FileFormat) -> None:
    body = bytearray(BODIES[kind])
    body[place % len(body)] ^= 1 << bit
    rows = rows_of(bytes(body), kind)
    if rows is None:
        return
    if kind is FileFormat.PARQUET:  # each page has a checksum
        assert [row["sepal_length"] for row in rows] == [row["sepal_length"] for row in WHOLE[kind]]
    if kind is not FileFormat.CSV or rows_in(bytes(body)) == ROWS:
        assert len(rows) == ROWS


def rows_in(body: bytes) -> int:
    """Counts the rows of a CSV body by Python's csv module: a changed byte may split or join lines."""
    import csv

    text = io.StringIO(body.decode(errors="replace"), newline="")
    return sum(1 for cells in csv.reader(text) if cells) - 1


@given(
    place=st.integers(0, 2**20),
    character=st.sampled_from([b'"', b"\n", b"\r", b",", b'""', b'"\n', b',"', b"\r\n"]),
)
@settings(max_examples=150, deadline=None)
def test_a_quote_or_line_end_that_is_put_in_loses_no_row_without_a_word(place: int, character: bytes) -> None:
    body = BODIES[FileFormat.CSV]
    at = len(HEADER) + 1 + place % (len(body) - len(HEADER) - 1)
    rows = rows_of(body[:at] + character + body[at:], FileFormat.CSV)
    assert rows is None or len(rows) >= ROWS


def pieces_of(body: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    first = 0
    for size in sizes:
        if piece := body[first : first + size]:
            yield piece
        first += size
    if body[first:]:
        yield body[first:]


def read_in_pieces(body: bytes, kind: FileFormat, pieces: Iterable[bytes]) -> list[Row]:
    options = UploadOptions(model=IRIS.name, keep_columns=("note",))
    reading = Reading(Wrapping(kind, Packing.NONE), RowValidator(IRIS), options, LIMITS)
    chunks = [read_ipc(chunk.data) for chunk in reading.chunks(Trickle(pieces), ReadSummary())]
    return [row for chunk in chunks for row in chunk.to_pylist()]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_is_the_same_divided_at_every_place(kind: FileFormat, line_end: bytes) -> None:
    body = csv_body(line_end) if kind is FileFormat.CSV else ndjson_body()[:400].rpartition(b"\n")[0]
    expected = read(body, kind, keep_columns=("note",))[0]
    for place in range(1, len(body), 1 if line_end == b"\r\n" else 3):
        assert read_in_pieces(body, kind, pieces_of(body, [place])) == expected, place


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_block_may_end_at_every_place_of_a_quoted_cell(
    line_end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apache/arrow#51368: a block that ended with CR within quotes lost the LF after it."""
    cell = f'"a{line_end}""b"" 뷁{line_end}"'
    for size in range(64, 130, 3):
        monkeypatch.setattr(csv_reader, "BLOCK_BYTES", size)
        body = HEADER + "".join(f"{cell},{i},1,2,3{line_end}" for i in range(6)).encode()
        rows, _ = read(body, FileFormat.CSV, keep_columns=("note",))
        assert [row["keep:note"] for row in rows] == [f'a{line_end}"b" 뷁{line_end}'] * 6


@pytest.mark.parametrize("byte", [2**20 - 1, 2**20, 2**20 + 1])
def test_a_carriage_return_at_the_end_of_a_block_keeps_its_line_feed(byte: int) -> None:
    before = HEADER + b"x,1,1,2,3\r\n" * 95_000
    filling = b"y" * (byte - len(before) - 2)
    rows, _ = read(before + b'"' + filling + b'\r\nz",5,1,2,3\r\n', FileFormat.CSV, keep_columns=("note",))
    assert rows[-1]["keep:note"] == filling.decode() + "\r\nz"
    assert len(rows) == 95_001


UNCLOSED = [
    ('"3/4 pipe', "line 101 is never closed"),
    ('"', "line 101 is never closed"),
    ('"""', "line 101 is never closed"),
    ('"3/4 ""pipe""', "line 101 is never closed"),
]


@pytest.mark.parametrize(("cell", "said"), UNCLOSED)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_quote_that_is_never_closed_fails_the_job(cell: str, said: str, quote: str) -> None:
    lines = [f"{i % 10},1,2,3,{cell if i == 99 else 'ok'}" for i in range(1000)]
    body = "sepal_length,sepal_width,petal_length,petal_width,note\n" + "\n".join(lines) + "\n"
    with pytest.raises(InvalidInputError, match=said):
        read(body.replace('"', quote).encode(), FileFormat.CSV, quote=quote)


@pytest.mark.parametrize("place", ["header", "first", "last", "far"])
def test_an_unclosed_quote_is_found_at_any_position(place: str) -> None:
    rows = [b"x,%d,1,2,3\n" % (i % 10) for i in range(200_000)]
    header = HEADER
    match place:
        case "header":
            header = b'"' + HEADER
        case "first":
            rows[0] = b'"' + rows[0]
        case "last":
            rows[-1] = b'"' + rows[-1]
        case "far":
            rows[150_000] = b'"' + rows[150_000]
    with pytest.raises(InvalidInputError, match="quoted cell that begins in line"):
        read(header + b"".join(rows), FileFormat.CSV)


def test_a_quote_that_another_rows_quote_closes_fails_the_job() -> None:
    lines = [f"{i % 10},1,2,3,ok" for i in range(1000)]
    lines[99], lines[199] = '1,1,2,3,"3/4 pipe', '1,1,2,3,"1/2 pipe"'
    body = "sepal_length,sepal_width,petal_length,petal_width,note\n" + "\n".join(lines) + "\n"
    with pytest.raises(InvalidInputError, match="begins in line 101 ends in line 201"):
        read(body.encode(), FileFormat.CSV)


def test_a_last_line_with_fewer_cells_and_no_line_end_is_a_body_that_is_cut_off() -> None:
    body = HEADER + b"x,1,1,2,3\n" * 3
    with pytest.raises(InvalidInputError, match="the last line, 5, has 3 cells, but the header has 5"):
        read(body + b"x,1,1", FileFormat.CSV)
    rows, tally = read(body + b"x,1,1\n", FileFormat.CSV)
    assert (len(rows), tally.rows_failed) == (4, 1)


def test_a_last_json_line_that_is_cut_fails_the_job() -> None:
    line = b'{"sepal_length":1,"sepal_width":1,"petal_length":2,"petal_width":3}\n'
    for end in range(1, len(line) - 1):
        with pytest.raises(InvalidInputError, match="the last line, 4, ends within its JSON value"):
            read(line * 3 + line[:end], FileFormat.NDJSON)


def test_an_arrow_body_cut_after_a_batch_reports_the_batches_read() -> None:
    body = arrow_body(FileFormat.ARROW)
    messages = [place for place in range(len(body)) if body[place : place + 4] == b"\xff" * 4]
    with pytest.raises(
        InvalidInputError, match="after 2 record batches, the Arrow stream's end mark is missing"
    ):
        read(body[: messages[3]], FileFormat.ARROW)


def test_an_arrow_file_whose_footer_lists_other_batches_is_refused() -> None:
    whole, shorter = arrow_body(FileFormat.ARROW_FILE), io.BytesIO()
    with pa.ipc.new_file(shorter, table().schema) as writer:
        for batch in table().slice(0, 9).to_batches(max_chunksize=3):
            writer.write_batch(batch)
    end_mark = b"\xff\xff\xff\xff\0\0\0\0"
    footer = whole[whole.rindex(end_mark) :]
    body = shorter.getvalue()[: shorter.getvalue().rindex(end_mark)] + footer
    with pytest.raises(InvalidInputError, match="footer lists 4 record batches, the file has 3"):
        read(body, FileFormat.ARROW_FILE)


def blocks(text: bytes, size: int, delimiter: str = ",", quote: str = '"') -> list[bytes]:
    divided = (text[first : first + size] for first in range(0, len(text), size))
    return [block.data for block in Records(divided, delimiter=delimiter, quote=quote, most_bytes=10_000)]


@given(
    cells=st.lists(
        st.lists(st.text('a" ,\r\n;', max_size=6), min_size=2, max_size=2), min_size=1, max_size=8
    ),
    size=st.integers(1, 40),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
)
@settings(max_examples=150, deadline=None)
def test_blocks_contain_complete_records(cells: list[list[str]], size: int, line_end: str) -> None:
    import csv

    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(cells)
    text = out.getvalue().encode()
    found = blocks(text, size)
    assert b"".join(found) == text
    read_back = [row for block in found for row in csv.reader(io.StringIO(block.decode(), newline=""))]
    assert read_back == cells


@pytest.mark.parametrize("place", [4521, 4633, 4746, 4858, 4954])
def test_size_statistics_that_contradict_the_schema_are_refused(place: int) -> None:
    """pyarrow aborts the process when it reads the metadata of such a column."""
    changed = bytearray(BODIES[FileFormat.PARQUET])
    changed[place] ^= 1 << 6
    with pytest.raises(InvalidInputError, match="footer is damaged"):
        read(bytes(changed), FileFormat.PARQUET)


def test_a_whole_footer_is_accepted_and_a_part_of_it_refused() -> None:
    columns = {name: np.arange(ROWS) for name in IRIS.input_names}
    whole = io.BytesIO()
    parquet.write_table(pa.table(columns | {"note": pa.array([["a"], None] * 6)}), whole)
    footer = parquet.ParquetFile(whole).metadata
    size = footer.serialized_size
    check_footer(whole.getvalue()[-size - 8 : -8], footer.schema)
    with pytest.raises(InvalidInputError, match="footer is damaged"):
        check_footer(whole.getvalue()[-size - 8 : -size], footer.schema)
