"""Bodies of `/predict` that are no JSON, for models with image inputs: an image, or a form with images.

Content-Type: image/jpeg            the body is the only image input; other inputs must be nullable
Content-Type: multipart/form-data   a part for each input, in any order
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import InvalidInputError, UnsupportedMediaTypeError
from shared.images import MEDIA_TYPES
from shared.input_problems import InputProblem
from shared.input_specs import InputSpec, InputType
from shared.specs import ModelSpec, Row

_FORM = b"multipart/form-data"
_MEDIA_TYPES = frozenset((_FORM, *map(str.encode, MEDIA_TYPES)))
_TEXTS = (InputType.STRING, InputType.DATETIME)
_Span: TypeAlias = Callable[[bytes, int, int], None]


def takes_files(spec: ModelSpec, content_type: bytes) -> bool:
    """Whether a body of this type is an image or a form for this model."""
    return spec.has_images and may_hold_files(content_type)


def may_hold_files(content_type: bytes) -> bool:
    """Whether a body of this type is an image or a form, if the model has image inputs."""
    return _media_type(content_type) in _MEDIA_TYPES


def row_of(spec: ModelSpec, content_type: bytes, body: bytes) -> Row:
    """The row of a body for which `takes_files` is true, not yet validated: images as bytes.

    Raises InvalidInputError, UnsupportedMediaTypeError.
    """
    if _media_type(content_type) == _FORM:
        return _of_form(spec, content_type, body)
    images = [field.name for field in spec.inputs if field.image]
    if len(images) > 1:
        raise UnsupportedMediaTypeError(
            f"{spec.name} has {len(images)} image inputs: send multipart/form-data or application/json."
        )
    return {images[0]: body}


def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


def _of_form(spec: ModelSpec, content_type: bytes, body: bytes) -> Row:
    fields = {field.name: field for field in spec.inputs}
    row: Row = {}
    for name, value in _parts(content_type, body):
        if name in row:
            raise _problem(name, f"The form has two parts {name!r}.")
        row[name] = _value(fields[name], value) if name in fields else value.decode(errors="replace")
    return row


def _value(field: InputSpec, value: bytes) -> object:
    """A part's value as in a JSON body: texts as they are, everything else as JSON."""
    if field.image:
        return value or None
    try:
        text = value.decode()
        if field.type in _TEXTS:
            return text
        return None if not text.strip() else msgspec.json.decode(text)
    except UnicodeDecodeError:
        raise _problem(field.name, f"The form's part {field.name!r} is not UTF-8.") from None
    except msgspec.DecodeError:
        return text  # validation names the type that is expected


def _parts(content_type: bytes, body: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each part. Raises InvalidInputError if the form is damaged."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidInputError("The Content-Type multipart/form-data has no boundary.")
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        parser.write(body)
    except FormParserError as error:
        raise InvalidInputError(f"The body is not multipart/form-data: {error}") from None
    if not form.whole:
        raise InvalidInputError("The form is truncated: its last boundary is missing.")
    return [(name, bytes(content)) for name, content in form.parts]


class _Form:
    """Collects the parser's callbacks, which receive ranges of bytes."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, bytearray]] = []
        self.whole = False
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""

    def callbacks(self) -> Mapping[str, Callable[[], None] | _Span]:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_part,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _begin_part(self) -> None:
        options: dict[Any, Any] = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        self.parts.append((options.get(b"name", b"").decode(errors="replace"), bytearray()))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1][1].extend(data[start:end])

    def _end(self) -> None:
        self.whole = True


def _problem(field: str, reason: str) -> InvalidInputError:
    return InvalidInputError(
        reason, problems=[InputProblem(row=0, field=field, loc=[field], msg=reason, type="form")]
    )
