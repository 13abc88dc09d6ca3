"""multipart/form-data, as a stream: fields first, then the file, whose bytes pass on as they come.

The fields say how the file is to be read, so that they must stand before it; browsers and `curl -F` keep the
order of a form.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import InvalidInput
from shared.tabular.charsets import of_body
from shared.tabular.formats import Wrapping, parameter, wrapping_of_part

_EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=([^;]*)", re.IGNORECASE)
_MOST_FIELD_BYTES = 64 * 2**10
"""Of all fields together."""


class FormBody:
    """A form with one file in it. Every method raises InvalidInput where the body is no such form."""

    def __init__(self, boundary: str, parts: AsyncIterator[bytes]) -> None:
        self._body = parts
        self._events = _Events()
        self._parser = MultipartParser(boundary, self._events.callbacks())  # type: ignore[arg-type]
        self._last_boundary = b"--" + boundary.encode("latin-1", "replace") + b"--"
        self._recent = b""  # as much as a boundary that is not whole yet may take

    async def head(self) -> tuple[list[tuple[str, str]], Wrapping]:
        """Read up to the file. → the fields, and how to read the file."""
        while self._events.file is None:
            if not await self._advance():
                raise InvalidInput("The form holds no file: one part needs a filename.")
        return self._events.fields, self._events.file

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes, and then nothing but the form's end."""
        more = True
        while more:
            for data in self._events.taken():
                yield data
            more = await self._advance()
        if not self._events.whole:
            raise InvalidInput("The form is cut off: it lacks its last boundary.")

    async def _advance(self) -> bool:
        data = await anext(self._body, None)
        was_whole = self._events.whole
        try:
            self._parser.write(data or b"")
        except FormParserError as error:
            raise InvalidInput(f"The body is not multipart/form-data: {error}") from None
        self._require_end(data or b"", was_whole=was_whole)
        return data is not None

    def _require_end(self, data: bytes, *, was_whole: bool) -> None:
        """Raises InvalidInput if text follows the last boundary, which the parser would pass over.

        The boundary may stand in the file by accident: what follows is the file's rest then.
        """
        behind = self._recent + data
        if self._events.whole and not was_whole:
            behind = behind.partition(self._last_boundary)[2]
        if self._events.whole and behind.strip():
            raise InvalidInput(
                "The form goes on after its last boundary: does the file contain the boundary?"
            )
        self._recent = b"" if self._events.whole else behind[-len(self._last_boundary) :]


class _Events:
    """What the parser saw: it calls back with ranges of bytes."""

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
            raise InvalidInput("The file must be the form's last part: fields stand before it.")
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
            raise InvalidInput(f"The form's fields are larger than {_MOST_FIELD_BYTES} bytes.")
        self._field[1].extend(data[start:end])

    def _part_end(self) -> None:
        if self._field is not None:
            name, value = self._field
            self.fields.append((name, _text(name, bytes(value), self._charset)))
            self._field = None

    def _end(self) -> None:
        self.whole = True


def _file_name(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    """The plain name, or the one of RFC 5987 (`filename*=UTF-8''…`); None if this part is no file."""
    plain = options.get(b"filename")
    if plain is not None:
        return plain.decode(errors="replace")
    extended = _EXTENDED_NAME.search(disposition)
    return None if extended is None else unquote(extended[1].decode("latin-1").strip().rpartition("'")[2])


def _text(name: str, value: bytes, charset: str | None) -> str:
    """A field's value, by the rule of all texts. Raises InvalidInput if it is not of its charset."""
    codec, mark_bytes = of_body(value, charset)
    try:
        return value[mark_bytes:].decode(codec)
    except UnicodeDecodeError as error:
        said = f"byte 0x{value[mark_bytes + error.start]:02X} at offset {error.start}"
        raise InvalidInput(
            f"The form's field {name[:40]!r} is not {codec}: {said}. Send it as UTF-8, "
            "or name its charset in the Content-Type of its part."
        ) from None
