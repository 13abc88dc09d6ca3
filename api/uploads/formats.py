"""What a job's body may be: its format, and how it is packed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from shared.errors import UnsupportedMediaType


class Format(StrEnum):
    CSV = "text/csv"
    NDJSON = "application/x-ndjson"
    PARQUET = "application/vnd.apache.parquet"
    ARROW_STREAM = "application/vnd.apache.arrow.stream"
    ARROW_FILE = "application/vnd.apache.arrow.file"


class Packing(StrEnum):
    NONE = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


JSON = "application/json"
FORM = "multipart/form-data"
_NOTHING_SAID = ("", "application/octet-stream")
_ALIASES = {
    "application/csv": Format.CSV,
    "application/jsonl": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/x-parquet": Format.PARQUET,
}
_ENDINGS = {
    ".csv": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".parquet": Format.PARQUET,
    ".arrows": Format.ARROW_STREAM,
    ".arrow": Format.ARROW_FILE,
    ".feather": Format.ARROW_FILE,
}
_PACKED_ENDINGS = {".gz": Packing.GZIP, ".zst": Packing.ZSTD}
_PACKINGS = {"": Packing.NONE, "x-gzip": Packing.GZIP} | {packing.value: packing for packing in Packing}


@dataclass(frozen=True)
class Wrapping:
    """How to read the bytes of a file."""

    format: Format
    packing: Packing
    charset: str | None = None  # of the Content-Type


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def parameter(content_type: str, name: str) -> str | None:
    """A parameter of a Content-Type."""
    for part in content_type.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"')
    return None


def is_json(content_type: str) -> bool:
    """Whether a body claims to be JSON, or claims nothing."""
    kind = media_type(content_type)
    return kind in ("", JSON) or kind.endswith("+json")


def wrapping_of_body(content_type: str, content_encoding: str) -> Wrapping:
    """Raises UnsupportedMediaType, naming what is read."""
    kind = format_of(media_type(content_type))
    return Wrapping(kind, packing_of(content_encoding), parameter(content_type, "charset"))


def wrapping_of_part(content_type: str, file_name: str) -> Wrapping:
    """Of a form's file, whose name speaks where its type says nothing. Raises UnsupportedMediaType."""
    path = PurePath(file_name.lower())
    packing = _PACKED_ENDINGS.get(path.suffix, Packing.NONE)
    ending = PurePath(path.stem).suffix if packing is not Packing.NONE else path.suffix
    by_name = _ENDINGS.get(ending)
    kind = media_type(content_type)
    if by_name is not None and (kind in _NOTHING_SAID or packing is not Packing.NONE):
        return Wrapping(by_name, packing, parameter(content_type, "charset"))
    return Wrapping(format_of(kind), packing, parameter(content_type, "charset"))


def format_of(kind: str) -> Format:
    """Raises UnsupportedMediaType, naming what is read."""
    found = _ALIASES.get(kind)
    if found is None and kind in list(Format):
        found = Format(kind)
    if found is None:
        read = ", ".join([JSON, FORM, *Format])
        raise UnsupportedMediaType(f"{kind!r} is not read here; these are: {read}.")
    return found


def packing_of(content_encoding: str) -> Packing:
    """Raises UnsupportedMediaType, naming what is unpacked."""
    found = _PACKINGS.get(content_encoding.strip().lower())
    if found is None:
        raise UnsupportedMediaType(f"Content-Encoding {content_encoding!r} is not gzip, zstd or identity.")
    return found
