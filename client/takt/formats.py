"""The formats of rows and results: names, media types and file extensions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path, PurePath


class Format(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"  # written as an Arrow stream; read as an Arrow stream or file

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
    """Returns the format for a file's extension, compressed or not; None if it is unknown."""
    name = PurePath(path.lower())
    if name.suffix in _PACKED:
        name = name.with_suffix("")
    return _ENDINGS.get(name.suffix)


def packing_of(path: str) -> str:
    """Returns the Content-Encoding for a file's extension; empty if it is not compressed."""
    return _PACKED.get(PurePath(path.lower()).suffix, "")


def media_type_of(found: Format, begin: bytes) -> str:
    """Returns the media type of a file with these first bytes: an Arrow file is either a stream or a file."""
    return _ARROW_FILE_TYPE if found is Format.ARROW and begin.startswith(_ARROW_FILE) else found.media_type


def file_format(path: str | Path, named: Format | None) -> Format:
    """Returns the format of an output file.

    Raises ValueError if it is unknown; results are not compressed.
    """
    name = Path(path).name
    found = named or (None if packing_of(name) else format_of(name))
    if found is None:
        raise ValueError(f"{name}: unknown output format: use an extension of {ENDINGS}")
    return found
