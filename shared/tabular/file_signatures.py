"""Recognizes a file by its first bytes, and rejects a file that is not in its declared format."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import InvalidInputError
from shared.tabular.file_formats import FileFormat

HEAD_BYTES = 4096
"""Number of bytes that are examined."""
_SAVE = "Open it in its program, save it as CSV (UTF-8), and send that as text/csv."
_EXPORT = "Export its rows as CSV, NDJSON, Parquet or Arrow, and send those."
_UNPACK = "Unpack it, or compress it with gzip or zstd and send that Content-Encoding."
_SEND = "Send it with Content-Type: {}."


@dataclass(frozen=True)
class Signature:
    """A kind of file: its first bytes, its name, and advice for the sender."""

    begin: bytes
    name: str
    advice: str
    binary: bool = False
    """Whether text could begin with these bytes: a control character must then follow soon."""


_SIGNATURES = (
    Signature(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (such as .xls)", _SAVE),
    Signature(b"%PDF-", "a PDF document", _EXPORT),
    Signature(b"{\\rtf", "an RTF document", _SAVE),
    Signature(b"\x1f\x8b", "compressed with gzip", "Send Content-Encoding: gzip."),
    Signature(b"\x28\xb5\x2f\xfd", "compressed with zstd", "Send Content-Encoding: zstd."),
    Signature(b"BZh", "compressed with bzip2", _UNPACK, binary=True),
    Signature(b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    Signature(b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    Signature(b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    Signature(b"\x04\x22\x4d\x18", "compressed with lz4", _UNPACK),
    Signature(b"PAR1", "a Parquet file", _SEND.format(FileFormat.PARQUET.media_type), binary=True),
    Signature(b"PARE", "an encrypted Parquet file", _EXPORT, binary=True),
    Signature(b"ARROW1", "an Arrow file", _SEND.format(FileFormat.ARROW_FILE.media_type), binary=True),
    Signature(b"FEA1", "a Feather file of version 1", "Write it as Feather 2 (Arrow).", binary=True),
    Signature(b"\xff\xff\xff\xff", "an Arrow stream", _SEND.format(FileFormat.ARROW.media_type)),
    Signature(b"ORC", "an ORC file", _EXPORT, binary=True),
    Signature(b"Obj\x01", "an Avro file", _EXPORT),
    Signature(b"\x89HDF\r\n\x1a\n", "an HDF5 file", _EXPORT),
    Signature(b"\x93NUMPY", "a NumPy array (.npy)", _EXPORT),
    Signature(b"SQLite format 3\0", "an SQLite database", _EXPORT),
    Signature(b"\x89PNG\r\n\x1a\n", "a PNG image", _EXPORT),
    Signature(b"\xff\xd8\xff", "a JPEG image", _EXPORT),
    Signature(b"GIF8", "a GIF image", _EXPORT, binary=True),
    Signature(b"II*\0", "a TIFF image", _EXPORT),
    Signature(b"MM\0*", "a TIFF image", _EXPORT),
    Signature(b"\x7fELF", "a program", _EXPORT),
    Signature(b"MZ\x90\0", "a program", _EXPORT),
    Signature(b"MATLAB 5.0 MAT-file", "a MATLAB file", _EXPORT),
)
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in (2, 3, 4, 5))
_OWN = {
    FileFormat.PARQUET: "a Parquet file",
    FileFormat.ARROW_FILE: "an Arrow file",
    FileFormat.ARROW: "an Arrow stream",
}
_NAMES = {FileFormat.CSV: "CSV", FileFormat.NDJSON: "NDJSON"} | {
    kind: name.partition(" ")[2] for kind, name in _OWN.items()
}


def refuse_other(head: bytes, kind: FileFormat, charset: str | None) -> None:
    """Raises InvalidInputError if a file does not begin like its declared format.

    `charset` is the declared charset. Without it, text in UTF-16 needs a byte order mark.
    """
    if not head and kind in _OWN:
        raise InvalidInputError(f"The body is empty: it cannot be read as {kind.media_type}.")
    found = recognized(head)
    if found is None and kind in (FileFormat.CSV, FileFormat.NDJSON):
        found = _recognized_text(head, kind) or (None if charset else _utf_16(head))
    if found is not None and found[0] != _OWN.get(kind):
        name, advice = found
        raise InvalidInputError(f"The body is not {_NAMES[kind]}: it is {name}. {advice}")


def recognized_without_mark(head: bytes) -> tuple[str, str] | None:
    """Recognizes also text in UTF-16 without a byte order mark."""
    return recognized(head) or _utf_16(head)


def recognized(head: bytes) -> tuple[str, str] | None:
    """Returns the kind of a file with these first bytes, and advice for its sender; None if it is unknown."""
    if head.startswith(b"PK\x03\x04"):
        return _zip(head)
    if head.startswith(_PICKLES):
        return "a Python pickle", _EXPORT
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    for each in _SIGNATURES:
        if head.startswith(each.begin) and (not each.binary or _is_binary(head[len(each.begin) :])):
            return each.name, each.advice
    return _markup(head)


def _is_binary(data: bytes) -> bool:
    return any(byte < 0x20 and byte not in b"\t\n\r\x0b\x0c" for byte in data[:64])


def _zip(head: bytes) -> tuple[str, str]:
    if b"xl/" in head or b"[Content_Types].xml" in head:
        return "an Excel workbook (.xlsx) or another Office file", _SAVE
    if b"mimetypeapplication/vnd.oasis.opendocument" in head:
        return "an OpenDocument file (such as .ods)", _SAVE
    return "a ZIP archive", "Unpack it and send a single file; gzip and zstd are supported."


def _markup(head: bytes) -> tuple[str, str] | None:
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if begin.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<table")):
        return (
            "an HTML page",
            "Check the URL that it was downloaded from: it may be a login or error page.",
        )
    if begin.startswith((b"<?xml", b"<!doctype", b"<workbook")):
        return "an XML document", _EXPORT
    return None


def _utf_16(head: bytes) -> tuple[str, str] | None:
    """Recognizes UTF-16 without a byte order mark: every other byte of Latin text is zero."""
    begin = head[:64]
    if len(begin) < 4 or begin.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    for codec, text, zeros in (("utf-16le", begin[::2], begin[1::2]), ("utf-16be", begin[1::2], begin[::2])):
        if not text.count(0) and zeros.count(0) * 2 > len(zeros):
            return "text in UTF-16 without a byte order mark", f"Declare its charset: charset={codec}."
    return None


def _recognized_text(head: bytes, kind: FileFormat) -> tuple[str, str] | None:
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if kind is FileFormat.CSV and begin.startswith((b'{"', b"[{", b"[[")):
        return "JSON", f"Send one JSON row per line with Content-Type: {FileFormat.NDJSON.media_type}."
    return None
