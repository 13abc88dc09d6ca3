"""Streaming multipart/form-data: fields first, then the file, passed on as its bytes arrive.

The fields determine how the file is read, so that they must precede it; browsers and `curl -F` keep the order
of a form.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import InvalidInputError
from shared.tabular.charsets import of_body
from shared.tabular.content_types import Wrapping, parameter, wrapping_of_part

_EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=([^;]*)", re.IGNORECASE)
_MOST_FIELD_BYTES = 64 * 2**10
"""Limit for all fields together."""


class FormBody:
    """A form with a single file. Every method raises InvalidInputError if the body is not such a form."""

    def __init__(self, boundary: str, parts: AsyncIterator[bytes]) -> None:
        self._body = parts
        self._events = _Events()
        self._parser = MultipartParser(boundary, self._events.callbacks())  # type: ignore[arg-type]
        self._last_boundary = b"--" + boundary.encode("latin-1", "replace") + b"--"
        self._recent = b""  # tail of the body: it may hold the beginning of a boundary

    async def head(self) -> tuple[list[tuple[str, str]], Wrapping]:
        """Read up to the file. → the fields, and the format, packing and charset of the file"""
        while self._events.file is None:
            if not await self._advance():
                raise InvalidInputError("The form contains no file: a part needs a filename.")
        return self._events.fields, self._events.file

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises InvalidInputError unless the form ends after them."""
        more = True
        while more:
            for data in self._events.taken():
                yield data
            more = await self._advance()
        if not self._events.whole:
            raise InvalidInputError("The form is truncated: its last boundary is missing.")

    async def _advance(self) -> bool:
        data = await anext(self._body, None)
        was_whole = self._events.whole
        try:
            self._parser.write(data or b"")
        except FormParserError as error:
            raise InvalidInputError(f"The body is not multipart/form-data: {error}") from None
        self._require_end(data or b"", was_whole=was_whole)
        return data is not None

    def _require_end(self, data: bytes, *, was_whole: bool) -> None:
        """Raises InvalidInputError if text follows the last boundary. The parser ignores such text, but it is
        the
        rest of the file if the file happens to contain the boundary.
        """
        behind = self._recent + data
        if self._events.whole and not was_whole:
            behind = behind.partition(self._last_boundary)[2]
        if self._events.whole and behind.strip():
            raise InvalidInputError(
                "The form continues after its last boundary. Does the file contain the boundary?"
            )
        self._recent = b"" if self._events.whole else behind[-len(self._last_boundary) :]


class _Events:
    """Collects the parser's callbacks, which receive ranges of bytes."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.file: Wrapping | None = None
        self.whole = False
        self._data: list[bytes] = []
        self._headers: dict[str, bytes] = {}
        self._name = self._value = b""
        self._field: tuple[str, bytearray] | None = None
        self._field_bytes = 0
        self._charset: str | None = None  # of the current field

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._part,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def taken(self) -> list[bytes]:
        """The file's bytes since the last call."""
        data, self._data = self._data, []
        return data

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value
        self._name = self._value = b""

    def _part(self) -> None:
        if self.file is not None:
            raise InvalidInputError("The file must be the last part of the form: put the fields before it.")
        disposition = self._headers.get("content-disposition", b"")
        _, options = parse_options_header(disposition)
        if (file_name := _file_name(disposition, options)) is not None:
            content_type = self._headers.get("content-type", b"").decode(errors="replace")
            self.file = wrapping_of_part(content_type, file_name)
        else:
            self._field = options.get(b"name", b"").decode(errors="replace"), bytearray()
            self._charset = parameter(self._headers.get("content-type", b"").decode("latin-1"), "charset")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._data.append(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > _MOST_FIELD_BYTES:
            raise InvalidInputError(f"The form's fields are larger than {_MOST_FIELD_BYTES} bytes.")
        self._field[1].extend(data[start:end])

    def _part_end(self) -> None:
        if self._field is not None:
            name, value = self._field
            self.fields.append((name, _text(name, bytes(value), self._charset)))
            self._field = None

    def _end(self) -> None:
        self.whole = True


def _file_name(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    """The `filename`, or the `filename*=UTF-8''…` of RFC 5987; None if this part is not a file."""
    plain = options.get(b"filename")
    if plain is not None:
        return plain.decode(errors="replace")
    extended = _EXTENDED_NAME.search(disposition)
    return None if extended is None else unquote(extended[1].decode("latin-1").strip().rpartition("'")[2])


def _text(name: str, value: bytes, charset: str | None) -> str:
    """Decode a field's value like any other text. Raises InvalidInputError if it does not fit its charset."""
    codec, mark_bytes = of_body(value, charset)
    try:
        return value[mark_bytes:].decode(codec)
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{value[mark_bytes + error.start]:02X} at offset {error.start}"
        raise InvalidInputError(
            f"The form's field {name[:40]!r} is not {codec}: {wrong}. Send it as UTF-8, "
            "or name its charset in the Content-Type of its part."
        ) from None
