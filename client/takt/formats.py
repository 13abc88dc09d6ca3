"""The formats of rows and results: their names, media types and file endings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath


class Format(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"  # written as a stream of record batches, read as a stream or a file of them

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]

    @property
    def is_text(self) -> bool:
        return self in (Format.CSV, Format.NDJSON, Format.JSON)


_MEDIA_TYPES = {
    Format.CSV: "text/csv",
    Format.NDJSON: "application/x-ndjson",
    Format.JSON: "application/json",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}
_ARROW_FILE, _ARROW_FILE_TYPE = b"ARROW1", "application/vnd.apache.arrow.file"
MAGIC_BYTES = len(_ARROW_FILE)
_ENDINGS = {f".{each}": each for each in Format} | {
    ".jsonl": Format.NDJSON,
    ".arrows": Format.ARROW,
    ".feather": Format.ARROW,
}
_PACKED = {".gz": "gzip", ".zst": "zstd"}
ENDINGS = " ".join(sorted(_ENDINGS))


def format_of(path: str) -> Format | None:
    """By the file's ending, packed or not; None where it says nothing."""
    name = PurePath(path.lower())
    if name.suffix in _PACKED:
        name = name.with_suffix("")
    return _ENDINGS.get(name.suffix)


def packing_of(path: str) -> str:
    """The Content-Encoding by the file's ending; empty: none."""
    return _PACKED.get(PurePath(path.lower()).suffix, "")


def media_type_of(found: Format, begin: bytes) -> str:
    """What a file is sent as that begins so: Arrow comes in two forms."""
    return _ARROW_FILE_TYPE if found is Format.ARROW and begin.startswith(_ARROW_FILE) else found.media_type
