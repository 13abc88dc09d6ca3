"""Character sets and signatures: a common rule for all texts, and messages for files of another kind."""

from __future__ import annotations

import bz2
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import orc

from shared.errors import InvalidInputError
from shared.tabular.charsets import codec_of
from shared.tabular.content_types import Packing, Wrapping
from shared.tabular.file_formats import UPLOAD_FORMATS, FileFormat
from shared.tabular.reading import Reading, ReadSummary
from shared.tabular.upload_options import UploadOptions
from shared.validation import RowValidator
from tests.unit.gateway_fakes import IRIS
from tests.unit.shared.tabular.test_readers import IRIS_HEADER, LIMITS, packed, read

TEXTS = (FileFormat.CSV, FileFormat.NDJSON)


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        *((label, "cp949") for label in ("euc-kr", "EUC-KR", "ks_c_5601-1987", "korean", "windows-949")),
        *((label, "cp949") for label in ("ksc5601", "iso-ir-149", "cp949", "ms949", "uhc", "euc_kr")),
        *((label, "cp1252") for label in ("latin1", "iso-8859-1", "ascii", "us-ascii", "windows-1252")),
        *((label, "cp1252") for label in ("latin-1", "cp1252", "l1")),
        *((label, "cp932") for label in ("shift_jis", "sjis", "ms932", "windows-31j", "x-sjis")),
        *((label, "gb18030") for label in ("gb2312", "gbk", "gb18030", "chinese", "x-gbk")),
        *((label, "utf-16-le") for label in ("utf-16", "utf-16le", "unicode")),
        *((label, "utf-8") for label in ("utf-8", "UTF8", "unicode-1-1-utf-8")),
        ("utf-16be", "utf-16-be"),
        ("big5", "big5hkscs"),
        ("euc-jp", "euc_jp"),
        ("iso-8859-9", "cp1254"),
        ("koi8-r", "koi8-r"),
    ],
)
def test_labels_have_the_meaning_of_browsers_and_java(label: str, codec: str) -> None:
    assert codec_of(label) == codec


@pytest.mark.parametrize("label", ["klingon", "base64", "rot13", "hex", "x-user-defined", "", "a" * 500])
def test_a_label_of_no_charset_is_refused(label: str) -> None:
    with pytest.raises(InvalidInputError, match="unknown charset"):
        codec_of(label)


def text(kind: FileFormat, note: str, rows: int = 3) -> str:
    if kind is FileFormat.CSV:
        return "설비명," + IRIS_HEADER + f"{note},1,1,1,1\n" * rows
    line = '{"설비명":"%s","sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":1}\n'
    return line % note * rows


def notes(body: bytes, kind: FileFormat, **options: Any) -> list[object]:
    rows, tally = read(body, kind, keep_columns=("설비명",), **options)
    assert not tally.rows_failed
    return [row["keep:설비명"] for row in rows]


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize(
    ("saved", "declared"),
    [
        ("cp949", "euc-kr"),
        ("cp949", "ks_c_5601-1987"),
        ("utf-16-le", "utf-16le"),
        ("utf-16-be", "utf-16be"),
        ("gb18030", "gb2312"),
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-32", None),
        ("utf-8-sig", "cp949"),
        ("utf-16", "cp949"),
    ],
)
def test_a_byte_order_mark_decides_then_the_declared_charset(
    kind: FileFormat, saved: str, declared: str | None
) -> None:
    body = text(kind, "뷁 펲 设备").encode(saved) if saved != "cp949" else text(kind, "뷁 펲").encode(saved)
    expected = "뷁 펲" if saved == "cp949" else "뷁 펲 设备"
    assert notes(body, kind, charset=declared) == [expected] * 3


@pytest.mark.parametrize("kind", TEXTS)
def test_the_content_types_charset_counts_like_the_parameter(kind: FileFormat) -> None:
    body = text(kind, "뷁").encode("cp949")
    options = UploadOptions(model=IRIS.name, keep_columns=("설비명",))
    reading = Reading(Wrapping(kind, Packing.NONE, "euc-kr"), RowValidator(IRIS), options, LIMITS)
    tally = ReadSummary()
    assert list(reading.chunks(io.BytesIO(body), tally))
    assert (tally.rows, tally.rows_failed) == (3, 0)


@pytest.mark.parametrize("kind", TEXTS)
def test_an_undeclared_charset_gives_the_same_message_for_any_file_size(kind: FileFormat) -> None:
    said = set()
    for rows in (1, 100, 60_000):
        body = text(kind, "사출기 7호", rows).encode("cp949")
        with pytest.raises(
            InvalidInputError, match=r"not UTF-8: line 1 .* is valid cp949.* charset=cp949"
        ) as found:
            read(body, kind)
        said.add(found.value.detail)
    assert len(said) == 1


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("before", [0, 1, 5_000, 40_000])
def test_a_wrong_byte_is_named_by_its_line_and_its_offset(kind: FileFormat, before: int) -> None:
    head = text(kind, "설비", before)
    body = head.encode() + text(kind, "설비", 1).splitlines()[-1].encode("cp949") + b"\n"
    wrong = len(head.encode()) + (0 if kind is FileFormat.CSV else 2)
    line = head.count("\n") + 1
    with pytest.raises(
        InvalidInputError, match=f"line {line} has the byte 0xBC at offset {wrong}. The line is valid"
    ):
        read(body, kind)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_ends_within_a_character_is_cut_off(kind: FileFormat) -> None:
    body = text(kind, "설비").encode()
    cut = body[: body.rindex("비".encode()) + 2]
    with pytest.raises(InvalidInputError, match=r"cut off.* ends within a character"):
        read(cut, kind)
    with pytest.raises(InvalidInputError, match="is not cp949: line 1 "):
        read(b"\xff" + body, kind, charset="cp949")


def archive(name: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        file.writestr(name, "<xml/>")
    return sink.getvalue()


def tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.csv"), io.BytesIO())
    return sink.getvalue()


def table() -> pa.Table:
    return pa.table(dict.fromkeys(IRIS.input_names, pa.array([1.0])))


def written(write: Any) -> bytes:
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table a (b)")
        return connection.serialize()


OTHERS = {
    "xlsx": (archive("xl/workbook.xml"), "Excel workbook.*CSV"),
    "docx": (archive("[Content_Types].xml"), "Office.*CSV"),
    "zip": (archive("rows.csv"), "ZIP archive.*Unpack"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old Office file.*CSV"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
    "gzip": (bytes.fromhex("1f8b0800"), "gzip.*Content-Encoding: gzip"),
    "zstd": (pa.compress(b"a,b\n", codec="zstd", asbytes=True), "zstd.*Content-Encoding: zstd"),
    "bzip2": (bz2.compress(b"a,b\n1,2\n"), "bzip2"),
    "xz": (lzma.compress(b"a,b\n1,2\n"), "xz"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
    "tar": (tar(), "tar archive"),
    "parquet": (
        packed(table(), FileFormat.PARQUET),
        "Parquet.*Content-Type: application/vnd.apache.parquet",
    ),
    "arrow": (packed(table(), FileFormat.ARROW_FILE), "Arrow file.*Content-Type: .*arrow.file"),
    "arrows": (packed(table(), FileFormat.ARROW), "Arrow stream.*Content-Type: .*arrow.stream"),
    "feather1": (b"FEA1\0\0\0\0" + bytes(64) + b"FEA1", "Feather"),
    "orc": (written(lambda sink: orc.write_table(table(), sink)), "ORC"),
    "avro": (b"Obj\x01\x04\x14avro.codec", "Avro"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
    "npy": (written(lambda sink: np.save(sink, np.ones(3))), "NumPy"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
    "html": (b"\n <!DOCTYPE html>\n<html></html>", "HTML page"),
    "table": (b"<html xmlns:x='urn:excel'><table></table>", "HTML page"),
    "xml": (b'\xef\xbb\xbf<?xml version="1.0"?><rows/>', "XML"),
    "sqlite": (database(), "SQLite"),
    "pickle": (pickle.dumps({"a": 1}), "pickle"),
    "utf-16": (IRIS_HEADER.encode("utf-16-le"), "UTF-16 without.*charset=utf-16le"),
    "utf-16be": (IRIS_HEADER.encode("utf-16-be"), "UTF-16 without.*charset=utf-16be"),
}


@pytest.mark.parametrize("name", list(OTHERS))
@pytest.mark.parametrize("kind", UPLOAD_FORMATS)
def test_a_file_of_another_kind_is_rejected_with_advice(name: str, kind: FileFormat) -> None:
    body, said = OTHERS[name]
    own = {
        FileFormat.PARQUET: "parquet",
        FileFormat.ARROW_FILE: "arrow",
        FileFormat.ARROW: "arrows",
    }.get(kind)
    if name == own:
        assert len(read(body, kind)[0]) == 1
    elif name.startswith("utf-16") and kind not in TEXTS:
        with pytest.raises(InvalidInputError):
            read(body, kind)
    else:
        with pytest.raises(InvalidInputError, match=f"(?s)^The body is not .*it is .*{said}") as found:
            read(body, kind)
        assert "cp949" not in found.value.detail


def test_json_that_is_sent_as_csv_is_named() -> None:
    for body in (b'[{"sepal_length": 1}]', b'{"sepal_length": 1}\n', b"[[1, 2]]"):
        with pytest.raises(InvalidInputError, match=r"it is JSON.*application/x-ndjson"):
            read(body, FileFormat.CSV)


@pytest.mark.parametrize("name", ["PK", "ORC", "PAR1", "BZh", "GIF8", "ARROW1", "MZ", "II"])
def test_a_header_that_looks_like_a_signature_is_text_all_the_same(name: str) -> None:
    rows, tally = read(f"{name},{IRIS_HEADER}x,1,1,1,1\n".encode(), FileFormat.CSV)
    assert (len(rows), tally.ignored_columns) == (1, (name,))


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_a_body_with_the_wrong_content_encoding_is_rejected(packing: Packing) -> None:
    with pytest.raises(InvalidInputError, match=f"is not {packing}: it is not compressed"):
        read((IRIS_HEADER + "1,1,1,1\n").encode(), FileFormat.CSV, packing=packing)
