"""The format, content encoding and charset of a body: `Content-Type`, `Content-Encoding`, and file names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from shared.errors import UnsupportedCodingError, UnsupportedMediaTypeError
from shared.safe_texts import named
from shared.tabular.file_formats import ENDINGS, MEDIA_TYPES, UPLOAD_FORMATS, FileFormat


class Packing(StrEnum):
    NONE = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"


FORM = "multipart/form-data"
_BY_MEDIA_TYPE = {name: each for each in UPLOAD_FORMATS for name in MEDIA_TYPES[each]}
_PARAMETER = re.compile(r""";\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""")
_PACKED_ENDINGS = {".gz": Packing.GZIP, ".zst": Packing.ZSTD}
_PACKINGS = {"": Packing.NONE, "x-gzip": Packing.GZIP} | {packing.value: packing for packing in Packing}


@dataclass(frozen=True)
class Wrapping:
    """The format, content encoding and charset of a file."""

    format: FileFormat
    packing: Packing
    charset: str | None = None  # from the Content-Type


ACCEPTED_CODINGS = "gzip, deflate, zstd"
"""The supported content encodings (RFC 9110, 12.5.3)."""


def media_type(content_type: str) -> str:
    """Returns the media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def parameter(content_type: str, name: str) -> str | None:
    """Returns a parameter of a Content-Type without quotes (RFC 9110, 5.6.6)."""
    for key, value in _PARAMETER.findall(content_type):
        if key.lower() == name:
            return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value.strip().strip('"')
    return None


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON or absent."""
    kind = media_type(content_type)
    return kind in ("", FileFormat.JSON.media_type) or kind.endswith("+json")


def wrapping_of_body(content_type: str, content_encoding: str) -> Wrapping:
    """Raises UnsupportedMediaTypeError, which lists the supported types."""
    kind = format_of(media_type(content_type))
    return Wrapping(kind, packing_of(content_encoding), parameter(content_type, "charset"))


def wrapping_of_part(content_type: str, file_name: str) -> Wrapping:
    """Returns the wrapping of a form's file. If its media type is unknown, its name decides: Windows sends
    CSV files as `application/vnd.ms-excel`. Raises UnsupportedMediaTypeError."""
    path = PurePath(file_name.lower())
    packing = _PACKED_ENDINGS.get(path.suffix, Packing.NONE)
    ending = PurePath(path.stem).suffix if packing is not Packing.NONE else path.suffix
    by_name = ENDINGS.get(ending)
    kind = media_type(content_type)
    if by_name is not None and (kind not in _BY_MEDIA_TYPE or packing is not Packing.NONE):
        return Wrapping(by_name, packing, parameter(content_type, "charset"))
    return Wrapping(format_of(kind), packing, parameter(content_type, "charset"))


def format_of(kind: str) -> FileFormat:
    """Raises UnsupportedMediaTypeError, which lists the supported types."""
    found = _BY_MEDIA_TYPE.get(kind)
    if found is None:
        types = [FileFormat.JSON.media_type, FORM, *(each.media_type for each in UPLOAD_FORMATS)]
        raise UnsupportedMediaTypeError(
            f"Unsupported media type {named(kind)}; supported: {', '.join(types)}.{_hint(kind)}"
        )
    return found


def _hint(kind: str) -> str:
    """Returns the likely cause of a wrong type."""
    if kind == "application/x-www-form-urlencoded":
        return " curl -d sends this type: set the type with -H, and send a file with --data-binary."
    return ""


def packing_of(content_encoding: str | bytes) -> Packing:
    """Raises UnsupportedCodingError, which lists the supported encodings."""
    given = content_encoding.decode("latin-1") if isinstance(content_encoding, bytes) else content_encoding
    codings = [
        coding for coding in map(str.strip, given.lower().split(",")) if coding not in ("", "identity")
    ]
    if not codings:
        return Packing.NONE
    found = _PACKINGS.get(codings[0]) if len(codings) == 1 else None
    if found is None:
        raise UnsupportedCodingError(
            f"Unsupported Content-Encoding {named(given)}; supported: {ACCEPTED_CODINGS}."
        )
    return found
