"""The line of the file of an invalid row: the header, empty lines and line ends within quotes count."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.tabular import csv as csv_reader
from shared.tabular import ndjson
from shared.tabular.content_types import Packing
from shared.tabular.file_formats import FileFormat
from shared.tabular.reading import InvalidRow
from tests.unit.shared.tabular.test_readers import csv as read_csv
from tests.unit.shared.tabular.test_readers import pack, read

HEADER = "note,sepal_length,sepal_width,petal_length,petal_width"
NOT_A_NUMBER = "sepal_length: 'x' is not a number"
ENDS = ["\n", "\r\n", "\r"]
GOOD = '{"sepal_length":1,"sepal_width":1,"petal_length":2,"petal_width":3}'
MIXED = [
    HEADER,  # line 1
    "ok,1,1,1,1",  # 2
    "",  # 3
    "bad,x,1,1,1",  # 4: row 1
    '"two{0}{0}lines",1,1,1,1',  # 5 to 7
    "bad,1,1",  # 8: row 3
    '"{0}bad",x,1,1,1',  # 9: row 4
    "",  # 11
    "",  # 12
    "bad,x,1,1,1",  # 13: row 5
    '5" pipe,x,1,1,1',  # 14: row 6
]
LINES = [(1, 4), (3, 8), (4, 9), (5, 13), (6, 14)]


def packed(body: bytes, packing: Packing) -> bytes:
    return body if packing is Packing.NONE else pack(body, packing)


def mixed(line_end: str) -> bytes:
    return line_end.join(line.format(line_end) for line in MIXED).encode() + line_end.encode()


@pytest.mark.parametrize("line_end", ENDS)
@pytest.mark.parametrize("packing", [Packing.NONE, Packing.GZIP])
def test_the_line_of_an_invalid_row_counts_every_line_of_a_csv(line_end: str, packing: Packing) -> None:
    rows, summary = read(packed(mixed(line_end), packing), FileFormat.CSV, packing=packing)
    assert [(problem.row, problem.line) for problem in summary.problems] == LINES
    assert [row["error"] for row in rows if row["error"]] == [
        f"{NOT_A_NUMBER} (line 4)",
        "has 3 cells, but the header has 5 (line 8)",
        *(f"{NOT_A_NUMBER} (line {line})" for line in (9, 13, 14)),
    ]


@pytest.mark.parametrize("line_end", ENDS)
def test_the_line_is_the_same_wherever_a_block_ends(line_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in range(56, 140):
        monkeypatch.setattr(csv_reader, "BLOCK_BYTES", size)
        _, summary = read(mixed(line_end), FileFormat.CSV)
        assert [(problem.row, problem.line) for problem in summary.problems] == LINES, size


def test_lines_before_the_header_count() -> None:
    _, summary = read_csv(f"\n\n{HEADER}\nbad,x,1,1,1\n")
    assert summary.problems == [InvalidRow(0, NOT_A_NUMBER, 4)]


def test_a_long_reason_keeps_its_line() -> None:
    many = ",".join(["1"] * 4)
    rows, _ = read_csv(f"{HEADER}\nbad,{'9' * 400},{'8' * 400},{'7' * 400},{'x' * 400}\nok,{many}\n")
    assert rows[0]["error"].endswith(" (line 2)")


def test_lines_are_right_far_into_a_file() -> None:
    lines = [f'"a\n{i}",{i % 10},1,1,1' for i in range(100_000)]
    lines[90_000] = "bad,x,1,1,1"
    _, summary = read_csv("\n".join([HEADER, *lines]))
    assert summary.problems == [InvalidRow(90_000, NOT_A_NUMBER, 2 + 2 * 90_000)]


@pytest.mark.parametrize("line_end", ENDS[:2])
@pytest.mark.parametrize("packing", [Packing.NONE, Packing.GZIP])
def test_the_line_of_an_invalid_row_counts_every_line_of_ndjson(line_end: str, packing: Packing) -> None:
    lines = [GOOD, "", "1", "  ", "", GOOD, "[1, 2]", GOOD]
    body = packed(line_end.join(lines).encode(), packing)
    rows, summary = read(body, FileFormat.NDJSON, packing=packing)
    assert [(problem.row, problem.line) for problem in summary.problems] == [(1, 3), (3, 7)]
    assert [row["error"][-9:] for row in rows if row["error"]] == [" (line 3)", " (line 7)"]


def test_lines_of_ndjson_are_the_same_across_blocks_and_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["1" if i % 7 == 0 else "" if i % 5 == 0 else GOOD for i in range(2000)]
    expected = [i + 1 for i in range(2000) if i % 7 == 0]
    for size in (64, 100, 4096):
        monkeypatch.setattr(ndjson, "_BLOCK_BYTES", size)
        rows, _ = read("\n".join(lines).encode(), FileFormat.NDJSON)
        found = [int(row["error"].rpartition("(line ")[2][:-1]) for row in rows if row["error"]]
        assert found == expected


def test_a_format_without_lines_names_none() -> None:
    body = io.BytesIO()
    table = pa.table({name: ["x"] for name in HEADER.split(",")})
    with pa.ipc.new_stream(body, table.schema) as writer:
        writer.write_table(table)
    rows, summary = read(body.getvalue(), FileFormat.ARROW)
    assert summary.problems[0].line is None
    assert "(line" not in rows[0]["error"]


cells = st.text('ax" ,\r\n;', max_size=5)


@given(
    notes=st.lists(st.tuples(cells, st.booleans(), st.integers(0, 2)), min_size=1, max_size=8),
    line_end=st.sampled_from(ENDS),
)
@settings(max_examples=200, deadline=None)
def test_lines_are_those_that_a_reference_parser_counts(
    notes: list[tuple[str, bool, int]], line_end: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_NONNUMERIC)
    expected, begins = [], 2
    out.write(HEADER + line_end)
    for note, bad, empty_lines in notes:
        out.write(line_end * empty_lines)
        begins += empty_lines
        if bad:
            expected.append(begins)
        start = out.tell()
        writer.writerow([note, "x" if bad else 1, 1, 1, 1])
        written = out.getvalue()[start:]
        begins += len(written.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1
    _, summary = read(out.getvalue().encode(), FileFormat.CSV)
    assert [problem.line for problem in summary.problems] == expected
