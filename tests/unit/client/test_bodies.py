"""Request bodies of jobs: each kind of rows in its format."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from takt.bodies import Body, encode, observed, of_rows, plain_rows
from takt.formats import Format, format_of, packing_of
from takt.streams import Events, Lines


def content(body: Body) -> bytes:
    return b"".join(body.pieces())


@pytest.mark.parametrize(
    ("name", "media_type", "encoding"),
    [
        ("rows.csv", "text/csv", ""),
        ("rows.CSV.gz", "text/csv", "gzip"),
        ("rows.jsonl.zst", "application/x-ndjson", "zstd"),
        ("rows.parquet", "application/vnd.apache.parquet", ""),
    ],
)
def test_a_file_is_sent_unchanged_with_its_media_type(
    tmp_path: Path, name: str, media_type: str, encoding: str
) -> None:
    (tmp_path / name).write_bytes(b"as it is")
    body = of_rows(tmp_path / name)
    assert content(body) == content(body) == b"as it is"
    assert (body.media_type, body.encoding, body.length_bytes) == (media_type, encoding, 8)


@pytest.mark.parametrize(("begin", "kind"), [(b"ARROW1\0\0", "file"), (b"\xff\xff\xff\xff", "stream")])
def test_both_forms_of_arrow_are_distinguished(tmp_path: Path, begin: bytes, kind: str) -> None:
    (tmp_path / "rows.arrow").write_bytes(begin)
    assert of_rows(tmp_path / "rows.arrow").media_type == f"application/vnd.apache.arrow.{kind}"


def test_a_json_file_goes_row_by_row(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[[1, 2], {"x": "é"}]')
    assert content(of_rows(tmp_path / "rows.json")).decode() == '[1, 2]\n{"x": "é"}\n'


def test_rows_of_an_unknown_format_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("x")
    for rows in (tmp_path / "rows", b"x"):
        with pytest.raises(ValueError, match="give `format`"):
            of_rows(rows)
    with pytest.raises(ValueError, match="not a list of rows"):
        of_rows(b"{}", Format.JSON)
    with pytest.raises(FileNotFoundError):
        of_rows(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.table])
def test_frames_and_tables_go_as_an_arrow_stream(kind: type) -> None:
    rows = kind({"x": [1.5, 2.5] * 40_000})
    body = of_rows(rows)
    read = pa.ipc.open_stream(io.BytesIO(content(body))).read_all()
    assert read["x"].to_pylist() == [1.5, 2.5] * 40_000
    assert sum(1 for _ in body.pieces()) == 3  # no more than a part of it is encoded at a time


def test_rows_of_a_frame_have_its_columns_and_null_for_missing_values() -> None:
    frame = pd.DataFrame({"온도(℃)": [1.5, None], "n": [1, 2], "at": [pd.Timestamp("2026-03-02"), None]})
    assert json.loads(encode(plain_rows(frame))) == [
        {"온도(℃)": 1.5, "n": 1, "at": "2026-03-02T00:00:00"},
        {"온도(℃)": None, "n": 2, "at": None},
    ]


def test_rows_are_made_while_they_are_sent() -> None:
    made: list[int] = []

    def rows() -> Iterator[list[int]]:
        for number in range(1200):
            made.append(number)
            yield [number]

    pieces = of_rows(rows()).pieces()
    next(pieces)
    assert len(made) < 1200
    assert sum(piece.count(b"\n") for piece in pieces) == 700


def test_the_bytes_sent_are_reported() -> None:
    reported: list[int] = []
    body = observed(of_rows(b"x" * (2**18 + 1), Format.CSV), reported.append)
    assert len(content(body)) == reported[-1] == 2**18 + 1
    assert reported[0] == 2**18


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_lines_and_events_are_whole_however_they_arrive(cut: int) -> None:
    text = (
        b'one\ntwo\n\nid: 7\r\nevent: x\r\ndata: {"state": "running",\r\ndata: "rows_total": null, "rows_succ'
    )
    text += b'eeded": 1, "rows_failed": 0}\r\n\r\ndata: {"another": 1}\n\nrest'
    pieces = [text[first : first + cut] for first in range(0, len(text), cut)]
    lines, heard = Lines(), Events()
    assert [line for piece in pieces for line in lines.feed(piece)] + lines.rest() == text.split(b"\n")
    (event,) = [event for piece in pieces for event in heard.feed(piece)]
    assert (event.id, event.progress.state, event.progress.rows_done) == ("7", "running", 1)


@pytest.mark.parametrize("name", ["rows", "rows.txt", "rows.gz", "csv"])
def test_an_unknown_extension_has_no_format(name: str) -> None:
    assert format_of(name) is None
    assert packing_of("rows.csv") == ""


def test_the_sdk_imports_neither_pandas_nor_arrow_by_itself() -> None:
    source = (
        "import sys, takt; takt.Takt, takt.AsyncTakt;"
        "from takt.bodies import of_rows; list(of_rows([[1]]).pieces());"
        "print(sorted({'pandas', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_numbers_and_arrays_of_numpy_are_json() -> None:
    row = {"a": np.int64(7), "b": np.float32(0.5), "c": np.array([1, 2]), "d": np.bool_(True)}
    assert encode(row) == b'{"a": 7, "b": 0.5, "c": [1, 2], "d": true}'
