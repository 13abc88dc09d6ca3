"""What a job's body may be: its format, and how it is packed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from shared.errors import UnsupportedCoding, UnsupportedMediaType
from shared.texts import named


class UploadFormat(StrEnum):
    CSV = "text/csv"
    NDJSON = "application/x-ndjson"
    PARQUET = "application/vnd.apache.parquet"
    ARROW_STREAM = "application/vnd.apache.arrow.stream"
    ARROW_FILE = "application/vnd.apache.arrow.file"


class Packing(StrEnum):
    NONE = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"


JSON = "application/json"
FORM = "multipart/form-data"
_ALIASES = {
    "application/csv": UploadFormat.CSV,
    "application/jsonl": UploadFormat.NDJSON,
    "application/ndjson": UploadFormat.NDJSON,
    "application/x-parquet": UploadFormat.PARQUET,
}
_ENDINGS = {
    ".csv": UploadFormat.CSV,
    ".ndjson": UploadFormat.NDJSON,
    ".jsonl": UploadFormat.NDJSON,
    ".parquet": UploadFormat.PARQUET,
    ".arrows": UploadFormat.ARROW_STREAM,
    ".arrow": UploadFormat.ARROW_FILE,
    ".feather": UploadFormat.ARROW_FILE,
}
_PARAMETER = re.compile(r""";\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""")
_PACKED_ENDINGS = {".gz": Packing.GZIP, ".zst": Packing.ZSTD}
_PACKINGS = {"": Packing.NONE, "x-gzip": Packing.GZIP} | {packing.value: packing for packing in Packing}


@dataclass(frozen=True)
class Wrapping:
    """How to read the bytes of a file."""

    format: UploadFormat
    packing: Packing
    charset: str | None = None  # of the Content-Type


ACCEPTED_CODINGS = "gzip, deflate, zstd"
"""What a body may be packed with (RFC 9110, 12.5.3)."""


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def parameter(content_type: str, name: str) -> str | None:
    """A parameter of a Content-Type, without its quotes (RFC 9110, 5.6.6)."""
    for key, value in _PARAMETER.findall(content_type):
        if key.lower() == name:
            return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value.strip().strip('"')
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
    """Of a form's file. Its name decides where its type is none of ours: Windows calls a CSV file
    `application/vnd.ms-excel`. Raises UnsupportedMediaType."""
    path = PurePath(file_name.lower())
    packing = _PACKED_ENDINGS.get(path.suffix, Packing.NONE)
    ending = PurePath(path.stem).suffix if packing is not Packing.NONE else path.suffix
    by_name = _ENDINGS.get(ending)
    kind = media_type(content_type)
    if by_name is not None and (_known(kind) is None or packing is not Packing.NONE):
        return Wrapping(by_name, packing, parameter(content_type, "charset"))
    return Wrapping(format_of(kind), packing, parameter(content_type, "charset"))


def format_of(kind: str) -> UploadFormat:
    """Raises UnsupportedMediaType, naming what is read."""
    found = _known(kind)
    if found is None:
        read = ", ".join([JSON, FORM, *UploadFormat])
        raise UnsupportedMediaType(f"{named(kind)} is not read here; these are: {read}.{_hint(kind)}")
    return found


def _known(kind: str) -> UploadFormat | None:
    return _ALIASES.get(kind) or (UploadFormat(kind) if kind in list(UploadFormat) else None)


def _hint(kind: str) -> str:
    """Why a client may have sent this type."""
    if kind == "application/x-www-form-urlencoded":
        return " It is what curl -d sends: name the type with -H, and send a file with --data-binary."
    return ""


def packing_of(content_encoding: str | bytes) -> Packing:
    """Raises UnsupportedMediaType, naming what is unpacked."""
    said = content_encoding.decode("latin-1") if isinstance(content_encoding, bytes) else content_encoding
    codings = [coding for coding in map(str.strip, said.lower().split(",")) if coding not in ("", "identity")]
    if not codings:
        return Packing.NONE
    found = _PACKINGS.get(codings[0]) if len(codings) == 1 else None
    if found is None:
        raise UnsupportedCoding(f"Content-Encoding {named(said)} is not one of: {ACCEPTED_CODINGS}.")
    return found
